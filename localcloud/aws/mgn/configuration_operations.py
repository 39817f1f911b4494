"""The operations on a server's launch configuration, replication configuration and replication."""

from typing import Any

from .exceptions import ResourceNotFoundException, ValidationException
from .replication import Happening
from .server_operations import ServerOperations
from .servers import SNAPSHOT_SHIPPING, SourceServer
from .store import next_state, refuse_state
from .volumes import VolumeDefaults, check_volume

_KEY_IN_USE = ("ebsEncryption", "ebsEncryptionKeyArn")


def check_encryption(wanted: dict[str, Any]) -> None:
    """Refuse CUSTOM encryption without a key, and drop the key of any other."""
    if wanted["ebsEncryption"] == "CUSTOM" and not wanted.get("ebsEncryptionKeyArn"):
        raise ValidationException(
            "CUSTOM encryption needs a key", fields=[("ebsEncryptionKeyArn", "is required with CUSTOM")]
        )
    if wanted["ebsEncryption"] == "DEFAULT":
        wanted.pop("ebsEncryptionKeyArn", None)


class ConfigurationOperations(ServerOperations):
    """How a server replicates, and how it is to be launched."""

    def get_launch_configuration(self, server_id: str) -> dict[str, Any]:
        server = self.server(server_id)
        if server.disconnected:
            raise ResourceNotFoundException("LaunchConfiguration", server_id)
        return server.launch_configuration | {"ec2LaunchTemplateID": server.launch_template_id}

    def update_launch_configuration(self, asked: dict[str, Any]) -> dict[str, Any]:
        server = self.server(asked["sourceServerID"])
        self.refuse_busy(server)
        answer = self.get_launch_configuration(server.id)
        changed = {name: value for name, value in asked.items() if name != "accountID"}
        server.launch_configuration |= changed
        return answer | changed

    def get_launch_configuration_defaults(self, server_id: str) -> dict[str, Any]:
        server = self.server(server_id)
        return {"sourceServerID": server_id, **server.volumes.describe()}

    def update_launch_configuration_defaults(self, asked: dict[str, Any]) -> dict[str, Any]:
        server = self.server(asked["sourceServerID"])
        for member in ("smallVolumeConfiguration", "largeVolumeConfiguration"):
            check_volume(member, asked.get(member, {}))
        before = server.volumes
        server.volumes = VolumeDefaults(
            small_up_to=asked.get("smallVolumeMaxSize", before.small_up_to),
            small=asked.get("smallVolumeConfiguration", before.small),
            large=asked.get("largeVolumeConfiguration", before.large),
        )
        return self.get_launch_configuration_defaults(server.id)

    def get_replication_configuration(self, server_id: str) -> dict[str, Any]:
        return dict(self.server(server_id).replication_configuration)

    def update_replication_configuration(self, asked: dict[str, Any]) -> dict[str, Any]:
        server = self.server(asked["sourceServerID"])
        if server.disconnected:
            refuse_state(
                "UpdateReplicationConfiguration", "The source server is disconnected", {server.id: "is disconnected"}
            )
        before = server.replication_configuration
        after = before | {name: value for name, value in asked.items() if name != "accountID"}
        self._check_replication_configuration(server, after)
        server.replication_configuration = after
        if any(before.get(name) != after.get(name) for name in _KEY_IN_USE) and server.replicates:
            # A volume cannot change its key: everything is copied again.
            server.happened(Happening.STARTED, self.now())
        if before["stagingAreaSubnetId"] != after["stagingAreaSubnetId"]:
            found = self.ec2.has_subnet(after["stagingAreaSubnetId"])
            server.happened(Happening.STAGING_FOUND if found else Happening.STAGING_LOST, self.now())
        return dict(after)

    @staticmethod
    def _check_replication_configuration(server: SourceServer, wanted: dict[str, Any]) -> None:
        known = {device for device, _ in server.machine.disks}
        unknown = {each.get("deviceName") for each in wanted["replicatedDisks"]} - known
        if unknown:
            names = ", ".join(sorted(map(str, unknown)))
            raise ValidationException(
                "Unknown replicated disk", fields=[("replicatedDisks", f"the server has no {names}")]
            )
        check_encryption(wanted)

    def update_source_server_replication_type(self, server_id: str, wanted: str) -> dict[str, Any]:
        server = self.server(server_id)
        self.refuse_busy(server)
        if server.replication_type == wanted:
            return self.describe(server)
        operation = "UpdateSourceServerReplicationType"
        server.state = next_state(server, operation)
        if wanted == SNAPSHOT_SHIPPING and server.vcenter_client_id is None:
            why = "no vCenter client knows the machine"
            raise ValidationException(f"{operation}: {why}", fields=[("replicationType", why)])
        server.replication_type = wanted
        return self.describe(server)

    def start_replication(self, server_id: str) -> dict[str, Any]:
        server = self._for_replication("StartReplication", server_id, "STOPPED")
        self.require_room_to_replicate(server_id)
        server.state = next_state(server, "StartReplication")
        server.happened(Happening.STARTED, self.now())
        return self.describe(server)

    def stop_replication(self, server_id: str) -> dict[str, Any]:
        server = self._for_replication("StopReplication", server_id)
        server.state = next_state(server, "StopReplication")
        server.happened(Happening.STOPPED, self.now())
        return self.describe(server)

    def pause_replication(self, server_id: str) -> dict[str, Any]:
        server = self._for_replication("PauseReplication", server_id)
        if server.replica(self.now()).state == "PAUSED":
            refuse_state("PauseReplication", "The replication is paused already", {server_id: "is paused"})
        server.happened(Happening.PAUSED, self.now())
        return self.describe(server)

    def resume_replication(self, server_id: str) -> dict[str, Any]:
        server = self._for_replication("ResumeReplication", server_id, "PAUSED")
        server.happened(Happening.RESUMED, self.now())
        return self.describe(server)

    def _for_replication(self, operation: str, server_id: str, *states: str) -> SourceServer:
        """The server, when its replication is in one of the states; without any, when it replicates at all."""
        server = self.server(server_id)
        self.refuse_busy(server)
        state = server.replica(self.now()).state
        if (state not in states) if states else not server.replicates:
            needed = f"replication to be {' or '.join(states)}" if states else "an active replication"
            refuse_state(operation, f"{operation} needs {needed}, not {state}", {server_id: f"replication is {state}"})
        return server

    def retry_data_replication(self, server_id: str) -> dict[str, Any]:
        server = self.server(server_id)
        state = server.replica(self.now()).state
        if state != "STALLED":
            needed = f"RetryDataReplication needs a STALLED replication, not {state}"
            refuse_state("RetryDataReplication", needed, {server_id: f"replication is {state}"})
        server.happened(Happening.RETRIED, self.now())
        return self.describe(server)
