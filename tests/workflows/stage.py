"""The stage of workflow tests: a client, a worker over fake activities, and migrations to follow and to decide on."""

import asyncio
import json
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import (
    Client,
    Interceptor,
    OutboundInterceptor,
    QueryWorkflowInput,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowHistory,
    WorkflowUpdateFailedError,
)
from temporalio.common import RawValue, WorkerDeploymentVersion
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError, CancelledError
from temporalio.runtime import Runtime
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Interceptor as WorkerInterceptor
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner, Worker, WorkerDeploymentConfig
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from localcloud import temporal
from migration.decisions import DecisionAnswer
from migration.status import MigrationResult, MigrationStatus, Phase
from tests.workflows.fake_activities import FakeActivities
from tests.workflows.migration_requests import APPROVER, a_request
from tests.workflows.worlds import WITHIN, World
from workflows.afterword import AfterwordWorkflow
from workflows.border import OneInput
from workflows.callbacks import CallbackStatus, CallbackWorkflow, callbacks_id
from workflows.carried import Carried
from workflows.factory_wave import FactoryWaveWorkflow
from workflows.migration import MigrationWorkflow
from workflows.plan import PlanWorkflow
from workflows.ticket_note import TicketNoteWorkflow
from workflows.updates_last import UpdatesLast

WORKFLOWS = [
    MigrationWorkflow,
    CallbackWorkflow,
    AfterwordWorkflow,
    PlanWorkflow,
    FactoryWaveWorkflow,
    TicketNoteWorkflow,
]

_ACTIVITIES_AT_ONCE = 200
_LOOK = 0.03
_QUERY = 0.25
_SCHEDULED = PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED
_UNANSWERED = {RPCStatusCode.CANCELLED, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.UNAVAILABLE}


async def until(condition: Callable[[], Any], what: str, within: float = WITHIN) -> Any:
    """Wait until the condition holds, and return what it gave."""
    deadline = asyncio.get_running_loop().time() + within
    while True:
        found = condition()
        pause = _QUERY if isinstance(found, Awaitable) else _LOOK
        if isinstance(found, Awaitable):
            found = await found
        if found:
            return found
        if asyncio.get_running_loop().time() > deadline:
            pytest.fail(f"not within {within} s: {what}")
        await asyncio.sleep(pause)


def as_json(text: str | bytes) -> RawValue:
    """A payload of exactly this JSON text, or what claims to be some."""
    data = text.encode() if isinstance(text, str) else text
    return RawValue(Payload(metadata={"encoding": b"json/plain"}, data=data))


@dataclass
class Migration:
    """One migration on the stage."""

    migration_id: str
    world: World
    handle: WorkflowHandle[Any, Any]
    client: Client

    # --- watching --------------------------------------------------------------------------------------------

    async def status(self) -> MigrationStatus:
        """The answer of the query."""
        status: MigrationStatus = await self.handle.query(MigrationWorkflow.status)
        return status

    async def stands(self, phase: Phase, what: str | None = None) -> MigrationStatus:
        """Wait until it has come to rest in this phase, waiting for that."""

        ended = asyncio.ensure_future(self.handle.result())

        def resting() -> MigrationStatus | None:
            seen = self.world.seen()
            asked = seen.awaiting.what if seen and seen.awaiting else None
            if seen and seen.phase is phase and asked == what:
                return seen
            assert not ended.done(), f"it has ended instead: {ended}"
            return None

        name = f"{self.migration_id} stands in {phase}, awaiting {what}"
        try:
            status: MigrationStatus = await until(resting, name)
        finally:
            ended.cancel()
        return status

    async def is_reached(self, name: str, calls: int = 1) -> None:
        """Wait until this activity has been called so often."""
        await until(lambda: self.world.calls.count(name) >= calls, f"{self.migration_id} reaches {name}")

    async def ends(self) -> MigrationResult:
        """Wait for its end, which has to be an orderly one."""
        result = await asyncio.wait_for(self.handle.result(), WITHIN)
        return MigrationResult.model_validate(result) if isinstance(result, dict) else result

    async def fails(self) -> ApplicationError:
        """Wait for its end, which has to be a failure."""
        with pytest.raises(WorkflowFailureError) as failed:
            await asyncio.wait_for(self.handle.result(), WITHIN)
        assert isinstance(failed.value.cause, ApplicationError), failed.value.cause
        return failed.value.cause

    async def is_cancelled(self) -> None:
        """Wait for its end, which has to be the cancelled one."""
        with pytest.raises(WorkflowFailureError) as failed:
            await asyncio.wait_for(self.handle.result(), WITHIN)
        assert isinstance(failed.value.cause, CancelledError), failed.value.cause
        assert (await self.handle.describe()).status is WorkflowExecutionStatus.CANCELED

    async def is_told_to_cancel(self) -> None:
        """Wait until it has heard of its cancellation."""

        async def has_heard() -> bool:
            return (await self.status()).cancel_requested

        await until(has_heard, f"{self.migration_id} hears of its cancellation")

    async def has_missed_an_attempt(self) -> None:
        """Wait until an attempt of an activity was given up, and the next one has not begun."""

        async def is_between() -> bool:
            pending = (await self.handle.describe()).raw_description.pending_activities
            return any(one.HasField("last_failure") and one.state == _SCHEDULED for one in pending)

        await until(is_between, f"{self.migration_id} is between two attempts")

    async def histories(self) -> list[WorkflowHistory]:
        """The histories of its runs, the oldest first."""
        run_id, found = self.handle.first_execution_run_id, []
        while run_id:
            history = await self.client.get_workflow_handle(self.migration_id, run_id=run_id).fetch_history()
            found.append(history)
            run_id = history.events[-1].workflow_execution_continued_as_new_event_attributes.new_execution_run_id
        return found

    async def history_at_rest(self) -> int:
        """How many events the run has when no more are added."""
        lengths = [0]

        async def is_at_rest() -> bool:
            lengths.append((await self.handle.describe()).history_length)
            return lengths[-1] == lengths[-2]

        await until(is_at_rest, f"the history of {self.migration_id} comes to rest")
        return lengths[-1]

    async def carried(self) -> list[Carried]:
        """What each run but the first began with."""
        histories = await self.histories()
        return [Carried.model_validate_json(input_of(history).data) for history in histories[1:]]

    async def callbacks(self) -> CallbackStatus:
        """The answer of its callback workflow."""
        handle = self.client.get_workflow_handle(callbacks_id(self.migration_id))
        status: CallbackStatus = await handle.query(CallbackWorkflow.status)
        return status

    # --- deciding --------------------------------------------------------------------------------------------

    async def decide(self, name: str, by: str = "operator-1@example.com", **fields: Any) -> DecisionAnswer:
        """Send a decision as an update; it has to be accepted."""
        return await self.update(name, {"by": by, **fields})

    async def update(self, name: str, *arguments: Any) -> DecisionAnswer:
        """Send an update as it is; one that a busy server gives back is sent again as the same one."""
        sent_as, deadline = str(uuid.uuid4()), asyncio.get_running_loop().time() + WITHIN
        while True:
            try:
                answer: DecisionAnswer = await self.handle.execute_update(
                    name, args=list(arguments), id=sent_as, result_type=DecisionAnswer
                )
            except RPCError as error:
                busy = error.status in {RPCStatusCode.UNAVAILABLE, RPCStatusCode.RESOURCE_EXHAUSTED}
                if not busy or asyncio.get_running_loop().time() > deadline:
                    raise
                await asyncio.sleep(_QUERY)
            else:
                return answer

    async def refuses(self, name: str, by: str = "operator-1@example.com", **fields: Any) -> str:
        """Send a decision as an update; it has to be refused, in these words."""
        return await self.refuses_update(name, {"by": by, **fields})

    async def refuses_update(self, name: str, *arguments: Any) -> str:
        """Send an update as it is; it has to be refused, in these words."""
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await self.update(name, *arguments)
        cause = refused.value.cause
        assert isinstance(cause, ApplicationError), cause
        assert cause.type == "DecisionRefused"
        return cause.message

    async def signal(self, name: str, by: str = "operator-1@example.com", **fields: Any) -> None:
        """Send a decision as a signal."""
        await self.handle.signal(name, {"by": by, **fields})

    async def approve(self, by: str = APPROVER) -> None:
        """Approve as soon as it is asked for."""
        await self.stands(Phase.AWAITING_APPROVAL, "approve")
        await self.decide("approve", by)

    async def cancel(self) -> None:
        """Cancel it in Temporal."""
        await self.handle.cancel()


@dataclass
class Stage:
    """Starts migrations."""

    address: str
    client: Client
    task_queue: str
    activities: FakeActivities

    def world(self, migration_id: str, world: World | None = None) -> World:
        """The world of a migration, made when it is not there yet."""
        return self.activities.worlds.setdefault(migration_id, world or World())

    async def start(self, world: World | None = None, **parts: Any) -> Migration:
        """Start a migration of the usual request, with these parts of it replaced."""
        migration_id = parts.get("migrationId") or f"mig-{uuid.uuid4().hex[:12]}"
        return await self.start_with(migration_id, a_request(migration_id, **parts), world=world)

    async def start_light(self, world: World | None = None, **parts: Any) -> Migration:
        """Start a migration with little between its start and its gate: no test launch, no checks, no CMDB."""
        light = {"test": {"mode": "skip", "reason": "tested last week"}, "healthChecks": [], "cmdb": {}}
        return await self.start(world, **(light | parts))

    async def start_with(
        self, migration_id: str, *inputs: Any, world: World | None = None, **options: Any
    ) -> Migration:
        """Start a migration with exactly these inputs."""
        world = self.world(migration_id, world)
        handle = await self.client.start_workflow(
            MigrationWorkflow.run.__qualname__.split(".")[0],
            args=list(inputs),
            id=migration_id,
            task_queue=self.task_queue,
            result_type=MigrationResult,
            **options,
        )
        migration = Migration(migration_id, world, handle, self.client)
        _started.get([]).append(migration)
        return migration


_started: ContextVar[list[Migration]] = ContextVar("_started")


@asynccontextmanager
async def cleared() -> AsyncIterator[None]:
    """Leave nothing behind of a test: no activity that is held, no migration that goes on."""
    started: list[Migration] = []
    _started.set(started)
    try:
        yield
    finally:
        for migration in started:
            migration.world.release_all()
            with suppress(RPCError):
                await migration.handle.terminate("the test is over")


@asynccontextmanager
async def temporal_server() -> AsyncIterator[str]:
    """A Temporal server in memory, with the project's configuration and search attributes; gives its address."""
    attributes = [
        word for pair in temporal.search_attributes().items() for word in ("--search-attribute", "=".join(pair))
    ]
    # The same values that the local cloud's own server gets.
    configuration = [word for value in temporal._dynamic_configuration() for word in ("--dynamic-config-value", value)]
    server = await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(temporal.find_temporal(print)),
        dev_server_extra_args=[*attributes, *configuration],
        dev_server_log_level="error",
        dev_server_startup_timeout=timedelta(seconds=60),
    )
    async with server:
        yield server.client.service_client.config.target_host


class AsksAgain(Interceptor):
    """A query that a busy server leaves unanswered is asked again: it changes nothing, so that does no harm."""

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:  # noqa: A002  the SDK's signature
        """Stand in front of every query."""
        return _AskAgain(next)


class _AskAgain(OutboundInterceptor):
    async def query_workflow(self, input: QueryWorkflowInput) -> Any:  # noqa: A002  the SDK's signature
        deadline = asyncio.get_running_loop().time() + WITHIN
        while True:
            try:
                return await super().query_workflow(input)
            except RPCError as error:
                if error.status not in _UNANSWERED or asyncio.get_running_loop().time() > deadline:
                    raise


class _Stuck(logging.Handler):
    """Hears of workflows that their worker could not put away."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.records: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if "evict" in record.getMessage():
            self.records.append(record.getMessage())


@asynccontextmanager
async def set_up(
    address: str,
    *,
    task_queue: str | None = None,
    build_id: str = "1",
    also: Sequence[Callable[..., Any]] = (),
    runtime: Runtime | None = None,
    client_interceptors: Sequence[Interceptor] = (),
    interceptors: Sequence[WorkerInterceptor] = (),
    **options: Any,
) -> AsyncIterator[Stage]:
    """Connect, and run a worker, on a task queue of its own when none is given.

    Args:
        address: The Temporal server's.
        task_queue: None: one that nobody else has.
        build_id: Of the worker's deployment.
        also: Real activities.
        client_interceptors: Further ones; the worker has them too, where they are made for both.
        interceptors: Further ones of the worker.
        options: Of the worker.
    """
    client = await Client.connect(
        address,
        data_converter=pydantic_data_converter,
        identity="stage",
        interceptors=[AsksAgain(), *client_interceptors],
        runtime=runtime,
    )
    task_queue, activities = task_queue or f"stage-{uuid.uuid4().hex[:8]}", FakeActivities()
    settings: dict[str, Any] = {
        "max_concurrent_activities": _ACTIVITIES_AT_ONCE,
        # A cancellation reaches an activity with the answer to a heartbeat.
        "max_heartbeat_throttle_interval": timedelta(milliseconds=300),
        "default_heartbeat_throttle_interval": timedelta(milliseconds=300),
        **options,
    }
    stuck = _Stuck()
    logging.getLogger("temporalio.worker").addHandler(stuck)
    with ThreadPoolExecutor(_ACTIVITIES_AT_ONCE) as threads:
        async with Worker(
            client,
            task_queue=task_queue,
            activity_executor=threads,
            workflows=WORKFLOWS,
            activities=[*activities.all, *also],
            interceptors=[*interceptors, OneInput()],
            workflow_runner=UpdatesLast(SandboxedWorkflowRunner()),
            deployment_config=WorkerDeploymentConfig(
                version=WorkerDeploymentVersion(deployment_name="stage", build_id=build_id), use_worker_versioning=False
            ),
            **settings,
        ):
            try:
                yield Stage(address, client, task_queue, activities)
            finally:
                for world in activities.worlds.values():
                    world.release_all()
    assert not stuck.records, "a workflow that a worker forgot left tasks behind"


def replayer(
    workflows: Sequence[type] = WORKFLOWS, *first: WorkerInterceptor, runtime: Runtime | None = None
) -> Replayer:
    """What replays a history as the worker of the stage does; `first` are further interceptors, before its own."""
    return Replayer(
        workflows=workflows,
        data_converter=pydantic_data_converter,
        interceptors=[*first, OneInput()],
        workflow_runner=UpdatesLast(SandboxedWorkflowRunner()),
        unsandboxed_workflow_runner=UpdatesLast(UnsandboxedWorkflowRunner()),
        runtime=runtime,
    )


def input_of(history: WorkflowHistory) -> Payload:
    """The first input of a run."""
    return history.events[0].workflow_execution_started_event_attributes.input.payloads[0]


def summaries(histories: Sequence[WorkflowHistory]) -> list[str]:
    """What the Web UI says of each activity."""
    scheduled = (event for history in histories for event in history.events if _is_activity(event))
    return [json.loads(event.user_metadata.summary.data) for event in scheduled]


def _is_activity(event: HistoryEvent) -> bool:
    return event.HasField("activity_task_scheduled_event_attributes")
