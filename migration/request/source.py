"""The source: the servers of the application, and how each is launched on the other side."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from migration.formats import (
    Address,
    ConnectionName,
    InstanceProfile,
    InstanceType,
    ManagedInstanceId,
    Name,
    PrivateIp,
    SecretReference,
    SecurityGroupId,
    ServerName,
    SubnetId,
)
from migration.request.base import Part
from migration.request.choices import (
    AgentInstall,
    BootMode,
    HttpTokens,
    OperatingSystem,
    SourceType,
    Tenancy,
    VolumeType,
)

MOST_SERVERS = 200
"""MGN takes at most 200 servers in one StartCutover, and they cut over together."""

SecurityGroups = Annotated[tuple[SecurityGroupId, ...], Field(min_length=1)]

_VMWARE_NAMES_ITS_VMS: dict[str, Any] = {
    "if": {"properties": {"type": {"const": "vmware"}}},
    "then": {"properties": {"servers": {"items": {"required": ["vm"], "properties": {"vm": {"type": "string"}}}}}},
}


class Launch(Part):
    """How one server is launched; what is null comes from `target`."""

    instance_type: InstanceType | None = Field(None, description="Null: `target.instanceType`.")
    subnet_id: SubnetId | None = Field(None, description="Null: `target.subnetId`.")
    security_group_ids: SecurityGroups | None = Field(None, description="Null: `target.securityGroupIds`.")
    instance_profile: InstanceProfile | None = Field(None, description="Null: `target.instanceProfile`.")
    private_ip: PrivateIp = Field(
        "auto", description="The production address: `auto` lets AWS choose, `copy` keeps the source's, or an address."
    )
    boot_mode: BootMode = Field(BootMode.USE_SOURCE, description="The firmware of the instance.")
    os_byol: bool = Field(False, description="True: bring your own operating system licence.")
    tenancy: Tenancy = Field(Tenancy.DEFAULT, description="The EC2 tenancy.")
    http_tokens: HttpTokens = Field(HttpTokens.REQUIRED, description="`required`: IMDSv2 only.")
    volume_type: VolumeType = Field(VolumeType.GP3, description="The EBS volume type of every disk.")


class Server(Part):
    """One source machine of the application."""

    name: ServerName = Field(description="Its name in this request; unique, whatever the case of its letters.")
    vm: Name | None = Field(None, description="The virtual machine's name in the hypervisor; required for vmware.")
    os: OperatingSystem
    address: Address = Field(description="The source's own IP address.")
    tier: Annotated[int, Field(ge=1)] = Field(
        1, description="Tiers are stopped in descending and launched in ascending order."
    )
    agent_install: AgentInstall = Field(AgentInstall.SSM, description="How the MGN agent is installed.")
    ssm_instance_id: ManagedInstanceId | None = Field(
        None, description="Null: found by name among the managed instances."
    )
    credential: SecretReference | None = Field(None, description="The credential for an installation over SSH.")
    launch: Launch = Field(Launch(), description="How the server is launched, where it differs from `target`.")


class Source(Part):
    """Where the application runs today."""

    model_config = ConfigDict(json_schema_extra=_VMWARE_NAMES_ITS_VMS)

    type: SourceType
    connection: ConnectionName = Field(description="The connection of the settings that reaches the source.")
    servers: Annotated[tuple[Server, ...], Field(min_length=1, max_length=MOST_SERVERS)] = Field(
        description="The servers of the application, which cut over together."
    )
