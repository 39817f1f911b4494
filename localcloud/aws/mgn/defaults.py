"""What a server's launch and replication configurations are before anybody changes them.

The first template of the account is what every newly registered server begins with, as the user guide says; the API
lets an account have several, and no source says which of them counts.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from .servers import Machine

_NOT_COPIED = frozenset({"tags", "arn", "replicationConfigurationTemplateID"})
_LAUNCH_MEMBERS = (
    "launchDisposition",
    "targetInstanceTypeRightSizingMethod",
    "copyPrivateIp",
    "copyTags",
    "licensing",
    "bootMode",
    "postLaunchActions",
    "enableMapAutoTagging",
    "mapAutoTaggingMpeID",
    "mapAutoTaggingKey",
)


def default_launch_configuration(server_id: str, template: Mapping[str, Any]) -> dict[str, Any]:
    """The service model's LaunchConfiguration, without the id of the launch template."""
    return {
        "sourceServerID": server_id,
        "name": f"Launch Configuration for Source Server {server_id}",
        "launchDisposition": "STARTED",
        "targetInstanceTypeRightSizingMethod": "BASIC",
        "copyPrivateIp": False,
        "copyTags": False,
        "licensing": {"osByol": False},
        "bootMode": "USE_SOURCE",
        "enableMapAutoTagging": False,
        **{member: template[member] for member in _LAUNCH_MEMBERS if member in template},
    }


def default_replication_configuration(
    server_id: str, machine: Machine, staging_subnet: str, template: Mapping[str, Any]
) -> dict[str, Any]:
    """The service model's ReplicationConfiguration."""
    return {
        "sourceServerID": server_id,
        "name": f"Replication Configuration for Source Server {server_id}",
        "stagingAreaSubnetId": staging_subnet,
        "associateDefaultSecurityGroup": True,
        "replicationServersSecurityGroupsIDs": [],
        "replicationServerInstanceType": "t3.small",
        "useDedicatedReplicationServer": False,
        "defaultLargeStagingDiskType": "GP3",
        "replicatedDisks": replicated_disks(machine.disks, boot=machine.disks[0][0]),
        "ebsEncryption": "DEFAULT",
        "bandwidthThrottling": 0,
        "dataPlaneRouting": "PRIVATE_IP",
        "createPublicIP": False,
        "stagingAreaTags": {},
        "useFipsEndpoint": False,
        **{member: value for member, value in template.items() if member not in _NOT_COPIED},
    }


def replicated_disks(disks: Iterable[tuple[str, int]], boot: str | None = None) -> list[dict[str, Any]]:
    """The replication settings of (device, bytes); `boot` is the device of the root disk, if it is among them."""
    return [{"deviceName": device, "isBootDisk": device == boot, "stagingDiskType": "AUTO"} for device, _ in disks]
