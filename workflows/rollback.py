"""The way back: every undo in one order, none lost, and what is left is listed until a person has dealt with it."""

from collections.abc import Callable
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from activities.cmdb import Inventory
    from activities.dns import ChangeRecords, DomainNameSystem
    from activities.health import ApplicationHealth, AwaitHealth
    from activities.mgn import ApplicationMigration, AwaitJob, ChangeLifeCycle, Launch, RemoveRecords
    from activities.source import SnapshotSources, SourceMachines, Sources
    from activities.target import Instances, PreserveTargets, Targets, TargetsOf
    from migration import metrics, policies
    from migration.marks import Mark
    from migration.request import RollbackTo
    from migration.status import Awaiting, LeftUndone, Phase, Preserved, Side, StepState, UndoResult
    from migration.steps import Step
    from workflows.context import Context, Scene
    from workflows.hooks import Hooks
    from workflows.journal import failure_of
    from workflows.saga import (
        AwaitSourceHealth,
        EndCutover,
        EndTest,
        FenceTarget,
        HooksAfterRollback,
        HooksBeforeRollback,
        Rank,
        RemoveReplication,
        RemoveSnapshots,
        RestoreInventory,
        RestoreNames,
        RestoreSource,
        Undo,
        UnprotectTarget,
        rollback_order,
    )


Argument = TypeVar("Argument")
Result = TypeVar("Result")


class WayBack(Scene):
    """Undoes one migration, to one of two depths."""

    def __init__(self, context: Context) -> None:
        """Work on the context's undo stack."""
        super().__init__(context)
        self._fenced: tuple[str, ...] = ()

    async def go(self, depth: RollbackTo, reason: str) -> None:
        """Undo everything of that depth; returns when all of it is done or left to somebody by name."""
        self._status.undone = []
        after_switch = "false" if self._status.divergence_since is None else "true"
        metrics.ROLLBACKS.add(workflow.metric_meter(), depth=depth, after_switch=after_switch)
        self._journal.phase(Phase.ROLLING_BACK, f"rolling back to {depth}: {reason}")
        left = rollback_order(self._context.undo, depth)
        await self._context.silent_acts_have_landed(before_undo=True)
        while left:
            left = await self._undo_what_can_be(left)
            if left:
                left = await self._ask_about(left)
        self._status.left = []

    async def _undo_what_can_be(self, undos: list[Undo]) -> list[Undo]:
        """Try each; a fence that fails stops the rest, since two sides could serve; others do not hold the rest."""
        left: list[Undo] = []
        for position, undo in enumerate(undos):
            if await self._undone(undo):
                continue
            left.append(undo)
            if undo.rank is Rank.FENCE:
                return [*left, *undos[position + 1 :]]
        return left

    async def _undone(self, undo: Undo) -> bool:
        error = None
        try:
            await self._perform(undo)
        except FailureError as failure:
            error = failure_of(failure).message
            metrics.UNDO_FAILURES.add(workflow.metric_meter(), undo=undo.kind)
        self._note(undo, error)
        if error is None:
            self._drop(undo)
        return error is None

    async def _ask_about(self, left: list[Undo]) -> list[Undo]:
        """Wait for a person: `retry` tries all that is left again, `skip` leaves one to them."""
        desk = self._context.desk
        desk.answer, desk.left = None, tuple(undo.kind for undo in left)
        first = left[0]
        self._status.left = [self._left(undo) for undo in left]
        awaiting = Awaiting(
            what="undo",
            message=f"could not {first.what}: {self._error_of(first)}; {len(left)} of the rollback's steps are left",
            who=tuple(dict.fromkeys(undo.who for undo in left)),
            choices=("retry", "skip"),
        )
        self._journal.phase(Phase.ROLLBACK_INCOMPLETE, awaiting.message, awaiting)
        await self._context.decided(lambda: desk.answer is not None, "retry or skip of an undo")
        answer, desk.answer, desk.left = desk.answer, None, ()
        self._journal.phase(Phase.ROLLING_BACK, "the rollback goes on")
        if answer is None or answer.retry:
            return left
        skipped = next((undo for undo in left if undo.kind == answer.undo), first)
        self._note(skipped, f"left to {answer.by}: {answer.reason}")
        self._drop(skipped)
        return [undo for undo in left if undo != skipped]

    def _left(self, undo: Undo) -> LeftUndone:
        return LeftUndone(
            kind=undo.kind,
            step=undo.step,
            what=undo.what,
            error=self._error_of(undo),
            resources=undo.resources,
            where=undo.where,
            who=undo.who,
        )

    def _error_of(self, undo: Undo) -> str | None:
        """Why it failed last; None for one that waits behind a fence that failed."""
        return next((r.error for r in reversed(self._status.undone) if r.what == undo.what and r.error), None)

    def _note(self, undo: Undo, error: str | None) -> None:
        result = UndoResult(kind=undo.kind, what=undo.what, done=error is None, at=workflow.now(), error=error)
        self._status.undone = [*self._status.undone, result]
        self._journal.changed(f"undone: {undo.what}" if error is None else f"not undone: {undo.what}: {error}")

    def _drop(self, undo: Undo) -> None:
        self._context.undo = [other for other in self._context.undo if other != undo]
        self._context.show_undo()

    # --- one undo --------------------------------------------------------------------------------------------

    async def _perform(self, undo: Undo) -> None:
        match undo:
            case HooksBeforeRollback() | HooksAfterRollback():
                await Hooks(self._context).run(undo.place, undo.mark)
            case FenceTarget():
                await self._fence(undo)
            case RestoreSource():
                await self._restore_source(undo)
            case EndTest():
                await self._end_test(undo)
            case EndCutover():
                await self._end_cutover(undo)
            case _:
                await self._perform_simple(undo)

    async def _perform_simple(self, undo: Undo) -> None:
        """The undos that are one act."""
        where, connection = self._context.where, self._request.source.connection
        match undo:
            case AwaitSourceHealth():
                mark, since = self._context.mark(undo.step), workflow.now()
                health = AwaitHealth(where=where, mark=mark, targets=undo.targets, since=since)
                await self._act(ApplicationHealth.await_health, health, undo.what)
            case RestoreNames():
                changes = ChangeRecords(mark=undo.mark, changes=undo.changes)
                await self._act(DomainNameSystem.restore_records, changes, undo.what)
            case UnprotectTarget():
                instances = Instances(where=where, instance_ids=undo.instance_ids)
                await self._act(Targets.unprotect_targets, instances, undo.what)
            case RestoreInventory():
                await self._act(Inventory.restore_items, undo.request, undo.what)
            case RemoveSnapshots():
                snapshots = SnapshotSources(connection=connection, sources=undo.sources, mark=undo.mark)
                await self._act(Sources.remove_source_snapshots, snapshots, undo.what)
            case RemoveReplication():
                records = RemoveRecords(where=where, mark=undo.mark, user_provided_ids=undo.user_provided_ids)
                await self._act(ApplicationMigration.remove_records, records, undo.what)

    async def _fence(self, undo: FenceTarget) -> None:
        request = TargetsOf(where=self._context.where, source_server_ids=undo.source_server_ids)
        self._fenced = (await self._act(Targets.fence_targets, request, undo.what)).instance_ids
        if self._status.served_by is Side.TARGET:
            self._journal.served_by(Side.NOBODY)

    async def _restore_source(self, undo: RestoreSource) -> None:
        connection = self._request.source.connection
        request = SourceMachines(connection=connection, sources=undo.sources)
        for server in self._context.servers:
            server.source_off = False
        await self._act(Sources.restore_sources, request, undo.what)
        self._journal.served_by(Side.SOURCE)

    async def _end_test(self, undo: EndTest) -> None:
        """A test that is done has terminated its instances: what MGN names now is the cutover's, not ours to end."""
        if self._journal.progress(Step.TEST).state is StepState.DONE:
            await self._change_life_cycle(undo.source_server_ids, "READY_FOR_TEST")
        else:
            await self._end_launch(undo.mark, undo.source_server_ids, "READY_FOR_TEST")

    async def _end_cutover(self, undo: EndCutover) -> None:
        """Terminate what never took a write; keep, with snapshots, what may hold the only copy of one."""
        if self._status.divergence_since is not None:
            await self._preserve(undo.mark)
            await self._change_life_cycle(undo.source_server_ids, "READY_FOR_CUTOVER")
        else:
            await self._end_launch(undo.mark, undo.source_server_ids, "READY_FOR_CUTOVER")
        for server in self._context.servers:
            server.instance_id = server.address = None

    async def _end_launch(self, mark: Mark, source_server_ids: tuple[str, ...], state: str) -> None:
        """MGN refuses to terminate in TESTING and CUTTING_OVER: the state goes back first.

        Until the next launch MGN goes on naming what an earlier rollback has preserved, and would terminate it.
        """
        await self._change_life_cycle(source_server_ids, state)
        request = Launch(
            where=self._context.where,
            mark=mark.model_copy(update={"part": "undo"}),
            source_server_ids=source_server_ids,
            keep=tuple(instance_id for kept in self._status.preserved for instance_id in kept.instance_ids),
        )
        job = await self._act(ApplicationMigration.terminate_targets, request, "terminate launched instances")
        if job.job_id is not None:
            wait = AwaitJob(where=self._context.where, job_id=job.job_id)
            await self._act(ApplicationMigration.await_termination, wait, "wait for the termination")

    async def _change_life_cycle(self, source_server_ids: tuple[str, ...], state: str) -> None:
        request = ChangeLifeCycle(where=self._context.where, source_server_ids=source_server_ids, state=state)
        await self._act(ApplicationMigration.change_life_cycle, request, f"back to {state}")

    async def _preserve(self, mark: Mark) -> None:
        now, since = workflow.now(), self._status.divergence_since or workflow.now()
        keep_until = now + self._request.rollback.keep_target
        instance_ids = self._fenced or self._context.instance_ids
        request = PreserveTargets(
            where=self._context.where, instance_ids=instance_ids, mark=mark, keep_until=keep_until.isoformat()
        )
        kept = await self._act(Targets.preserve_targets, request, "snapshots of what the target wrote")
        preserved = Preserved(
            since=since,
            until=now,
            instance_ids=instance_ids,
            snapshot_ids=kept.snapshot_ids,
            keep_until=keep_until,
        )
        self._status.preserved = [*self._status.preserved, preserved]

    async def _act(self, method: Callable[[Any, Argument], Result], argument: Argument, summary: str) -> Result:
        """Do one activity of the way back; nothing interrupts it."""
        policy = policies.waiting(policies.JOB_ENDS_WITHIN) if method in _WAITS else policies.UNDO
        result: Result = await workflow.execute_activity_method(method, argument, summary=summary, **policy)
        return result


_WAITS: frozenset[Callable[..., Any]] = frozenset(
    {ApplicationHealth.await_health, ApplicationMigration.await_termination}
)
