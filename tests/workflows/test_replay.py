"""Recorded histories replay: a new version can go on with the migrations that are under way.

When one does not, the change breaks them: patch it (`workflow.patched`), or end them before it is deployed and
record anew with `python -m tests.workflows.record_histories`.
"""

import json

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from temporalio.client import WorkflowHistory
from temporalio.worker import Interceptor
from temporalio.workflow import NondeterminismError

from adapters.tracing.leaving import KeptSpans
from adapters.tracing.temporal import TracedMigrations
from tests.workflows.record_histories import HISTORIES, STORIES, name_of
from tests.workflows.stage import WORKFLOWS, replayer
from workflows.correlation import Correlation

RECORDED = {path.stem: path.read_text() for path in sorted(HISTORIES.glob("*.json"))}


async def replay(story: str, text: str, *first: Interceptor) -> None:
    await replayer(WORKFLOWS, *first, Correlation()).replay_workflow(WorkflowHistory.from_json(f"mig-{story}", text))


@pytest.mark.parametrize("name", RECORDED)
async def test_a_history_of_workers_that_did_not_trace_replays_where_one_does_and_sends_no_span_again(
    name: str,
) -> None:
    sent, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(kept := KeptSpans(SimpleSpanProcessor(sent)))
    await replay(story_of(name), RECORDED[name], TracedMigrations(provider, kept))
    assert sent.get_finished_spans() == ()


@pytest.mark.parametrize("name", [name for name in RECORDED if name.startswith("happy-path")])
async def test_a_recorded_history_replays_without_traces(name: str) -> None:
    await replay(story_of(name), RECORDED[name])


async def test_a_history_that_went_another_way_does_not_replay() -> None:
    recorded = json.loads(RECORDED["happy-path-3"])
    for event in recorded["events"]:
        scheduled = event.get("activityTaskScheduledEventAttributes", {})
        if scheduled.get("activityType", {}).get("name") == "shut_down_sources":
            scheduled["activityType"]["name"] = "start_cutover"
    with pytest.raises(NondeterminismError):
        await replay("happy-path", json.dumps(recorded))


def test_every_story_has_a_history_of_its_own() -> None:
    assert {story_of(name) for name in RECORDED} == {name_of(story) for story in STORIES}


def story_of(name: str) -> str:
    return name.rsplit("-", 1)[0]
