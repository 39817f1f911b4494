"""How source servers come to be: registered by their agents, or discovered by a vCenter client."""

from collections.abc import Mapping
from dataclasses import replace

from . import settings as configured
from .defaults import default_launch_configuration, default_replication_configuration, replicated_disks
from .exceptions import UninitializedAccountException
from .replication import Happening
from .servers import AGENT_BASED, SNAPSHOT_SHIPPING, Machine, SourceServer
from .store import SERVER, VCENTER_CLIENT, Store, found, within_quota
from .templates import LaunchTemplate

_ACTIVE_SERVERS, _REPLICATING_SERVERS, _TOTAL_SERVERS = "L-50980698", "L-9A599620", "L-967C958D"


class Registration(Store):
    """What agents and vCenter clients ask of the service; no client's API has it."""

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
        """Register a machine, as the installer of the replication agent does.

        For a machine that is in service already only new disks are a change: they are added, and all is copied again.

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
            raise ValueError(f"{hostname} has no disk")
        machine = Machine(hostname, fqdn, ip, mac, user_provided_id, os, tuple(disks), vmware_uuid)
        with self.lock:
            self.require_initialized()
            if known := self._in_service(user_provided_id):
                self._add_disks(known, machine)
                return known.id
            revived = self._left(user_provided_id) if configured.settings().agent_again == "revive" else None
            if revived:
                self._enter(revived, machine, replicates=not no_replication)
                return revived.id
            return self._register(machine, dict(tags), AGENT_BASED, replicates=not no_replication).id

    def discover(self, client_id: str, machine: Machine) -> str:
        """Record a machine that a vCenter client has found; it is DISCOVERED until its replication is started.

        Raises:
            ResourceNotFoundException: There is no such client.
            ServiceQuotaExceededException: There are too many servers.
        """
        with self.lock:
            self.require_initialized()
            client = found(VCENTER_CLIENT, self.vcenter_clients, client_id)
            server = self._register(machine, dict(client.source_server_tags), SNAPSHOT_SHIPPING, replicates=False)
            server.state, server.vcenter_client_id = "DISCOVERED", client_id
            return server.id

    def _in_service(self, user_provided_id: str) -> SourceServer | None:
        known = self._records(user_provided_id)
        return next((each for each in known if not each.disconnected and each.state != "DISCOVERED"), None)

    def _left(self, user_provided_id: str) -> SourceServer | None:
        """The record that DisconnectFromService left; one that was cut over is done with."""
        return next((each for each in self._records(user_provided_id) if each.state == "DISCONNECTED"), None)

    def _records(self, user_provided_id: str) -> list[SourceServer]:
        return [
            each
            for each in self.servers.values()
            if user_provided_id == each.machine.user_provided_id and not each.archived
        ]

    def _register(
        self, machine: Machine, tags: dict[str, str], replication_type: str, *, replicates: bool
    ) -> SourceServer:
        arn = self.new_arn("source-server", "s")
        server = SourceServer(
            id=arn.rpartition("/")[2],
            arn=arn,
            serial=self.next_serial(),
            machine=machine,
            added=self.now(),
            tags=tags,
            replication_type=replication_type,
        )
        self._require_room(server.id)
        self._enter(server, machine, replicates=replicates)
        self.servers[server.id] = server
        return server

    def _enter(self, server: SourceServer, machine: Machine, *, replicates: bool) -> None:
        """Give a record everything that a server begins with."""
        if replicates:
            self.require_room_to_replicate(server.id)
        now, template = self.now(), self._launch_template()
        values = template.values if template else {}
        first = next(iter(self.replication_templates.values()), None)
        server.machine = machine
        server.volumes = template.volumes if template else server.volumes
        server.launch_template_id = self.ec2.create_template(
            server.id, machine, now, server.volumes, public_address=values.get("associatePublicIpAddress", False)
        )
        server.launch_configuration = default_launch_configuration(server.id, values)
        server.replication_configuration = default_replication_configuration(
            server.id, machine, self.ec2.default_subnet() or "", first.values if first else {}
        )
        actions = template.actions if template else {}
        server.actions |= {each: action for each, action in actions.items() if action.suits(machine.platform)}
        server.state = "NOT_READY" if replicates else "STOPPED"
        server.happened(Happening.STARTED if replicates else Happening.STOPPED, now)

    def _launch_template(self) -> LaunchTemplate | None:
        return next(iter(self.launch_templates.values()), None)

    def _add_disks(self, server: SourceServer, machine: Machine) -> None:
        known = {device for device, _ in server.machine.disks}
        added = tuple(disk for disk in machine.disks if disk[0] not in known)
        if not added:
            return
        server.machine = replace(server.machine, disks=(*server.machine.disks, *added))
        self.ec2.add_disks(server.launch_template_id, added, server.volumes)
        server.replication_configuration["replicatedDisks"] += replicated_disks(added)
        if server.replicates:
            server.happened(Happening.STARTED, self.now())

    def _require_room(self, server_id: str) -> None:
        quotas = configured.settings().quotas
        for wanted, quota, code, what in (
            (len(self.servers) + 1, quotas.total_servers, _TOTAL_SERVERS, "Max total source servers per account"),
            (
                sum(not each.archived for each in self.servers.values()) + 1,
                quotas.active_servers,
                _ACTIVE_SERVERS,
                "Max non-archived source servers",
            ),
        ):
            within_quota(resource=(SERVER, server_id), wanted=wanted, quota=quota, code=code, what=what)

    def require_room_to_replicate(self, server_id: str) -> None:
        """Refuse one replicating server more than the quota."""
        within_quota(
            resource=(SERVER, server_id),
            wanted=sum(each.replicates for each in self.servers.values()) + 1,
            quota=configured.settings().quotas.replicating_servers,
            code=_REPLICATING_SERVERS,
            what="Max active source servers",
        )
