"""A trace through Temporal: the SDK's own interceptor, with the migration's steps, and as an operator wants to read it.

Of the SDK's two ways it is the older one: its spans leave when a thing happens, not when the workflow ends, which for
a migration may be weeks later. Two names of the SDK's that are used here are not public; its version is pinned, and
`tests/workflows/test_migration_traced.py` would see them go.
"""

import asyncio
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import structlog
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    Status,
    StatusCode,
    format_span_id,
    format_trace_id,
    get_current_span,
    set_span_in_context,
)
from temporalio import workflow
from temporalio.contrib.opentelemetry import TracingInterceptor, TracingWorkflowInboundInterceptor
from temporalio.contrib.opentelemetry._context import attached_context
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory, FailureError
from temporalio.worker import (
    ActivityInboundInterceptor,
    ContinueAsNewInput,
    ExecuteActivityInput,
    ExecuteWorkflowInput,
    HandleSignalInput,
    HandleUpdateInput,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowOutboundInterceptor,
)

from adapters.tracing.leaving import FOUND_NOTHING, OUR_CONTEXT, KeptSpans
from migration.tracing import STRETCH, Stretch

_SCOPE = InstrumentationScope("migrator")
_BEGIN = "migrator_begin_trace"


def ids() -> dict[str, str]:
    """The current trace and span, for log lines; nothing where there is none."""
    context = get_current_span().get_span_context()
    if not context.is_valid:
        return {}
    return {"trace_id": format_trace_id(context.trace_id), "span_id": format_span_id(context.span_id)}


class TracedMigrations(TracingInterceptor):
    """For a client, and the workers on it."""

    def __init__(self, provider: TracerProvider, kept: KeptSpans) -> None:
        """`kept` gets the spans of stretches, which are made whole at their end."""
        super().__init__(provider.get_tracer(_SCOPE.name), always_create_workflow_spans=True)
        self._provider = provider
        self._kept = kept

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002  the SDK's signature
        """Stand behind the SDK's own, within the attempt's span."""
        return super().intercept_activity(_Attempt(next))

    def workflow_interceptor_class(
        self,
        input: WorkflowInterceptorClassInput,  # noqa: A002  the SDK's signature
    ) -> type[TracingWorkflowInboundInterceptor]:
        """Let workflows tell of stretches."""
        super().workflow_interceptor_class(input)
        input.unsafe_extern_functions.update({STRETCH: self._stretch, _BEGIN: self._begin})
        return _InWorkflow

    def _begin(self, run_id: str) -> dict[str, str]:
        """The trace of a migration that was started without one, as by the `temporal` CLI: the same at each replay."""
        seed = hashlib.sha256(run_id.encode()).hexdigest()
        sampled = self._provider.sampler.should_sample(None, int(seed[:32], 16), "migration").decision
        return {"traceparent": f"00-{seed[:32]}-{seed[32:48]}-{int(sampled is Decision.RECORD_AND_SAMPLE):02x}"}

    @contextmanager
    def _stretch(self, stretch: Stretch) -> Iterator[None]:
        """Let what happens meanwhile belong to a span that is sent at its end, by whichever worker sees that.

        Its id follows from what it is, so that the runs and replays before its end say the same one.
        """
        parent = get_current_span().get_span_context()
        key = f"{format_trace_id(parent.trace_id)}/{format_span_id(parent.span_id)}/{stretch.name}/{stretch.began}"
        span_id = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8])
        own = SpanContext(parent.trace_id, span_id, is_remote=False, trace_flags=parent.trace_flags)
        status, outcome = Status(StatusCode.UNSET), "done"
        with attached_context(set_span_in_context(NonRecordingSpan(own))):
            try:
                yield
            except FailureError as error:
                status, outcome = Status(StatusCode.ERROR, str(error.__cause__ or error)), "failed"
                raise
            except (asyncio.CancelledError, Exception):
                outcome = "interrupted"
                raise
            except BaseException:  # it goes on in the next run
                outcome = ""
                raise
            finally:
                if outcome and not workflow.unsafe.is_replaying():  # nor while the worker forgets the workflow
                    self._kept.hand_on([self._whole(stretch, own, parent, status, outcome)])

    def _whole(
        self, stretch: Stretch, own: SpanContext, parent: SpanContext, status: Status, outcome: str
    ) -> ReadableSpan:
        known = structlog.contextvars.get_contextvars()
        of_it = {"migration_id": workflow.info().workflow_id, "correlation_id": known.get("correlation_id", "")}
        return ReadableSpan(
            name=stretch.name,
            context=own,
            parent=parent if parent.is_valid else None,
            resource=self._provider.resource,
            attributes={**of_it, **stretch.facts, "outcome": outcome},
            status=status,
            start_time=int(stretch.began.timestamp() * 1e9),
            end_time=workflow.time_ns(),
            instrumentation_scope=_SCOPE,
        )


class _Attempt(ActivityInboundInterceptor):
    """Says of an attempt's span what the log lines of the attempt say, and of these which trace they belong to."""

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002  the SDK's signature
        span = get_current_span()
        structlog.contextvars.bind_contextvars(**ids())
        try:
            return await super().execute_activity(input)
        except ApplicationError as error:
            span.set_attribute(FOUND_NOTHING, error.category is ApplicationErrorCategory.BENIGN)
            raise
        finally:
            known = structlog.contextvars.get_contextvars()
            span.set_attributes({name: known[name] for name in OUR_CONTEXT if name in known})


class _InWorkflow(TracingWorkflowInboundInterceptor):
    """Keeps every run in the trace of the first, and lets log lines name it."""

    def __init__(self, next: WorkflowInboundInterceptor) -> None:  # noqa: A002  the SDK's signature
        super().__init__(_NamesTrace(next))

    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        super().init(_KeepsTrace(outbound, self))

    def own_trace(self) -> dict[str, Any]:
        """The header by which the next run belongs to this one's trace."""
        return dict(self._context_carrier_to_headers(self._load_workflow_context_carrier() or {}, {}))

    def _load_workflow_context_carrier(self) -> Any:
        """The SDK's own way to a workflow's trace, which every span of it begins with; never without one here."""
        carrier = super()._load_workflow_context_carrier()
        if not carrier:
            begin = workflow.extern_functions()[_BEGIN]
            carrier = self._workflow_context_carrier = begin(workflow.info().first_execution_run_id)
        return carrier


class _KeepsTrace(WorkflowOutboundInterceptor):
    def __init__(self, next: WorkflowOutboundInterceptor, inbound: _InWorkflow) -> None:  # noqa: A002  the SDK's signature
        super().__init__(next)
        self._inbound = inbound

    def continue_as_new(self, input: ContinueAsNewInput) -> NoReturn:  # noqa: A002  the SDK's signature
        # The SDK would put the next run below the step in which this one ends.
        input.headers = {**input.headers, **self._inbound.own_trace()}
        super().continue_as_new(input)


class _NamesTrace(WorkflowInboundInterceptor):
    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:  # noqa: A002  the SDK's signature
        structlog.contextvars.bind_contextvars(**ids())
        return await super().execute_workflow(input)

    async def handle_signal(self, input: HandleSignalInput) -> None:  # noqa: A002  the SDK's signature
        structlog.contextvars.bind_contextvars(**ids())
        await super().handle_signal(input)

    async def handle_update_handler(self, input: HandleUpdateInput) -> Any:  # noqa: A002  the SDK's signature
        structlog.contextvars.bind_contextvars(**ids())
        return await super().handle_update_handler(input)
