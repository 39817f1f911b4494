"""The checks before the first act: they read everywhere and change nothing."""

from collections.abc import Callable
from dataclasses import dataclass

from temporalio import activity

from activities.checks.agents import AgentLook, check_agents, find_managed_instances
from activities.checks.claims import check_claims
from activities.checks.factory import check_factory
from activities.checks.hooks import check_hooks, check_ticket
from activities.checks.launches import check_account, check_key_and_profiles, check_networks, check_service
from activities.checks.machines import find_machines
from activities.checks.plan import check_callback, check_free_period, check_offer, check_window
from activities.checks.records import check_items, check_names, uses_servicenow
from activities.checks.report import Report
from activities.errors import translated
from activities.replicating import is_registered
from activities.running import now
from migration.errors import PrerequisiteError
from migration.findings import Finding
from migration.marks import MIGRATION_TAG, user_provided_id
from migration.models import Model
from migration.ports import (
    Clouds,
    Commands,
    Databases,
    DomainNames,
    Factories,
    Hypervisors,
    MigrationStore,
    PowerState,
    RecordSet,
    Replication,
    SourceMachine,
    SourceServer,
    TicketSystems,
    Webhook,
    Where,
)
from migration.request import MigrationRequest, Server, SourceType


class CheckPrerequisites(Model):
    """The request to check.

    Attributes:
        mark: By which the looks into the machines are found again, when a reply is lost.
        unclaimed: The id and the servers are not claimed yet: look whether they could be.
    """

    request: MigrationRequest
    mark: str = ""
    unclaimed: bool = False


class SourceFacts(Model):
    """How a source machine was before anything was done to it: what a rollback has to restore.

    Attributes:
        registered_before: MGN replicates it already, and not for this migration: its record is not ours to remove.
    """

    server: str
    vm: str
    user_provided_id: str
    managed_instance_id: str | None = None
    powered_on: bool
    connected_macs: tuple[str, ...] = ()
    registered_before: bool = False


class RecordedName(Model):
    """A DNS record as it was found; `before` None means that there was none. `index` is its place in the request."""

    index: int
    before: RecordSet | None = None


class Prerequisites(Model):
    """What was found, and the state of the world to come back to."""

    findings: tuple[Finding, ...]
    sources: tuple[SourceFacts, ...]
    names: tuple[RecordedName, ...]


@dataclass
class PrerequisiteChecks:
    """Every check of the validate step."""

    hypervisors: Hypervisors
    commands: Commands
    replication: Replication
    clouds: Clouds
    names: Callable[[str], DomainNames]
    databases: Databases
    factories: Factories
    webhook: Webhook
    store: MigrationStore
    replicating_servers_quota: int
    tickets: TicketSystems

    @activity.defn
    @translated(PrerequisiteError)
    def check_prerequisites(self, request: CheckPrerequisites) -> Prerequisites:
        """Look at AWS, the hypervisor, DNS, the CMDB and the callback address; all findings at once."""
        asked, report = request.request, Report()
        report.add(check_offer(asked))
        report.add(check_window(asked, now()))
        report.add(check_free_period(asked))
        report.add(check_callback(asked, self.webhook))
        if request.unclaimed:
            report.add(check_claims(asked, self.store))
        machines = self._machines(asked, report)
        managed, known = dict[str, str](), dict[str, SourceServer]()
        self._target(request, report, machines, managed, known)
        names: dict[int, RecordSet | None] = {}
        check_names(asked, self.names, report, names)
        self._items(asked, report)
        self._factory(asked, report)
        report.add(check_hooks(asked, self.webhook))
        self._ticket(asked, report)
        return Prerequisites(
            findings=report.findings,
            sources=tuple(
                _facts(asked, server, machines[server.name], managed, known)
                for server in asked.servers
                if server.name in machines
            ),
            names=tuple(RecordedName(index=index, before=before) for index, before in names.items()),
        )

    def _machines(self, asked: MigrationRequest, report: Report) -> dict[str, SourceMachine]:
        found: dict[str, SourceMachine] = {}
        if asked.source.type is SourceType.VMWARE:
            hypervisor = report.connect(self.hypervisors, asked.source.connection, "$.source.connection")
            if hypervisor is not None:
                report.add(find_machines(asked, hypervisor, found))
        return found

    def _target(
        self,
        request: CheckPrerequisites,
        report: Report,
        machines: dict[str, SourceMachine],
        managed: dict[str, str],
        known: dict[str, SourceServer],
    ) -> None:
        """Look at the target account, unless our credentials would show us another one."""
        asked, target = request.request, request.request.target
        where = Where(account_id=target.account_id, region=target.region, role_arn=target.role_arn)
        cloud, before = self.clouds(where), len(report.findings)
        report.add(check_account(asked, cloud))
        if len(report.findings) > before:
            return
        ids = {name: user_provided_id(asked.source.connection, machine.uuid) for name, machine in machines.items()}
        service, commands = self.replication(where), self.commands(where)
        report.add(check_networks(asked, cloud))
        report.add(check_key_and_profiles(asked, cloud))
        report.add(check_service(asked, service, list(ids.values()), self.replicating_servers_quota, known))
        report.add(find_managed_instances(asked, commands, managed))
        installed = frozenset(name for name, one in ids.items() if is_registered(known.get(one)))
        report.add(check_agents(asked, commands, cloud, AgentLook(request.mark, managed, installed)))

    def _items(self, asked: MigrationRequest, report: Report) -> None:
        if uses_servicenow(asked):
            database = report.connect(self.databases, asked.cmdb.connection or "", "$.cmdb.connection")
            if database is not None:
                report.add(check_items(asked, database))

    def _factory(self, asked: MigrationRequest, report: Report) -> None:
        if asked.cmf is not None:
            factory = report.connect(self.factories, asked.cmf.connection or "", "$.cmf.connection")
            if factory is not None:
                report.add(check_factory(asked, asked.cmf, factory))

    def _ticket(self, asked: MigrationRequest, report: Report) -> None:
        if asked.change is not None:
            system = report.connect(self.tickets, asked.change.connection or "", "$.change.connection")
            if system is not None:
                report.add(check_ticket(asked.change, system))


def _facts(
    asked: MigrationRequest,
    server: Server,
    machine: SourceMachine,
    managed: dict[str, str],
    known: dict[str, SourceServer],
) -> SourceFacts:
    own_id = user_provided_id(asked.source.connection, machine.uuid)
    return SourceFacts(
        server=server.name,
        vm=machine.vm,
        user_provided_id=own_id,
        registered_before=own_id in known and known[own_id].tags.get(MIGRATION_TAG) != asked.migration_id,
        managed_instance_id=managed.get(server.name),
        powered_on=machine.power is PowerState.ON,
        connected_macs=tuple(card.mac for card in machine.nics if card.connected),
    )
