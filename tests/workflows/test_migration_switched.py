"""After the switch: writes of the target are kept, the soak is somebody's decision, and the pivot ends the way back."""

from typing import Any

import pytest

from migration.status import MigrationStatus, Phase, Side, StepState
from migration.steps import Step
from tests.workflows.migration_requests import APPROVER
from tests.workflows.runbook import acts_of
from tests.workflows.stage import Migration, Stage, until
from tests.workflows.worlds import World

LONG_SOAK: dict[str, Any] = {"soak": {"for": "PT1H", "end": "commit"}}
TO_START = {"to": "start", "afterSwitch": "ask"}


async def unhealthy(stage: Stage, **parts: Any) -> Migration:
    """A migration whose application fails on the target, and that asks what to do."""
    world = World()
    world.unhealthy_watches = 1
    migration = await stage.start(world, **parts)
    await migration.approve()
    await migration.stands(Phase.AWAITING_DECISION, "failure")
    return migration


# --- soak --------------------------------------------------------------------------------------------------------


async def test_an_unhealthy_target_is_a_persons_decision(stage: Stage) -> None:
    migration = await unhealthy(stage)
    status = await migration.status()
    assert status.awaiting is not None
    assert status.awaiting.choices == ("retry", "rollback", "abandon", "commit")
    assert "http://billing.example.internal:8080/health: HTTP 503" in status.awaiting.message
    assert (status.served_by, status.divergence_since is not None) == (Side.TARGET, True)
    assert migration.world.since("watch_health") == []
    await migration.decide("retry")
    assert (await migration.ends()).served_by is Side.TARGET
    assert migration.world.acted("watch_health") == ["watch_health"] * 2


async def test_an_unhealthy_target_may_be_committed_all_the_same(stage: Stage) -> None:
    migration = await unhealthy(stage)
    await migration.decide("commit")
    assert (await migration.ends()).status is Phase.COMPLETED
    assert {line.step: line.state for line in (await migration.status()).steps}[Step.SOAK] is StepState.SKIPPED


async def test_a_soak_ends_at_once_when_somebody_commits(stage: Stage) -> None:
    migration = await stage.start(**LONG_SOAK)
    await migration.approve()
    await migration.is_reached("watch_health")
    await migration.decide("commit")
    assert (await migration.ends()).status is Phase.COMPLETED


async def test_a_soak_that_ends_by_commit_waits_for_it_and_watches_on(stage: Stage) -> None:
    migration = await stage.start(soak={"for": "PT0S", "end": "wait"})
    await migration.approve()
    status = await migration.stands(Phase.SOAKING, "commit")
    assert status.awaiting is not None
    assert status.awaiting.choices == ("commit", "rollback", "abandon")
    await migration.is_reached("watch_health", 2)
    assert migration.world.asked("finalize_cutover") == []
    migration.world.unhealthy_watches = 1
    await migration.stands(Phase.AWAITING_DECISION, "failure")
    await migration.decide("commit")
    assert (await migration.ends()).status is Phase.COMPLETED


async def test_commit_is_refused_before_the_soak(stage: Stage) -> None:
    world = World()
    switching = world.hold("change_records")
    migration = await stage.start(world, **LONG_SOAK)
    await migration.approve()
    await switching.is_reached()
    assert await migration.refuses("commit") == "commit ends a soak; the migration is SWITCHING"


# --- what the target wrote ---------------------------------------------------------------------------------------


async def test_a_target_that_took_writes_is_snapshotted_and_kept(stage: Stage) -> None:
    migration = await unhealthy(stage, rollback={**TO_START, "keepTarget": "P3D"})
    await migration.decide("rollback")
    result = await migration.ends()
    assert (result.status, result.served_by) == (Phase.ROLLED_BACK, Side.SOURCE)
    status = await migration.status()
    instances = migration.world.asked("fence_targets")[0]
    assert instances.source_server_ids
    (kept,) = result.preserved
    assert kept.since < kept.until < kept.keep_until
    assert (kept.keep_until - kept.until).days == 3
    assert kept.instance_ids == migration.world.asked("preserve_targets")[0].instance_ids
    assert kept.snapshot_ids == tuple(f"snap-of-{instance}" for instance in kept.instance_ids)
    assert status.preserved == [kept]
    since = migration.world.since("watch_health")
    assert "terminate_targets" not in since
    assert since.index("fence_targets") < since.index("preserve_targets") < since.index("remove_records")


async def test_a_kept_target_survives_a_reject_at_the_gate_later_on(stage: Stage) -> None:
    migration = await unhealthy(stage, rollback={"to": "ready"})
    await migration.decide("rollback")
    await at_the_gate_again(migration)
    await migration.decide("reject", APPROVER, to="start")
    result = await migration.ends()
    assert len(result.preserved) == 1
    assert "terminate_targets" not in migration.world.since("watch_health")


async def test_a_kept_target_survives_a_second_cutover_that_fails_before_its_launch(stage: Stage) -> None:
    migration = await unhealthy(stage, rollback={"to": "ready"})
    migration.world.fail("shut_down_sources", call=2)
    await migration.decide("rollback")
    await at_the_gate_again(migration)
    await migration.decide("approve", APPROVER)
    await at_the_gate_again(migration, entry=3)
    (kept,) = (await migration.status()).preserved
    terminations = migration.world.asked("terminate_targets")
    assert [launch.keep for launch in terminations if launch.mark.step is Step.CUTOVER] == [kept.instance_ids]


async def test_what_a_second_cutover_launched_is_terminated_when_it_took_no_writes(stage: Stage) -> None:
    migration = await unhealthy(stage, rollback={"to": "ready"})
    migration.world.fail("await_status_checks", call=3)
    await migration.decide("rollback")
    await at_the_gate_again(migration)
    await migration.decide("approve", APPROVER)
    await at_the_gate_again(migration, entry=3)
    assert migration.world.since("start_cutover", call=2).count("terminate_targets") == 1
    assert len((await migration.status()).preserved) == 1


async def test_downtime_is_counted_from_the_quiesce_to_the_switch_and_again_on_the_way_back(stage: Stage) -> None:
    migration = await unhealthy(stage, rollback=TO_START)
    before = (await migration.status()).downtime
    assert before.total_seconds() > 0
    await migration.decide("rollback")
    await migration.ends()
    assert (await migration.status()).downtime > before


# --- the pivot ---------------------------------------------------------------------------------------------------


async def test_after_the_pivot_nothing_turns_the_migration_back(stage: Stage) -> None:
    world = World()
    pivot = world.hold("finalize_cutover")
    migration = await stage.start(world)
    await migration.approve()
    await pivot.is_reached()
    for name, fields in {"rollback": {}, "abandon": {"reason": "too late"}}.items():
        refused = await migration.refuses(name, **fields)
        assert refused == f"{name} is refused: the migration is past its point of no return, it only goes forward"
    assert "AWAITING_APPROVAL" in await migration.refuses("reject", APPROVER)
    status = await migration.status()
    assert (status.past_point_of_no_return, status.undo) == (True, [])
    pivot.release()
    assert (await migration.ends()).status is Phase.COMPLETED
    assert not pivot.cancelled.is_set()


@pytest.mark.parametrize(
    ("name", "choices"),
    [
        ("finalize_cutover", ("retry",)),  # skipped, it would leave MGN's records neither here nor there
        ("archive", ("retry", "skip")),
        ("retire_sources", ("retry", "skip")),
    ],
)
async def test_a_failure_after_the_pivot_waits_for_an_operator_and_is_tried_again(
    stage: Stage, name: str, choices: tuple[str, ...]
) -> None:
    world = World()
    world.fail(name)
    migration = await stage.start(world, onFailure={"action": "rollback", "deadline": "PT1S"})
    await migration.approve()
    status = await migration.stands(Phase.AWAITING_DECISION, "failure")
    assert status.awaiting is not None
    assert (status.awaiting.choices, status.awaiting.until) == (choices, None)
    assert f"{name} failed" in status.awaiting.message
    await migration.decide("retry")
    assert (await migration.ends()).status is Phase.COMPLETED
    assert world.acted(name) == [name] * 2


async def test_a_clean_up_may_be_left_to_an_operator(stage: Stage) -> None:
    world = World()
    world.fail("archive")
    migration = await stage.start(world)
    await migration.approve()
    await migration.stands(Phase.AWAITING_DECISION, "failure")
    await migration.decide("skip", reason="archived by hand")
    assert (await migration.ends()).status is Phase.COMPLETED
    assert world.since("archive") == acts_of([Step.DECOMMISSION])[1:]


async def at_the_gate_again(migration: Migration, entry: int = 2) -> MigrationStatus:
    def again() -> Any:
        seen = migration.world.seen()
        return seen and next(line for line in seen.steps if line.step is Step.APPROVE).entry >= entry

    await until(again, "the gate is entered again")
    return await migration.stands(Phase.AWAITING_APPROVAL, "approve")
