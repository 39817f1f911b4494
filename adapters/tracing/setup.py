"""The provider of this process's spans, and what is instrumented: AWS, HTTP and vCenter calls."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import structlog
from opentelemetry import propagate
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.botocore import BotocoreInstrumentor
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor, RequestInfo
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Tracer
from pyVmomi import SoapStubAdapter
from wrapt import wrap_function_wrapper

from adapters.tracing.leaving import URLS, KeptSpans, LeavingSpans, without_path
from adapters.tracing.temporal import TracedMigrations, ids

_LAST_SPANS_MS = 2000
"""How long a process that ends waits for its collector."""


class Tracing:
    """The traces of this process."""

    def __init__(self, provider: TracerProvider, kept: KeptSpans, batch: BatchSpanProcessor) -> None:
        """Everything is set up already."""
        self._tracer = provider.get_tracer("migrator")
        self._batch = batch
        self.interceptor = TracedMigrations(provider, kept)

    @contextmanager
    def taken_from_queue(self, message_id: str, traceparent: str | None) -> Iterator[None]:
        """Work on a message; what fails is told, and goes on to the caller."""
        before = propagate.extract({"traceparent": traceparent} if traceparent else {})
        facts = {
            "messaging.system": "aws_sqs",
            "messaging.operation.type": "process",
            "messaging.message.id": message_id,
        }
        with (
            self._tracer.start_as_current_span("take request", before, SpanKind.CONSUMER, facts),
            structlog.contextvars.bound_contextvars(**ids()),
        ):
            yield

    def close(self) -> None:
        """Let the last spans leave, for a short time."""
        # The public way waits half a minute for a collector that is not there.
        self._batch._batch_processor.shutdown(_LAST_SPANS_MS)  # noqa: SLF001


def begin() -> Tracing:
    """Set everything up, as OpenTelemetry's variables say: once in a process."""
    batch = BatchSpanProcessor(LeavingSpans(OTLPSpanExporter()))
    kept = KeptSpans(batch)
    provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
    provider.add_span_processor(kept)
    instrument(provider)
    return Tracing(provider, kept, batch)


def instrument(provider: TracerProvider) -> None:
    """Let the libraries that call other systems tell of each call."""
    BotocoreInstrumentor().instrument(tracer_provider=provider)  # type: ignore[no-untyped-call]
    HTTPXClientInstrumentor().instrument(tracer_provider=provider, async_request_hook=_without_path)
    wrap_function_wrapper(SoapStubAdapter, "InvokeMethod", _Soap(provider.get_tracer("migrator.vcenter")))


def _resource() -> Resource:
    """Who sends the spans; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES go before."""
    ours = Resource({SERVICE_NAME: "migrator", SERVICE_VERSION: version("migrator")})
    said = Resource.create()
    if str(said.attributes[SERVICE_NAME]).startswith("unknown_service"):
        return said.merge(ours)
    return ours.merge(said)


async def _without_path(span: Span, request: RequestInfo) -> None:
    """What requests name (callbacks, hooks, health checks) may have a secret in its path, as some webhooks do."""
    for name in URLS & set(getattr(span, "attributes", {})):
        span.set_attribute(name, without_path(str(request.url)))


class _Soap:
    """Calls of vCenter by their names; what they say stays unsaid: one of them is the login."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def __call__(self, invoke: Any, _stub: Any, args: Any, kwargs: Any) -> Any:
        facts = {"rpc.system": "soap", "rpc.service": "vcenter", "rpc.method": args[1].wsdlName}
        name = f"vCenter.{args[1].wsdlName}"
        with self._tracer.start_as_current_span(name, kind=SpanKind.CLIENT, attributes=facts):
            return invoke(*args, **kwargs)
