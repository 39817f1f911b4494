"""The client side of migrations: start, decide, look. What the CLI, the ingress and the tests share."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any
from uuid import uuid4

from temporalio.api.common.v1 import Payload
from temporalio.client import (
    Client,
    RPCTimeoutOrCancelledError,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
)
from temporalio.common import RawValue, SearchAttributeKey, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from adapters import tracing
from migration.correlation import Origin, correlation_id
from migration.errors import Conflict, NotFound, Unavailable, ValidationError
from migration.memo import ADOPTED, CORRELATION_ID, REQUEST_HASH, memo, summary
from migration.parsing import parse_request
from migration.request import MigrationRequest, request_hash
from migration.settings import Settings
from migration.status import MigrationStatus, Phase
from starter.connection import connection, in_words, look_into_namespace
from starter.converter import DATA_CONVERTER
from starter.runtime import runtime

WORKFLOW = "MigrationWorkflow"
DECIDED_WITHIN = timedelta(seconds=30)
"""How long a decision waits for a worker to take it."""

_ANSWERS_WITHIN = timedelta(seconds=5)
_GIVEN_BACK = frozenset({RPCStatusCode.UNAVAILABLE, RPCStatusCode.RESOURCE_EXHAUSTED})
_BEFORE_SENDING_AGAIN = 0.5

_PHASE = SearchAttributeKey.for_keyword("MigrationPhase")
_MAY_START_AGAIN = frozenset({Phase.ROLLED_BACK, Phase.REJECTED, Phase.CANCELLED, Phase.FAILED})


class Started(StrEnum):
    """What a start came to."""

    STARTED = "started"
    ALREADY_RUNNING = "already running"
    ALREADY_ENDED = "already ended"


@dataclass(frozen=True)
class StartResult:
    """The migration, whether it was started now, and its run."""

    migration_id: str
    outcome: Started
    run_id: str | None
    correlation_id: str


async def connect(settings: Settings, *, metrics_address: str | None = None, without_namespace: bool = False) -> Client:
    """Connect as `temporalio.envconfig` says: TEMPORAL_ADDRESS and the like, or the profile file.

    Args:
        settings: Whether a server elsewhere may be reached without TLS.
        metrics_address: Where this process serves metrics; None: nowhere.
        without_namespace: Also where the namespace is not there, for those who look at it or make it.

    Raises:
        PrerequisiteError: The profile, TLS or the namespace is not right, or metrics cannot be served there; the error
            says what to correct.
        Unavailable: No server answers there.
    """
    config = connection(plaintext_allowed=settings.allow_plaintext_temporal)
    try:
        client = await Client.connect(
            **config,
            data_converter=DATA_CONVERTER,
            runtime=runtime(metrics_address),
            interceptors=tracing.interceptors(),
        )
    except (RuntimeError, ValueError) as error:
        raise in_words(error, config) from error
    if not without_namespace:
        await look_into_namespace(client)
    return client


class Migrations:
    """Migrations, seen from outside."""

    def __init__(self, client: Client, task_queue: str) -> None:
        """Start on this task queue."""
        self._client = client
        self._task_queue = task_queue

    async def can_be_reached(self) -> bool:
        """Whether Temporal answers at all."""
        try:
            return await self._client.service_client.check_health(timeout=_ANSWERS_WITHIN)
        except RPCError:
            return False

    async def start(self, text: str | bytes, *, again: bool = False, origin: Origin | None = None) -> StartResult:
        """Start the migration that the JSON text asks for.

        The same request for the same id is the same migration, running or ended, wherever it comes from; `again`
        starts another generation of one that was rolled back, rejected or cancelled.

        Raises:
            ValidationError: The text is not a valid request; every reason is in it.
            Conflict: The id belongs to a migration with another request, or to one that cannot be started again.
            Unavailable: Temporal does not answer.
        """
        request = parse_request(text)
        with _translated(request.migration_id):
            if again:
                await self._may_start_again(request)
            try:
                return await self._start(request, text, origin, again=again, reuse=_reuse(again=again))
            except WorkflowAlreadyStartedError:
                return await self._known(request, text, origin)

    async def _start(
        self,
        request: MigrationRequest,
        text: str | bytes,
        origin: Origin | None,
        *,
        again: bool,
        reuse: WorkflowIDReusePolicy,
    ) -> StartResult:
        handle = await self._client.start_workflow(
            WORKFLOW,
            RawValue(json_payload(text)),
            id=request.migration_id,
            task_queue=self._task_queue,
            id_reuse_policy=reuse,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            memo={**memo(request, origin), "again": again},
            static_summary=summary(request),
        )
        found_by = correlation_id(request, origin)
        return StartResult(request.migration_id, Started.STARTED, handle.result_run_id, found_by)

    async def _may_start_again(self, request: MigrationRequest) -> None:
        """Refuse at once what the claim would refuse; an id that Temporal has forgotten is left to the claim."""
        try:
            description = await self._handle(request.migration_id).describe()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return
            raise
        if description.status is not WorkflowExecutionStatus.FAILED:
            await _same_request(description, request)
        phase = description.typed_search_attributes.get(_PHASE)
        if description.status is not WorkflowExecutionStatus.RUNNING and phase and phase not in _MAY_START_AGAIN:
            raise Conflict(f"{request.migration_id} has ended as {phase}, and cannot be started again")

    async def _known(self, request: MigrationRequest, text: str | bytes, origin: Origin | None) -> StartResult:
        """What a start means whose id is known: nothing new, but after a start that touched nothing."""
        description = await self._handle(request.migration_id).describe()
        if description.status is WorkflowExecutionStatus.FAILED:
            return await self._start(request, text, origin, again=False, reuse=WorkflowIDReusePolicy.ALLOW_DUPLICATE)
        await _same_request(description, request)
        running = description.status is WorkflowExecutionStatus.RUNNING
        outcome = Started.ALREADY_RUNNING if running else Started.ALREADY_ENDED
        found_by = await description.memo_value(CORRELATION_ID, default=correlation_id(request))
        return StartResult(request.migration_id, outcome, description.run_id, found_by)

    async def decide(self, migration_id: str, name: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Take a decision; returns its answer.

        Raises:
            NotFound: There is no such migration, or it has ended.
            Conflict: The migration refuses the decision, and says why.
            Unavailable: No worker took it in time; it may be taken later.
        """
        handle = self._handle(migration_id)
        try:
            with _translated(migration_id):
                async with asyncio.timeout(DECIDED_WITHIN.total_seconds()):
                    answer = await self._taken(handle, name, payload)
        except WorkflowUpdateFailedError as error:
            cause = error.cause
            raise Conflict(cause.message if isinstance(cause, ApplicationError) else str(cause)) from error
        except (TimeoutError, RPCTimeoutOrCancelledError) as error:
            # The SDK says the same of a caller who gives up, as by Ctrl-C.
            if (task := asyncio.current_task()) and task.cancelling():
                raise asyncio.CancelledError from error
            waited = f"{DECIDED_WITHIN.total_seconds():.0f} s"
            raise Unavailable(
                f"no worker took the decision about {migration_id} in {waited}; it may still be, when one is back"
            ) from error
        return answer

    async def _taken(self, handle: WorkflowHandle[Any, Any], name: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Send the update until it is answered: a server gives it back when a run ends meanwhile, or is too busy.

        It is sent again as the same one, which a migration takes once.
        """
        sent_as = f"{name}-{uuid4()}"
        while True:
            try:
                answer: dict[str, Any] = await handle.execute_update(name, payload, id=sent_as)
            except RPCError as error:
                if error.status not in _GIVEN_BACK:
                    raise
                await asyncio.sleep(_BEFORE_SENDING_AGAIN)
            else:
                return answer

    async def status(self, migration_id: str) -> MigrationStatus:
        """Ask the migration itself.

        Raises:
            NotFound: There is no such migration.
            Conflict: Its request was refused: there is no status, but the reasons.
            Unavailable: No worker answers.
        """
        handle = self._handle(migration_id)
        with _translated(migration_id):
            try:
                found: MigrationStatus = await handle.query("status", result_type=MigrationStatus)
            except WorkflowQueryFailedError as error:
                raise Conflict(await self._refusal(migration_id) or str(error)) from error
        return found

    async def carried(self, migration_id: str, run_id: str) -> dict[str, Any]:
        """What a run, also one that is no more, would carry to its next run.

        Raises:
            NotFound: Temporal has forgotten the run.
            Conflict: The run has no state: its request was refused, or it had not begun.
            Unavailable: No worker answers.
        """
        handle = self._client.get_workflow_handle(migration_id, run_id=run_id)
        with _translated(migration_id):
            try:
                found: dict[str, Any] = await handle.query("carried", result_type=dict)
            except WorkflowQueryFailedError as error:
                raise Conflict(str(error)) from error
        return found

    async def adopt(
        self, migration_id: str, run_id: str, carried: Mapping[str, Any], *, latest: str, task_queue: str
    ) -> str:
        """Start a run that takes over from a dead one; returns its id.

        Args:
            migration_id: Which migration.
            run_id: The dead run.
            carried: The dead run's state, and in `then` what is to be done with it.
            latest: The migration's latest run as it was seen; only a refused one is later than the dead one.
            task_queue: The dead run's: its worker knows its systems.

        Raises:
            Conflict: Somebody else has started a run meanwhile.
            Unavailable: Temporal does not answer.
        """
        request = parse_request(str(carried["request"]))
        origin = Origin.of(carried["status"].get("correlationId"))
        with _translated(migration_id):
            found = await self._handle(migration_id).describe()
            if found.run_id != latest:
                raise Conflict(f"{migration_id} has another run by now: {found.run_id}", action="Look again.")
            try:
                handle = await self._client.start_workflow(
                    WORKFLOW,
                    RawValue(json_payload(json.dumps(carried))),
                    id=migration_id,
                    task_queue=task_queue,
                    id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
                    id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                    memo={**memo(request, origin), ADOPTED: run_id},
                    static_summary=summary(request),
                )
            except WorkflowAlreadyStartedError as error:
                raise Conflict(f"{migration_id} has been taken over already", action="Look again.") from error
        return str(handle.result_run_id)

    async def _refusal(self, migration_id: str) -> str | None:
        """Why a migration ended before it had a status."""
        handle = self._handle(migration_id)
        if (await handle.describe()).status is not WorkflowExecutionStatus.FAILED:
            return None
        try:
            await handle.result()
        except WorkflowFailureError as failed:
            return f"{migration_id} was refused: {failed.cause}"
        return None

    async def pending(self, migration_id: str) -> list[str]:
        """What the migration's activities wait for right now, in their own words.

        Raises:
            NotFound: There is no such migration.
            Unavailable: Temporal does not answer.
        """
        with _translated(migration_id):
            description = await self._handle(migration_id).describe()
        return [
            activity.last_failure.message
            for activity in description.raw_description.pending_activities
            if activity.HasField("last_failure")
        ]

    def _handle(self, migration_id: str) -> WorkflowHandle[Any, Any]:
        return self._client.get_workflow_handle(migration_id)


def _reuse(*, again: bool) -> WorkflowIDReusePolicy:
    return WorkflowIDReusePolicy.ALLOW_DUPLICATE if again else WorkflowIDReusePolicy.REJECT_DUPLICATE


async def _same_request(description: WorkflowExecutionDescription, request: MigrationRequest) -> None:
    known = await description.memo_value(REQUEST_HASH, default=None)
    if known is not None and known != request_hash(request):
        raise Conflict(
            f"{request.migration_id} is the id of a migration with another request",
            action="choose another migrationId, or send the request as it was",
        )


def json_payload(text: str | bytes) -> Payload:
    """A payload of exactly this JSON text, which the workflow validates itself."""
    data = text.encode() if isinstance(text, str) else text
    return Payload(metadata={"encoding": b"json/plain"}, data=data)


_NO_ANSWER = frozenset(
    {
        RPCStatusCode.DEADLINE_EXCEEDED,
        RPCStatusCode.CANCELLED,
        RPCStatusCode.FAILED_PRECONDITION,
        RPCStatusCode.UNAVAILABLE,
        RPCStatusCode.RESOURCE_EXHAUSTED,
    }
)


@contextmanager
def _translated(migration_id: str) -> Iterator[None]:
    """Turn what Temporal's frontend says into our own errors."""
    try:
        yield
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise NotFound(f"there is no running migration {migration_id}") from error
        if error.status in _NO_ANSWER:
            raise Unavailable(f"no worker answers for {migration_id}: {error.message}") from error
        raise ValidationError(error.message) from error
