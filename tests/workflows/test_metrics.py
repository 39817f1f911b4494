"""What workflows count: each thing once, however often their code is continued and replayed."""

import ast
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeGuard, get_args

import pytest_asyncio
from temporalio.client import WorkflowHistory
from temporalio.runtime import MetricBuffer, Runtime, TelemetryConfig

from activities.lags import LagsSeen
from migration import metrics
from migration.metrics import METRICS, Metric
from migration.ports import Delivery
from migration.status import Phase
from starter.census import Census
from tests.workflows.record_histories import HISTORIES
from tests.workflows.stage import Migration, Stage, replayer, set_up, until
from tests.workflows.worlds import World
from workflows.saga import Undo

WORKFLOW_FILES = sorted(Path(__file__).parents[2].joinpath("workflows").glob("*.py"))
RECORDED = HISTORIES / "rollback-incomplete-retried-3.json"

_OURS = {metric.name: metric for metric in METRICS}


class Measured:
    """A stage, and what the workflows on it have counted."""

    def __init__(self, stage: Stage, runtime: Runtime, buffer: MetricBuffer) -> None:
        self.stage = stage
        self.meter = runtime.metric_meter
        self._buffer = buffer
        self._latest: dict[tuple[str, ...], float] = {}
        self._found: defaultdict[str, Counter[tuple[str, ...]]] = defaultdict(Counter)

    def _drain(self) -> None:
        for update in self._buffer.retrieve_updates():
            if metric := _OURS.get(update.metric.name):
                labels = tuple(str(update.attributes[label]) for label in metric.labels)
                self._found[metric.name][labels] += 1
                self._latest[metric.name, *labels] = update.value

    def of(self, metric: Metric) -> dict[tuple[str, ...], int]:
        """How often, by the values of its labels."""
        self._drain()
        return dict(self._found[metric.name])

    def value(self, metric: Metric, *labels: str) -> float:
        """What was said last."""
        self._drain()
        return self._latest[metric.name, *labels]


@pytest_asyncio.fixture(loop_scope="session")
async def measured(temporal_address: str, compiled_once: None) -> AsyncIterator[Measured]:
    buffer = MetricBuffer(100_000)
    runtime = Runtime(telemetry=TelemetryConfig(metrics=buffer))
    async with set_up(temporal_address, runtime=runtime) as stage:
        yield Measured(stage, runtime, buffer)


async def a_long_way(stage: Stage) -> Migration:
    """A callback that is given up, an undo that fails, a refused decision, the gate again, and then the end."""
    gone = Delivery(outcome="gone", status=410, error="410 Gone")
    world = World(deliveries=[Delivery(outcome="delivered"), gone])
    world.fail("await_job")
    world.fail("restore_sources")
    migration = await stage.start_light(world, callbackUrl="https://hooks.example.com/migrations")
    await migration.refuses("commit")
    await migration.approve()
    await migration.stands(Phase.ROLLBACK_INCOMPLETE, "undo")
    await migration.decide("retry")
    await migration.approve()
    await migration.ends()
    return migration


async def test_each_thing_is_counted_once_though_the_migration_is_continued_as_new(measured: Measured) -> None:
    migration = await a_long_way(measured.stage)
    assert len(await migration.histories()) > 1
    assert measured.of(metrics.STARTED) == {(): 1}
    assert measured.of(metrics.ENDED_AS) == {("COMPLETED",): 1}
    assert measured.of(metrics.ROLLBACKS) == {("ready", "false"): 1}
    assert measured.of(metrics.UNDO_FAILURES) == {("restoreSource",): 1}
    assert measured.of(metrics.ASKED) == {("approve", "false"): 2, ("undo", "false"): 1}
    made = {("commit", "refused"): 1, ("approve", "taken"): 2, ("retry", "taken"): 1}
    assert measured.of(metrics.DECISIONS_MADE) == made
    steps = measured.of(metrics.STEP_DURATION)
    assert steps["cutover", "failed"] == steps["cutover", "done"] == steps["finalize", "done"] == 1
    assert measured.of(metrics.DOWNTIME) == {("source",): 1, ("target",): 1}
    dead = len((await migration.callbacks()).dead)
    await until(lambda: measured.of(metrics.DEAD_LETTERS) == {(): dead}, "every dead letter is counted")
    assert measured.of(metrics.DELIVERIES) == {("delivered",): 1, ("gone",): 1}


async def test_a_request_that_is_refused_has_started_and_failed(measured: Measured) -> None:
    migration = await measured.stage.start_with("mig-bad-1", {"migrationId": "mig-bad-1"})
    await migration.fails()
    assert measured.of(metrics.STARTED) == {(): 1}
    assert measured.of(metrics.ENDED_AS) == {("FAILED",): 1}


async def test_the_census_finds_who_waits_and_since_when(measured: Measured) -> None:
    migration = await measured.stage.start_light()
    status = await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    census = Census(measured.stage.client, measured.meter, LagsSeen())

    async def is_found() -> bool:
        await census.take()
        return measured.value(metrics.WAITING, Phase.AWAITING_APPROVAL) >= 1

    await until(is_found, "the census finds a migration that waits")
    waits = datetime.now(UTC) - status.updated
    assert measured.value(metrics.MIGRATIONS, Phase.AWAITING_APPROVAL) >= 1
    assert measured.value(metrics.DECISION_WAIT, Phase.AWAITING_APPROVAL) >= waits.total_seconds() - 1
    empty = [phase for phase in metrics.RUNNING if measured.value(metrics.MIGRATIONS, phase) == 0]
    assert [phase for phase in empty if measured.value(metrics.PHASE_AGE, phase) != 0] == []
    assert measured.value(metrics.CENSUS_TIME) <= datetime.now(UTC).timestamp()
    assert {labels for metric in (metrics.WAITING, metrics.MIGRATIONS) for labels in measured.of(metric)} == {
        (phase,) for phase in metrics.RUNNING
    }


async def test_a_replay_counts_nothing() -> None:
    buffer = MetricBuffer(100_000)
    runtime = Runtime(telemetry=TelemetryConfig(metrics=buffer))
    history = WorkflowHistory.from_json("mig-replayed", RECORDED.read_text())
    await replayer(runtime=runtime).replay_workflow(history)
    assert not {update.metric.name for update in buffer.retrieve_updates()} & _OURS.keys()


def test_the_kinds_of_undo_that_begin_at_0_are_those_that_there_are() -> None:
    union = get_args(get_args(Undo)[0])
    assert {kind.model_fields["kind"].default for kind in union} == set(metrics.UNDOS)


def test_labels_never_name_a_migration() -> None:
    assert all(name != "migration_id" for metric in METRICS for name in metric.labels)


def test_the_questions_that_begin_at_0_are_those_that_workflows_ask() -> None:
    calls = [node for path in WORKFLOW_FILES for node in ast.walk(ast.parse(path.read_text())) if is_awaiting(node)]
    asked = {word.value.value for call in calls for word in call.keywords if word.arg == "what"}
    assert asked == set(metrics.QUESTIONS)


def is_awaiting(node: ast.AST) -> TypeGuard[Any]:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Awaiting"
