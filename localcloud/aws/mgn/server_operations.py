"""Source servers: listed, taken through the lifecycle, taken out of service."""

from collections.abc import Callable
from typing import Any

from . import settings as configured
from .hooks import LaunchKind
from .paging import page
from .registration import Registration
from .replication import Happening
from .servers import SourceServer
from .store import (
    CONNECTOR,
    found,
    next_state,
    refuse,
    refuse_archived,
    refuse_state,
    require_launchable,
)


class ServerOperations(Registration):
    """The operations on source servers."""

    def describe_source_servers(self, asked: dict[str, Any]) -> dict[str, Any]:
        filters = asked.get("filters", {})
        tests: dict[str, Callable[[SourceServer, Any], bool]] = {
            "sourceServerIDs": lambda each, ids: not ids or each.id in ids,
            "isArchived": lambda each, archived: each.archived is archived,
            "replicationTypes": lambda each, types: not types or each.replication_type in types,
            "lifeCycleStates": lambda each, states: not states or each.state in states,
            "applicationIDs": lambda each, ids: not ids or each.application_id in ids,
        }
        listed = [
            each
            for each in self.servers.values()
            if all(tests[name](each, value) for name, value in filters.items() if name in tests)
        ]
        items, more = page("DescribeSourceServers", listed, lambda each: each.serial, asked)
        return {"items": [self.describe(each) for each in items], **more}

    def update_source_server(self, asked: dict[str, Any]) -> dict[str, Any]:
        server = self.server(asked["sourceServerID"])
        refuse_archived(server)
        named = asked.get("userProvidedID")
        taken = [
            each
            for each in self.servers.values()
            if named == each.user_provided_id and each is not server and not each.archived and not each.disconnected
        ]
        if named and taken:
            refuse(f"userProvidedID {named} belongs to another source server", {taken[0].id: "has it"})
        if "connectorAction" in asked:
            connector = asked["connectorAction"].get("connectorArn", "").rpartition("/")[2]
            found(CONNECTOR, self.connectors, connector)
        members = ("userProvidedID", "fqdnForActionFramework", "connectorAction", "platform")
        server.updated |= {name: asked[name] for name in members if name in asked}
        return self.describe(server)

    def delete_source_server(self, server_id: str) -> None:
        server = self.server(server_id)
        if not server.archived:
            needed = "A source server must be archived before it is deleted"
            refuse_state("DeleteSourceServer", needed, {server_id: "is not archived"})
        self.ec2.delete_template(server.launch_template_id)
        del self.servers[server_id]

    def mark_as_archived(self, server_id: str) -> dict[str, Any]:
        server = self.server(server_id)
        server.state = next_state(server, "MarkAsArchived")
        if server.archived and configured.settings().archive_again == "refuse":
            refuse("The source server is archived already", {server_id: "is archived"})
        server.archived = True
        return self.describe(server)

    def disconnect_from_service(self, server_id: str) -> dict[str, Any]:
        server = self.server(server_id)
        self.refuse_busy(server)
        server.state = next_state(server, "DisconnectFromService")
        if not server.disconnected:
            self._disconnect(server)
        return self.describe(server)

    def finalize_cutover(self, server_id: str) -> dict[str, Any]:
        server = self.server(server_id)
        self.refuse_busy(server)
        after = next_state(server, "FinalizeCutover")
        self.refuse_failed_actions("FinalizeCutover", "blocksFinalize", "cutover", server)
        self._disconnect(server)
        server.state, server.cutover.finalized = after, self.now()
        return self.describe(server)

    def refuse_failed_actions(self, operation: str, position: str, kind: LaunchKind, server: SourceServer) -> None:
        """Refuse when an action that must succeed failed in the last launch, where the switch is in that position."""
        ran = server.post_launch.get(kind)
        failed = list(ran.failed(self.now())) if ran else []
        if failed and configured.settings().must_succeed == position:
            why = f"must succeed for cutover, and failed: {', '.join(failed)}"
            refuse_state(operation, "Post-launch actions have failed", {server.id: why})

    def _disconnect(self, server: SourceServer) -> None:
        server.happened(Happening.DISCONNECTED, self.now())
        self.ec2.delete_template(server.launch_template_id)

    def change_server_life_cycle_state(self, server_id: str, target: str) -> dict[str, Any]:
        server = self.server(server_id)
        self.refuse_busy(server)
        now, operation = self.now(), "ChangeServerLifeCycleState"
        after = next_state(server, operation, target)
        if target != "CUTOVER":
            require_launchable(operation, server, now)
        if target == "READY_FOR_TEST":
            server.test.reverted = now
        elif server.state == "CUTTING_OVER":
            server.cutover.reverted = now
        elif server.state == "TESTING" and configured.settings().test_finalized == "stamped":
            server.test.finalized = now
        server.state = after
        return self.describe(server)
