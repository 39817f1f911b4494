"""What carries our tags in one account and region, whoever made it: what is true when a workflow is gone."""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from adapters.aws import AwsSessions, aws_call
from migration.errors import PrerequisiteError
from migration.marks import MIGRATION_TAG
from migration.models import Model
from migration.ports import Where

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_mgn import MgnClient

_NOT_GONE = ("pending", "running", "stopping", "stopped")
_ENDED = "COMPLETED"
_PAGE = 1000


class Kind(StrEnum):
    """What a migration may leave behind."""

    INSTANCE = "EC2 instance"
    VOLUME_SNAPSHOT = "EBS snapshot"
    SOURCE_SERVER = "MGN source server"
    JOB = "MGN job"
    SOURCE_SNAPSHOT = "source snapshot"


class Marked(Model):
    """One thing that says whose it is. `place`: account/region, or the hypervisor's connection name."""

    kind: Kind
    id: str
    migration_id: str
    state: str
    place: str
    tags: Mapping[str, str] = {}


class MarkedResources:
    """Everything of ours in one account and region."""

    def __init__(self, sessions: AwsSessions, where: Where) -> None:
        """Nothing is called yet."""
        self._ec2: EC2Client = sessions.client("ec2", where=where)
        self._mgn: MgnClient = sessions.client("mgn", where=where)
        self._place = f"{where.account_id}/{where.region}"

    def find(self) -> tuple[Marked, ...]:
        """Instances that are not terminated, snapshots, MGN records that are not archived, jobs that still run."""
        return (*self._instances(), *self._snapshots(), *self._replication())

    def _instances(self) -> Iterator[Marked]:
        states = {"Name": "instance-state-name", "Values": list(_NOT_GONE)}
        found = self._pages(
            self._ec2, "DescribeInstances", "describe_instances", "Reservations", Filters=[_OURS, states]
        )
        for one in (instance for reservation in found for instance in reservation["Instances"]):
            yield self._marked(Kind.INSTANCE, one["InstanceId"], one["State"]["Name"], _plain(one.get("Tags", ())))

    def _snapshots(self) -> Iterator[Marked]:
        found = self._pages(
            self._ec2, "DescribeSnapshots", "describe_snapshots", "Snapshots", OwnerIds=["self"], Filters=[_OURS]
        )
        for one in found:
            yield self._marked(Kind.VOLUME_SNAPSHOT, one["SnapshotId"], one["State"], _plain(one.get("Tags", ())))

    def _replication(self) -> Iterator[Marked]:
        """Look through all records and jobs: MGN has no filter for tags."""
        try:
            servers = list(
                self._replicated("DescribeSourceServers", "describe_source_servers", filters={"isArchived": False})
            )
            jobs = list(self._replicated("DescribeJobs", "describe_jobs", filters={}))
        except PrerequisiteError:
            # MGN was never initialised here, so it has nothing of ours.
            return
        for one in servers:
            if MIGRATION_TAG in one.get("tags", {}):
                state = one.get("lifeCycle", {}).get("state", "")
                yield self._marked(Kind.SOURCE_SERVER, one["sourceServerID"], state, one["tags"])
        for one in jobs:
            if MIGRATION_TAG in one.get("tags", {}) and one.get("status") != _ENDED:
                yield self._marked(Kind.JOB, one["jobID"], one.get("status", ""), one["tags"])

    def _replicated(self, operation: str, method: str, **request: Any) -> Iterator[Mapping[str, Any]]:
        return self._pages(self._mgn, operation, method, "items", **request, PaginationConfig={"PageSize": _PAGE})

    @staticmethod
    def _pages(client: Any, operation: str, method: str, key: str, **request: Any) -> Iterator[Mapping[str, Any]]:
        with aws_call(operation):
            for page in client.get_paginator(method).paginate(**request):
                yield from page[key]

    def _marked(self, kind: Kind, name: str, state: str, tags: Mapping[str, str]) -> Marked:
        return Marked(
            kind=kind, id=name, migration_id=tags[MIGRATION_TAG], state=state, place=self._place, tags=dict(tags)
        )


_OURS: Any = {"Name": "tag-key", "Values": [MIGRATION_TAG]}


def _plain(tags: Sequence[Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in tags}
