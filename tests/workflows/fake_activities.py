"""Every activity of a migration over small worlds in memory, one a migration.

Workflow tests are about order, decisions and undo; what an activity really does is tested with the real systems.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from temporalio import activity

from activities.callbacks import DeliverCallback
from activities.cmdb import ItemsBefore, ReadItems, RecordMove, RestoreItems, RetireItems
from activities.dns import ChangeRecords, RecordsWatched, WatchRecords
from activities.events import EventsPut, PutEvents
from activities.health import AwaitHealth, HealthResults, HealthWatched, WatchHealth
from activities.hooks import AwaitHook, HookRun, RunHook
from activities.looks import result_of
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
from activities.post_launch import AwaitPostLaunch, PostLaunchResults
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
from activities.tickets import AwaitTicket, RecordOnTicket, TicketState
from activities.watching import ReplicationChanged, WatchReplication
from migration.ports import ConfigurationItem, Delivery, RecordSet
from migration.request import HookType
from tests.workflows.worlds import World, looked_in_vain


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

    async def _enter(self, argument: Any, name: str | None = None) -> World:
        info = activity.info()
        workflow_id = info.workflow_id or ""
        world = self.worlds[next(part for part in workflow_id.split("/") if part in self.worlds)]
        await world.called(name or info.activity_type, argument)
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

    @activity.defn
    async def put_events(self, request: PutEvents) -> EventsPut:
        """Take all, or as many as the test says, or answer that there is no bus."""
        world = await self._enter(request)
        if not world.bus:
            return EventsPut(taken=None)
        taken = world.taken_at_first.pop(0) if world.taken_at_first else len(request.events)
        world.events += request.events[:taken]
        return EventsPut(taken=taken)

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
    async def delete_sources(self, request: SourceMachines) -> None:
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
    async def watch_replication(self, request: WatchReplication) -> ReplicationChanged:
        """Look until something has changed, as the real one does at its own pace."""
        world = await self._enter(request)
        if world.changed_evidence:
            return world.changed_evidence.pop(0)
        raise looked_in_vain("as it was")

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
    async def await_post_launch_actions(self, request: AwaitPostLaunch) -> PostLaunchResults:
        world = await self._enter(request)
        return PostLaunchResults(at=datetime.now(UTC), actions=world.post_launch)

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
        results = tuple(result_of(target, healthy=True, found="HTTP 200") for target in request.targets)
        return HealthResults(at=datetime.now(UTC), results=results)

    @activity.defn
    async def watch_health(self, request: WatchHealth) -> HealthWatched:
        """Look until the time is over, as the real one does at its own pace."""
        world = await self._enter(request)
        if world.unhealthy_watches:
            world.unhealthy_watches -= 1
            result = result_of(request.targets[0], healthy=False, found="HTTP 503")
            return HealthWatched(healthy=False, at=datetime.now(UTC), results=(result,))
        if datetime.now(UTC) < request.until:
            raise looked_in_vain("healthy so far")
        results = tuple(result_of(target, healthy=True, found="HTTP 200") for target in request.targets)
        return HealthWatched(healthy=True, at=datetime.now(UTC), results=results)

    @activity.defn
    async def change_records(self, request: ChangeRecords) -> None:
        await self._enter(request)

    @activity.defn
    async def watch_records(self, request: WatchRecords) -> RecordsWatched:
        """Look until the time is over, as the real one does at its own pace."""
        world = await self._enter(request)
        if world.wrong_names:
            return RecordsWatched(wrong=world.wrong_names)
        if datetime.now(UTC) < request.until:
            raise looked_in_vain("as they were switched")
        return RecordsWatched()

    @activity.defn
    async def restore_records(self, request: ChangeRecords) -> None:
        await self._enter(request)

    # --- hooks, change tickets -------------------------------------------------------------------------------

    @activity.defn
    async def run_hook(self, request: RunHook) -> HookRun:
        await self._enter(request, f"run_hook {request.hook.at}")
        return HookRun(command_id="c-1" if request.hook.type is HookType.SSM else None, said="begun")

    @activity.defn
    async def await_hook(self, request: AwaitHook) -> HookRun:
        await self._enter(request)
        return HookRun(said="done")

    @activity.defn
    async def await_ticket(self, request: AwaitTicket) -> TicketState:
        world = await self._enter(request)
        state = world.tickets.pop(0) if len(world.tickets) > 1 else world.tickets[0]
        if state == request.known:
            raise looked_in_vain("as it was")
        return state

    @activity.defn
    async def record_on_ticket(self, request: RecordOnTicket) -> None:
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


def _observed(ids: Sequence[str]) -> ReplicationObserved:
    servers = tuple(
        ServerReplication(source_server_id=i, life_cycle="READY_FOR_TEST", state="CONTINUOUS", lag=timedelta(0))
        for i in ids
    )
    return ReplicationObserved(at=datetime.now(UTC), servers=servers)
