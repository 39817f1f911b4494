"""Source servers: registered by their agents, taken through the lifecycle, taken out of service; and tags."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from . import settings as configured
from .defaults import default_launch_configuration, default_replication_configuration
from .exceptions import ResourceNotFoundException, UninitializedAccountException, ValidationException
from .paging import page
from .replication import Happening
from .servers import Machine, SourceServer
from .store import SERVER, Store, refuse, refuse_archived, require_launchable, within_quota

_MOST_TAGS = 50
_ACTIVE_SERVERS, _REPLICATING_SERVERS = "L-50980698", "L-9A599620"


class _Tagged(Protocol):
    arn: str
    tags: dict[str, str]


class ServerOperations(Store):
    """The operations on source servers."""

    def initialize_service(self) -> None:
        self.initialized = True

    def require_initialized(self) -> None:
        if not self.initialized:
            raise UninitializedAccountException

    def register_agent(  # noqa: PLR0913  what an agent reports, each by its name
        self,
        *,
        hostname: str,
        fqdn: str,
        ip: str,
        mac: str,
        user_provided_id: str,
        os: str,
        disks: list[tuple[str, int]],
        tags: Mapping[str, str],
        no_replication: bool = False,
        vmware_uuid: str | None = None,
    ) -> str:
        """Register a machine, as the installer of the replication agent does; again for the same machine is no change.

        Args:
            hostname: The machine's name.
            fqdn: The machine's full name.
            ip: Address of the primary interface.
            mac: MAC address of the primary interface.
            user_provided_id: What the installer was given as `--user-provided-id`; by it a machine is known again.
            os: The operating system in full, such as `Ubuntu 22.04.3 LTS`; the word "windows" in it counts.
            disks: (device, bytes), the root disk first.
            tags: For the record; only at the first registration.
            no_replication: Whether replication waits for StartReplication.
            vmware_uuid: The UUID of the virtual machine, if it is one.

        Returns:
            The id of the source server: that of the record in service, or of a new one.

        Raises:
            UninitializedAccountException: InitializeService has never been called here.
            ServiceQuotaExceededException: There are too many servers.
            ValueError: There is no disk: the root disk is always replicated.
        """
        if not disks:
            message = f"{hostname} has no disk"
            raise ValueError(message)
        machine = Machine(hostname, fqdn, ip, mac, user_provided_id, os, tuple(disks), vmware_uuid)
        with self.lock:
            self.require_initialized()
            known = self._in_service(user_provided_id)
            return (known or self._register(machine, dict(tags), no_replication=no_replication)).id

    def _in_service(self, user_provided_id: str) -> SourceServer | None:
        return next(
            (
                each
                for each in self.servers.values()
                if user_provided_id == each.machine.user_provided_id and not each.archived and not each.disconnected
            ),
            None,
        )

    def _register(self, machine: Machine, tags: dict[str, str], *, no_replication: bool) -> SourceServer:
        now, arn, quotas = self.now(), self.new_arn("source-server", "s"), configured.settings().quotas
        server_id = arn.rpartition("/")[2]
        within_quota(
            resource=(SERVER, server_id),
            wanted=sum(not each.archived for each in self.servers.values()) + 1,
            quota=quotas.active_servers,
            code=_ACTIVE_SERVERS,
            what="Max non-archived source servers",
        )
        if not no_replication:
            self.require_room_to_replicate(server_id)
        server = SourceServer(
            id=server_id,
            arn=arn,
            serial=self.next_serial(),
            machine=machine,
            added=now,
            tags=tags,
            launch_template_id=self.ec2.create_template(server_id, machine, now),
            launch_configuration=default_launch_configuration(server_id),
            replication_configuration=default_replication_configuration(
                server_id, machine, self.ec2.default_subnet() or ""
            ),
            state="STOPPED" if no_replication else "NOT_READY",
        )
        if not no_replication:
            server.happened(Happening.STARTED, now)
        self.servers[server_id] = server
        return server

    def require_room_to_replicate(self, server_id: str) -> None:
        """Refuse one replicating server more than the quota."""
        within_quota(
            resource=(SERVER, server_id),
            wanted=sum(each.replicates for each in self.servers.values()) + 1,
            quota=configured.settings().quotas.replicating_servers,
            code=_REPLICATING_SERVERS,
            what="Max active source servers",
        )

    def describe_source_servers(self, asked: dict[str, Any]) -> dict[str, Any]:
        filters = asked.get("filters", {})
        tests: dict[str, Callable[[SourceServer, Any], bool]] = {
            "sourceServerIDs": lambda each, ids: not ids or each.id in ids,
            "isArchived": lambda each, archived: each.archived is archived,
            "replicationTypes": lambda _, types: not types or "AGENT_BASED" in types,
            "lifeCycleStates": lambda each, states: not states or each.state in states,
            "applicationIDs": lambda each, ids: not ids or each.application_id in ids,
        }
        found = [
            each
            for each in self.servers.values()
            if all(tests[name](each, value) for name, value in filters.items() if name in tests)
        ]
        items, more = page("DescribeSourceServers", found, lambda each: each.serial, asked)
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
        members = ("userProvidedID", "fqdnForActionFramework", "connectorAction", "platform")
        server.updated |= {name: asked[name] for name in members if name in asked}
        return self.describe(server)

    def delete_source_server(self, server_id: str) -> None:
        server = self.server(server_id)
        if not server.archived:
            refuse("A source server must be archived before it is deleted", {server_id: "is not archived"})
        self.ec2.delete_template(server.launch_template_id)
        del self.servers[server_id]

    def mark_as_archived(self, server_id: str) -> dict[str, Any]:
        server = self.server(server_id)
        self.require_state(server, "DISCONNECTED", "CUTOVER", operation="MarkAsArchived")
        server.archived = True
        return self.describe(server)

    def disconnect_from_service(self, server_id: str) -> dict[str, Any]:
        server = self.server(server_id)
        self.refuse_busy(server)
        if server.disconnected:
            refuse("The source server is disconnected already", {server_id: "is disconnected"})
        self._disconnect(server)
        server.state = "DISCONNECTED"
        return self.describe(server)

    def finalize_cutover(self, server_id: str) -> dict[str, Any]:
        server = self.server(server_id)
        self.refuse_busy(server)
        self.require_state(server, "CUTTING_OVER", operation="FinalizeCutover")
        self._disconnect(server)
        server.state, server.cutover.finalized = "CUTOVER", self.now()
        return self.describe(server)

    def _disconnect(self, server: SourceServer) -> None:
        server.happened(Happening.DISCONNECTED, self.now())
        self.ec2.delete_template(server.launch_template_id)

    def change_server_life_cycle_state(self, server_id: str, target: str) -> dict[str, Any]:
        server = self.server(server_id)
        self.refuse_busy(server)
        now, operation = self.now(), f"ChangeServerLifeCycleState to {target}"
        if target == "CUTOVER":
            self.require_state(server, "DISCONNECTED", operation=operation)
        elif target == "READY_FOR_TEST":
            self.require_state(server, "TESTING", "READY_FOR_CUTOVER", operation=operation)
            require_launchable(server, now)
            server.test.reverted = now
        else:
            self.require_state(server, "READY_FOR_TEST", "TESTING", "CUTTING_OVER", operation=operation)
            require_launchable(server, now)
            # lastTest.finalized stays empty, as it was seen at the real service: nobody shall rely on it.
            if server.state == "CUTTING_OVER":
                server.cutover.reverted = now
        server.state = target
        return self.describe(server)

    @staticmethod
    def require_state(server: SourceServer, *states: str, operation: str) -> None:
        """Refuse an operation on a server that is in none of the states."""
        if server.state not in states:
            message = f"{operation} needs lifecycle state {' or '.join(states)}"
            refuse(f"{message}, not {server.state}", {server.id: f"is in state {server.state}"})

    def tag_resource(self, arn: str, tags: dict[str, str]) -> None:
        resource = self._tagged(arn)
        reserved = [key for key in tags if key.lower().startswith("aws:")]
        if reserved:
            raise ValidationException(
                "Tag keys must not begin with aws:", fields=[(f"tags.{key}", "is reserved") for key in reserved]
            )
        merged = resource.tags | tags
        if len(merged) > _MOST_TAGS:
            raise ValidationException("A resource has at most 50 tags", fields=[("tags", f"would be {len(merged)}")])
        resource.tags = merged

    def untag_resource(self, arn: str, keys: list[str]) -> None:
        resource = self._tagged(arn)
        resource.tags = {key: value for key, value in resource.tags.items() if key not in keys}

    def list_tags_for_resource(self, arn: str) -> dict[str, str]:
        return dict(self._tagged(arn).tags)

    def _tagged(self, arn: str) -> _Tagged:
        stores: tuple[dict[str, Any], ...] = (self.servers, self.jobs, self.applications, self.waves)
        resource_id = arn.rpartition("/")[2]
        for store in stores:
            found: _Tagged | None = store.get(resource_id)
            if found and found.arn == arn:
                return found
        raise ResourceNotFoundException("Resource", arn)
