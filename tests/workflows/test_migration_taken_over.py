"""A run that was ended from outside has a successor: it goes on at the same marks, or turns back."""

from datetime import UTC, datetime, timedelta
from typing import Any

from migration.memo import ADOPTED
from migration.status import Phase, Side
from tests.workflows.stage import Migration, Stage, until
from tests.workflows.worlds import World
from workflows.carried import Carried
from workflows.migration import MigrationWorkflow


async def taken_over(stage: Stage, ended: Migration, **changes: Any) -> Migration:
    """Terminate a migration, and start another run from what it carried."""
    await ended.handle.terminate("ended from outside")
    carried: Carried = await ended.handle.query(MigrationWorkflow.carried)
    run = ended.handle.first_execution_run_id
    inheritance = carried.model_copy(update=changes)
    heir = await stage.start_with(ended.migration_id, inheritance, world=ended.world, memo={ADOPTED: run})
    await until(lambda: seen_version(ended.world) > carried.status.version, "the heir has spoken")
    return heir


def seen_version(world: World) -> int:
    """The version of the status that the read model has."""
    seen = world.seen()
    return seen.version if seen else 0


async def test_a_run_that_takes_over_goes_on_where_the_old_one_stood(stage: Stage) -> None:
    migration = await stage.start_light()
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    before = list(migration.world.calls)
    migration = await taken_over(stage, migration)
    await migration.approve()
    result = await migration.ends()
    assert (result.status, result.served_by) == (Phase.COMPLETED, Side.TARGET)
    assert migration.world.calls.count("claim_migration") == before.count("claim_migration") == 1
    assert migration.world.calls.count("install_agents") == before.count("install_agents") == 1


async def test_a_step_that_was_under_way_is_played_again_at_its_own_mark(stage: Stage) -> None:
    world = World()
    world.hold("start_cutover")
    migration = await stage.start_light(world)
    await migration.approve()
    await migration.is_reached("start_cutover")
    migration = await taken_over(stage, migration)
    world.release_all()
    assert (await migration.ends()).status is Phase.COMPLETED
    assert len({str(launch.mark) for launch in world.asked("start_cutover")}) == 1


async def test_a_run_that_takes_over_to_roll_back_undoes_everything(stage: Stage) -> None:
    world = World()
    world.hold("start_cutover")
    migration = await stage.start_light(world)
    await migration.approve()
    await migration.is_reached("start_cutover")
    migration = await taken_over(stage, migration, then="rollback")
    world.release_all()
    result = await migration.ends()
    assert (result.status, result.served_by) == (Phase.CANCELLED, Side.SOURCE)
    since = world.since("start_cutover")
    assert since.index("fence_targets") < since.index("restore_sources") < since.index("remove_records")
    assert "finish_claim" in world.calls


async def test_a_rollback_that_was_under_way_goes_on(stage: Stage) -> None:
    world = World()
    world.hold("restore_sources")
    migration = await stage.start_light(world, rollback={"to": "start"})
    world.fail("start_cutover")
    await migration.approve()
    await migration.is_reached("restore_sources")
    migration = await taken_over(stage, migration)
    world.release_all()
    result = await migration.ends()
    assert (result.status, result.served_by) == (Phase.ROLLED_BACK, Side.SOURCE)
    assert world.calls.count("start_cutover") == 1


async def test_past_the_point_of_no_return_a_run_that_takes_over_only_goes_forward(stage: Stage) -> None:
    world = World()
    world.hold("finalize_cutover")
    migration = await stage.start_light(world)
    await migration.approve()
    await migration.is_reached("finalize_cutover")
    migration = await taken_over(stage, migration, then="rollback")
    world.release_all()
    assert (await migration.ends()).status is Phase.COMPLETED
    assert "restore_sources" not in world.calls


async def test_what_the_old_run_may_still_do_is_waited_out(stage: Stage) -> None:
    migration = await stage.start_light()
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    landed_by = datetime.now(UTC) + timedelta(seconds=3)
    migration = await taken_over(stage, migration, then="rollback", landed_by=landed_by)
    await migration.ends()
    assert migration.world.moment("remove_records") >= landed_by


async def test_a_successor_without_an_inheritance_is_refused(stage: Stage) -> None:
    migration = await stage.start_with("mig-heir", {"nothing": "carried"}, memo={ADOPTED: "run-1"})
    failure = await migration.fails()
    assert failure.type == "ValidationError"
    assert "expected what an earlier run carried over" in failure.message
