"""Traces: off and free unless they are asked for; what leaves holds no secret, and nothing that nobody looks for."""

import io
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import httpx
import pytest
import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.botocore import BotocoreInstrumentor
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.instrumentation.utils import unwrap
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler
from opentelemetry.trace import SpanKind, Tracer
from pyVmomi import SoapStubAdapter

from adapters import tracing
from adapters.aws import AwsSessions, aws_call
from adapters.tracing.leaving import FOUND_NOTHING, KeptSpans, LeavingSpans
from adapters.tracing.setup import instrument
from adapters.tracing.temporal import TracedMigrations
from adapters.vcenter import VCenter
from migration.correlation import trace_id
from migration.errors import MigrationError, PrerequisiteError
from migration.settings import Connection, traces_are_wanted
from migration.telemetry import configure_logging
from tests.fakes.collector import Collector, a_collector

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
SECRETS = {
    "authorization": "Authorization: Basic aHVudGVyMjpodW50ZXIy",
    "url": "https://operator:hunter2@hooks.example.com/services/T0/hunter2?token=hunter2",
    "password": "hunter2",
    "error": 'refused: {"password": "hunter2"} AWS_SESSION_TOKEN=hunter2/hunter2+x',
}


@pytest.fixture(autouse=True)
def nobody_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with a_collector() as collector:
        yield collector


@pytest.fixture
def provider(collector: Collector) -> Iterator[TracerProvider]:
    provider = TracerProvider(shutdown_on_exit=False)
    exporter = LeavingSpans(OTLPSpanExporter(f"{collector.url}/v1/traces"))
    provider.add_span_processor(KeptSpans(SimpleSpanProcessor(exporter)))
    yield provider
    provider.shutdown()


@pytest.fixture
def tracer(provider: TracerProvider) -> Tracer:
    return provider.get_tracer("tests")


@pytest.fixture
def instrumented(provider: TracerProvider) -> Iterator[None]:
    instrument(provider)
    yield
    BotocoreInstrumentor().uninstrument()  # type: ignore[no-untyped-call]
    HTTPXClientInstrumentor().uninstrument()
    unwrap(SoapStubAdapter, "InvokeMethod")


# --- on and off --------------------------------------------------------------------------------------------------


def test_a_process_that_nobody_asked_for_traces_imports_nothing_of_them() -> None:
    program = (
        "import sys, worker, starter.cli\n"
        "from adapters import tracing\n"
        "assert tracing.interceptors() == []\n"
        "with tracing.taken_from_queue('message-1', None): tracing.close()\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({}, False),
        ({ENDPOINT: "http://127.0.0.1:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({ENDPOINT: "http://127.0.0.1:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({ENDPOINT: "http://127.0.0.1:4318", "OTEL_SDK_DISABLED": "true"}, False),
    ],
)
def test_the_standard_variables_ask_for_traces(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], *, wanted: bool
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert traces_are_wanted() is wanted


def test_an_exporter_that_there_is_not_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "zipkin")
    with pytest.raises(PrerequisiteError, match="OTLP alone, not by zipkin"):
        traces_are_wanted()


def test_an_installation_without_the_extra_says_which_one_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:4318")
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    for name in [name for name in sys.modules if name.startswith(("opentelemetry.", "adapters.tracing."))]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(PrerequisiteError, match="opentelemetry is not installed") as refused:
        tracing.tracing.__wrapped__()
    assert "migrator[telemetry]" in str(refused.value.action)


@pytest.mark.parametrize(("sampler", "flags"), [(ALWAYS_ON, "01"), (ALWAYS_OFF, "00")])
def test_a_migration_that_nobody_traced_before_is_sampled_like_any_other(sampler: Sampler, flags: str) -> None:
    provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
    traced = TracedMigrations(provider, KeptSpans(SimpleSpanProcessor(InMemorySpanExporter())))
    begun = traced._begin("run-1")
    assert begun == traced._begin("run-1") != traced._begin("run-2")
    assert begun["traceparent"].endswith(f"-{flags}")
    assert trace_id(begun["traceparent"])


# --- what is held back -------------------------------------------------------------------------------------------


def test_a_look_that_found_nothing_is_not_sent_and_one_that_did_is_with_its_calls(
    tracer: Tracer, collector: Collector
) -> None:
    for found_nothing in (True, False):
        with tracer.start_as_current_span("look", kind=SpanKind.SERVER) as look:
            with tracer.start_as_current_span(f"call of {found_nothing}", kind=SpanKind.CLIENT):
                pass
            look.set_attribute(FOUND_NOTHING, found_nothing)
    assert [span.name for span in collector.spans] == ["call of False", "look"]


def test_polls_and_questions_are_not_sent(tracer: Tracer, collector: Collector) -> None:
    for name in ("SQS.ReceiveMessage", "QueryWorkflow:status"):
        with tracer.start_as_current_span(name, kind=SpanKind.CLIENT):
            pass
    with tracer.start_as_current_span("StartWorkflow:M", kind=SpanKind.CLIENT, attributes={"temporalWorkflowID": "m"}):
        pass
    assert [span.name for span in collector.spans] == ["StartWorkflow:M"]
    assert collector.spans[0].attributes["migration_id"] == "m"


def test_a_span_says_what_the_log_lines_beside_it_say(tracer: Tracer, collector: Collector) -> None:
    known = {"migration_id": "mig-a", "correlation_id": "corr-1", "step": "cutover", "attempt": 2, "password": "x"}
    with structlog.contextvars.bound_contextvars(**known), tracer.start_as_current_span("act"):
        pass
    del known["password"]
    assert collector.spans[0].attributes == known


# --- secrets -----------------------------------------------------------------------------------------------------


def test_no_secret_leaves_in_attributes_errors_or_events(tracer: Tracer, collector: Collector) -> None:
    words = {
        "http.url": SECRETS["url"].replace("/hunter2", ""),
        "said": SECRETS["authorization"],
        "db.password": "hunter2",
    }
    with suppress(ValueError), tracer.start_as_current_span("act", attributes=words) as span:
        span.add_event("refused", {"why": SECRETS["error"]})
        raise ValueError(SECRETS["error"])
    (got,) = collector.spans
    assert got.failed
    assert b"ValueError: refused" in got.raw
    assert b"hunter2" not in got.raw
    assert b"aHVudGVy" not in got.raw
    assert got.attributes["http.url"] == "https://hooks.example.com/services/T0"


@pytest.mark.usefixtures("instrumented")
async def test_of_an_address_that_a_request_names_the_host_is_told_alone(collector: Collector, tracer: Tracer) -> None:
    with tracer.start_as_current_span("act"):
        async with httpx.AsyncClient(trust_env=False) as client:
            await client.post(f"{collector.url}/services/hunter2?token=hunter2", headers={"Authorization": "hunter2"})
    call, act = collector.spans
    assert call.attributes["http.url"] == collector.url
    assert b"hunter2" not in call.raw
    assert (call.parent_id, call.trace_id) == (act.span_id, act.trace_id)


@pytest.mark.usefixtures("instrumented")
def test_calls_of_aws_and_of_vcenter_are_told_by_their_names(
    collector: Collector, tracer: Tracer, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = f"http://127.0.0.1:{_free_port()}"
    for name, value in {
        "AWS_ENDPOINT_URL": nobody,
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "hunter2",
    }.items():
        monkeypatch.setenv(name, value)
    vcenter = VCenter(Connection(url=nobody, username="migrator", password="hunter2"))
    with tracer.start_as_current_span("act"):
        with suppress(MigrationError), aws_call("GetSecretValue"):
            AwsSessions("eu-central-1").client("secretsmanager", once=True).get_secret_value(SecretId="migrator/a")
        with suppress(MigrationError):
            vcenter.find("a-machine")
    of_aws, of_vcenter = (
        collector.named("Secrets Manager.GetSecretValue"),
        collector.named("vCenter.RetrieveServiceContent"),
    )
    assert [span.failed for span in (of_aws[0], of_vcenter[0])] == [True, True]
    assert not [span for span in collector.spans if b"hunter2" in span.raw or b"AKIA" in span.raw]


# --- a collector that is away ------------------------------------------------------------------------------------


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def log() -> Iterator[io.StringIO]:
    root, written = logging.getLogger(), io.StringIO()
    before = root.handlers[:], root.level
    configure_logging("INFO", written)
    try:
        yield written
    finally:
        root.handlers[:], root.level = before
        structlog.reset_defaults()


def test_a_collector_that_is_away_holds_nobody_up_and_is_spoken_of_once() -> None:
    exporter = LeavingSpans(OTLPSpanExporter(f"http://127.0.0.1:{_free_port()}/v1/traces", timeout=0.2))
    batch = BatchSpanProcessor(exporter, max_queue_size=100, max_export_batch_size=50)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(KeptSpans(batch))
    with log() as written:
        began = time.monotonic()
        for _ in range(1000):
            with provider.get_tracer("tests").start_as_current_span("act"):
                pass
        assert time.monotonic() - began < 5
        batch.force_flush()
        assert len(batch._batch_processor._queue) == 0
    assert written.getvalue().count("\n") == 1
    assert "traces cannot be sent" in written.getvalue()
    provider.shutdown()
