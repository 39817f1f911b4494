"""The cutover window: as long as the test launch took is kept free at its end, for the launch and for the way back."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from migration.status import MigrationStatus, Phase, Side, Window
from migration.steps import Step
from tests.workflows.migration_requests import APPROVER, a_window
from tests.workflows.stage import Migration, Stage, until
from tests.workflows.worlds import World

NOW, SECOND, HOUR, DAY = timedelta(0), timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)
SHORT = 10 * SECOND
ROOMY = 40 * SECOND
"""Time enough to get behind the switch, on a busy machine too."""
"""Long enough to get into the cutover on a busy machine, short enough to wait for its end."""

PAUSE = {"onFailure": {"action": "pause"}}


async def is_over(moment: datetime) -> None:
    await until(lambda: datetime.now(UTC) > moment, f"it is {moment}")


async def approved_for(stage: Stage, world: World, length: timedelta, **parts: Any) -> tuple[Migration, Window]:
    """A migration without a test launch that is approved for a window that is open now."""
    migration = await stage.start_light(world, **parts)
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    await migration.decide("reschedule", **a_window(NOW, length))
    await migration.decide("approve", APPROVER)
    window = (await migration.status()).window
    assert window is not None
    return migration, window


async def back_at_the_gate(migration: Migration) -> MigrationStatus:
    """Wait until the migration has turned back, and asks for approval of another cutover."""

    def again() -> bool:
        seen = migration.world.seen()
        return seen is not None and next(line for line in seen.steps if line.step is Step.APPROVE).entry > 1

    await until(again, "the gate is entered again")
    return await migration.stands(Phase.AWAITING_APPROVAL, "approve")


async def completes_in_another_window(migration: Migration) -> None:
    """The old window is over: approved again, the migration asks for another one, and needs no more than that."""
    await migration.decide("approve", APPROVER)
    asked = await migration.stands(Phase.AWAITING_DECISION, "reschedule")
    assert asked.awaiting is not None
    assert asked.awaiting.choices == ("reschedule", "rollback", "abandon")
    await migration.decide("reschedule", **a_window(NOW, HOUR))
    assert (await migration.ends()).served_by is Side.TARGET


# --- how long a launch takes -------------------------------------------------------------------------------------


async def tested_slowly(stage: Stage, **parts: Any) -> tuple[Migration, MigrationStatus]:
    """A migration at its gate whose test launch took two seconds or more."""
    world = World()
    launching = world.hold("await_job")
    migration = await stage.start(world, **parts)
    await launching.is_reached()
    await asyncio.sleep(2)  # the test's own subject: how long a launch takes
    launching.release()
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    return migration, await migration.status()


async def test_the_last_moments_to_start_and_to_turn_back_follow_from_the_test_launch(stage: Stage) -> None:
    asked = a_window(DAY, 2 * DAY)
    _, status = await tested_slowly(stage, cutoverWindow=asked)
    assert status.test is not None
    took, window, end = status.test.took, status.window, datetime.fromisoformat(asked["notAfter"])
    assert 2 * SECOND <= took < HOUR
    assert window is not None
    assert (window.not_before, window.not_after) == (datetime.fromisoformat(asked["notBefore"]), end)
    assert (window.latest_turn_back, window.latest_start) == (end - took, end - 2 * took)
    assert status.awaiting is not None
    assert status.awaiting.until == window.latest_start


async def test_a_window_that_is_too_short_for_a_launch_and_its_way_back_is_refused(stage: Stage) -> None:
    migration, status = await tested_slowly(stage)
    assert status.test is not None
    short = a_window(DAY, DAY + 2 * SECOND)
    refused = await migration.refuses("reschedule", **short)
    took = status.test.took
    assert refused == f"the window is too short: a launch of this application takes {took}, and its way back as long"
    assert (await migration.status()).window is None
    enough = a_window(DAY, DAY + 2 * took + SECOND)
    await migration.decide("reschedule", **enough)
    window = (await migration.status()).window
    assert window is not None
    assert window.latest_start > window.not_before


async def test_a_window_of_which_too_little_is_left_is_refused(stage: Stage) -> None:
    migration, _ = await tested_slowly(stage)
    assert "the window is too short" in await migration.refuses("reschedule", **a_window(-DAY, 3 * SECOND))
    assert "the window is in the past" in await migration.refuses("reschedule", **a_window(-DAY, -SECOND))


async def test_a_request_whose_window_is_too_short_asks_for_another_one(stage: Stage) -> None:
    migration, _ = await tested_slowly(stage, cutoverWindow=a_window(DAY, DAY + 2 * SECOND))
    await migration.decide("approve", APPROVER)
    status = await migration.stands(Phase.AWAITING_DECISION, "reschedule")
    assert status.window is not None
    assert status.awaiting is not None
    assert f"cannot start by {status.window.latest_start:%Y-%m-%d %H:%M:%S}" in status.awaiting.message
    assert migration.world.asked("shut_down_sources") == []
    await migration.decide("reschedule", **a_window(NOW, HOUR))
    assert (await migration.ends()).status is Phase.COMPLETED


# --- turning back in time ----------------------------------------------------------------------------------------


async def test_a_cutover_that_has_not_switched_in_time_goes_back_to_the_gate(stage: Stage) -> None:
    world = World()
    launching = world.hold("start_cutover")
    migration, window = await approved_for(stage, world, SHORT)
    await launching.is_reached()
    await launching.is_cancelled()
    assert datetime.now(UTC) >= window.latest_turn_back
    assert world.since("start_cutover") == [], "what is under way has to end first"
    launching.release()
    status = await back_at_the_gate(migration)
    assert (status.served_by, status.down_since, status.approvals) == (Side.SOURCE, None, [])
    assert world.since("start_cutover")[:2] == ["fence_targets", "restore_sources"]
    assert "remove_records" not in world.acted()
    rolled_back = [row for row in world.rows if "a rollback has to begin to fit into the window" in row.row["document"]]
    assert rolled_back
    await completes_in_another_window(migration)


async def test_a_verification_that_takes_too_long_is_turned_back_too(stage: Stage) -> None:
    world = World()
    checking = world.hold("await_status_checks", obedient=True)
    migration, _ = await approved_for(stage, world, SHORT)
    await checking.is_cancelled()
    status = await back_at_the_gate(migration)
    assert status.served_by is Side.SOURCE
    assert world.acted("change_records") == []


async def test_nobody_who_is_asked_in_the_cutover_keeps_it_beyond_its_window(stage: Stage) -> None:
    world = World()
    world.fail("start_cutover")
    migration, window = await approved_for(stage, world, SHORT, **PAUSE)
    asked = await migration.stands(Phase.AWAITING_DECISION, "failure")
    assert asked.served_by is Side.NOBODY
    status = await back_at_the_gate(migration)
    assert datetime.now(UTC) >= window.latest_turn_back
    assert (status.served_by, status.down_since) == (Side.SOURCE, None)
    await completes_in_another_window(migration)


async def test_a_retry_before_the_end_of_the_window_is_still_turned_back_in_time(stage: Stage) -> None:
    world = World()
    world.fail("start_cutover")
    launching = world.hold("start_cutover", call=2)
    migration, window = await approved_for(stage, world, SHORT, **PAUSE)
    await migration.stands(Phase.AWAITING_DECISION, "failure")
    await migration.decide("retry")
    await launching.is_cancelled()
    assert datetime.now(UTC) >= window.latest_turn_back
    launching.release()
    assert (await back_at_the_gate(migration)).served_by is Side.SOURCE


async def test_a_person_who_turns_back_first_says_how_deep(stage: Stage) -> None:
    world = World()
    launching = world.hold("start_cutover")
    migration, window = await approved_for(stage, world, SHORT)
    await launching.is_reached()
    await migration.decide("abandon", reason="for good")
    await is_over(window.not_after)
    launching.release()
    result = await migration.ends()
    assert (result.status, result.message) == (*(Phase.CANCELLED, "abandoned by operator-1@example.com: for good"),)


# --- after the switch --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["change_records", "record_move", "watch_health"])
async def test_once_users_are_sent_to_the_target_the_windows_end_changes_nothing(stage: Stage, name: str) -> None:
    world = World()
    held = world.hold(name)
    cmdb = {"system": "servicenow", "connection": "servicenow-1", "items": [{"server": "billing-web-01", "id": "5f0c"}]}
    migration, window = await approved_for(stage, world, ROOMY, cmdb=cmdb)
    await held.is_reached()
    await is_over(window.not_after + SECOND)
    assert not held.cancelled.is_set()
    held.release()
    assert (await migration.ends()).served_by is Side.TARGET
    status = await migration.status()
    entries = {line.step: line.entry for line in status.steps}
    assert (entries[Step.APPROVE], entries[Step.CUTOVER]) == (1, 1)
    assert status.undone == []


async def test_a_failed_switch_that_is_asked_about_is_not_turned_back_by_the_window(stage: Stage) -> None:
    world = World()
    world.fail("change_records")
    migration, window = await approved_for(stage, world, ROOMY, **PAUSE)
    await migration.stands(Phase.AWAITING_DECISION, "failure")
    await is_over(window.not_after + SECOND)
    status = await migration.status()
    assert status.awaiting is not None
    assert (status.phase, status.awaiting.step) == (Phase.AWAITING_DECISION, Step.SWITCH)
    await migration.decide("retry")
    assert (await migration.ends()).served_by is Side.TARGET


async def test_a_switch_that_has_not_sent_anybody_to_the_target_is_turned_back_in_time(stage: Stage) -> None:
    world = World()
    world.fail("protect_targets")
    migration, _ = await approved_for(stage, world, SHORT, **PAUSE)
    asked = await migration.stands(Phase.AWAITING_DECISION, "failure")
    assert asked.served_by is Side.NOBODY
    status = await back_at_the_gate(migration)
    assert (status.served_by, status.down_since) == (Side.SOURCE, None)


# --- while an operator pauses ------------------------------------------------------------------------------------


async def test_a_pause_that_outlasts_the_window_asks_for_another_one(stage: Stage) -> None:
    migration = await stage.start_light()
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    await migration.decide("pause")
    window = a_window(NOW, SHORT)
    await migration.decide("reschedule", **window)
    await migration.decide("approve", APPROVER)
    await migration.stands(Phase.AWAITING_DECISION, "resume")
    await is_over(datetime.fromisoformat(window["notAfter"]))
    await migration.decide("resume")
    await migration.stands(Phase.AWAITING_DECISION, "reschedule")
    assert migration.world.asked("shut_down_sources") == []
