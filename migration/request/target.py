"""The target in AWS, replication to it, and what a launch is made of in the end."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from migration.formats import (
    AccountId,
    Duration,
    InstanceProfile,
    InstanceType,
    KmsKeyId,
    Region,
    RoleArn,
    SubnetId,
    TagKey,
    TagValue,
)
from migration.request.base import Part
from migration.request.choices import BootMode, HttpTokens, Tenancy, VolumeType
from migration.request.source import SecurityGroups, Server

MOST_TAGS = 40
"""AWS allows 50 tags on a resource; the rest is for the marks and for AWS."""


class TestTarget(Part):
    """The network of test launches, cut off from production."""

    __test__ = False  # not a test class, whatever its name says to pytest

    subnet_id: SubnetId = Field(description="The subnet of test instances.")
    security_group_ids: SecurityGroups = Field(description="The security groups of test instances.")


class Target(Part):
    """Where the application goes; the defaults for every server."""

    type: Literal["aws-mgn"]
    account_id: AccountId
    region: Region
    role_arn: RoleArn | None = Field(
        None, description="The role to assume in the target account. Null: the worker's own identity."
    )
    subnet_id: SubnetId = Field(description="The production subnet.")
    security_group_ids: SecurityGroups = Field(description="The production security groups.")
    instance_type: InstanceType | None = Field(None, description="Null: MGN's right-sizing chooses.")
    instance_profile: InstanceProfile | None = Field(None, description="Null: no instance profile.")
    tags: Annotated[dict[TagKey, TagValue], Field(max_length=MOST_TAGS)] = Field(
        {}, description="Tags for everything that is created in the target account."
    )
    test: TestTarget | None = Field(
        None, description="The network of test launches; required for the test step in prod. Null: the production one."
    )


class ReplicationPlan(Part):
    """How the disks are replicated, and when they count as ready."""

    staging_subnet_id: SubnetId | None = Field(None, description="Null: `target.subnetId`.")
    kms_key_id: KmsKeyId | None = Field(None, description="Null: the account's default EBS key.")
    bandwidth_mbps: Annotated[int, Field(ge=1, le=10000)] | None = Field(
        None, description="The limit for each server, in megabits a second. Null: unlimited."
    )
    max_lag: Duration = Field(timedelta(minutes=5), description="The greatest lag with which a server is ready.")
    stable_observations: Annotated[int, Field(ge=1)] = Field(
        3, description="How many looks in a row must find the lag under `maxLag`."
    )
    deadline: Duration = Field(
        timedelta(days=14), description="How long replication may take, and how long a rolled back one is kept ready."
    )


class Network(StrEnum):
    """Which network a launch goes into."""

    PRODUCTION = "production"
    TEST = "test"


@dataclass(frozen=True)
class LaunchSettings:
    """How one server is launched into one network, with every default resolved.

    Attributes:
        instance_type: None: MGN's right-sizing chooses.
        private_ip: None: AWS chooses.
    """

    subnet_id: str
    security_group_ids: tuple[str, ...]
    instance_type: str | None
    instance_profile: str | None
    private_ip: str | None
    boot_mode: BootMode
    os_byol: bool
    tenancy: Tenancy
    http_tokens: HttpTokens
    volume_type: VolumeType


def launch_settings(server: Server, target: Target, network: Network) -> LaunchSettings:
    """Merge a server's own launch settings over the target's.

    A test launch never gets a fixed address: that address belongs to production, and the test subnet may not hold it.
    """
    launch = server.launch
    subnet, groups = launch.subnet_id or target.subnet_id, launch.security_group_ids or target.security_group_ids
    if network is Network.TEST and target.test is not None:
        subnet, groups = target.test.subnet_id, target.test.security_group_ids
    fixed = {"auto": None, "copy": server.address}.get(launch.private_ip, launch.private_ip)
    return LaunchSettings(
        subnet_id=subnet,
        security_group_ids=groups,
        instance_type=launch.instance_type or target.instance_type,
        instance_profile=launch.instance_profile or target.instance_profile,
        private_ip=fixed if network is Network.PRODUCTION else None,
        boot_mode=launch.boot_mode,
        os_byol=launch.os_byol,
        tenancy=launch.tenancy,
        http_tokens=launch.http_tokens,
        volume_type=launch.volume_type,
    )
