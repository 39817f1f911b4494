"""The border: what comes in is read as JSON text and validated inside, so that bad input is answered, not dropped.

A typed `run` or signal would fail its workflow task for ever, or vanish in silence, on input that does not fit.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError
from temporalio.worker import (
    ExecuteWorkflowInput,
    HandleSignalInput,
    HandleUpdateInput,
    Interceptor,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
)

with workflow.unsafe.imports_passed_through():
    from activities.cmf import HEARD
    from migration.decisions import DECISIONS
    from migration.parsing import RequestErrors, parse_request
    from migration.request import MigrationRequest

InputT = TypeVar("InputT", bound=BaseModel)

NOTHING = RawValue(Payload(metadata={"encoding": b"binary/null"}))
UNREADABLE = RawValue(Payload())
_JSON = frozenset({b"json/plain", b"json/protobuf"})
_OF_ONE_INPUT = frozenset({*DECISIONS, "deliver", "close", "replay", HEARD})


def json_text(payload: RawValue) -> bytes:
    """The JSON text of a payload: `null` for an empty one, nothing (so not JSON) for one of another encoding."""
    encoding = payload.payload.metadata.get("encoding", b"")
    if encoding == b"binary/null":
        return b"null"
    return payload.payload.data if encoding in _JSON else b""


class OneInput(Interceptor):
    """Sees to it that workflows, signals and updates get one input each.

    Another count would fail the workflow's task for ever: a start fails the workflow instead; a signal or an update
    without any is handed on as `null`, one with more as an input that is not JSON, so that it is refused in words.
    """

    def workflow_interceptor_class(self, input: WorkflowInterceptorClassInput) -> type[WorkflowInboundInterceptor]:  # noqa: A002, ARG002  the SDK's signature
        """Count in front of every workflow."""
        return _CountInputs


class _CountInputs(WorkflowInboundInterceptor):
    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:  # noqa: A002  the SDK's signature
        if len(input.args) != 1:
            raise _bad_request([f"$: expected one input, the migration request, found {len(input.args)} inputs"])
        return await super().execute_workflow(input)

    async def handle_signal(self, input: HandleSignalInput) -> None:  # noqa: A002  the SDK's signature
        await super().handle_signal(_with_one_argument(input, input.signal))

    def handle_update_validator(self, input: HandleUpdateInput) -> None:  # noqa: A002  the SDK's signature
        super().handle_update_validator(_with_one_argument(input, input.update))

    async def handle_update_handler(self, input: HandleUpdateInput) -> Any:  # noqa: A002  the SDK's signature
        return await super().handle_update_handler(_with_one_argument(input, input.update))


Handled = TypeVar("Handled", HandleSignalInput, HandleUpdateInput)


def _with_one_argument(handled: Handled, name: str) -> Handled:
    if name not in _OF_ONE_INPUT or len(handled.args) == 1:
        return handled
    return replace(handled, args=[UNREADABLE if handled.args else NOTHING])


def read_request(payload: RawValue, workflow_id: str) -> MigrationRequest:
    """The request that a migration was started with. Fails the workflow, naming every path that is wrong."""
    request = read_plan_request(payload)
    if request.migration_id != workflow_id:
        found = json.dumps(request.migration_id)
        raise _bad_request([f"$.migrationId: expected the workflow id, {json.dumps(workflow_id)}, found {found}"])
    return request


def read_plan_request(payload: RawValue) -> MigrationRequest:
    """The request of a plan, whose workflow has an id of its own. Fails the workflow, naming every wrong path."""
    try:
        return parse_request(json_text(payload))
    except RequestErrors as errors:
        raise _bad_request([str(error) for error in errors.errors]) from None


def read_input(payload: RawValue, model: type[InputT], what: str) -> InputT:
    """What our own code gives to a workflow, in words `what` it is. Fails the workflow when it is something else."""
    try:
        return model.model_validate_json(json_text(payload))
    except ValidationError as error:
        raise _bad_request([f"expected {what}: {error}"]) from None


def _bad_request(errors: Sequence[str]) -> ApplicationError:
    message = "the request is not valid:\n" + "\n".join(errors)
    return ApplicationError(message, {"errors": list(errors)}, type="ValidationError", non_retryable=True)
