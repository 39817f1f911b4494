"""Every activity of a migration over one small world in memory: it remembers what was called, in order.

Workflow tests are about order, decisions and undo; what an activity really does is tested with the real systems.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError

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
from activities.target import Fenced, InstanceAddress, InstanceAddresses, Instances, Preserved, PreserveTargets, TargetsOf
from migration.findings import Finding
from migration.ports import ConfigurationItem, Delivery, RecordSet


class FakeActivities:
    """The activities, recording; `fail` and `hold` make single ones fail or wait."""

    def __init__(self, *, findings: Sequence[Finding] = (), old_ttl: int = 60) -> None:
        """Begin with a world in which everything works."""
        self.calls: list[str] = []
        self.arguments: list[tuple[str, Any]] = []
        self.rows: list[SaveState] = []
        self.delivered: list[DeliverCallback] = []
        self.findings = tuple(findings)
        self.old_ttl = old_ttl
        self._failures: dict[str, list[ApplicationError]] = {}
        self._held: dict[str, asyncio.Event] = {}
        self._reached: dict[str, asyncio.Event] = {}

    # --- what tests ask for ----------------------------------------------------------------------------------

    def fail(self, name: str, error: ApplicationError | None = None, times: int = 1) -> None:
        """Let the next calls of this activity fail for good."""
        error = error or ApplicationError(f"{name} failed", type="MigrationExecutionError", non_retryable=True)
        self._failures.setdefault(name, []).extend([error] * times)

    def hold(self, name: str) -> None:
        """Let calls of this activity wait until they are released (or cancelled, which they swallow)."""
        self._held[name] = asyncio.Event()
        self._reached[name] = asyncio.Event()

    async def reached(self, name: str) -> None:
        """Wait until a held activity has been called."""
        await asyncio.wait_for(self._reached[name].wait(), 20)

    def release(self, name: str) -> None:
        """Let a held activity go on."""
        self._held.pop(name).set()

    def acted(self, *names: str) -> list[str]:
        """The calls, without the bookkeeping; only these when names are given."""
        return [call for call in self.calls if (call in names if names else call not in BOOKKEEPING)]

    def all(self) -> list[Callable[..., Any]]:
        """The activities, for a worker."""
        return [getattr(self, name) for name in dir(self) if hasattr(getattr(self, name), "__temporal_activity_definition")]

    async def _called(self, name: str, argument: Any) -> None:
        self.calls.append(name)
        self.arguments.append((name, argument))
        if name in self._held:
            held = self._held[name]
            self._reached[name].set()
            while not held.is_set():
                activity.heartbeat()
                try:
                    await asyncio.wait_for(held.wait(), 0.05)
                except TimeoutError:
                    continue
                except asyncio.CancelledError:
                    break
        if self._failures.get(name):
            raise self._failures[name].pop(0)

    # --- state, callbacks ------------------------------------------------------------------------------------

    @activity.defn
    async def claim_migration(self, request: ClaimMigration) -> ClaimGranted:
        await self._called("claim_migration", request)
        return ClaimGranted(generation=1)

    @activity.defn
    async def finish_claim(self, request: FinishClaim) -> None:
        await self._called("finish_claim", request)

    @activity.defn
    async def save_state(self, request: SaveState) -> None:
        self.rows.append(request)
        await self._called("save_state", request)

    @activity.defn
    async def deliver_callback(self, request: DeliverCallback) -> Delivery:
        await self._called("deliver_callback", request)
        self.delivered.append(request)
        return Delivery(outcome="delivered", status=200)

    # --- prerequisites, source -------------------------------------------------------------------------------

    @activity.defn
    async def check_prerequisites(self, request: CheckPrerequisites) -> Prerequisites:
        await self._called("check_prerequisites", request)
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
        before = RecordSet(ttl=self.old_ttl, values=("10.1.0.11",))
        names = tuple(RecordedName(index=index, before=before) for index in range(len(request.request.dns)))
        return Prerequisites(findings=self.findings, sources=sources, names=names)

    @activity.defn
    async def install_agents(self, request: InstallAgents) -> None:
        await self._called("install_agents", request)

    @activity.defn
    async def shut_down_sources(self, request: ShutDownSources) -> None:
        await self._called("shut_down_sources", request)

    @activity.defn
    async def snapshot_sources(self, request: SnapshotSources) -> None:
        await self._called("snapshot_sources", request)

    @activity.defn
    async def restore_sources(self, request: SourceMachines) -> None:
        await self._called("restore_sources", request)

    @activity.defn
    async def remove_source_snapshots(self, request: SnapshotSources) -> None:
        await self._called("remove_source_snapshots", request)

    @activity.defn
    async def retire_sources(self, request: SourceMachines) -> None:
        await self._called("retire_sources", request)

    # --- MGN -------------------------------------------------------------------------------------------------

    @activity.defn
    async def find_source_servers(self, request: FindSourceServers) -> RegisteredServers:
        await self._called("find_source_servers", request)
        ids = tuple(f"s-{number:017x}" for number in range(len(request.user_provided_ids)))
        return RegisteredServers(source_server_ids=ids)

    @activity.defn
    async def configure_replication(self, request: ConfigureReplication) -> None:
        await self._called("configure_replication", request)

    @activity.defn
    async def await_replication(self, request: AwaitReplication) -> ReplicationObserved:
        await self._called("await_replication", request)
        return _observed(request.source_server_ids)

    @activity.defn
    async def observe_replication(self, request: ObserveReplication) -> ReplicationObserved:
        await self._called("observe_replication", request)
        return _observed(request.source_server_ids)

    @activity.defn
    async def set_launch_targets(self, request: SetLaunchTargets) -> None:
        await self._called("set_launch_targets", request)

    @activity.defn
    async def start_test(self, request: Launch) -> JobStarted:
        await self._called("start_test", request)
        return JobStarted(job_id="mgnjob-test")

    @activity.defn
    async def start_cutover(self, request: Launch) -> JobStarted:
        await self._called("start_cutover", request)
        return JobStarted(job_id="mgnjob-cutover-" + ",".join(request.source_server_ids))

    @activity.defn
    async def await_job(self, request: AwaitJob) -> Launched:
        await self._called("await_job", request)
        if request.job_id == "mgnjob-test":
            ids = next(a.source_server_ids for name, a in reversed(self.arguments) if name == "start_test")
        else:
            ids = tuple(request.job_id.removeprefix("mgnjob-cutover-").split(","))
        servers = tuple(LaunchedServer(source_server_id=i, instance_id=i.replace("s-", "i-")) for i in ids)
        return Launched(job_id=request.job_id, servers=servers)

    @activity.defn
    async def change_life_cycle(self, request: ChangeLifeCycle) -> None:
        await self._called("change_life_cycle", request)

    @activity.defn
    async def terminate_targets(self, request: Launch) -> JobStarted:
        await self._called("terminate_targets", request)
        return JobStarted(job_id="mgnjob-terminate")

    @activity.defn
    async def await_termination(self, request: AwaitJob) -> None:
        await self._called("await_termination", request)

    @activity.defn
    async def finalize_cutover(self, request: SourceServers) -> None:
        await self._called("finalize_cutover", request)

    @activity.defn
    async def remove_records(self, request: RemoveRecords) -> None:
        await self._called("remove_records", request)

    @activity.defn
    async def archive(self, request: SourceServers) -> None:
        await self._called("archive", request)

    # --- target ----------------------------------------------------------------------------------------------

    @activity.defn
    async def await_status_checks(self, request: Instances) -> InstanceAddresses:
        await self._called("await_status_checks", request)
        instances = tuple(InstanceAddress(instance_id=i, private_ip="10.2.0.11") for i in request.instance_ids)
        return InstanceAddresses(instances=instances)

    @activity.defn
    async def fence_targets(self, request: TargetsOf) -> Fenced:
        await self._called("fence_targets", request)
        return Fenced(instance_ids=tuple(i.replace("s-", "i-") for i in request.source_server_ids))

    @activity.defn
    async def protect_targets(self, request: Instances) -> None:
        await self._called("protect_targets", request)

    @activity.defn
    async def unprotect_targets(self, request: Instances) -> None:
        await self._called("unprotect_targets", request)

    @activity.defn
    async def preserve_targets(self, request: PreserveTargets) -> Preserved:
        await self._called("preserve_targets", request)
        return Preserved(snapshot_ids=("snap-1",))

    # --- health, DNS, CMDB -----------------------------------------------------------------------------------

    @activity.defn
    async def await_health(self, request: AwaitHealth) -> HealthResults:
        await self._called("await_health", request)
        return HealthResults(at=datetime.now(UTC), results=())

    @activity.defn
    async def watch_health(self, request: WatchHealth) -> HealthWatched:
        await self._called("watch_health", request)
        if self._failures.get("watched"):
            self._failures["watched"].pop()
            result = HealthResult(server="billing-web-01", url="http://10.2.0.11:8080/health", healthy=False, status=503)
            return HealthWatched(healthy=False, results=(result,))
        return HealthWatched(healthy=True, results=())

    @activity.defn
    async def change_records(self, request: ChangeRecords) -> None:
        await self._called("change_records", request)

    @activity.defn
    async def restore_records(self, request: ChangeRecords) -> None:
        await self._called("restore_records", request)

    @activity.defn
    async def read_items(self, request: ReadItems) -> ItemsBefore:
        await self._called("read_items", request)
        return ItemsBefore(items=tuple(ConfigurationItem(id=i, fields={"name": "before"}) for i in request.item_ids))

    @activity.defn
    async def record_move(self, request: RecordMove) -> None:
        await self._called("record_move", request)

    @activity.defn
    async def restore_items(self, request: RestoreItems) -> None:
        await self._called("restore_items", request)

    @activity.defn
    async def retire_items(self, request: RetireItems) -> None:
        await self._called("retire_items", request)


BOOKKEEPING = frozenset({"save_state", "deliver_callback", "claim_migration", "finish_claim", "observe_replication"})


def _observed(ids: Sequence[str]) -> ReplicationObserved:
    servers = tuple(
        ServerReplication(source_server_id=i, life_cycle="READY_FOR_TEST", state="CONTINUOUS", lag=timedelta(0))
        for i in ids
    )
    return ReplicationObserved(at=datetime.now(UTC), servers=servers)
