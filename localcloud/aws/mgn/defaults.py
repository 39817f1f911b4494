"""What a server's launch and replication configurations are before anybody changes them."""

from typing import Any

from .servers import Machine


def default_launch_configuration(server_id: str) -> dict[str, Any]:
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
    }


def default_replication_configuration(server_id: str, machine: Machine, staging_subnet: str) -> dict[str, Any]:
    """The service model's ReplicationConfiguration."""
    root = machine.disks[0][0] if machine.disks else None
    return {
        "sourceServerID": server_id,
        "name": f"Replication Configuration for Source Server {server_id}",
        "stagingAreaSubnetId": staging_subnet,
        "associateDefaultSecurityGroup": True,
        "replicationServersSecurityGroupsIDs": [],
        "replicationServerInstanceType": "t3.small",
        "useDedicatedReplicationServer": False,
        "defaultLargeStagingDiskType": "GP3",
        "replicatedDisks": [
            {"deviceName": device, "isBootDisk": device == root, "stagingDiskType": "AUTO"}
            for device, _ in machine.disks
        ],
        "ebsEncryption": "DEFAULT",
        "bandwidthThrottling": 0,
        "dataPlaneRouting": "PRIVATE_IP",
        "createPublicIP": False,
        "stagingAreaTags": {},
        "useFipsEndpoint": False,
    }
