"""What the service merely lists: vCenter clients and connectors, which are installed, not created by a call."""

from dataclasses import dataclass
from typing import Any

from .formats import timestamp


@dataclass
class VcenterClient:
    """An installed client that replicates machines of a vCenter without agents."""

    id: str
    arn: str
    serial: int
    hostname: str
    vcenter_uuid: str
    datacenter: str
    source_server_tags: dict[str, str]
    tags: dict[str, str]

    def describe(self, now: float) -> dict[str, Any]:
        """The service model's VcenterClient; a client is seen as long as it is there."""
        return {
            "vcenterClientID": self.id,
            "arn": self.arn,
            "hostname": self.hostname,
            "vcenterUUID": self.vcenter_uuid,
            "datacenterName": self.datacenter,
            "lastSeenDatetime": timestamp(now),
            "sourceServerTags": dict(self.source_server_tags),
            "tags": dict(self.tags),
        }


@dataclass
class Connector:
    """An installed connector, which reaches servers through Systems Manager."""

    id: str
    arn: str
    serial: int
    name: str
    ssm_instance_id: str
    tags: dict[str, str]

    def describe(self) -> dict[str, Any]:
        return {
            "connectorID": self.id,
            "arn": self.arn,
            "name": self.name,
            "ssmInstanceID": self.ssm_instance_id,
            "tags": dict(self.tags),
        }
