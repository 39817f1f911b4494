"""What a migration tells the world of itself: status, search attributes, details, read model, callbacks, events.

Publisher coroutines send what changed, one for each way out: no way waits for another, and no step for any of them.
The read model gets the latest state only, messages and events leave in the order in which things happened.
"""

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import SearchAttributeKey
from temporalio.exceptions import (
    ApplicationError,
    FailureError,
    WorkflowAlreadyStartedError,
)
from temporalio.exceptions import (
    TimeoutError as ActivityTimeout,
)

with workflow.unsafe.imports_passed_through():
    from activities.state import MigrationState, SaveState
    from migration import metrics, policies
    from migration.canonical import canonical_json
    from migration.memo import REQUEST_HASH, memo, origin_of, summary
    from migration.messages import EVENTS_ONLY, Message, MessageType
    from migration.request import MigrationRequest
    from migration.status import (
        PHASE_OF_STEP,
        Awaiting,
        Failure,
        MigrationStatus,
        Phase,
        Side,
        StepProgress,
        StepState,
    )
    from migration.steps import Step
    from workflows.afterword import Afterword, AfterwordWorkflow, afterword_id
    from workflows.callbacks import OpenCallbacks, callbacks_id
    from workflows.events import EventOutbox

PHASE = SearchAttributeKey.for_keyword("MigrationPhase")
WAVE = SearchAttributeKey.for_keyword("WaveId")
APP = SearchAttributeKey.for_keyword("AppName")
ACCOUNT = SearchAttributeKey.for_keyword("TargetAccount")
REGION = SearchAttributeKey.for_keyword("TargetRegion")
AWAITING = SearchAttributeKey.for_bool("AwaitingDecision")
SINCE = SearchAttributeKey.for_datetime("PhaseSince")

_STEP_MARKS = {
    StepState.PENDING: " ",
    StepState.RUNNING: "running",
    StepState.DONE: "done",
    StepState.SKIPPED: "skipped",
    StepState.FAILED: "**failed**",
    StepState.UNDONE: "undone",
}


class Journal:
    """Keeps the status true, and lets it out."""

    def __init__(self, request: MigrationRequest, status: MigrationStatus) -> None:
        """Begin with nothing said. `request` is the one in force: a retry may change settings of it."""
        self.request = request
        self.status = status
        self.outbox: list[Message] = []
        self.sent = 0
        self.events = EventOutbox()
        self._saved_version = -1
        self._callbacks_open = False

    # --- steps -----------------------------------------------------------------------------------------------

    def progress(self, step: Step) -> StepProgress:
        """The timeline of one step."""
        return next(line for line in self.status.steps if line.step is step)

    def step_started(self, step: Step) -> None:
        """The step is entered, once more."""
        line = self.progress(step)
        line.state, line.entry = StepState.RUNNING, line.entry + 1
        line.started, line.ended, line.failure = workflow.now(), None, None
        self.phase(PHASE_OF_STEP[step], f"{step} started")

    def step_ended(self, step: Step, state: StepState, failure: Failure | None = None) -> None:
        """The step is done, skipped, failed or undone."""
        line = self.progress(step)
        line.state, line.ended, line.failure = state, workflow.now(), failure
        if line.started is not None:
            took = line.ended - line.started
            metrics.STEP_DURATION.record(workflow.metric_meter(), took, step=step, outcome=state)
        if failure is not None:
            self.status.failure = failure
        self.changed(f"{step} {state}" if failure is None else f"{step} failed: {failure.message}")

    def reset(self, steps: frozenset[Step]) -> None:
        """These steps are undone and may be entered again."""
        for line in self.status.steps:
            if line.step in steps and line.state is not StepState.PENDING:
                line.state = StepState.UNDONE

    # --- phases and waits ------------------------------------------------------------------------------------

    def phase(self, phase: Phase, message: str, awaiting: Awaiting | None = None) -> None:
        """A new status, seen everywhere."""
        before, asked = self.status.phase, self.status.awaiting
        self.status.phase, self.status.awaiting = phase, awaiting
        since = [] if phase is before and bool(asked) is bool(awaiting) else [SINCE.value_set(workflow.now())]
        workflow.upsert_search_attributes([PHASE.value_set(phase), AWAITING.value_set(awaiting is not None), *since])
        self.changed(message)
        self._count(phase, before, awaiting, asked)
        if phase is not before and not phase.ended:
            self.tell(MessageType.STATUS_CHANGED)
        if awaiting is not None:
            approval = phase is Phase.AWAITING_APPROVAL
            self.tell(MessageType.APPROVAL_REQUESTED if approval else MessageType.DECISION_NEEDED)

    def _count(self, phase: Phase, before: Phase, awaiting: Awaiting | None, asked: Awaiting | None) -> None:
        """Count an end, and a question that was not asked already."""
        meter = workflow.metric_meter()
        if phase.ended and phase is not before:
            metrics.ENDED_AS.add(meter, ending=phase)
        if awaiting is not None and (asked is None or asked.what != awaiting.what):
            past = "true" if self.status.past_point_of_no_return else "false"
            metrics.ASKED.add(meter, what=awaiting.what, past_pivot=past)

    def served_by(self, side: Side) -> None:
        """Who serves now; downtime is counted while nobody does."""
        now = workflow.now()
        if side is Side.NOBODY and self.status.down_since is None:
            self.status.down_since = now
        if side is not Side.NOBODY and self.status.down_since is not None:
            self.status.downtime += now - self.status.down_since
            metrics.DOWNTIME.record(workflow.metric_meter(), now - self.status.down_since, served_by=side)
            self.status.down_since = None
        self.status.served_by = side

    def changed(self, message: str) -> None:
        """Something that a person would want to see has changed."""
        self.status.message, self.status.updated = message, workflow.now()
        self.status.version += 1
        workflow.set_current_details(self._details())

    def tell(self, kind: MessageType) -> None:
        """Queue an event, and a callback where one is wanted, with the state as it is now."""
        self.events.add(kind, self.status)
        if self.request.callback_url is not None and kind not in EVENTS_ONLY:
            self.sent += 1
            run = workflow.info().first_execution_run_id
            self.outbox.append(Message.about(kind, self.status, sequence=self.sent, at=workflow.now(), run=run))

    # --- the publishers --------------------------------------------------------------------------------------

    def publish(self) -> list["asyncio.Task[None]"]:
        """Send the latest state, every message and every event, for as long as the migration runs."""
        ways = (self._publish_rows, self._publish_messages, self.events.publish)
        return [asyncio.create_task(way()) for way in ways]

    async def _publish_rows(self) -> None:
        while True:
            await workflow.wait_condition(lambda: not self._saved)
            await self._save()

    async def _publish_messages(self) -> None:
        while True:
            await workflow.wait_condition(lambda: bool(self.outbox))
            await self._send()

    @property
    def _saved(self) -> bool:
        return self._saved_version == self.status.version

    @property
    def idle(self) -> bool:
        """Whether everything has left that can."""
        return self._saved and not self.outbox and self.events.idle

    async def drain(self, within: timedelta) -> None:
        """Let the publishers finish, for a bounded time; what is left is carried over, or left to an afterword."""
        try:
            await workflow.wait_condition(lambda: self.idle, timeout=within, timeout_summary="last state to leave")
        except TimeoutError:
            self._warn("the read model, the callbacks or the events lag behind", version=self.status.version)

    async def close(self) -> None:
        """Leave what has not left to a workflow of its own, and tell the callback workflow that nothing follows."""
        if not (self._saved and self.events.idle):
            await self._leave_to_an_afterword()
        if not self._callbacks_open:
            return
        handle = workflow.get_external_workflow_handle(self._callbacks_id)
        try:
            await handle.signal("close")
        except FailureError as error:
            self._warn("the callback workflow is gone", reason=str(error))

    async def _leave_to_an_afterword(self) -> None:
        with suppress(WorkflowAlreadyStartedError):  # by this run, before it was reset
            await workflow.start_child_workflow(
                AfterwordWorkflow.run,
                Afterword(row=None if self._saved else self._to_save(), events=tuple(self.events.waiting)),
                id=afterword_id(self.status, workflow.info().first_execution_run_id),
                parent_close_policy=workflow.ParentClosePolicy.ABANDON,
                static_summary=f"What {self.status.migration_id} could not say before its end",
            )

    async def _save(self) -> None:
        version = self.status.version
        try:
            await workflow.execute_activity_method(
                MigrationState.save_state, self._to_save(), summary=self.status.message[:200], **policies.RECORD
            )
        except FailureError as error:  # whatever the read model refuses, the migration goes on: the next row may fit
            self._warn("the read model refused a row", reason=str(error.__cause__ or error))
        self._saved_version = version

    def _to_save(self) -> SaveState:
        return SaveState(
            migration_id=self.status.migration_id,
            version=self.status.generation * 1_000_000 + self.status.version,
            row=self._row(),
            expires_at=self._expiry(),
        )

    async def _send(self) -> None:
        while self.outbox:
            try:
                await self._hand_over(self.outbox[0])
            except FailureError as error:
                self._warn("callbacks could not be handed over", reason=str(error))
                self._callbacks_open = False
                await workflow.sleep(policies.CALLBACK_HAND_OVER_PAUSE)
                continue
            self.outbox.pop(0)

    async def _hand_over(self, message: Message) -> None:
        """Give a message to the callback workflow, started when it is not there."""
        if not self._callbacks_open:
            with suppress(WorkflowAlreadyStartedError):
                await workflow.start_child_workflow(
                    "CallbackWorkflow",
                    OpenCallbacks(
                        migration_id=self.status.migration_id,
                        url=str(self.request.callback_url),
                        secret=self.request.callback_secret,
                    ),
                    id=self._callbacks_id,
                    parent_close_policy=workflow.ParentClosePolicy.ABANDON,
                    static_summary=f"Callbacks of {self.status.migration_id}",
                )
            self._callbacks_open = True
        handle = workflow.get_external_workflow_handle(self._callbacks_id)
        await handle.signal("deliver", message)

    def _warn(self, words: str, **details: Any) -> None:
        workflow.logger.warning(words, extra={"correlation_id": self.status.correlation_id, **details})

    @property
    def _callbacks_id(self) -> str:
        return callbacks_id(self.status.migration_id, self.status.generation)

    # --- views -----------------------------------------------------------------------------------------------

    def _row(self) -> dict[str, str]:
        status = self.status
        optional = {
            "waveId": status.wave_id,
            "awaiting": status.awaiting and f"{status.awaiting.what}: {_who(status.awaiting)}",
            "endedAt": status.ended and status.ended.isoformat(),
        }
        return {
            "migrationId": status.migration_id,
            "status": status.phase,
            "appName": status.app_name,
            "environment": status.environment,
            "message": status.message,
            "servedBy": status.served_by,
            "generation": str(status.generation),
            "startedAt": status.started.isoformat(),
            "updatedAt": status.updated.isoformat(),
            "document": canonical_json(status.model_dump(mode="json", by_alias=True)),
            **{name: value for name, value in optional.items() if value},
        }

    def _expiry(self) -> datetime | None:
        return self.status.ended + policies.READ_MODEL_KEPT if self.status.ended else None

    def _details(self) -> str:
        """The step table that the Web UI shows, as Markdown."""
        status = self.status
        lines = [f"**{status.phase}** · {status.message}", summary(self.request), f"served by: {status.served_by}"]
        if status.awaiting:
            lines.append(f"waiting for {_who(status.awaiting)}: {status.awaiting.message}")
        table = ["| step | state | entry | started | ended |", "|---|---|---|---|---|", *map(_row, status.steps)]
        return "\n\n".join([*lines, "\n".join(table)])


def _row(line: StepProgress) -> str:
    cells = (line.step, _STEP_MARKS[line.state], line.entry or "", _clock(line.started), _clock(line.ended))
    return f"| {' | '.join(map(str, cells))} |"


def _who(awaiting: Awaiting) -> str:
    return ", ".join(awaiting.who) or "an operator"


def introduce(request: MigrationRequest) -> None:
    """Make the migration findable by wave, application and target, and recognisable whoever started it."""
    if REQUEST_HASH not in workflow.memo():
        workflow.upsert_memo(memo(request, origin_of(workflow.memo())))
    pairs = [
        APP.value_set(request.app_name),
        ACCOUNT.value_set(request.target.account_id),
        REGION.value_set(request.target.region),
    ]
    if request.wave_id:
        pairs.append(WAVE.value_set(request.wave_id))
    workflow.upsert_search_attributes([*pairs, SINCE.value_set(workflow.now())])


def failure_of(error: BaseException) -> Failure:
    """The cause of a failed activity or child, in the words it was given where it happened."""
    cause, late = error, False
    while cause.__cause__ is not None and not isinstance(cause, ApplicationError):
        cause = cause.__cause__
        late = late or isinstance(cause, ActivityTimeout)
    if isinstance(cause, ApplicationError):
        action = next((d.get("action") for d in cause.details if isinstance(d, dict)), None)
        words = f"not within its time: {cause.message}" if late else cause.message
        return Failure(type=cause.type or "MigrationExecutionError", message=words, action=action)
    return Failure(type=type(cause).__name__, message=str(cause))


def _clock(moment: datetime | None) -> str:
    return moment.strftime("%d %b %H:%M:%S") if moment else ""
