"""An act whose worker stands still may go on later: its undo waits until it can do no more."""

from datetime import UTC, datetime, timedelta

import pytest
from temporalio.exceptions import ApplicationError

from migration import policies
from migration.settings import Settings
from tests.workflows.stage import Stage
from tests.workflows.worlds import Hold, World

BOUND = timedelta(seconds=2)
FAR_TOO_LONG = timedelta(seconds=90)


class Silence(Hold):
    """A call whose every attempt waits without a heartbeat, as on workers that were stopped."""

    async def wait(self) -> None:
        """Be held until released."""
        self.reached.set()
        await self.released.wait()


@pytest.fixture
def quick_to_miss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(policies.ACT, "heartbeat_timeout", timedelta(seconds=0.5))
    monkeypatch.setattr(policies, "ACT_BOUND", BOUND)
    monkeypatch.setattr(policies, "LONGEST_CALL", timedelta(0))


def silent(world: World) -> Silence:
    """Let every attempt to shut the sources down stand still."""
    silence = Silence(call=1, obedient=False)
    world._holds["shut_down_sources"] = [silence]
    world._held.append(silence)
    return silence


async def test_the_undo_of_an_act_that_fell_silent_waits_its_bound_out(stage: Stage, quick_to_miss: None) -> None:
    world = World()
    silence = silent(world)
    migration = await stage.start(world)
    await migration.approve()
    await silence.is_reached()
    cancelled = datetime.now(UTC)
    await migration.cancel()
    await migration.is_cancelled()
    assert world.since("shut_down_sources")[:2] == ["fence_targets", "restore_sources"]
    assert world.moment("fence_targets") >= cancelled + BOUND


async def test_an_act_that_fell_silent_is_waited_out_when_it_is_cancelled_between_two_attempts(
    stage: Stage, quick_to_miss: None
) -> None:
    world = World()
    silence = silent(world)
    migration = await stage.start(world)
    await migration.approve()
    await silence.is_reached()
    await migration.has_missed_an_attempt()
    cancelled = datetime.now(UTC)
    await migration.cancel()
    await migration.is_cancelled()
    assert world.moment("fence_targets") >= cancelled + BOUND


async def test_an_undo_waits_for_a_silent_attempt_whose_act_another_attempt_has_done(
    stage: Stage, quick_to_miss: None
) -> None:
    world = World()
    silence = silent(world)
    world.fail("snapshot_sources")
    migration = await stage.start(world, rollback={"to": "start"})
    await migration.approve()
    await silence.is_reached()
    await migration.has_missed_an_attempt()
    silence.release()
    await migration.ends()
    assert world.moment("snapshot_sources") < world.moment("fence_targets") - BOUND / 2


async def test_the_undo_of_an_act_whose_first_attempt_ended_waits_for_nothing(
    stage: Stage, quick_to_miss: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policies, "ACT_BOUND", FAR_TOO_LONG)
    world = World()
    ended = ApplicationError("refused", {"attempt": 1}, type="CutoverError", non_retryable=True)
    world.fail("shut_down_sources", ended)
    migration = await stage.start(world, rollback={"to": "start"})
    await migration.approve()
    await migration.ends()
    assert world.moment("fence_targets") < world.moment("shut_down_sources") + FAR_TOO_LONG


def test_no_setting_lets_an_act_begin_calls_for_longer_than_its_undo_waits() -> None:
    assert Settings().act_bound <= policies.ACT_BOUND
    with pytest.raises(ValueError, match="act_bound"):
        Settings(act_bound=policies.ACT_BOUND + timedelta(seconds=1))
