"""Source servers, their replication and their jobs. Every change looks first, acts where it must, and reads back."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from adapters.aws import AwsSessions, aws_call
from adapters.mgn import records
from adapters.mgn.actions import actions_of
from adapters.mgn.groups import Groups
from adapters.mgn.launch import LaunchSettings
from migration.errors import Conflict, MigrationExecutionError, NotFound, PrerequisiteError, Unavailable
from migration.ports import (
    JobEvent,
    LaunchJob,
    LaunchTarget,
    PostLaunchAction,
    ReplicationService,
    ReplicationSettings,
    SourceServer,
    Where,
)

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient
    from mypy_boto3_mgn import MgnClient

_FILTERED_AT_ONCE = 200
_JOBS_AT_ONCE = 1000
_PAGE = 1000
_NOT_REPLICATING = frozenset({records.STOPPED, records.DISCONNECTED, ""})

Reached = Callable[[SourceServer], bool]


def mgn(sessions: AwsSessions) -> Callable[[Where], ReplicationService]:
    """Give one `Mgn` for each account, region and role."""
    known: dict[Where, Mgn] = {}
    lock = threading.Lock()

    def service(where: Where) -> Mgn:
        with lock:
            if where not in known:
                known[where] = Mgn(sessions, where)
            return known[where]

    return service


class Mgn:
    """MGN in one account and region, as `ReplicationService`."""

    def __init__(self, sessions: AwsSessions, where: Where) -> None:
        """Nothing is called yet."""
        self._where = where
        self._reads: MgnClient = sessions.client("mgn", where=where)
        self._acts: MgnClient = sessions.client("mgn", where=where, once=True)
        self._kms: KMSClient = sessions.client("kms", where=where)
        self._groups = Groups(self._reads, self._acts)
        self._launch = LaunchSettings(
            self._reads, sessions.client("ec2", where=where), sessions.client("ec2", where=where, once=True)
        )

    # --- reading -----------------------------------------------------------------------------------------------

    def find(self, user_provided_ids: Sequence[str]) -> Mapping[str, SourceServer]:
        """The live records by user-provided id, which MGN has no filter for. Raises `Conflict` when two share one."""
        wanted, found = set(user_provided_ids), dict[str, SourceServer]()
        for item in self._describe({"isArchived": False}) if wanted else ():
            server = records.source_server(item)
            key = server.user_provided_id
            if key not in wanted or server.archived or server.life_cycle == records.DISCONNECTED:
                continue
            if key in found:
                ids = f"{found[key].source_server_id} and {server.source_server_id}"
                raise Conflict(
                    f"two live records carry the id {key}: {ids}", action="Archive the one of them that is old."
                )
            found[key] = server
        return found

    def servers(self, source_server_ids: Sequence[str]) -> Mapping[str, SourceServer]:
        """The records by id. Raises `NotFound` naming those that are gone."""
        return {one: records.source_server(item) for one, item in self._items(source_server_ids).items()}

    def count_active(self) -> int:
        """How many servers replicate here: they count against quota L-9A599620."""
        servers = (records.source_server(item) for item in self._describe({"isArchived": False}))
        return sum(
            one.replication_state not in _NOT_REPLICATING and one.life_cycle not in records.OUT_OF_SERVICE
            for one in servers
        )

    def is_initialised(self) -> bool:
        """Whether InitializeService was ever called here."""
        try:
            with aws_call("DescribeSourceServers"):
                self._reads.describe_source_servers(maxResults=1)
        except PrerequisiteError:
            return False
        return True

    def jobs(self, *, since: datetime | None = None, job_ids: Sequence[str] = ()) -> Sequence[LaunchJob]:
        """Jobs by id, or all since a moment; newest first."""
        filters: list[dict[str, Any]] = [{"jobIDs": ids} for ids in _parts(job_ids, _JOBS_AT_ONCE)]
        if not filters:
            filters = [{"fromDate": _text(since)} if since else {}]
        items = [item for one in filters for item in self._pages("DescribeJobs", "describe_jobs", filters=one)]
        items.sort(key=lambda item: records.moment(item["creationDateTime"]), reverse=True)
        return [records.launch_job(item) for item in items]

    def job_log(self, job_id: str) -> Sequence[JobEvent]:
        """The job's log, oldest first."""
        items = list(self._pages("DescribeJobLogItems", "describe_job_log_items", jobID=job_id))
        items.sort(key=lambda item: records.moment(item["logDateTime"]))
        return [records.job_event(item) for item in items]

    def post_launch_actions(self, job_ids: Sequence[str]) -> Sequence[PostLaunchAction]:
        """The actions of these launches: those that have begun, and those that are still to come."""
        filters = [{"jobIDs": ids} for ids in _parts(job_ids, _JOBS_AT_ONCE)]
        items = [item for one in filters for item in self._pages("DescribeJobs", "describe_jobs", filters=one)]
        servers = [server for item in items for server in item.get("participatingServers", ())]
        return [action for server in servers for action in actions_of(self._reads, server)]

    # --- preparing ---------------------------------------------------------------------------------------------

    def configure_replication(self, source_server_id: str, settings: ReplicationSettings) -> None:
        """Set what differs. A key of None is the account's default EBS key, a bandwidth of None has no limit."""
        with aws_call("GetReplicationConfiguration"):
            current: Any = self._reads.get_replication_configuration(sourceServerID=source_server_id)
        wanted = {
            "stagingAreaSubnetId": settings.staging_subnet_id,
            "bandwidthThrottling": settings.bandwidth_mbps or 0,
            "stagingAreaTags": current.get("stagingAreaTags", {}) | dict(settings.staging_tags),
            **self._encryption(settings.kms_key_id),
        }
        changes: Any = {name: value for name, value in wanted.items() if current.get(name) != value}
        if "ebsEncryptionKeyArn" in changes:
            changes["ebsEncryption"] = wanted["ebsEncryption"]
        if changes:
            with aws_call("UpdateReplicationConfiguration"):
                self._reads.update_replication_configuration(sourceServerID=source_server_id, **changes)

    def start_replication(self, source_server_id: str) -> None:
        """StartReplication, where it is stopped."""
        self._reach(
            "StartReplication",
            source_server_id,
            lambda: self._acts.start_replication(sourceServerID=source_server_id),
            lambda server: server.replication_state != records.STOPPED,
        )

    def retry_replication(self, source_server_id: str) -> None:
        """RetryDataReplication, where it is stalled."""
        self._reach(
            "RetryDataReplication",
            source_server_id,
            lambda: self._acts.retry_data_replication(sourceServerID=source_server_id),
            lambda server: server.replication_state != records.STALLED,
        )

    def tag(self, source_server_id: str, tags: Mapping[str, str]) -> None:
        """Set the tags that differ."""
        item = self._item(source_server_id)
        current = item.get("tags", {})
        changes = {key: value for key, value in tags.items() if current.get(key) != value}
        if changes:
            with aws_call("TagResource"):
                self._reads.tag_resource(resourceArn=item["arn"], tags=changes)

    def group(self, source_server_ids: Sequence[str], *, application: str, wave: str | None) -> None:
        """Put the servers into the application of that name, and it into the wave; both made when missing."""
        servers = list(self._items(source_server_ids).values())
        found = self._groups.application(application)
        self._groups.put_servers(found["applicationID"], servers)
        if wave is not None:
            self._groups.put_application(self._groups.wave(wave), found)

    # --- launching ---------------------------------------------------------------------------------------------

    def set_launch_target(self, source_server_id: str, target: LaunchTarget, *, description: str) -> None:
        """Write the launch configuration and the template's default version where they differ, and read both back."""
        self._launch.write(source_server_id, target, description)

    def start_test(self, source_server_ids: Sequence[str], tags: Mapping[str, str]) -> LaunchJob:
        """StartTest, once: not idempotent, and no repeat by the client either."""
        with aws_call("StartTest"):
            reply = self._acts.start_test(sourceServerIDs=list(source_server_ids), tags=dict(tags))
        return records.launch_job(reply["job"])

    def start_cutover(self, source_server_ids: Sequence[str], tags: Mapping[str, str]) -> LaunchJob:
        """StartCutover, once, like `start_test`."""
        with aws_call("StartCutover"):
            reply = self._acts.start_cutover(sourceServerIDs=list(source_server_ids), tags=dict(tags))
        return records.launch_job(reply["job"])

    def terminate_target_instances(self, source_server_ids: Sequence[str], tags: Mapping[str, str]) -> LaunchJob:
        """TerminateTargetInstances, once, like `start_test`."""
        with aws_call("TerminateTargetInstances"):
            reply = self._acts.terminate_target_instances(sourceServerIDs=list(source_server_ids), tags=dict(tags))
        return records.launch_job(reply["job"])

    # --- the life cycle ----------------------------------------------------------------------------------------

    def change_life_cycle_state(self, source_server_id: str, state: str) -> None:
        """ChangeServerLifeCycleState, unless it is there already."""
        life_cycle: Any = {"state": state}
        self._reach(
            "ChangeServerLifeCycleState",
            source_server_id,
            lambda: self._acts.change_server_life_cycle_state(sourceServerID=source_server_id, lifeCycle=life_cycle),
            lambda server: server.life_cycle == state,
        )

    def finalize_cutover(self, source_server_id: str) -> None:
        """FinalizeCutover, unless it is CUTOVER already."""
        self._reach(
            "FinalizeCutover",
            source_server_id,
            lambda: self._acts.finalize_cutover(sourceServerID=source_server_id),
            lambda server: server.life_cycle == records.CUTOVER,
        )

    def disconnect(self, source_server_id: str) -> None:
        """DisconnectFromService, unless it is out of service already: CUTOVER is as well."""
        self._reach(
            "DisconnectFromService",
            source_server_id,
            lambda: self._acts.disconnect_from_service(sourceServerID=source_server_id),
            lambda server: server.life_cycle in records.OUT_OF_SERVICE,
        )

    def archive(self, source_server_id: str) -> None:
        """MarkAsArchived, unless archived already."""
        self._reach(
            "MarkAsArchived",
            source_server_id,
            lambda: self._acts.mark_as_archived(sourceServerID=source_server_id),
            lambda server: server.archived,
        )

    # --- below -------------------------------------------------------------------------------------------------

    def _reach(self, operation: str, source_server_id: str, act: Callable[[], object], reached: Reached) -> None:
        """Act unless the record is there already; when the answer is unclear, the record says whether it was done."""
        if reached(self._server(source_server_id)):
            return
        try:
            with aws_call(operation):
                act()
        except (Unavailable, Conflict, MigrationExecutionError):
            if not reached(self._server(source_server_id)):
                raise

    def _server(self, source_server_id: str) -> SourceServer:
        return records.source_server(self._item(source_server_id))

    def _item(self, source_server_id: str) -> Mapping[str, Any]:
        return self._items([source_server_id])[source_server_id]

    def _items(self, source_server_ids: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        found = {
            item["sourceServerID"]: item
            for ids in _parts(source_server_ids, _FILTERED_AT_ONCE)
            for item in self._describe({"sourceServerIDs": ids})
        }
        if missing := [one for one in source_server_ids if one not in found]:
            raise NotFound(f"MGN in {self._where.account_id} {self._where.region} does not know {', '.join(missing)}")
        return {one: found[one] for one in source_server_ids}

    def _describe(self, filters: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        return self._pages("DescribeSourceServers", "describe_source_servers", filters=filters)

    def _pages(self, operation: str, method: str, **request: Any) -> Iterator[Mapping[str, Any]]:
        pages: Any = self._reads.get_paginator(method)  # type: ignore[call-overload]  # the stubs want a literal
        with aws_call(operation):
            for page in pages.paginate(**request, PaginationConfig={"PageSize": _PAGE}):
                yield from page["items"]

    def _encryption(self, key_id: str | None) -> dict[str, str]:
        if key_id is None:
            return {"ebsEncryption": "DEFAULT"}
        return {"ebsEncryption": "CUSTOM", "ebsEncryptionKeyArn": self._key_arn(key_id)}

    def _key_arn(self, key_id: str) -> str:
        if key_id.startswith("arn:") and ":alias/" not in key_id:
            return key_id
        with aws_call("kms:DescribeKey"):
            return self._kms.describe_key(KeyId=key_id)["KeyMetadata"]["Arn"]


def _parts(ids: Sequence[str], most: int) -> list[list[str]]:
    return [list(ids[start : start + most]) for start in range(0, len(ids), most)]


def _text(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
