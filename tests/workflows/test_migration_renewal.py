"""Long lives: continue-as-new, waits that leave no history, workers that forget, and bugs that suspend."""

import asyncio
from datetime import timedelta
from unittest.mock import patch

from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowExecutionStatus

from migration.status import Phase, Side
from migration.steps import Step
from tests.workflows.migration_requests import APPROVER
from tests.workflows.runbook import all_acts
from tests.workflows.stage import Migration, Stage, set_up, until
from tests.workflows.worlds import World, looked_in_vain
from workflows.context import Context

FEW_EVENTS = 200
"""More than any run of a small migration has, and far from where Temporal begins to warn."""


# --- continue-as-new ---------------------------------------------------------------------------------------------


async def test_every_long_wait_begins_with_a_fresh_history(stage: Stage) -> None:
    migration = await stage.start()
    await migration.approve()
    await migration.ends()
    carried = await migration.carried()
    assert [state.renewed for state in carried] == ["replicate/1", "approve/1", "soak/1", "grace"]
    assert all(len(history.events) < FEW_EVENTS for history in await migration.histories())


async def test_nothing_is_forgotten_between_two_runs(stage: Stage) -> None:
    migration = await stage.start(callbackUrl="https://hooks.example.com/migrations")
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    await migration.refuses("commit")
    await migration.decide("approve", APPROVER)
    await migration.ends()
    replicate, approve, soak, grace = await migration.carried()
    assert [undo.kind for undo in replicate.undo] == ["removeReplication"]
    assert [undo.kind for undo in approve.undo] == ["removeReplication", "endTest"]
    assert {undo.kind for undo in soak.undo} == {
        *("removeReplication", "endTest", "removeSnapshots", "endCutover", "awaitSourceHealth"),
        *("restoreSource", "fenceTarget", "unprotectTarget", "restoreNames", "restoreInventory"),
    }
    assert grace.undo == []
    assert replicate.sources == soak.sources != ()
    assert replicate.names == soak.names != ()
    assert [(record.name, record.accepted) for record in soak.status.decisions] == [
        ("commit", False),
        ("approve", True),
    ]
    assert 0 < replicate.sent < approve.sent < soak.sent < grace.sent
    assert grace.status.past_point_of_no_return
    assert all(state.claimed for state in (replicate, approve, soak, grace))
    entries = {line.step: line.entry for line in soak.status.steps}
    assert (entries[Step.TEST], entries[Step.CUTOVER], entries[Step.SOAK]) == (1, 1, 0)


async def test_a_commit_is_not_forgotten_when_the_soak_is_over(stage: Stage) -> None:
    migration = await stage.start(soak={"for": "PT1H", "end": "wait"})
    await migration.approve()
    await migration.is_reached("watch_health")
    await migration.decide("commit")
    await migration.ends()
    assert (await migration.carried())[-1].committed_by == "operator-1@example.com"


# --- waiting -----------------------------------------------------------------------------------------------------


async def test_waiting_at_the_gate_leaves_no_history(stage: Stage) -> None:
    migration = await stage.start_light()
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    before = await migration.history_at_rest()
    for _ in range(10):
        await migration.status()
    assert (await migration.handle.describe()).history_length == before


async def test_looks_at_replication_leave_no_history(stage: Stage) -> None:
    looked, patient = World(), World()
    patient.fail("await_replication", looked_in_vain("lag 3 h", timedelta(milliseconds=20)))
    steps = {"steps": ["validate", "prepare", "replicate"], "migrationType": "test"}
    short, long = await stage.start_light(looked, **steps), await stage.start_light(patient, **steps)
    await until(lambda: patient.attempts["await_replication"] > 8, "many looks")
    patient.repair("await_replication")
    await asyncio.gather(short.ends(), long.ends())
    assert await replication_events(short) == await replication_events(long)


async def replication_events(migration: Migration) -> list[str]:
    """The kinds of events of the run that waits, without the bookkeeping, whose number depends on timing."""
    history = (await migration.histories())[-1]
    scheduled = {
        event.event_id
        for event in history.events
        if event.activity_task_scheduled_event_attributes.activity_type.name == "await_replication"
    }
    return [
        EventType.Name(event.event_type)
        for event in history.events
        if event.event_id in scheduled
        or event.activity_task_started_event_attributes.scheduled_event_id in scheduled
        or event.activity_task_completed_event_attributes.scheduled_event_id in scheduled
        or event.activity_task_failed_event_attributes.scheduled_event_id in scheduled
    ]


# --- forgetful workers -------------------------------------------------------------------------------------------


async def test_a_worker_that_forgets_every_workflow_at_once_changes_nothing(stage: Stage) -> None:
    async with set_up(stage.address, max_cached_workflows=0) as forgetful:
        await asyncio.gather(
            completes(forgetful),
            is_cancelled_at_the_gate(forgetful),
            is_cancelled_after_the_pivot(forgetful),
            is_cancelled_and_waits_for_an_undo(forgetful),
        )


async def completes(stage: Stage) -> None:
    migration = await stage.start_light()
    await migration.approve()
    assert (await migration.ends()).served_by is Side.TARGET
    for name in ("install_agents", "shut_down_sources", "start_cutover", "finalize_cutover", "retire_sources"):
        assert migration.world.acted(name) == [name]


async def is_cancelled_at_the_gate(stage: Stage) -> None:
    migration = await stage.start_light()
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    await migration.cancel()
    await migration.is_cancelled()
    assert migration.world.acted()[-1] == "remove_records"


async def is_cancelled_after_the_pivot(stage: Stage) -> None:
    world = World()
    pivot = world.hold("finalize_cutover")
    migration = await stage.start_light(world)
    await migration.approve()
    await pivot.is_reached()
    await migration.cancel()
    await migration.is_told_to_cancel()
    await migration.refuses("rollback")
    pivot.release()
    assert (await migration.ends()).status is Phase.COMPLETED


async def is_cancelled_and_waits_for_an_undo(stage: Stage) -> None:
    world = World()
    world.fail("remove_records")
    migration = await stage.start_light(world)
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    await migration.cancel()
    await migration.stands(Phase.ROLLBACK_INCOMPLETE, "undo")
    await migration.decide("retry")
    await migration.is_cancelled()
    assert world.acted("remove_records") == ["remove_records"] * 2


# --- bugs --------------------------------------------------------------------------------------------------------


async def test_a_bug_suspends_a_migration_until_it_is_mended_and_rolls_nothing_back(stage: Stage) -> None:
    world = World()
    launching = world.hold("await_job", call=2)
    migration = await stage.start(world)
    await migration.approve()
    await launching.is_reached()
    note = Context.heed

    def broken(context: Context) -> None:
        if context.request.migration_id == migration.migration_id:
            raise TypeError("a bug")
        note(context)

    with patch.object(Context, "heed", broken):
        launching.release()
        await until(lambda: has_stumbled(migration), "the workflow task fails")
        assert (await migration.handle.describe()).status is WorkflowExecutionStatus.RUNNING
        assert world.since("await_job", call=2) == []
    assert (await migration.ends()).status is Phase.COMPLETED
    assert world.acted() == all_acts()


async def has_stumbled(migration: Migration) -> bool:
    histories = await migration.histories()
    failed = EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED
    return any(event.event_type == failed for event in histories[-1].events)
