"""The client side of migrations: start, decide, look. What the CLI, the ingress and the tests share."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import uuid4

from temporalio.api.common.v1 import Payload
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.common import RawValue, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.envconfig import ClientConfig
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from migration.correlation import correlation_id
from migration.errors import Conflict, NotFound, Unavailable, ValidationError
from migration.parsing import parse_request
from migration.request import MigrationRequest, request_hash
from migration.status import MigrationStatus

WORKFLOW = "MigrationWorkflow"
HASH_MEMO = "requestHash"


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


async def connect() -> Client:
    """Connect as `temporalio.envconfig` says: TEMPORAL_ADDRESS and the like, or the profile file.

    Raises:
        Unavailable: No server answers there.
    """
    config = ClientConfig.load_client_connect_config(config_file_strict=True)
    address = config.setdefault("target_host", "localhost:7233")
    try:
        return await Client.connect(**config, data_converter=pydantic_data_converter)
    except RuntimeError as error:
        raise Unavailable(f"no Temporal server answers at {address}: {error}") from error


class Migrations:
    """Migrations, seen from outside."""

    def __init__(self, client: Client, task_queue: str) -> None:
        """Start on this task queue."""
        self._client = client
        self._task_queue = task_queue

    async def start(self, text: str | bytes, *, again: bool = False) -> StartResult:
        """Start the migration that the JSON text asks for.

        The same request for the same id is the same migration, running or ended; `again` starts another
        generation of one that was rolled back, rejected or cancelled.

        Raises:
            ValidationError: The text is not a valid request; every reason is in it.
            Conflict: The id belongs to a migration with another request.
        """
        request = parse_request(text)
        try:
            run_id = await self._start(request, text, again=again, reuse=_reuse(again=again))
        except WorkflowAlreadyStartedError:
            return await self._known(request, text)
        return StartResult(request.migration_id, Started.STARTED, run_id, correlation_id(request))

    async def _start(
        self, request: MigrationRequest, text: str | bytes, *, again: bool, reuse: WorkflowIDReusePolicy
    ) -> str | None:
        handle = await self._client.start_workflow(
            WORKFLOW,
            RawValue(_json_payload(text)),
            id=request.migration_id,
            task_queue=self._task_queue,
            id_reuse_policy=reuse,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            memo={HASH_MEMO: request_hash(request), "correlationId": correlation_id(request), "again": again},
            static_summary=summary(request),
        )
        return handle.result_run_id

    async def _known(self, request: MigrationRequest, text: str | bytes) -> StartResult:
        """What a start means whose id is known: nothing new, but after a start that touched nothing."""
        digest = request_hash(request)
        description = await self._handle(request.migration_id).describe()
        if description.status is WorkflowExecutionStatus.FAILED:
            run_id = await self._start(request, text, again=False, reuse=WorkflowIDReusePolicy.ALLOW_DUPLICATE)
            return StartResult(request.migration_id, Started.STARTED, run_id, correlation_id(request))
        known = await description.memo_value(HASH_MEMO, default=None)
        if known is not None and known != digest:
            raise Conflict(
                f"{request.migration_id} is the id of a migration with another request",
                action="choose another migrationId, or send the request as it was",
            )
        running = description.status is WorkflowExecutionStatus.RUNNING
        outcome = Started.ALREADY_RUNNING if running else Started.ALREADY_ENDED
        return StartResult(request.migration_id, outcome, description.run_id, correlation_id(request))

    async def decide(self, migration_id: str, name: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Take a decision; returns its answer.

        Raises:
            NotFound: There is no such migration, or it has ended.
            Conflict: The migration refuses the decision, and says why.
        """
        handle = self._handle(migration_id)
        try:
            answer: dict[str, Any] = await handle.execute_update(name, payload, id=f"{name}-{uuid4()}")
        except WorkflowUpdateFailedError as error:
            cause = error.cause
            raise Conflict(cause.message if isinstance(cause, ApplicationError) else str(cause)) from error
        except RPCError as error:
            raise _translated(error, migration_id) from error
        return answer

    async def status(self, migration_id: str) -> MigrationStatus:
        """Ask the migration itself.

        Raises:
            NotFound: There is no such migration.
            Unavailable: No worker answers.
        """
        try:
            found: MigrationStatus = await self._handle(migration_id).query("status", result_type=MigrationStatus)
        except RPCError as error:
            raise _translated(error, migration_id) from error
        return found

    async def pending(self, migration_id: str) -> list[str]:
        """What the migration's activities wait for right now, in their own words."""
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


def summary(request: MigrationRequest) -> str:
    """One line for the lists of the Web UI."""
    target = request.target
    wave = f", {request.wave_id}" if request.wave_id else ""
    return f"{request.app_name} ({request.environment}) -> {target.account_id}/{target.region}{wave}"


def _json_payload(text: str | bytes) -> Payload:
    data = text.encode() if isinstance(text, str) else text
    return Payload(metadata={"encoding": b"json/plain"}, data=data)


def _translated(error: RPCError, migration_id: str) -> Exception:
    if error.status is RPCStatusCode.NOT_FOUND:
        return NotFound(f"there is no running migration {migration_id}")
    if error.status in (RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED, RPCStatusCode.FAILED_PRECONDITION):
        return Unavailable(f"no worker answers for {migration_id}: {error.message}")
    return ValidationError(error.message)
