"""A cancel in Temporal, at every place where a migration can stand: back before the pivot, forward after it."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowExecutionStatus

from migration import policies
from migration.request import RollbackTo
from migration.status import Phase, Side
from migration.steps import Step
from tests.workflows.migration_requests import APPROVER, a_record, a_request, a_window
from tests.workflows.runbook import Act, acts_before_the_pivot, acts_of
from tests.workflows.stage import Migration, Stage, set_up
from tests.workflows.worlds import World

STEPS = list(Step)
LOOKS = frozenset(
    {
        *("check_prerequisites", "find_source_servers", "await_replication", "await_job", "await_status_checks"),
        *("await_post_launch_actions", "await_health", "await_termination", "read_items", "watch_health"),
    }
)
"""Activities that only look: nothing has to be waited for when they are cancelled."""

TESTED = ["change_life_cycle", "remove_records"]


@pytest.mark.parametrize("act", acts_before_the_pivot(), ids=str)
async def test_a_cancel_undoes_everything_once_the_act_under_way_has_ended(stage: Stage, act: Act) -> None:
    world = World()
    hold = world.hold(act.name, call=act.call, obedient=act.name in LOOKS)
    migration = await stage.start(world)
    if STEPS.index(act.step) > STEPS.index(Step.APPROVE):
        await migration.approve()
    await hold.is_reached()
    await migration.cancel()
    if act.name not in LOOKS:
        await hold.is_cancelled()
        assert world.since(act.name, call=act.call) == []
        hold.release()
    await migration.is_cancelled()
    assert world.since(act.name, call=act.call) == act.to_start
    assert [request.status for request in world.asked("finish_claim")] == ["CANCELLED"]
    seen = world.seen()
    assert seen is not None
    assert (seen.phase, seen.served_by, seen.cancel_requested) == (Phase.CANCELLED, Side.SOURCE, True)


@pytest.mark.parametrize("failures", ["rollback", "pause"])
async def test_an_act_that_heeds_its_cancellation_is_undone_and_nobody_is_asked(stage: Stage, failures: str) -> None:
    world = World()
    hold = world.hold("shut_down_sources", obedient=True)
    migration = await stage.start(world, onFailure={"action": failures})
    await migration.approve()
    await hold.is_reached()
    await migration.cancel()
    await migration.is_cancelled()
    assert world.since("shut_down_sources")[:2] == ["fence_targets", "restore_sources"]


async def test_a_claim_that_is_granted_after_the_cancel_is_given_back(stage: Stage) -> None:
    world = World()
    claiming = world.hold("claim_migration")
    migration = await stage.start(world)
    await claiming.is_reached()
    await migration.cancel()
    await claiming.is_cancelled()
    claiming.release()
    await migration.is_cancelled()
    assert world.acted() == []
    assert [request.status for request in world.asked("finish_claim")] == ["CANCELLED"]


async def test_a_cancel_before_the_first_task_starts_nothing(stage: Stage) -> None:
    migration_id = f"mig-{uuid.uuid4().hex[:12]}"
    handle = await stage.client.start_workflow(
        "MigrationWorkflow", a_request(migration_id), id=migration_id, task_queue=f"later-{migration_id}"
    )
    await handle.cancel()
    async with set_up(stage.address, task_queue=f"later-{migration_id}") as later:
        world = later.world(migration_id)
        await Migration(migration_id, world, handle, stage.client).is_cancelled()
    assert world.acted() == []


# --- while nothing is under way ----------------------------------------------------------------------------------


async def test_a_cancel_at_the_gate_undoes_everything(stage: Stage) -> None:
    migration = await stage.start()
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    await migration.cancel()
    await migration.is_cancelled()
    assert migration.world.acted() == [*acts_of(STEPS[: STEPS.index(Step.APPROVE)]), *TESTED]


async def test_a_cancel_before_the_window_undoes_everything(stage: Stage) -> None:
    migration = await stage.start(cutoverWindow=a_window(timedelta(days=1), timedelta(days=2)))
    await migration.approve()
    await migration.stands(Phase.AWAITING_APPROVAL, None)
    await migration.cancel()
    await migration.is_cancelled()
    assert migration.world.acted()[-2:] == TESTED


async def test_a_cancel_while_the_old_ttl_is_waited_out_puts_it_back(stage: Stage) -> None:
    world = World(old_ttl=3600)
    migration = await stage.start(world, dns=[a_record("billing-web-01")])
    await migration.approve()
    await migration.is_reached("change_records")
    await migration.stands(Phase.AWAITING_APPROVAL, None)
    await migration.cancel()
    await migration.is_cancelled()
    assert world.since("change_records") == ["restore_records", *TESTED]


async def test_a_cancel_while_somebody_is_asked_undoes_everything(stage: Stage) -> None:
    world = World()
    world.fail("start_test")
    migration = await stage.start(world, onFailure={"action": "pause"})
    await migration.stands(Phase.AWAITING_DECISION, "failure")
    await migration.cancel()
    await migration.is_cancelled()
    assert world.acted()[-1] == "remove_records"


async def test_a_cancel_in_the_soak_keeps_what_the_target_wrote(stage: Stage) -> None:
    migration = await stage.start(soak={"for": "PT1H", "end": "wait"})
    await migration.approve()
    await migration.is_reached("watch_health")
    await migration.cancel()
    await migration.is_cancelled()
    since = migration.world.since("watch_health")
    assert "preserve_targets" in since
    assert "terminate_targets" not in since
    seen = migration.world.seen()
    assert seen is not None
    assert len(seen.preserved) == 1


async def test_a_cancel_waits_for_a_person_when_an_undo_fails(stage: Stage) -> None:
    world = World()
    world.fail("remove_records")
    migration = await stage.start_light(world)
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    await migration.cancel()
    await migration.stands(Phase.ROLLBACK_INCOMPLETE, "undo")
    await migration.decide("retry")
    await migration.is_cancelled()


# --- after the pivot ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["finalize_cutover", "archive", "retire_items"])
async def test_a_cancel_after_the_pivot_is_noted_and_the_work_goes_on(stage: Stage, name: str) -> None:
    world = World()
    hold = world.hold(name)
    migration = await stage.start(world)
    await migration.approve()
    await hold.is_reached()
    await migration.cancel()
    await migration.is_told_to_cancel()
    assert "the work goes on" in (await migration.status()).message
    hold.release()
    result = await migration.ends()
    assert (result.status, result.served_by) == (Phase.COMPLETED, Side.TARGET)
    assert not hold.cancelled.is_set()
    assert (await migration.status()).cancel_requested


async def test_a_cancel_in_the_grace_period_is_noted_and_the_work_goes_on(stage: Stage) -> None:
    migration = await stage.start_light(grace="PT3S")
    await migration.approve()
    await migration.stands(Phase.DECOMMISSIONING)
    await migration.cancel()
    assert (await migration.ends()).status is Phase.COMPLETED
    assert (await migration.status()).cancel_requested


async def test_a_cancel_while_a_failure_after_the_pivot_is_decided_changes_nothing(stage: Stage) -> None:
    world = World()
    world.fail("finalize_cutover")
    migration = await stage.start_light(world)
    await migration.approve()
    await migration.stands(Phase.AWAITING_DECISION, "failure")
    await migration.cancel()
    await migration.is_told_to_cancel()
    await migration.decide("retry")
    assert (await migration.ends()).status is Phase.COMPLETED


# --- abandon -----------------------------------------------------------------------------------------------------


async def test_abandon_undoes_everything_and_ends_in_order(stage: Stage) -> None:
    migration = await stage.start()
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    answer = await migration.decide("abandon", APPROVER, reason="the application is retired instead")
    assert answer.message == "abandoned: everything is undone"
    result = await migration.ends()
    assert (result.status, result.served_by) == (Phase.CANCELLED, Side.SOURCE)
    description = await migration.handle.describe()
    assert description.status is WorkflowExecutionStatus.COMPLETED
    assert migration.world.acted()[-2:] == TESTED


@pytest.mark.parametrize("to", list(RollbackTo))
async def test_a_rollback_by_hand_goes_as_deep_as_it_says(stage: Stage, to: RollbackTo) -> None:
    world = World()
    hold = world.hold("await_health", call=2)
    migration = await stage.start(world)
    await migration.approve()
    await hold.is_reached()
    await migration.decide("rollback", to=str(to))
    await migration.is_reached("remove_records" if to is RollbackTo.START else "restore_sources")
    if to is RollbackTo.READY:
        await migration.stands(Phase.AWAITING_APPROVAL, "approve")
        assert world.asked("remove_records") == []
    else:
        assert (await migration.ends()).status is Phase.ROLLED_BACK


def test_what_acts_is_waited_for_and_what_only_looks_is_not() -> None:
    waited_for: Any = policies.ACT["cancellation_type"]
    assert policies.UNDO["cancellation_type"] is policies.FORWARD["cancellation_type"] is waited_for
    assert "cancellation_type" not in policies.WAIT
