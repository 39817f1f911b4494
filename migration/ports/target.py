"""The target account: EC2 and what belongs to it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from migration.models import Model


class Where(Model):
    """The unit that AWS quotas and API rates apply to, and the role to reach it through."""

    account_id: str
    region: str
    role_arn: str | None = None


class TargetInstance(Model):
    """One EC2 instance. `status_checks`: ok, impaired, initializing, insufficient-data or not-applicable."""

    instance_id: str
    state: str
    private_ip: str | None = None
    subnet_id: str | None = None
    status_checks: str = "not-applicable"
    tags: Mapping[str, str] = {}


class Subnet(Model):
    """An EC2 subnet, its IPv4 network, and how many addresses it has left."""

    subnet_id: str
    vpc_id: str
    zone: str
    cidr: str
    free_addresses: int


class TargetCloud(Protocol):
    """EC2, KMS, IAM and STS in one target account and region."""

    def caller(self) -> str:
        """The account id that our credentials, after the assumed role, belong to."""

    def subnets(self, subnet_ids: Sequence[str]) -> Mapping[str, Subnet]:
        """The subnets that exist, by id."""

    def security_groups(self, group_ids: Sequence[str]) -> Mapping[str, str]:
        """The VPC of each security group that exists, by group id."""

    def offered_instance_types(self, zone: str, types: Sequence[str]) -> frozenset[str]:
        """Which of these instance types the zone offers."""

    def key_problem(self, key_id: str) -> str | None:
        """Why MGN could not use this KMS key, or None."""

    def profile_exists(self, name: str) -> bool:
        """Whether the instance profile exists."""

    def instances(self, instance_ids: Sequence[str]) -> Mapping[str, TargetInstance]:
        """The instances that are still known, terminated ones included, by id."""

    def protected(self, instance_ids: Sequence[str]) -> Mapping[str, bool]:
        """Whether each of these instances has termination protection; those that are gone are left out."""

    def stop(self, instance_ids: Sequence[str]) -> None:
        """Ask running instances to stop; those stopped or gone are left alone."""

    def protect(self, instance_id: str, *, on: bool) -> None:
        """Set termination protection. Nothing happens on an instance that is gone."""

    def tag(self, resource_ids: Sequence[str], tags: Mapping[str, str]) -> None:
        """Set tags."""

    def snapshot(self, instance_id: str, tags: Mapping[str, str]) -> tuple[str, ...]:
        """One crash-consistent snapshot set of all volumes, found again by its tags; returns snapshot ids."""

    def snapshots_completed(self, snapshot_ids: Sequence[str]) -> bool:
        """Whether all are completed."""


Clouds = Callable[[Where], TargetCloud]
