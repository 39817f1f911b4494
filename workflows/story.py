"""How a migration's story is told: forward step by step, back when it has to be, and always to an end.

`MigrationWorkflow` has the steps; this is what carries them: the request at the border, continue-as-new, the
failure policy, cancellation, the point of no return, the end.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError, FailureError

with workflow.unsafe.imports_passed_through():
    from activities.state import FinishClaim, MigrationState
    from migration import metrics, policies
    from migration.changes import changed
    from migration.correlation import correlation_id
    from migration.memo import ADOPTED, origin_of
    from migration.messages import MessageType
    from migration.request import AfterSwitch, FailureAction, MigrationRequest, RollbackTo
    from migration.status import (
        Awaiting,
        Failure,
        MigrationResult,
        MigrationStatus,
        Phase,
        ServerProgress,
        Side,
        StepProgress,
        StepState,
    )
    from migration.steps import STEPS, Step
    from workflows.border import json_text, read_input, read_request
    from workflows.carried import Carried
    from workflows.context import Context
    from workflows.correlation import say_whose
    from workflows.desk import DecisionDesk
    from workflows.events import EventOutbox
    from workflows.factory import FactoryPublisher, FactoryTold
    from workflows.gate import TestAgain
    from workflows.handlers import TakesDecisions
    from workflows.journal import PHASE, Journal, failure_of, introduce
    from workflows.rollback import WayBack
    from workflows.saga import Stop
    from workflows.tickets import ChangeControl
    from workflows.tracing import shown_as_rollback, shown_as_step

_GATE = STEPS.index(Step.APPROVE)
SAFE_TO_SKIP = frozenset({Step.VERIFY, Step.DECOMMISSION})

_END_MESSAGES = {
    Phase.COMPLETED: MessageType.SUCCEEDED,
    Phase.FAILED: MessageType.FAILED,
    Phase.REJECTED: MessageType.ROLLED_BACK,
    Phase.ROLLED_BACK: MessageType.ROLLED_BACK,
    Phase.CANCELLED: MessageType.ROLLED_BACK,
}

Play = Callable[[], Awaitable[None]]


class StepFailed(Exception):  # noqa: N818  caught by the story, never seen outside
    """A step failed, and nobody wants it tried again."""

    def __init__(self, step: Step, failure: Failure) -> None:
        """Keep which step, and how it failed."""
        super().__init__(failure.message)
        self.step, self.failure = step, failure


class Story(TakesDecisions):
    """One migration from its request to its end."""

    _text: str
    _status: MigrationStatus
    _journal: Journal
    _context: Context
    _publishers: list[asyncio.Task[None]]
    _factory: FactoryPublisher | None = None
    _claimed = False
    _asked_about: Step | None = None
    _renewed: str | None = None
    _first_run_id: str

    def __init__(self) -> None:
        """Nothing is known yet: signals may arrive before the request is read."""
        self._desk_lock = asyncio.Lock()
        self._forward_task: asyncio.Task[None] | None = None

    @property
    def _request(self) -> MigrationRequest:
        """The request in force."""
        return self._journal.request

    async def _forward(self) -> None:
        """The steps, in order."""
        raise NotImplementedError

    async def _tell(self) -> MigrationResult:
        """Forward; back if need be; from the gate forward again; until the migration has ended."""
        while True:
            try:
                stop = await self._go_forward()
            except TestAgain:
                self._context.desk.lapse(f"the test launch is older than {self._request.test.max_age}")
                self._journal.reset(frozenset({Step.TEST, Step.APPROVE}))
                continue
            if stop is None:
                return await self._end(Phase.COMPLETED, "all requested steps are done")
            if stop.outcome is Phase.FAILED:
                return await self._end(stop.outcome, stop.reason)
            with shown_as_rollback(stop.reason):
                everything_is_undone = await self._turn_back(stop)
            if everything_is_undone:
                return await self._end(stop.outcome, stop.reason)

    async def _go_forward(self) -> Stop | None:
        """Run the steps in a task of their own, so that a decision can interrupt them; returns why they ended."""
        if self._context.desk.stop is not None:  # a run that was turning back was taken over
            return self._context.desk.stop
        self._forward_task = asyncio.create_task(self._forward())
        await workflow.wait([self._forward_task])
        task, self._forward_task = self._forward_task, None
        try:
            task.result()
        except asyncio.CancelledError:
            if self._context.desk.stop is None:
                raise
        except StepFailed as failed:
            return self._context.desk.stop or self._failed(failed)
        return self._context.desk.stop

    def _failed(self, failed: StepFailed) -> Stop:
        outcome = Phase.FAILED if failed.step is Step.VALIDATE else Phase.ROLLED_BACK
        reason = f"{failed.step} failed: {failed.failure.message}"
        on_its_way = STEPS.index(failed.step) < _GATE  # to the gate: sent back there, it would be tried without end
        to = RollbackTo.START if on_its_way else self._request.rollback.to
        return Stop(outcome=outcome, to=to, reason=reason)

    # --- one step --------------------------------------------------------------------------------------------

    async def _step(self, step: Step, play: Play, *, long: bool = False) -> None:
        """Play one step if the request asks for it and it is not done; `long` steps begin with a fresh history."""
        line = self._journal.progress(step)
        if step not in self._request.planned_steps or line.state in (StepState.DONE, StepState.SKIPPED):
            return
        if line.failure is not None and step is self._asked_about:
            self._asked_about = None
            if await self._leave_after(step, line.failure):
                return
        while True:
            if long and line.state is not StepState.RUNNING:
                await self._renew(f"{step}/{line.entry + 1}")
            if line.state is not StepState.RUNNING:
                await self._context.until_resumed()
                self._journal.step_started(step)
            try:
                with shown_as_step(line):
                    await play()
            except FailureError as error:
                self._context.heed()
                if await self._leave_after(step, failure_of(error)):
                    return
                continue
            self._journal.step_ended(step, StepState.DONE)
            self._context.heed()
            return

    async def _leave_after(self, step: Step, failure: Failure) -> bool:
        """After a failure: true when a person skips the step, false when it is to be tried again."""
        self._journal.step_ended(step, StepState.FAILED, failure)
        if not self._asks_after_failure(step):
            raise StepFailed(step, failure)
        choices = ("retry", *(("skip",) if step in SAFE_TO_SKIP else ()), "rollback", "abandon")
        if step is Step.SOAK:
            choices = (*choices, "commit")
        message = f"{step} failed: {failure.message}"
        try:
            retry = await self._ask(message, choices, step)
        except TimeoutError:
            raise StepFailed(step, failure) from None
        if not retry:
            self._journal.step_ended(step, StepState.SKIPPED)
        return not retry

    def _asks_after_failure(self, step: Step) -> bool:
        if step is Step.VALIDATE:
            return False
        taken_writes = self._status.divergence_since is not None
        if taken_writes and self._request.rollback.after_switch is AfterSwitch.ASK:
            return True
        return self._request.on_failure.action is FailureAction.PAUSE

    async def _ask(self, message: str, choices: tuple[str, ...], step: Step | None = None) -> bool:
        """Wait for a person: true for `retry`, false for `skip` (and for `commit`, where it is a choice)."""
        desk, phase = self._context.desk, self._status.phase
        desk.answer = None
        deadline = self._request.on_failure.deadline
        until = workflow.now() + deadline if deadline and not self._status.past_point_of_no_return else None
        awaiting = Awaiting(what="failure", step=step, message=message, choices=choices, until=until)
        self._journal.phase(Phase.AWAITING_DECISION, message, awaiting)
        await self._context.decided(
            lambda: desk.answer is not None or (desk.committed_by is not None and "commit" in choices),
            f"a decision: {', '.join(choices)}",
            until=until,
        )
        answer, desk.answer = desk.answer, None
        retry = answer is not None and answer.retry
        self._journal.phase(phase, "tried again" if retry else f"decided: {answer.reason if answer else 'commit'}")
        return retry

    async def _only_forward(
        self, method: Callable[..., Any], argument: Any, summary: str, *, skippable: bool = True
    ) -> None:
        """An act after the point of no return: tried without end, and with a person's help where that is needed."""

        async def act() -> None:
            await workflow.execute_activity_method(method, argument, summary=summary, **policies.FORWARD)

        await self._insist(act, summary, skippable=skippable)

    async def _insist(self, act: Play, summary: str, *, skippable: bool = True) -> None:
        """Go on only when it is done, or when a person leaves it out."""
        choices = ("retry", "skip") if skippable else ("retry",)
        while True:
            try:
                await act()
            except FailureError as error:
                failure = failure_of(error)
                if await self._ask(f"{summary} failed, after the point of no return: {failure.message}", choices):
                    continue
            return

    # --- beginning and beginning again -----------------------------------------------------------------------

    def _begin(self, payload: RawValue) -> None:
        info = workflow.info()
        adopted = workflow.memo_value(ADOPTED, default=None, type_hint=str) if info.continued_run_id is None else None
        again = info.continued_run_id or adopted
        carried = read_input(payload, Carried, "what an earlier run carried over") if again else None
        if carried is None:
            metrics.STARTED.add(workflow.metric_meter())
            request = _accepted(payload)
            self._text = json_text(payload).decode()
            self._status = _first_status(request)
            introduce(request)
            carried = Carried(request=self._text, status=self._status, first_run_id=info.first_execution_run_id)
        else:
            self._text, self._status = carried.request, carried.status
            request = changed(carried.request, carried.changes)
        self._journal = Journal(request, self._status)
        self._journal.outbox, self._journal.sent = carried.outbox, carried.sent
        self._journal.events = EventOutbox(carried.events, carried.emitted)
        desk = DecisionDesk(self._text, self._journal, self._interrupt)
        desk.committed_by, desk.stop, desk.changes = carried.committed_by, carried.stop, carried.changes
        self._context = Context(self._journal, desk)
        self._context.undo, self._context.sources = carried.undo, carried.sources
        self._context.names = carried.names
        self._context.landed_by, self._context.settled_by = carried.landed_by, carried.settled_by
        self._claimed, self._renewed, self._first_run_id = carried.claimed, carried.renewed, carried.first_run_id
        if adopted:
            self._take_over(adopted, carried.then)
        self._desk = desk
        say_whose()  # a request that came without a memo has said it only now
        self._publishers = self._journal.publish()
        if request.cmf is not None:
            self._factory = FactoryPublisher(self._journal, request.cmf, carried.factory)
            self._publishers.append(asyncio.create_task(self._factory.publish()))

    def _take_over(self, run_id: str, then: str) -> None:
        """Go on where a run that was terminated or timed out stood: at its marks, so that nothing happens twice."""
        introduce(self._request)
        self._asked_about = self._status.awaiting.step if self._status.awaiting else None
        self._journal.phase(self._status.phase, f"taken over from the run {run_id}")
        if then == "rollback" and not self._status.past_point_of_no_return:
            reason = f"its run {run_id} was ended from outside"
            self._context.desk.stop = Stop(outcome=Phase.CANCELLED, to=RollbackTo.START, reason=reason)

    async def _renew(self, chapter: str) -> None:
        """Continue as new, once a chapter: a migration of weeks stays small and may meet a newer worker."""
        if self._renewed == chapter:
            return
        await workflow.wait_condition(workflow.all_handlers_finished)
        await self._journal.drain(policies.PUBLISH_BEFORE_RENEWAL)
        if self._factory is not None:
            await self._factory.settle()
        await workflow.wait_condition(workflow.all_handlers_finished)  # a decision may have come meanwhile
        self._context.heed()
        self._renewed = chapter
        workflow.continue_as_new(self._carried(), memo=workflow.memo())  # an upserted memo does not carry itself over

    def _carried(self) -> Carried:
        return Carried(
            request=self._text,
            status=self._status,
            undo=self._context.undo,
            sources=self._context.sources,
            names=self._context.names,
            outbox=self._journal.outbox,
            sent=self._journal.sent,
            events=self._journal.events.waiting,
            emitted=self._journal.events.emitted,
            factory=self._factory.told if self._factory else FactoryTold(),
            changes=self._context.desk.changes,
            renewed=self._renewed,
            claimed=self._claimed,
            committed_by=self._context.desk.committed_by,
            first_run_id=self._first_run_id,
            landed_by=self._context.landed_by,
            settled_by=self._context.settled_by,
            stop=self._context.desk.stop,
        )

    # --- turning back ----------------------------------------------------------------------------------------

    def _interrupt(self) -> None:
        """Stop the steps where they stand; what is under way is waited for before anything is undone."""
        if self._forward_task is not None and not self._forward_task.done():
            self._forward_task.cancel()

    def _hear_cancellation(self) -> None:
        """A Temporal cancel: a complete rollback before the point of no return, only noted after it."""
        reason = workflow.cancellation_reason() or "no reason given"
        self._status.cancel_requested = True
        if self._status.past_point_of_no_return:
            self._journal.changed(f"cancellation noted ({reason}): past the point of no return, the work goes on")
            return
        stop = Stop(outcome=Phase.CANCELLED, to=RollbackTo.START, reason=f"cancelled in Temporal: {reason}")
        self._context.desk.turn_back(stop)

    async def _turn_back(self, stop: Stop) -> bool:
        """Undo; true when everything is undone, false when the migration stands at the gate again."""
        self._context.desk.stop = stop  # so that a run that takes over goes on turning back
        reached_gate = self._journal.progress(Step.APPROVE).entry > 0
        depth = stop.to if reached_gate else RollbackTo.START
        way_back = WayBack(self._context)
        await ChangeControl(self._context).rolls_back(stop.reason)
        await way_back.go(depth, stop.reason)
        later = self._context.desk.stop
        if depth is RollbackTo.READY and later is not None and later.to is RollbackTo.START:
            depth = RollbackTo.START
            await way_back.go(depth, later.reason)
        if depth is RollbackTo.START:
            self._journal.reset(frozenset(STEPS))
            return True
        self._return_to_gate()
        return False

    def _return_to_gate(self) -> None:
        """Replication runs on: through the lag gate again, and then it takes new approvals."""
        self._journal.reset(frozenset({Step.REPLICATE, *STEPS[_GATE:]}))
        self._status.approvals, self._status.divergence_since = [], None
        self._context.desk.stop = self._context.desk.committed_by = None

    # --- the end ---------------------------------------------------------------------------------------------

    async def _end(self, phase: Phase, message: str) -> MigrationResult:
        """Give the claims back, say how it ended, and let the last word leave."""
        self._context.desk.ending = True
        later = self._context.desk.stop
        if later is not None and phase is not Phase.COMPLETED:
            phase, message = later.outcome, later.reason
        if phase is Phase.COMPLETED:
            self._status.failure = None
        if phase is Phase.FAILED and not self._status.generation:
            self._status.served_by = Side.UNKNOWN
        await ChangeControl(self._context).ended(phase, message)
        if self._claimed:
            message = await self._finish_claim(phase, message)
        self._status.ended = workflow.now()
        self._journal.phase(phase, message)
        self._journal.tell(_END_MESSAGES[phase])
        await self._journal.drain(policies.PUBLISH_AT_END)
        await self._journal.close()
        if self._factory is not None:
            await self._factory.close()
        await workflow.wait_condition(workflow.all_handlers_finished)
        if phase is Phase.FAILED:
            failure = self._status.failure or Failure(type="MigrationExecutionError", message=message)
            raise ApplicationError(failure.message, {"action": failure.action}, type=failure.type, non_retryable=True)
        return MigrationResult(
            migration_id=self._status.migration_id,
            generation=self._status.generation,
            status=phase,
            served_by=self._status.served_by,
            message=message,
            failure=self._status.failure,
            preserved=tuple(self._status.preserved),
        )

    async def _finish_claim(self, phase: Phase, message: str) -> str:
        """Return the last word: claims that cannot be given back are added to it, and change nothing else."""
        request = FinishClaim(
            migration_id=self._status.migration_id,
            generation=self._status.generation,
            first_run_id=self._first_run_id,
            status=phase,
            server_keys=self._context.source_keys(),
        )
        try:
            await workflow.execute_activity_method(
                MigrationState.finish_claim, request, summary="give the claims back", **policies.RECORD
            )
        except FailureError as error:
            return f"{message}; its claims are still held: {failure_of(error).message}"
        return message


def _first_status(request: MigrationRequest) -> MigrationStatus:
    now = workflow.now()
    return MigrationStatus(
        migration_id=request.migration_id,
        app_name=request.app_name,
        environment=request.environment,
        wave_id=request.wave_id,
        correlation_id=correlation_id(request, origin_of(workflow.memo())),
        requested_by=request.requested_by,
        started=now,
        updated=now,
        steps=[StepProgress(step=step) for step in STEPS],
        servers=[ServerProgress(name=server.name) for server in request.source.servers],
    )


def _accepted(payload: RawValue) -> MigrationRequest:
    """The request, or the workflow's failure, which is then found by its phase like any other."""
    try:
        return read_request(payload, workflow.info().workflow_id)
    except ApplicationError:
        workflow.upsert_search_attributes([PHASE.value_set(Phase.FAILED)])
        metrics.ENDED_AS.add(workflow.metric_meter(), ending=Phase.FAILED)
        raise
