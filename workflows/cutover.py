"""The cutover: the source is stopped, and only then the target launched."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.mgn import ApplicationMigration, AwaitReplication
    from activities.source import ShutDownSources, SnapshotSources, Sources
    from migration import policies
    from migration.request import HookTime, QuiesceMethod, Server, SourceSnapshot
    from migration.status import Side
    from migration.steps import Step
    from workflows.checks import source_targets
    from workflows.context import Context, Scene
    from workflows.gate import turn_back_to_gate
    from workflows.hooks import Hooks
    from workflows.launches import Launches
    from workflows.saga import (
        AwaitSourceHealth,
        EndCutover,
        FenceTarget,
        HooksAfterRollback,
        HooksBeforeRollback,
        RemoveSnapshots,
        RestoreSource,
    )
    from workflows.tickets import ChangeControl


_LOOKS_AFTER_STOP = 2
"""What MGN says at the first look after the hooks may be older than they are."""


class Cutover(Scene):
    """What a cutover is made of, in the order in which it is done."""

    @property
    def _launches(self) -> Launches:
        return Launches(self._context)

    def still_in_window(self) -> None:
        """Turn back when the source could no longer be stopped in time."""
        window, begun = self._status.window, self._status.down_since is not None
        if window is not None and not begun and workflow.now() >= window.latest_start:
            turn_back_to_gate(self._context, f"the source could not be stopped by {window.latest_start}")
        self._context.heed()

    def register_way_back(self) -> None:
        """Everything that a rollback of the cutover will do, before anything is done."""
        context, step, mark = self._context, Step.CUTOVER, self._context.mark(Step.CUTOVER)
        ids, sources = context.record_ids, context.sources
        if self._request.source_snapshot is SourceSnapshot.AT_CUTOVER:
            context.register(RemoveSnapshots(step=step, what="remove the source snapshots", mark=mark, sources=sources))
        context.register(
            EndCutover(step=step, what="end the cutover launch and its instances", mark=mark, source_server_ids=ids)
        )
        if targets := source_targets(context):
            context.register(
                AwaitSourceHealth(step=step, what="see the application healthy on the source", targets=targets)
            )
        context.register(RestoreSource(step=step, what="bring the source servers back", sources=sources))
        self._register_hooks()
        context.register(FenceTarget(step=step, what="stop the launched instances", source_server_ids=ids))

    def _register_hooks(self) -> None:
        step, mark, hooks = Step.CUTOVER, self._context.mark(Step.CUTOVER), Hooks(self._context)
        if hooks.at(HookTime.AFTER_ROLLBACK):
            self._context.register(HooksAfterRollback(step=step, what="run the hooks after a rollback", mark=mark))
        if hooks.at(HookTime.BEFORE_ROLLBACK):
            self._context.register(HooksBeforeRollback(step=step, what="run the hooks before a rollback", mark=mark))

    async def quieten(self) -> None:
        """The last moment of the source: the cutover is allowed still, the application stopped, nothing left to send.

        Where hooks stop the application, the lag that counts is the one that is seen after them.
        """
        hooks, change = Hooks(self._context), ChangeControl(self._context)
        stopped_by_hooks = hooks.at(HookTime.BEFORE_QUIESCE)
        if not stopped_by_hooks:
            await self._caught_up()
        if self._status.down_since is None:
            await self._still_allowed(change, caught_up=not stopped_by_hooks)
        self.still_in_window()
        self._journal.served_by(Side.NOBODY)
        await change.note(Step.CUTOVER, "the cutover begins: the source is stopped now")
        if stopped_by_hooks:
            await hooks.run(HookTime.BEFORE_QUIESCE, self._context.mark(Step.CUTOVER))
            await self._caught_up(looks=_LOOKS_AFTER_STOP)

    async def _still_allowed(self, change: ChangeControl, *, caught_up: bool) -> None:
        """Turn back while nothing is stopped, when the change ticket is not as it was at the gate.

        One that cannot be read is waited for, and a source that had caught up then has to do so again.
        """
        while not (seen := await change.looked_at()).readable:
            self._journal.changed(f"the source is not stopped yet: {seen.problem}")
            await change.looked_at(known=seen)
            if caught_up:
                await self._caught_up()
        if seen.problem is not None:
            turn_back_to_gate(self._context, seen.problem)
        self._context.heed()

    async def _caught_up(self, looks: int = 1) -> None:
        """Continuous, no lag, no backlog, so many looks in a row.

        A source that an earlier entry has switched off has nothing left to send, and MGN calls it stalled.
        """
        on = tuple(s.source_server_id for s in self._context.servers if s.source_server_id and not s.source_off)
        if not on:
            return
        await self._context.do(
            ApplicationMigration.await_replication,
            AwaitReplication(
                where=self._context.where,
                source_server_ids=on,
                max_lag=policies.NO_LAG,
                stable_observations=looks,
                until=workflow.now() + self._request.quiesce.within,
            ),
            policies.waiting(self._request.quiesce.within),
            "wait for replication to catch up",
        )

    async def shut_down(self, tier: tuple[Server, ...]) -> None:
        """Fence one tier of the source."""
        names = {server.name for server in tier}
        request = ShutDownSources(
            connection=self._request.source.connection,
            sources=tuple(source for source in self._context.sources if source.server in names),
            within=self._request.quiesce.within,
            disconnect_nics=self._request.quiesce.disconnect_nics,
            ask_guests=self._request.quiesce.method is QuiesceMethod.SHUTDOWN,
        )
        await self._context.do(
            Sources.shut_down_sources, request, policies.ACT, f"shut down {', '.join(sorted(names))}"[:200]
        )
        for name in names:
            self._context.progress_of(name).source_off = True

    async def snapshot_sources(self) -> None:
        """Snapshot the powered-off source, if the request wants it."""
        if self._request.source_snapshot is SourceSnapshot.AT_CUTOVER:
            await self._context.do(
                Sources.snapshot_sources,
                source_snapshots(self._context),
                policies.ACT,
                "snapshot the powered-off source",
            )

    async def launch_tier(self, number: int, tier: tuple[Server, ...]) -> None:
        """Launch one tier of the target; the others wait for it."""
        ids = tuple(self._context.progress_of(server.name).source_server_id or "" for server in tier)
        part = f"tier-{number}" if len(self._context.tiers()) > 1 else None
        launched = await self._launches.launch(Step.CUTOVER, ids, part)
        for server in launched.servers:
            self._launches.server_of(server.source_server_id).instance_id = server.instance_id


def source_snapshots(context: Context, entry: int | None = None) -> SnapshotSources:
    """The snapshots of the source that an entry of the cutover took; of the latest one when none is named."""
    mark = context.mark(Step.CUTOVER)
    return SnapshotSources(
        connection=context.request.source.connection,
        sources=context.sources,
        mark=mark if entry is None else mark.model_copy(update={"entry": entry}),
    )
