"""A migration in one trace: from what asked for it, through its runs, steps and attempts, to its callbacks."""

import json
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import pytest
import pytest_asyncio
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from temporalio.exceptions import ApplicationError

from activities.telemetry import LogContext
from adapters.tracing.leaving import KeptSpans, LeavingSpans
from adapters.tracing.setup import Tracing
from migration.correlation import Origin
from starter.client import Migrations
from tests.fakes.collector import Collector, GotSpan, a_collector
from tests.workflows.migration_requests import ALL_STEPS, a_request
from tests.workflows.record_histories import CALLBACKS
from tests.workflows.stage import Migration, Stage, set_up, until
from tests.workflows.worlds import World, looked_in_vain
from workflows.callbacks import callbacks_id
from workflows.correlation import Correlation

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with a_collector() as collector:
        yield collector


@pytest.fixture(scope="module")
def traced(collector: Collector) -> Iterator[Tracing]:
    batch = BatchSpanProcessor(LeavingSpans(OTLPSpanExporter(f"{collector.url}/v1/traces")), schedule_delay_millis=100)
    kept = KeptSpans(batch)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(kept)
    traced = Tracing(provider, kept, batch)
    yield traced
    traced.close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def traced_stage(temporal_address: str, compiled_once: None, traced: Tracing) -> AsyncIterator[Stage]:
    ours = [LogContext(), Correlation()]
    async with set_up(
        temporal_address, client_interceptors=[traced.interceptor], interceptors=ours, max_cached_workflows=0
    ) as stage:
        yield stage


async def test_a_migration_is_one_trace_from_its_message_to_its_end(
    traced_stage: Stage, traced: Tracing, collector: Collector
) -> None:
    migration_id, world = f"mig-{uuid.uuid4().hex[:12]}", World()
    traced_stage.world(migration_id, world)
    world.fail("start_cutover", ApplicationError("MGN was busy", type="Unavailable"))
    world.fail("await_replication", looked_in_vain("lag", timedelta(milliseconds=10)))
    migrations = Migrations(traced_stage.client, traced_stage.task_queue)
    with traced.taken_from_queue("message-1", TRACEPARENT):
        await migrations.start(json.dumps(a_request(migration_id, **CALLBACKS)), origin=Origin(traceparent=TRACEPARENT))
    handle = traced_stage.client.get_workflow_handle(migration_id)
    migration = Migration(migration_id, world, handle, traced_stage.client)
    for failing in ("await_replication", "start_cutover"):
        await migration.is_reached(failing)
        await migration.has_missed_an_attempt()
        world.repair(failing)
        if failing == "await_replication":
            await migration.approve()
    await migration.ends()
    await traced_stage.client.get_workflow_handle(callbacks_id(migration_id)).result()
    await until(lambda: collector.named("CompleteWorkflow:CallbackWorkflow"), "the last span is sent")
    spans = collector.trace(TRACE)

    assert {span.attributes.get("migration_id", "").removeprefix("callbacks/").split("/")[0] for span in spans} == {
        migration_id,
        "",
    }
    (taken,) = collector.named("take request")
    assert taken.parent_id == PARENT
    (started,) = collector.named("StartWorkflow:MigrationWorkflow")
    assert started.parent_id == taken.span_id

    runs = collector.named("RunWorkflow:MigrationWorkflow")
    assert len(runs) > 1
    steps = [span for span in spans if span.name.startswith("step ")]
    assert [step.name for step in steps] == [f"step {name}" for name in ALL_STEPS]
    assert {span.parent_id for span in (*runs, *steps)} == {started.span_id}
    assert {step.attributes["outcome"] for step in steps} == {"done"}
    assert {step.attributes["correlation_id"] for step in steps} == {TRACE}

    cutover = next(step for step in steps if step.name == "step cutover")
    (asked,) = [span for span in spans if span.name == "StartActivity:start_cutover"]
    assert asked.parent_id == cutover.span_id
    *failed, done = [span for span in spans if span.name == "RunActivity:start_cutover"]
    assert {(span.failed, span.parent_id) for span in failed} == {(True, asked.span_id)}
    assert (done.failed, done.parent_id) == (False, asked.span_id)
    assert [span.attributes["attempt"] for span in (*failed, done)] == list(range(1, len(failed) + 2))
    facts = {name: done.attributes[name] for name in ("migration_id", "correlation_id", "step", "entry", "activity")}
    assert facts == {
        "migration_id": migration_id,
        "correlation_id": TRACE,
        "step": "cutover",
        "entry": 1,
        "activity": "start_cutover",
    }
    looks = [span for span in spans if span.name == "RunActivity:await_replication"]
    assert [look.attributes["attempt"] > 1 for look in looks] == [True, False], "a look that found nothing was sent"
    assert_no_span_is_an_orphan(spans)
    attempts = [span for span in spans if span.name.startswith("RunActivity:")]
    assert {span.attributes["correlation_id"] for span in attempts} == {TRACE}
    assert {span.attributes["activity"] for span in attempts} >= {"deliver_callback", "save_state", "claim_migration"}


def assert_no_span_is_an_orphan(spans: list[GotSpan]) -> None:
    known = Counter(span.span_id for span in spans)
    assert set(known.values()) == {1}
    orphans = {span.name for span in spans if span.parent_id not in {*known, PARENT}}
    assert orphans == set()


async def test_a_rollback_and_the_step_that_led_to_it_are_in_the_trace(
    traced_stage: Stage, collector: Collector
) -> None:
    world = World()
    world.fail("await_health", ApplicationError("503", type="VerificationError", non_retryable=True), call=2)
    migration = await traced_stage.start(world, rollback={"to": "start"}, correlationId="ticket-7")
    await migration.approve()
    await migration.ends()

    def of_it() -> list[GotSpan]:
        return [span for span in collector.spans if span.attributes.get("migration_id") == migration.migration_id]

    await until(lambda: [span for span in of_it() if span.name == "rollback"], "the rollback is sent")
    spans = of_it()
    (verify,) = [span for span in spans if span.name == "step verify"]
    (rollback,) = [span for span in spans if span.name == "rollback"]
    assert (verify.failed, verify.attributes["outcome"]) == (True, "failed")
    undone = [span.name for span in spans if span.parent_id == rollback.span_id]
    assert "StartActivity:fence_targets" in undone
    assert {span.attributes["correlation_id"] for span in spans if span.name.startswith("RunActivity:")} == {"ticket-7"}
    assert verify.trace_id == rollback.trace_id
