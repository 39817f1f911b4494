"""What a migration does, in which order, and where it ends."""

from typing import Any

import pytest

from migration.status import Phase, Side, StepState
from migration.steps import Step
from tests.workflows.migration_requests import ALL_STEPS, a_health_check, a_record, a_server
from tests.workflows.runbook import ACTS, acts_of, all_acts
from tests.workflows.stage import Stage


async def test_a_whole_migration_takes_every_step_in_order_and_leaves_the_target_serving(stage: Stage) -> None:
    migration = await stage.start()
    await migration.approve()
    result = await migration.ends()
    assert (result.status, result.served_by, result.failure) == (Phase.COMPLETED, Side.TARGET, None)
    assert migration.world.acted() == all_acts()
    assert migration.world.calls.count("claim_migration") == migration.world.calls.count("finish_claim") == 1
    status = await migration.status()
    assert [line.state for line in status.steps] == [StepState.DONE] * len(Step)
    assert [line.entry for line in status.steps] == [1] * len(Step)
    assert all(line.started and line.ended and line.started <= line.ended for line in status.steps)
    assert status.downtime.total_seconds() > 0
    assert status.down_since is None


@pytest.mark.parametrize("last", ["validate", "prepare", "replicate", "test"])
async def test_a_migration_ends_with_the_last_of_its_steps(stage: Stage, last: str) -> None:
    steps = ALL_STEPS[: ALL_STEPS.index(last) + 1]
    migration = await stage.start(steps=list(steps), migrationType="test", approval=None)
    result = await migration.ends()
    assert (result.status, result.served_by) == (Phase.COMPLETED, Side.SOURCE)
    assert migration.world.acted() == acts_of(Step(step) for step in steps)


async def test_steps_may_end_at_finalize_so_that_the_source_is_kept(stage: Stage) -> None:
    migration = await stage.start(steps=list(ALL_STEPS[:-1]))
    await migration.approve()
    assert (await migration.ends()).served_by is Side.TARGET
    assert migration.world.acted() == acts_of(list(Step)[:-1])


async def test_a_test_migration_ends_after_its_test_whatever_steps_are_listed(stage: Stage) -> None:
    migration = await stage.start(migrationType="test")
    assert (await migration.ends()).served_by is Side.SOURCE
    assert migration.world.acted() == acts_of([Step.VALIDATE, Step.PREPARE, Step.REPLICATE, Step.TEST])


async def test_a_skipped_test_launches_nothing_and_still_marks_the_servers_ready(stage: Stage) -> None:
    migration = await stage.start(migrationType="test", test={"mode": "skip", "reason": "tested last week"})
    await migration.ends()
    assert migration.world.acted() == [
        *acts_of([Step.VALIDATE, Step.PREPARE, Step.REPLICATE]),
        "change_life_cycle",
    ]
    assert [change.state for change in migration.world.asked("change_life_cycle")] == ["READY_FOR_CUTOVER"]


async def test_test_servers_are_marked_ready_before_they_are_terminated(stage: Stage) -> None:
    migration = await stage.start(migrationType="test")
    await migration.ends()
    acts = migration.world.acted()
    assert acts.index("change_life_cycle") < acts.index("terminate_targets") < acts.index("await_termination")
    (test,) = migration.world.asked("start_test")
    (termination,) = migration.world.asked("terminate_targets")
    assert str(test.mark) == f"{migration.migration_id}/1/test/1"
    assert str(termination.mark) == f"{migration.migration_id}/1/test/1/terminate"


async def test_tiers_stop_in_descending_and_launch_in_ascending_order(stage: Stage) -> None:
    servers = [("shop-db-01", 1), ("shop-app-01", 2), ("shop-app-02", 2), ("shop-web-01", 3)]
    migration = await stage.start(
        source={"type": "vmware", "connection": "vcenter-1", "servers": [a_server(*server) for server in servers]},
        healthChecks=[a_health_check("shop-web-01")],
        dns=[a_record("shop-web-01")],
        cmdb={},
    )
    await migration.approve()
    await migration.ends()
    world = migration.world
    stopped = [[source.server for source in request.sources] for request in world.asked("shut_down_sources")]
    assert stopped == [["shop-web-01"], ["shop-app-01", "shop-app-02"], ["shop-db-01"]]
    ids = {server.name: server.source_server_id for server in (await migration.status()).servers}
    launched = [request.source_server_ids for request in world.asked("start_cutover")]
    assert launched == [(ids["shop-db-01"],), (ids["shop-app-01"], ids["shop-app-02"]), (ids["shop-web-01"],)]
    assert [request.mark.part for request in world.asked("start_cutover")] == ["tier-1", "tier-2", "tier-3"]
    assert max(i for i, act in enumerate(world.acted()) if act == "shut_down_sources") < world.acted().index(
        "start_cutover"
    )


@pytest.mark.parametrize(
    ("parts", "left_out"),
    [
        ({"sourceAfter": "keep"}, {"retire_sources"}),
        ({"sourceSnapshot": "none"}, {"snapshot_sources", "remove_source_snapshots"}),
        ({"cmdb": {}}, {"read_items", "record_move", "retire_items"}),
        ({"dns": []}, {"change_records"}),
    ],
    ids=["keep the source", "no snapshot", "no CMDB", "no DNS"],
)
async def test_what_is_not_asked_for_is_not_done(stage: Stage, parts: dict[str, Any], left_out: set[str]) -> None:
    migration = await stage.start(**parts)
    await migration.approve()
    assert (await migration.ends()).served_by is Side.TARGET
    assert migration.world.acted() == [act for act in all_acts() if act not in left_out]


async def test_agents_are_left_alone_where_the_request_says_so(stage: Stage) -> None:
    server = {**a_server("billing-web-01"), "agentInstall": "preinstalled"}
    source = {"type": "vmware", "connection": "vcenter-1", "servers": [server]}
    migration = await stage.start(source=source, steps=["validate", "prepare"], migrationType="test")
    await migration.ends()
    assert migration.world.acted() == acts_of([Step.VALIDATE, *[]]) + ACTS[Step.PREPARE][1:]
