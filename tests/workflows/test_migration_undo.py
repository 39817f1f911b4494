"""The way back: what cannot be undone is left by name, never in silence, and no later word makes it shallower."""

from typing import Any

import pytest

from migration.status import Phase, Side
from migration.steps import Step
from tests.workflows.migration_requests import APPROVER
from tests.workflows.runbook import acts_before_the_pivot
from tests.workflows.stage import Migration, Stage
from tests.workflows.worlds import World

LAUNCH = next(act for act in acts_before_the_pivot() if act.name == "await_job" and act.step is Step.CUTOVER)
TO_START = {"rollback": {"to": "start", "afterSwitch": "auto"}}


async def incomplete(stage: Stage, *names: str, **parts: Any) -> Migration:
    """A failed launch whose undo fails in these activities."""
    world = World()
    world.fail("await_job", call=2)
    for name in names:
        world.fail(name, call=2 if name == "await_health" else 1)
    migration = await stage.start(world, **(TO_START | parts))
    await migration.approve()
    await migration.stands(Phase.ROLLBACK_INCOMPLETE, "undo")
    return migration


@pytest.mark.parametrize("name", ["restore_sources", "await_health", "remove_source_snapshots", "remove_records"])
async def test_an_undo_that_fails_does_not_stop_the_rest(stage: Stage, name: str) -> None:
    migration = await incomplete(stage, name)
    assert migration.world.since("await_job", call=2) == LAUNCH.to_start
    status = await migration.status()
    assert [undone.done for undone in status.undone].count(False) == 1
    assert len(status.undo) == 1
    assert status.awaiting is not None
    assert status.awaiting.choices == ("retry", "skip")
    assert f"{name} failed" in status.awaiting.message
    await migration.decide("retry")
    result = await migration.ends()
    assert (result.status, result.served_by) == (Phase.ROLLED_BACK, Side.SOURCE)
    assert migration.world.acted(name)[-1] == name
    assert (await migration.status()).undo == []


async def test_a_fence_that_fails_stops_everything_until_a_person_answers(stage: Stage) -> None:
    migration = await incomplete(stage, "fence_targets")
    assert migration.world.since("await_job", call=2) == ["fence_targets"]
    status = await migration.status()
    assert status.served_by is Side.NOBODY
    assert len(status.undo) == len([line for line in status.undo if line.kind])
    await migration.decide("retry")
    assert (await migration.ends()).served_by is Side.SOURCE
    assert migration.world.since("fence_targets") == LAUNCH.to_start


async def test_a_fence_may_be_left_to_a_person_by_name(stage: Stage) -> None:
    migration = await incomplete(stage, "fence_targets")
    await migration.decide("skip", undo="fenceTarget", reason="stopped it in the console")
    assert (await migration.ends()).served_by is Side.SOURCE
    left = next(undone for undone in (await migration.status()).undone if undone.kind == "fenceTarget" and undone.error)
    assert left.error is not None
    undone = [undone.error for undone in (await migration.status()).undone if undone.kind == "fenceTarget"]
    assert undone[-1] == "left to operator-1@example.com: stopped it in the console"


async def test_a_source_that_was_not_brought_back_is_not_said_to_serve(stage: Stage) -> None:
    migration = await incomplete(stage, "restore_sources")
    await migration.decide("skip", reason="the hypervisor burnt down")
    result = await migration.ends()
    assert (result.status, result.served_by) == (Phase.ROLLED_BACK, Side.NOBODY)


async def test_only_an_undo_that_is_left_can_be_skipped(stage: Stage) -> None:
    migration = await incomplete(stage, "fence_targets", rollback={"to": "ready"})
    refused = await migration.refuses("skip", undo="removeReplication", reason="not part of this rollback")
    assert refused.startswith("there is no undo removeReplication left; left are fenceTarget, ")
    assert "typo" in await migration.refuses("retry", undo="typo")


async def test_one_of_several_is_skipped_and_the_others_are_tried_again(stage: Stage) -> None:
    migration = await incomplete(stage, "remove_source_snapshots", "remove_records")
    await migration.decide("skip", undo="removeReplication", reason="archived by hand")
    await migration.ends()
    assert migration.world.acted("remove_records") == ["remove_records"]
    assert migration.world.acted("remove_source_snapshots") == ["remove_source_snapshots"] * 2


async def test_a_decision_cannot_turn_back_what_is_turning_back(stage: Stage) -> None:
    world = World()
    world.fail("await_job", call=2)
    restoring = world.hold("restore_sources")
    migration = await stage.start(world, **TO_START)
    await migration.approve()
    await restoring.is_reached()
    assert await migration.refuses("rollback") == "rollback is refused: the migration is ROLLING_BACK"
    assert await migration.refuses("abandon", reason="x") == "abandon is refused: the migration is ROLLING_BACK"


async def test_a_cancel_makes_a_rollback_to_ready_go_all_the_way(stage: Stage) -> None:
    world = World()
    world.fail("await_job", call=2)
    fencing = world.hold("fence_targets")
    migration = await stage.start(world, rollback={"to": "ready"})
    await migration.approve()
    await fencing.is_reached()
    await migration.cancel()
    await migration.is_told_to_cancel()
    assert not fencing.cancelled.is_set()
    fencing.release()
    await migration.is_cancelled()
    ready = LAUNCH.to_ready or []
    assert world.since("await_job", call=2) == [*ready, "change_life_cycle", "remove_records"]


@pytest.mark.parametrize("first", ["abandon", "cancel"])
async def test_a_shallower_word_does_not_take_back_a_deeper_one(stage: Stage, first: str) -> None:
    world = World()
    stopping = world.hold("shut_down_sources")
    migration = await stage.start(world)
    await migration.approve()
    await stopping.is_reached()
    if first == "abandon":
        await migration.decide("abandon", reason="not today")
    else:
        await migration.cancel()
        await migration.is_told_to_cancel()
    refused = await migration.refuses("rollback", to="ready")
    assert refused.startswith("rollback is refused: ")
    stopping.release()
    await (migration.ends() if first == "abandon" else migration.is_cancelled())
    assert world.acted()[-1] == "remove_records"


async def test_a_rollback_may_become_an_abandon_while_an_act_is_waited_for(stage: Stage) -> None:
    world = World()
    stopping = world.hold("shut_down_sources")
    migration = await stage.start(world)
    await migration.approve()
    await stopping.is_reached()
    await migration.decide("rollback", by=APPROVER, to="ready")
    await migration.decide("abandon", by=APPROVER, reason="for good")
    stopping.release()
    result = await migration.ends()
    assert (result.status, result.message) == (Phase.CANCELLED, f"abandoned by {APPROVER}: for good")
    assert world.acted()[-1] == "remove_records"


async def test_a_migration_that_is_ending_has_nothing_left_to_turn_back(stage: Stage) -> None:
    world = World()
    ending = world.hold("finish_claim")
    migration = await stage.start_light(world, migrationType="test")
    await ending.is_reached()
    assert (await migration.refuses("abandon", reason="too late")).startswith("abandon is refused: ")
    ending.release()
    assert (await migration.ends()).status is Phase.COMPLETED


async def test_claims_that_cannot_be_given_back_do_not_change_how_a_migration_ended(stage: Stage) -> None:
    world = World()
    world.fail("finish_claim")
    migration = await stage.start_light(world, migrationType="test")
    assert (await migration.ends()).status is Phase.COMPLETED
    assert "claim" in (await migration.status()).message
