"""What Temporal's operators may do to a migration: reset it, swap its workers, flood it while it continues as new."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar
from unittest.mock import patch

import pytest
from temporalio import workflow
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import WorkflowExecutionStatus, WorkflowHistory, WorkflowUpdateFailedError
from temporalio.common import RawValue
from temporalio.workflow import NondeterminismError

from migration import policies
from migration.decisions import DecisionAnswer
from migration.findings import Finding, Severity
from migration.status import DecisionRecord, MigrationResult, Phase, Side
from migration.steps import Step
from tests.workflows.migration_requests import APPROVER, OTHER_APPROVER
from tests.workflows.record_histories import HISTORIES
from tests.workflows.stage import Migration, Stage, replayer, set_up, until
from tests.workflows.test_migration_taken_over import taken_over
from tests.workflows.worlds import Hold, World
from workflows.gate import Gate
from workflows.migration import MigrationWorkflow

UNDOING = frozenset({"fence_targets", "restore_sources", "restore_records", "remove_records", "preserve_targets"})

# --- reset -------------------------------------------------------------------------------------------------------


async def reset_before(migration: Migration, activity: str) -> Migration:
    """Reset a migration to the moment before it asked for this activity; gives the run that goes on from there."""
    run, event = next(
        (history, event)
        for history in reversed(await migration.histories())
        for event in history.events
        if event.activity_task_scheduled_event_attributes.activity_type.name == activity
    )
    decided_in = event.activity_task_scheduled_event_attributes.workflow_task_completed_event_id
    await migration.client.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace=migration.client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=migration.migration_id, run_id=run_of(run)),
            reason="a test of resets",
            workflow_task_finish_event_id=decided_in,
            request_id=str(uuid.uuid4()),
        )
    )
    handle = migration.client.get_workflow_handle(migration.migration_id, result_type=MigrationResult)
    return Migration(migration.migration_id, migration.world, handle, migration.client)


def run_of(history: WorkflowHistory) -> str:
    return history.events[0].workflow_execution_started_event_attributes.original_execution_run_id


async def completes_with_each_effect_once(migration: Migration) -> None:
    """Whatever was asked for again was asked for at the same mark, by which its effect is found again."""
    result = await migration.ends()
    assert (result.status, result.served_by) == (Phase.COMPLETED, Side.TARGET)
    world = migration.world
    assert not UNDOING & set(world.calls)
    marks = {str(argument.mark) for _, argument in world.arguments if getattr(argument, "mark", None)}
    steps = ("validate", "prepare", "cutover", "switch", "soak", "decommission")
    assert marks == {f"{migration.migration_id}/1/{step}/1" for step in steps}
    assert (world.calls.count("claim_migration"), world.calls.count("finish_claim")) == (1, 1)


async def test_a_migration_that_is_reset_at_its_gate_asks_for_its_approvals_again(stage: Stage) -> None:
    both = {"approvers": [APPROVER, OTHER_APPROVER], "minimum": 2}
    migration = await stage.start_light(approval=both, cmdb=ITEMS)
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    await migration.decide("approve", APPROVER)
    look = migration.world.hold("observe_replication", call=2)
    migration = await reset_before(migration, "observe_replication")
    await look.is_reached()
    assert (await migration.status()).approvals == []
    look.release()
    await until(lambda: has_evidence(migration), "the evidence is there again")
    await migration.decide("approve", OTHER_APPROVER)
    assert (await migration.status()).phase is Phase.AWAITING_APPROVAL
    await migration.decide("approve", APPROVER)
    await completes_with_each_effect_once(migration)


async def has_evidence(migration: Migration) -> bool:
    return (await migration.status()).evidence_hash is not None


async def test_a_cutover_that_is_reset_before_its_launch_finds_the_launch_again(stage: Stage) -> None:
    world = World()
    launching = world.hold("await_job", obedient=True)
    migration = await stage.start_light(world, cmdb=ITEMS)
    await migration.approve()
    await launching.is_reached()
    migration = await reset_before(migration, "start_cutover")
    await completes_with_each_effect_once(migration)
    assert world.calls.count("start_cutover") == 2
    assert world.calls.count("shut_down_sources") == 1


async def test_a_migration_that_is_reset_behind_its_switch_switches_at_the_same_mark(stage: Stage) -> None:
    migration = await stage.start_light(cmdb=ITEMS, soak={"for": "PT0S", "end": "wait"})
    await migration.approve()
    await migration.stands(Phase.SOAKING, "commit")
    migration = await reset_before(migration, "change_records")
    await migration.is_reached("change_records", calls=2)
    await migration.is_reached("watch_health", calls=3)
    await migration.stands(Phase.SOAKING, "commit")
    await migration.decide("commit")
    await completes_with_each_effect_once(migration)


async def test_a_migration_that_is_reset_behind_its_point_of_no_return_passes_it_again(stage: Stage) -> None:
    world = World()
    archiving = world.hold("archive", obedient=True)
    migration = await stage.start_light(world, cmdb=ITEMS)
    await migration.approve()
    await archiving.is_reached()
    migration = await reset_before(migration, "finalize_cutover")
    await completes_with_each_effect_once(migration)
    assert world.calls.count("finalize_cutover") == 2


ITEMS = {
    "system": "servicenow",
    "connection": "servicenow-1",
    "items": [{"server": "billing-web-01", "id": "5f0c8a1e"}],
}

# --- termination -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", ["retry", "rollback"])
async def test_a_question_is_asked_again_by_the_run_that_takes_over(stage: Stage, answer: str) -> None:
    world = World()
    world.fail("start_cutover")
    migration = await stage.start_light(world, onFailure={"action": "pause"}, rollback={"to": "start"})
    await migration.approve()
    asked = (await migration.stands(Phase.AWAITING_DECISION, "failure")).awaiting
    migration = await taken_over(stage, migration)
    again = (await migration.stands(Phase.AWAITING_DECISION, "failure")).awaiting
    assert again == asked
    assert world.calls.count("start_cutover") == 1
    await migration.decide(answer)
    expected = Phase.COMPLETED if answer == "retry" else Phase.ROLLED_BACK
    assert (await migration.ends()).status is expected
    assert len(world.asked("start_cutover")) == (2 if answer == "retry" else 1)


# --- workers -----------------------------------------------------------------------------------------------------


async def test_a_migration_goes_on_with_newer_workers_wherever_the_older_one_stopped(stage: Stage) -> None:
    world = World()
    launching = a_hold_of_its_own(world, "start_cutover")
    async with set_up(stage.address, build_id="1") as first:
        migration = await first.start_light(world)
        await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    await migration.signal("approve", APPROVER)
    async with succeeding(first, "2"):
        await launching.is_reached()
    launching.release()
    async with succeeding(first, "3"):
        assert (await migration.ends()).status is Phase.COMPLETED
    assert await builds(migration) == ["1", "2", "3"]
    assert not UNDOING & set(world.calls)
    assert (world.calls.count("start_cutover"), world.attempts["start_cutover"]) == (1, 2)


def a_hold_of_its_own(world: World, name: str) -> Hold:
    """A hold that the end of a stage does not release, so that its worker stops in the middle of the call."""
    hold = Hold(call=1, obedient=True)
    world._holds[name] = [hold]
    return hold


def succeeding(stage: Stage, build_id: str) -> Any:
    """Another worker for the same queue and the same worlds."""
    return _Succeeding(stage, set_up(stage.address, task_queue=stage.task_queue, build_id=build_id))


class _Succeeding:
    def __init__(self, before: Stage, context: Any) -> None:
        self._before, self._context = before, context

    async def __aenter__(self) -> Stage:
        after: Stage = await self._context.__aenter__()
        after.activities.worlds = self._before.activities.worlds
        return after

    async def __aexit__(self, *error: object) -> None:
        await self._context.__aexit__(*error)


async def builds(migration: Migration) -> list[str]:
    """The builds of the workers that told the story, in order."""
    told = (
        event.workflow_task_completed_event_attributes
        for history in await migration.histories()
        for event in history.events
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
    )
    return list(dict.fromkeys(one.deployment_version.build_id or one.worker_version.build_id for one in told))


async def test_a_bug_at_the_gate_stands_still_until_a_mended_worker_comes_and_rolls_nothing_back(stage: Stage) -> None:
    migration_id = f"mig-bug-{uuid.uuid4().hex[:8]}"
    async with set_up(stage.address) as broken:
        with a_bug_in_the_gate_of(migration_id):
            migration = await broken.start_light(migrationId=migration_id)
            await until(lambda: failed_tasks(migration), "its workflow task fails")
            assert (await migration.handle.describe()).status is WorkflowExecutionStatus.RUNNING
    assert not UNDOING & set(migration.world.calls)
    async with succeeding(broken, "2"):
        await migration.approve()
        assert (await migration.ends()).status is Phase.COMPLETED
    assert not UNDOING & set(migration.world.calls)
    assert migration.world.calls.count("install_agents") == 1


@contextmanager
def a_bug_in_the_gate_of(migration_id: str) -> Iterator[None]:
    real = Gate.pass_through

    async def stumble(gate: Gate) -> None:
        if gate._request.migration_id == migration_id:
            raise RuntimeError("a bug")
        await real(gate)

    with patch.object(Gate, "pass_through", stumble):
        yield


async def failed_tasks(migration: Migration) -> bool:
    failed = EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED
    return any(event.event_type == failed for event in (await migration.histories())[-1].events)


# --- continue-as-new ---------------------------------------------------------------------------------------------

MANY = 55
CODES = [f"W_{number:02}" for number in range(MANY)]
"""One finding for each decision, so that the effect of each is seen."""


async def update(migration: Migration, code: str) -> None:
    await migration.decide("acknowledge", codes=[code], comment=code)


async def signal(migration: Migration, code: str) -> None:
    await migration.signal("acknowledge", codes=[code], comment=code)


@pytest.mark.parametrize("send", [update, signal])
async def test_decisions_sent_while_it_continues_as_new_are_taken_once_each(
    stage: Stage, send: Callable[[Migration, str], Awaitable[None]]
) -> None:
    findings = [Finding(code=code, severity=Severity.WARNING, message="known") for code in CODES]
    world = World(findings=findings)
    holds = [world.hold("install_agents"), world.hold("await_replication")]
    migration = await stage.start_light(world, warnings="ignore")
    for hold, codes in zip(holds, (CODES[:20], CODES[20:40]), strict=True):
        await hold.is_reached()
        sending = asyncio.gather(*(send(migration, code) for code in codes))
        hold.release()
        await sending
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    await asyncio.gather(*(send(migration, code) for code in CODES[40:]))
    await until(lambda: has_acknowledged_everything(migration), "every decision has had its effect")
    await taken_once_each(migration)
    await migration.decide("approve", APPROVER)
    await completes_after_two_renewals(migration)


async def test_an_update_that_is_sent_again_to_the_next_run_has_its_first_answer_and_no_second_effect(
    stage: Stage,
) -> None:
    world = World(findings=[Finding(code="W_00", severity=Severity.WARNING, message="known")])
    preparing = world.hold("install_agents")
    migration = await stage.start_light(world, warnings="ignore")
    await preparing.is_reached()
    taken, refused = {"by": "operator-1@example.com"}, {"by": "operator-2@example.com", "codes": ["NONE"]}
    paused = await sent_as(migration, "update-1", "pause", taken)
    unknown = await sent_as(migration, "update-2", "acknowledge", refused)
    await migration.decide("resume")
    preparing.release()
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    assert await sent_as(migration, "update-1", "pause", taken) == paused
    assert await sent_as(migration, "update-2", "acknowledge", refused) == unknown
    status = await migration.status()
    assert status.paused_by is None
    assert [record.name for record in status.decisions] == ["pause", "acknowledge", "resume"]


async def sent_as(migration: Migration, update_id: str, name: str, decision: dict[str, Any]) -> str:
    """The answer to an update of this id, accepted or refused."""
    try:
        answer: DecisionAnswer = await migration.handle.execute_update(
            name, decision, id=update_id, result_type=DecisionAnswer
        )
    except WorkflowUpdateFailedError as failed:
        return str(failed.cause)
    return answer.message


async def has_acknowledged_everything(migration: Migration) -> bool:
    return sorted(known.code for known in (await migration.status()).acknowledged) == CODES


async def taken_once_each(migration: Migration) -> None:
    """Each run remembers the last decisions; together they have all of them, none twice."""
    remembered = [carried.status.decisions for carried in await migration.carried()]
    remembered.append((await migration.status()).decisions)
    taken: set[str | None] = set()
    for records in remembered:
        comments = comments_of(records)
        assert len(comments) == len(set(comments))
        taken.update(comments)
    assert taken == set(CODES)
    assert len(remembered[-1]) == policies.DECISIONS_KEPT


def comments_of(records: Iterable[DecisionRecord]) -> list[str | None]:
    return [record.comment for record in records if record.accepted]


async def completes_after_two_renewals(migration: Migration) -> None:
    assert (await migration.ends()).status is Phase.COMPLETED
    assert [state.renewed for state in await migration.carried()][:2] == ["replicate/1", "approve/1"]
    assert migration.world.acted("start_cutover") == ["start_cutover"]


# --- replay ------------------------------------------------------------------------------------------------------

Line = tuple[Step, Callable[[], Awaitable[None]], bool]


@workflow.defn(name="MigrationWorkflow", sandboxed=False)
class Reordered(MigrationWorkflow):
    """The workflow, with `first` and the step that follows it in the runbook in the wrong order."""

    first: ClassVar[Step | None] = None

    @workflow.run
    async def run(self, payload: RawValue) -> MigrationResult:
        """Tell the story."""
        return await super().run(payload)

    async def _forward(self) -> None:
        lines: list[Line] = []

        async def note(step: Step, play: Callable[[], Awaitable[None]], *, long: bool = False) -> None:
            lines.append((step, play, long))

        with patch.object(self, "_step", note):
            await super()._forward()
        if self.first is not None:
            place = [step for step, _, _ in lines].index(self.first)
            lines[place : place + 2] = lines[place : place + 2][::-1]
        for step, play, long in lines:
            await self._step(step, play, long=long)


async def replay_reordered(recorded: str) -> None:
    history = WorkflowHistory.from_json("mig-happy-path", (HISTORIES / f"{recorded}.json").read_text())
    await replayer([Reordered]).replay_workflow(history)


@pytest.mark.parametrize(
    ("recorded", "first"),
    [
        ("happy-path-2", Step.REPLICATE),
        ("happy-path-3", Step.APPROVE),
        ("happy-path-3", Step.CUTOVER),
        ("happy-path-3", Step.VERIFY),
        ("happy-path-4", Step.SOAK),
        ("happy-path-4", Step.FINALIZE),
    ],
)
async def test_steps_in_another_order_do_not_replay(
    recorded: str, first: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    await replay_reordered(recorded)
    monkeypatch.setattr(Reordered, "first", first)
    with pytest.raises(NondeterminismError):
        await replay_reordered(recorded)
