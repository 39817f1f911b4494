"""Amazon EC2, with KMS, IAM and STS, in one target account and region."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from adapters.aws import AwsSessions, aws_call
from migration.errors import Conflict, MigrationError, MigrationExecutionError, NotFound, Unavailable
from migration.ports import Subnet, TargetCloud, TargetInstance, Where

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_kms import KMSClient
    from mypy_boto3_sts import STSClient

INSTANCE_TAG = "migrator:instance-id"
"""On a snapshot: of which instance. The mark alone is shared by all instances of a step."""

_FILTERED_AT_ONCE = 200
_STATUSES_AT_ONCE = 100
_TAGGED_AT_ONCE = 1000
_STOPPABLE = frozenset({"pending", "running"})
_GOING = frozenset({"shutting-down", "terminated"})
_CHECKS = ("impaired", "insufficient-data", "initializing", "not-applicable", "ok")
"""The results of a status check, the worst first."""


def ec2(sessions: AwsSessions) -> Callable[[Where], TargetCloud]:
    """Give one `Ec2` for each account, region and role."""
    known: dict[Where, Ec2] = {}
    lock = threading.Lock()

    def cloud(where: Where) -> Ec2:
        with lock:
            if where not in known:
                known[where] = Ec2(sessions, where)
            return known[where]

    return cloud


class Ec2:
    """One target account and region, as `TargetCloud`."""

    def __init__(self, sessions: AwsSessions, where: Where) -> None:
        """Nothing is called yet."""
        self._ec2: EC2Client = sessions.client("ec2", where=where)
        self._ec2_acts: EC2Client = sessions.client("ec2", where=where, once=True)
        self._kms: KMSClient = sessions.client("kms", where=where)
        self._iam: IAMClient = sessions.client("iam", where=where)
        self._sts: STSClient = sessions.client("sts", where=where)

    # --- what is there -----------------------------------------------------------------------------------------

    def caller(self) -> str:
        """The account id that our credentials, after the assumed role, belong to."""
        with aws_call("GetCallerIdentity"):
            return self._sts.get_caller_identity()["Account"]

    def subnets(self, subnet_ids: Sequence[str]) -> Mapping[str, Subnet]:
        """The subnets that exist, by id."""
        found = self._filtered("DescribeSubnets", "describe_subnets", "Subnets", "subnet-id", subnet_ids)
        return {
            one["SubnetId"]: Subnet(
                subnet_id=one["SubnetId"],
                vpc_id=one["VpcId"],
                zone=one["AvailabilityZone"],
                cidr=one["CidrBlock"],
                free_addresses=one["AvailableIpAddressCount"],
            )
            for one in found
        }

    def security_groups(self, group_ids: Sequence[str]) -> Mapping[str, str]:
        """The VPC of each security group that exists, by group id."""
        found = self._filtered(
            "DescribeSecurityGroups", "describe_security_groups", "SecurityGroups", "group-id", group_ids
        )
        return {one["GroupId"]: one["VpcId"] for one in found}

    def offered_instance_types(self, zone: str, types: Sequence[str]) -> frozenset[str]:
        """Which of these instance types the zone offers."""
        found = self._filtered(
            "DescribeInstanceTypeOfferings",
            "describe_instance_type_offerings",
            "InstanceTypeOfferings",
            "instance-type",
            types,
            LocationType="availability-zone",
            also=[{"Name": "location", "Values": [zone]}],
        )
        return frozenset(one["InstanceType"] for one in found)

    def key_problem(self, key_id: str) -> str | None:
        """Why MGN could not use this KMS key, or None: EBS takes enabled symmetric keys for encryption only."""
        try:
            with aws_call("DescribeKey"):
                key = self._kms.describe_key(KeyId=key_id)["KeyMetadata"]
        except NotFound:
            return f"there is no KMS key {key_id}"
        except MigrationError as error:
            if error.retryable:
                raise
            return str(error)
        if key.get("KeyState") != "Enabled":
            return f"the KMS key {key_id} is {key.get('KeyState')}"
        if key.get("KeySpec") != "SYMMETRIC_DEFAULT":
            return f"the KMS key {key_id} is not a symmetric one for encryption, as EBS wants"
        return None

    def profile_exists(self, name: str) -> bool:
        """Whether the instance profile exists; an ARN is read for its name."""
        try:
            with aws_call("GetInstanceProfile"):
                self._iam.get_instance_profile(InstanceProfileName=name.rpartition("/")[2])
        except NotFound:
            return False
        return True

    def instances(self, instance_ids: Sequence[str]) -> Mapping[str, TargetInstance]:
        """The instances that are still known, terminated ones included, by id."""
        found = self._described(instance_ids)
        there = [one for one, instance in found.items() if instance["State"]["Name"] not in _GOING]
        checks = self._status_checks(there)
        return {
            one: _target_instance(instance, status_checks=checks.get(one, "not-applicable"))
            for one, instance in found.items()
        }

    def protected(self, instance_ids: Sequence[str]) -> Mapping[str, bool]:
        """Whether each of these instances has termination protection; those that are gone are left out.

        EC2 says it of one instance a call.
        """
        found = self._described(instance_ids)
        there = [one for one, instance in found.items() if instance["State"]["Name"] not in _GOING]
        said = {one: self._protection(one) for one in there}
        return {one: on for one, on in said.items() if on is not None}

    # --- acting ------------------------------------------------------------------------------------------------

    def stop(self, instance_ids: Sequence[str]) -> None:
        """Ask pending and running instances to stop. Raises `Unavailable` while one is not yet ready to be stopped."""
        found = self._described(instance_ids)
        running = [one for one, instance in found.items() if instance["State"]["Name"] in _STOPPABLE]
        if not running:
            return
        try:
            with aws_call("StopInstances"):
                self._ec2.stop_instances(InstanceIds=running)
        except Conflict as conflict:
            if any(found[one]["State"]["Name"] == "pending" for one in running):
                raise Unavailable(str(conflict)) from conflict
            raise

    def protect(self, instance_id: str, *, on: bool) -> None:
        """Set termination protection, where it differs. Nothing happens on an instance that is gone."""
        if self.protected([instance_id]).get(instance_id, on) is not on:
            with aws_call("ModifyInstanceAttribute"):
                self._ec2.modify_instance_attribute(InstanceId=instance_id, DisableApiTermination={"Value": on})

    def tag(self, resource_ids: Sequence[str], tags: Mapping[str, str]) -> None:
        """Set tags."""
        for ids in _parts(resource_ids, _TAGGED_AT_ONCE):
            with aws_call("CreateTags"):
                self._ec2.create_tags(Resources=ids, Tags=_aws_tags(tags))

    def snapshot(self, instance_id: str, tags: Mapping[str, str]) -> tuple[str, ...]:
        """One crash-consistent snapshot set of all volumes, found again by its tags; returns snapshot ids."""
        all_tags = dict(tags) | {INSTANCE_TAG: instance_id}
        if taken := self._tagged_snapshots(all_tags):
            return taken
        with aws_call("CreateSnapshots"):
            reply = self._ec2_acts.create_snapshots(
                InstanceSpecification={"InstanceId": instance_id},
                Description=f"Taken by migrator of {instance_id}",
                TagSpecifications=[{"ResourceType": "snapshot", "Tags": _aws_tags(all_tags)}],
            )
        return tuple(sorted(one["SnapshotId"] for one in reply["Snapshots"]))

    def snapshots_completed(self, snapshot_ids: Sequence[str]) -> bool:
        """Whether all are completed.

        Raises:
            NotFound: One is gone.
            MigrationExecutionError: One failed.
        """
        found = self._filtered("DescribeSnapshots", "describe_snapshots", "Snapshots", "snapshot-id", snapshot_ids)
        states = {one["SnapshotId"]: one["State"] for one in found}
        if gone := sorted(set(snapshot_ids) - states.keys()):
            raise NotFound(f"snapshots are gone: {', '.join(gone)}")
        if failed := sorted(one for one, state in states.items() if state == "error"):
            raise MigrationExecutionError(
                f"snapshots failed: {', '.join(failed)}",
                action="Delete the failed set, then retry: a new one is taken.",
            )
        return all(state == "completed" for state in states.values())

    # --- below -------------------------------------------------------------------------------------------------

    def _filtered(
        self,
        operation: str,
        method: str,
        key: str,
        name: str,
        values: Sequence[str],
        *,
        also: Sequence[Mapping[str, Any]] = (),
        **request: Any,
    ) -> list[dict[str, Any]]:
        """Describe by a filter, which leaves out what does not exist; ids would fail the whole call."""
        pages: Any = self._ec2.get_paginator(method)  # type: ignore[call-overload]  # the stubs want a literal
        found: list[dict[str, Any]] = []
        for part in _parts(values, _FILTERED_AT_ONCE):
            filters = [{"Name": name, "Values": part}, *also]
            with aws_call(operation):
                for page in pages.paginate(Filters=filters, **request):
                    found.extend(page[key])
        return found

    def _described(self, instance_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        reservations = self._filtered(
            "DescribeInstances", "describe_instances", "Reservations", "instance-id", instance_ids
        )
        return {one["InstanceId"]: one for reservation in reservations for one in reservation["Instances"]}

    def _status_checks(self, instance_ids: Sequence[str]) -> dict[str, str]:
        checks: dict[str, str] = {}
        for ids in _parts(instance_ids, _STATUSES_AT_ONCE):
            with aws_call("DescribeInstanceStatus"):
                reply = self._ec2.describe_instance_status(InstanceIds=ids, IncludeAllInstances=True)
            for one in reply["InstanceStatuses"]:
                both = {one["InstanceStatus"]["Status"], one["SystemStatus"]["Status"]}
                checks[one["InstanceId"]] = next((check for check in _CHECKS if check in both), "insufficient-data")
        return checks

    def _protection(self, instance_id: str) -> bool | None:
        try:
            with aws_call("DescribeInstanceAttribute"):
                reply = self._ec2.describe_instance_attribute(InstanceId=instance_id, Attribute="disableApiTermination")
        except NotFound:
            return None
        return reply["DisableApiTermination"]["Value"]

    def _tagged_snapshots(self, tags: Mapping[str, str]) -> tuple[str, ...]:
        filters: Any = [{"Name": f"tag:{key}", "Values": [_literal(value)]} for key, value in tags.items()]
        with aws_call("DescribeSnapshots"):
            pages = self._ec2.get_paginator("describe_snapshots").paginate(OwnerIds=["self"], Filters=filters)
            return tuple(sorted(one["SnapshotId"] for page in pages for one in page["Snapshots"]))


def _target_instance(instance: Mapping[str, Any], *, status_checks: str) -> TargetInstance:
    return TargetInstance(
        instance_id=instance["InstanceId"],
        state=instance["State"]["Name"],
        private_ip=instance.get("PrivateIpAddress"),
        subnet_id=instance.get("SubnetId"),
        status_checks=status_checks,
        tags={tag["Key"]: tag["Value"] for tag in instance.get("Tags", ())},
    )


def _aws_tags(tags: Mapping[str, str]) -> Any:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _literal(value: str) -> str:
    r"""Take the wildcards of a filter (`*`, `?`, `\`) for what they are."""
    return "".join(f"\\{character}" if character in "*?\\" else character for character in value)


def _parts(ids: Sequence[str], most: int) -> list[list[str]]:
    return [list(ids[start : start + most]) for start in range(0, len(ids), most)]
