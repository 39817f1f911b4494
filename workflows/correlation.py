"""Every log line of a workflow says whose it is, and its activities and children are told: by a header, no command."""

from dataclasses import replace
from typing import Any, NoReturn, TypeVar

from temporalio import workflow
from temporalio.converter import PayloadConverter
from temporalio.worker import (
    ContinueAsNewInput,
    ExecuteWorkflowInput,
    HandleSignalInput,
    HandleUpdateInput,
    Interceptor,
    StartActivityInput,
    StartChildWorkflowInput,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowOutboundInterceptor,
)

with workflow.unsafe.imports_passed_through():
    import structlog

    from migration.correlation import CORRELATION_HEADER, fit_correlation_id
    from migration.memo import CORRELATION_ID

Leaving = TypeVar("Leaving", StartActivityInput, StartChildWorkflowInput, ContinueAsNewInput)


def correlation() -> str:
    """The id that came from a parent or from the run before, else the one in the memo, else the workflow's own."""
    info = workflow.info()
    if CORRELATION_HEADER in info.headers:
        return PayloadConverter.default.from_payload(info.headers[CORRELATION_HEADER], str)
    return fit_correlation_id(workflow.memo_value(CORRELATION_ID, default=None)) or info.workflow_id


def say_whose() -> None:
    """Let every log line of this task, and of those that it creates, carry the correlation id."""
    structlog.contextvars.bind_contextvars(correlation_id=correlation())


class Correlation(Interceptor):
    """Stands in front of every workflow."""

    def workflow_interceptor_class(self, input: WorkflowInterceptorClassInput) -> type[WorkflowInboundInterceptor]:  # noqa: A002, ARG002  the SDK's signature
        """See to it inside the workflow."""
        return _SaysWhose


class _SaysWhose(WorkflowInboundInterceptor):
    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        super().init(_TellsWhose(outbound))

    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:  # noqa: A002  the SDK's signature
        say_whose()
        return await super().execute_workflow(input)

    async def handle_signal(self, input: HandleSignalInput) -> None:  # noqa: A002  the SDK's signature
        say_whose()
        await super().handle_signal(input)

    async def handle_update_handler(self, input: HandleUpdateInput) -> Any:  # noqa: A002  the SDK's signature
        say_whose()
        return await super().handle_update_handler(input)


class _TellsWhose(WorkflowOutboundInterceptor):
    def start_activity(self, input: StartActivityInput) -> workflow.ActivityHandle[Any]:  # noqa: A002  the SDK's signature
        return super().start_activity(_telling(input))

    async def start_child_workflow(self, input: StartChildWorkflowInput) -> workflow.ChildWorkflowHandle[Any, Any]:  # noqa: A002  the SDK's signature
        return await super().start_child_workflow(_telling(input))

    def continue_as_new(self, input: ContinueAsNewInput) -> NoReturn:  # noqa: A002  the SDK's signature
        super().continue_as_new(_telling(input))


def _telling(leaving: Leaving) -> Leaving:
    told = PayloadConverter.default.to_payload(correlation())
    return replace(leaving, headers={**leaving.headers, CORRELATION_HEADER: told})
