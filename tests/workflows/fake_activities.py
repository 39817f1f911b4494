"""Every activity of a migration over small worlds in memory, one a migration: each remembers what was called, in order.

Workflow tests are about order, decisions and undo; what an activity really does is tested with the real systems.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.callbacks import DeliverCallback
from activities.cmdb import ItemsBefore, ReadItems, RecordMove, RestoreItems, RetireItems
from activities.dns import ChangeRecords
from activities.health import AwaitHealth, HealthResult, HealthResults, HealthWatched, WatchHealth
from activities.mgn import (
    AwaitJob,
    AwaitReplication,
    ChangeLifeCycle,
    ConfigureReplication,
    FindSourceServers,
    JobStarted,
    Launch,
    Launched,
    LaunchedServer,
    ObserveReplication,
    RegisteredServers,
    RemoveRecords,
    ReplicationObserved,
    ServerReplication,
    SetLaunchTargets,
    SourceServers,
)
from activities.prerequisites import CheckPrerequisites, Prerequisites, RecordedName, SourceFacts
from activities.source import InstallAgents, ShutDownSources, SnapshotSources, SourceMachines
from activities.state import ClaimGranted, ClaimMigration, FinishClaim, SaveState
from activities.target import (
    Fenced,
    InstanceAddress,
    InstanceAddresses,
    Instances,
    Preserved,
    PreserveTargets,
    TargetsOf,
)
from migration.findings import Finding
from migration.ports import ConfigurationItem, Delivery, RecordSet
from migration.status import MigrationStatus
from workflows.callbacks import callbacks_id

BOOKKEEPING = frozenset({"save_state", "deliver_callback", "claim_migration", "finish_claim", "observe_replication"})
"""Calls that leave the application's machines, names and records alone."""

BEAT = 0.2
WITHIN = 120.0


@dataclass
class Hold:
    """One call that waits until it is released; a cancelled one goes on waiting unless it is `obedient`."""

    call: int
    obedient: bool
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)

    async def is_reached(self) -> None:
        """Wait until the call has come."""
        await asyncio.wait_for(self.reached.wait(), WITHIN)

    async def is_cancelled(self) -> None:
        """Wait until the call was told that it is cancelled."""
        await asyncio.wait_for(self.cancelled.wait(), WITHIN)

    def release(self) -> None:
        """Let the call go on."""
        self.released.set()

    async def wait(self) -> None:
        """Be held, with heartbeats, which is how a cancellation arrives."""
        self.reached.set()
        waiting = asyncio.ensure_future(self.released.wait())
        try:
            while not waiting.done():
                activity.heartbeat()
                try:
                    await asyncio.wait({waiting}, timeout=BEAT)
                except asyncio.CancelledError:
                    self.cancelled.set()
                    if self.obedient:
                        raise
        finally:
            waiting.cancel()


@dataclass
class _Failure:
    calls: range
    error: ApplicationError


class World:
    """What one migration touches: `fail` and `hold` make single calls fail or wait."""

    def __init__(
        self,
        *,
        findings: Sequence[Finding] = (),
        old_ttl: int = 60,
        deliveries: Sequence[Delivery] = (),
        generation: int = 1,
    ) -> None:
        """Begin with a world in which everything works.

        Args:
            findings: What the pre-flight checks find.
            old_ttl: The time to live, in seconds, that the DNS records have before the migration.
            deliveries: What becomes of the first callbacks; the later ones are delivered.
            generation: Which try of the migration id the claim grants.
        """
        self.calls: list[str] = []
        self.moments: list[tuple[str, datetime]] = []
        self.attempts: Counter[str] = Counter()
        self.arguments: list[tuple[str, Any]] = []
        self.rows: list[SaveState] = []
        self.delivered: list[DeliverCallback] = []
        self.findings = tuple(findings)
        self.old_ttl = old_ttl
        self.deliveries = list(deliveries)
        self.generation = generation
        self.unhealthy_watches = 0
        self.launched: dict[str, tuple[LaunchedServer, ...]] = {}
        self._failures: dict[str, list[_Failure]] = {}
        self._holds: dict[str, list[Hold]] = {}
        self._held: list[Hold] = []
        self._seen: tuple[int, MigrationStatus | None] = (0, None)

    # --- what tests ask for ----------------------------------------------------------------------------------

    def fail(self, name: str, error: ApplicationError | None = None, *, call: int = 1, times: int = 1) -> None:
        """Let calls of this activity fail (past retrying, when no error is given), from the `call`-th on."""
        error = error or ApplicationError(f"{name} failed", type="MigrationExecutionError", non_retryable=True)
        self._failures.setdefault(name, []).append(_Failure(range(call, call + times), error))

    def repair(self, name: str) -> None:
        """Let every call of this activity succeed from now on."""
        self._failures.pop(name, None)

    def hold(self, name: str, *, call: int = 1, obedient: bool = False) -> Hold:
        """Let the `call`-th call of this activity wait until it is released."""
        hold = Hold(call, obedient)
        self._holds.setdefault(name, []).append(hold)
        self._held.append(hold)
        return hold

    def release_all(self) -> None:
        """Let everything go on, for the end of a test."""
        for hold in self._held:
            hold.release()

    def acted(self, *names: str) -> list[str]:
        """The calls, without the bookkeeping; only these when names are given."""
        return [call for call in self.calls if (call in names if names else call not in BOOKKEEPING)]

    def since(self, name: str, *, call: int = 1) -> list[str]:
        """The acts after the `call`-th call of this activity."""
        places = [i for i, called in enumerate(self.calls) if called == name]
        return [called for called in self.calls[places[call - 1] + 1 :] if called not in BOOKKEEPING]

    def asked(self, name: str) -> list[Any]:
        """The arguments of this activity's calls."""
        return [argument for called, argument in self.arguments if called == name]

    def moment(self, name: str, *, call: int = 1) -> datetime:
        """When the `call`-th call of this activity came."""
        return [at for called, at in self.moments if called == name][call - 1]

    def seen(self) -> MigrationStatus | None:
        """The status that the read model has, which lags behind but comes to rest with the migration."""
        if len(self.rows) != self._seen[0]:
            document = self.rows[-1].row["document"]
            self._seen = (len(self.rows), MigrationStatus.model_validate_json(document))
        return self._seen[1]

    # --- what activities do ----------------------------------------------------------------------------------

    async def called(self, name: str, argument: Any) -> None:
        """Remember a call, whose later attempts count as the same one; wait and fail as the test wants it."""
        self.attempts[name] += 1
        if activity.info().attempt == 1:
            self.calls.append(name)
            self.arguments.append((name, argument))
            self.moments.append((name, datetime.now(UTC)))
        number = self.calls.count(name)
        for hold in self._holds.get(name, ()):
            if hold.call == number:
                await hold.wait()
        for failure in self._failures.get(name, ()):
            if number in failure.calls:
                raise failure.error


class FakeActivities:
    """The activities: each call goes to the world of its migration."""

    def __init__(self) -> None:
        """Begin without any world."""
        self.worlds: dict[str, World] = {}

    @cached_property
    def all(self) -> list[Callable[..., Any]]:
        """The activities, for a worker."""
        names = [name for name, member in vars(FakeActivities).items() if hasattr(member, _DEFINITION)]
        return [getattr(self, name) for name in names]

    async def _enter(self, argument: Any) -> World:
        info = activity.info()
        workflow_id = info.workflow_id or ""
        world = self.worlds[workflow_id.removeprefix(callbacks_id("")).split("/")[0]]
        await world.called(info.activity_type, argument)
        return world

    # --- state, callbacks ------------------------------------------------------------------------------------

    @activity.defn
    async def claim_migration(self, request: ClaimMigration) -> ClaimGranted:
        world = await self._enter(request)
        return ClaimGranted(generation=world.generation)

    @activity.defn
    async def finish_claim(self, request: FinishClaim) -> None:
        await self._enter(request)

    @activity.defn
    async def save_state(self, request: SaveState) -> None:
        world = await self._enter(request)
        world.rows.append(request)

    @activity.defn
    async def deliver_callback(self, request: DeliverCallback) -> Delivery:
        world = await self._enter(request)
        delivery = world.deliveries.pop(0) if world.deliveries else Delivery(outcome="delivered", status=200)
        if delivery.outcome == "delivered":
            world.delivered.append(request)
        return delivery

    # --- prerequisites, source -------------------------------------------------------------------------------

    @activity.defn
    async def check_prerequisites(self, request: CheckPrerequisites) -> Prerequisites:
        world = await self._enter(request)
        sources = tuple(
            SourceFacts(
                server=server.name,
                vm=server.vm or "",
                user_provided_id=f"vcenter-1:{server.name}",
                managed_instance_id="mi-0123456789abcdef0",
                powered_on=True,
                connected_macs=("00:50:56:00:00:01",),
            )
            for server in request.request.servers
        )
        before = RecordSet(ttl=world.old_ttl, values=("10.1.0.11",))
        names = tuple(RecordedName(index=index, before=before) for index in range(len(request.request.dns)))
        return Prerequisites(findings=world.findings, sources=sources, names=names)

    @activity.defn
    async def install_agents(self, request: InstallAgents) -> None:
        await self._enter(request)

    @activity.defn
    async def shut_down_sources(self, request: ShutDownSources) -> None:
        await self._enter(request)

    @activity.defn
    async def snapshot_sources(self, request: SnapshotSources) -> None:
        await self._enter(request)

    @activity.defn
    async def restore_sources(self, request: SourceMachines) -> None:
        await self._enter(request)

    @activity.defn
    async def remove_source_snapshots(self, request: SnapshotSources) -> None:
        await self._enter(request)

    @activity.defn
    async def retire_sources(self, request: SourceMachines) -> None:
        await self._enter(request)

    # --- MGN -------------------------------------------------------------------------------------------------

    @activity.defn
    async def find_source_servers(self, request: FindSourceServers) -> RegisteredServers:
        await self._enter(request)
        ids = tuple(f"s-{number:017x}" for number in range(len(request.user_provided_ids)))
        return RegisteredServers(source_server_ids=ids)

    @activity.defn
    async def configure_replication(self, request: ConfigureReplication) -> None:
        await self._enter(request)

    @activity.defn
    async def await_replication(self, request: AwaitReplication) -> ReplicationObserved:
        await self._enter(request)
        return _observed(request.source_server_ids)

    @activity.defn
    async def observe_replication(self, request: ObserveReplication) -> ReplicationObserved:
        await self._enter(request)
        return _observed(request.source_server_ids)

    @activity.defn
    async def set_launch_targets(self, request: SetLaunchTargets) -> None:
        await self._enter(request)

    @activity.defn
    async def start_test(self, request: Launch) -> JobStarted:
        return await self._launch("test", request)

    @activity.defn
    async def start_cutover(self, request: Launch) -> JobStarted:
        return await self._launch("cutover", request)

    async def _launch(self, kind: str, request: Launch) -> JobStarted:
        world = await self._enter(request)
        number = len(world.launched)
        job_id = f"mgnjob-{kind}-{number}"
        world.launched[job_id] = tuple(
            LaunchedServer(source_server_id=server, instance_id=f"i-{number:02}{server.removeprefix('s-')[2:]}")
            for server in request.source_server_ids
        )
        return JobStarted(job_id=job_id)

    @activity.defn
    async def await_job(self, request: AwaitJob) -> Launched:
        world = await self._enter(request)
        return Launched(job_id=request.job_id, servers=world.launched[request.job_id])

    @activity.defn
    async def change_life_cycle(self, request: ChangeLifeCycle) -> None:
        await self._enter(request)

    @activity.defn
    async def terminate_targets(self, request: Launch) -> JobStarted:
        await self._enter(request)
        return JobStarted(job_id="mgnjob-terminate")

    @activity.defn
    async def await_termination(self, request: AwaitJob) -> None:
        await self._enter(request)

    @activity.defn
    async def finalize_cutover(self, request: SourceServers) -> None:
        await self._enter(request)

    @activity.defn
    async def remove_records(self, request: RemoveRecords) -> None:
        await self._enter(request)

    @activity.defn
    async def archive(self, request: SourceServers) -> None:
        await self._enter(request)

    # --- target ----------------------------------------------------------------------------------------------

    @activity.defn
    async def await_status_checks(self, request: Instances) -> InstanceAddresses:
        await self._enter(request)
        instances = tuple(InstanceAddress(instance_id=i, private_ip="10.2.0.11") for i in request.instance_ids)
        return InstanceAddresses(instances=instances)

    @activity.defn
    async def fence_targets(self, request: TargetsOf) -> Fenced:
        world = await self._enter(request)
        cutovers = [servers for job, servers in world.launched.items() if "cutover" in job]
        last = {server.source_server_id: server.instance_id for servers in cutovers for server in servers}
        return Fenced(instance_ids=tuple(last[one] for one in request.source_server_ids if one in last))

    @activity.defn
    async def protect_targets(self, request: Instances) -> None:
        await self._enter(request)

    @activity.defn
    async def unprotect_targets(self, request: Instances) -> None:
        await self._enter(request)

    @activity.defn
    async def preserve_targets(self, request: PreserveTargets) -> Preserved:
        await self._enter(request)
        return Preserved(snapshot_ids=tuple(f"snap-of-{instance}" for instance in request.instance_ids))

    # --- health, DNS, CMDB -----------------------------------------------------------------------------------

    @activity.defn
    async def await_health(self, request: AwaitHealth) -> HealthResults:
        await self._enter(request)
        return HealthResults(at=datetime.now(UTC), results=())

    @activity.defn
    async def watch_health(self, request: WatchHealth) -> HealthWatched:
        """Look until the time is over, as the real one does at its own pace."""
        world = await self._enter(request)
        if world.unhealthy_watches:
            world.unhealthy_watches -= 1
            url = request.targets[0].url
            result = HealthResult(server=request.targets[0].server, url=url, healthy=False, status=503)
            return HealthWatched(healthy=False, results=(result,))
        if datetime.now(UTC) < request.until:
            raise looked_in_vain("healthy so far")
        return HealthWatched(healthy=True, results=())

    @activity.defn
    async def change_records(self, request: ChangeRecords) -> None:
        await self._enter(request)

    @activity.defn
    async def restore_records(self, request: ChangeRecords) -> None:
        await self._enter(request)

    @activity.defn
    async def read_items(self, request: ReadItems) -> ItemsBefore:
        await self._enter(request)
        return ItemsBefore(items=tuple(ConfigurationItem(id=i, fields={"name": "before"}) for i in request.item_ids))

    @activity.defn
    async def record_move(self, request: RecordMove) -> None:
        await self._enter(request)

    @activity.defn
    async def restore_items(self, request: RestoreItems) -> None:
        await self._enter(request)

    @activity.defn
    async def retire_items(self, request: RetireItems) -> None:
        await self._enter(request)


_DEFINITION = "__temporal_activity_definition"


def looked_in_vain(message: str, after: timedelta = timedelta(milliseconds=500)) -> ApplicationError:
    """How a look ends that has to be repeated."""
    return ApplicationError(message, type="NotYet", category=ApplicationErrorCategory.BENIGN, next_retry_delay=after)


def _observed(ids: Sequence[str]) -> ReplicationObserved:
    servers = tuple(
        ServerReplication(source_server_id=i, life_cycle="READY_FOR_TEST", state="CONTINUOUS", lag=timedelta(0))
        for i in ids
    )
    return ReplicationObserved(at=datetime.now(UTC), servers=servers)
