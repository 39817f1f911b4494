"""The operations on a server's launch configuration, replication configuration and replication."""

from typing import Any

from .exceptions import ResourceNotFoundException, ValidationException
from .replication import Happening
from .server_operations import ServerOperations
from .servers import SourceServer
from .store import refuse

_KEY_IN_USE = ("ebsEncryption", "ebsEncryptionKeyArn")


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

    def get_replication_configuration(self, server_id: str) -> dict[str, Any]:
        return dict(self.server(server_id).replication_configuration)

    def update_replication_configuration(self, asked: dict[str, Any]) -> dict[str, Any]:
        server = self.server(asked["sourceServerID"])
        if server.disconnected:
            refuse("The source server is disconnected", {server.id: "is disconnected"})
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
        if wanted["ebsEncryption"] == "CUSTOM" and not wanted.get("ebsEncryptionKeyArn"):
            raise ValidationException(
                "CUSTOM encryption needs a key", fields=[("ebsEncryptionKeyArn", "is required with CUSTOM")]
            )
        if wanted["ebsEncryption"] == "DEFAULT":
            wanted.pop("ebsEncryptionKeyArn", None)

    def start_replication(self, server_id: str) -> dict[str, Any]:
        server = self._for_replication(server_id, "STOPPED", operation="StartReplication")
        self.require_room_to_replicate(server_id)
        server.happened(Happening.STARTED, self.now())
        server.state = "NOT_READY"
        return self.describe(server)

    def stop_replication(self, server_id: str) -> dict[str, Any]:
        server = self._for_replication(server_id, operation="StopReplication")
        server.happened(Happening.STOPPED, self.now())
        server.state = "STOPPED"
        return self.describe(server)

    def pause_replication(self, server_id: str) -> dict[str, Any]:
        server = self._for_replication(server_id, operation="PauseReplication")
        if server.replica(self.now()).state == "PAUSED":
            refuse("The replication is paused already", {server_id: "is paused"})
        server.happened(Happening.PAUSED, self.now())
        return self.describe(server)

    def resume_replication(self, server_id: str) -> dict[str, Any]:
        server = self._for_replication(server_id, "PAUSED", operation="ResumeReplication")
        server.happened(Happening.RESUMED, self.now())
        return self.describe(server)

    def _for_replication(self, server_id: str, *states: str, operation: str) -> SourceServer:
        """The server, when its replication is in one of the states; without any, when it replicates at all."""
        server = self.server(server_id)
        self.refuse_busy(server)
        state = server.replica(self.now()).state
        if (state not in states) if states else not server.replicates:
            needed = f"replication to be {' or '.join(states)}" if states else "an active replication"
            refuse(f"{operation} needs {needed}, not {state}", {server_id: f"replication is {state}"})
        return server

    def retry_data_replication(self, server_id: str) -> dict[str, Any]:
        server = self.server(server_id)
        state = server.replica(self.now()).state
        if state != "STALLED":
            # The operation models no conflict.
            raise ValidationException(f"RetryDataReplication needs a STALLED replication, not {state}", "other")
        server.happened(Happening.RETRIED, self.now())
        return self.describe(server)
