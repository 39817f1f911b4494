"""The application's own steps: each at its place, in order, never twice, and what their failure leads to."""

from typing import Any

import pytest

from migration.findings import FindingCode
from migration.hooks import HookOutcome
from migration.status import Phase, Side
from migration.steps import Step
from tests.workflows.migration_requests import a_server
from tests.workflows.stage import Migration, Stage
from tests.workflows.worlds import World

SERVER = "billing-web-01"
FORWARD = {
    "beforeQuiesce": ("set_launch_targets", "await_replication"),
    "afterQuiesce": ("shut_down_sources", "snapshot_sources"),
    "afterLaunch": ("await_job", "await_status_checks"),
    "beforeSwitch": ("await_post_launch_actions", "protect_targets"),
    "afterSwitch": ("record_move", "watch_health"),
    "beforeDecommission": ("finalize_cutover", "archive"),
}
"""Each place of the way forward, between which two acts it lies."""

BACK = {
    "beforeRollback": ("await_job", "fence_targets"),
    "afterRollback": ("restore_sources", "change_life_cycle"),
}
REACHED_BY_SSM = {"beforeQuiesce", "afterLaunch", "beforeSwitch"}
TO_START = {"rollback": {"to": "start", "afterSwitch": "auto"}}


def a_hook(at: str, kind: str = "webhook", **parts: Any) -> dict[str, Any]:
    on = "source" if at in ("beforeQuiesce", "afterRollback") else "target"
    ref = "https://hooks.example.com/" if kind == "webhook" else "AWS-RunShellScript"
    return {"at": at, "on": on, "server": SERVER, "type": kind, "ref": ref, **parts}


async def to_the_end(stage: Stage, world: World | None = None, **parts: Any) -> Migration:
    migration = await stage.start_light(world, **parts)
    await migration.approve()
    await migration.ends()
    return migration


def around(calls: list[str], name: str) -> tuple[str, str]:
    """The acts before and after this call, without what waits for it."""
    acts = [call for call in calls if call != "await_hook"]
    place = acts.index(name)
    return acts[place - 1], acts[place + 1]


async def test_a_hook_at_every_place_of_the_way_forward_runs_there_once(stage: Stage) -> None:
    migration = await stage.start_light(
        hooks=[a_hook(at, "ssm" if at in REACHED_BY_SSM else "webhook") for at in FORWARD],
        cmdb={"system": "servicenow", "items": [item()]},
    )
    await migration.approve()
    assert (await migration.ends()).status is Phase.COMPLETED
    acted = migration.world.acted()
    assert {at: around(acted, f"run_hook {at}") for at in FORWARD} == FORWARD
    results = (await migration.status()).hooks
    assert [result.place for result in results] == list(FORWARD)
    assert {result.outcome for result in results} == {HookOutcome.SUCCEEDED}
    assert {result.place for result in results if result.said == "done"} == REACHED_BY_SSM
    assert results[0].key == f"{migration.migration_id}/1/cutover/1/hook-0"
    (server,) = (await migration.status()).servers
    assert migration.world.asked("run_hook afterLaunch")[0].instance_id == server.instance_id


def item() -> dict[str, str]:
    return {"server": SERVER, "id": "5f0c8a1e"}


@pytest.mark.parametrize("at", BACK)
async def test_a_hook_at_each_place_of_the_way_back_runs_there(stage: Stage, at: str) -> None:
    world = World()
    world.fail("await_job")
    migration = await to_the_end(stage, world, hooks=[a_hook(at)], **TO_START)
    assert around(migration.world.acted(), f"run_hook {at}") == BACK[at]
    (result,) = (await migration.status()).hooks
    assert (result.place, result.outcome) == (at, HookOutcome.SUCCEEDED)


async def test_hooks_of_one_place_run_in_the_order_of_the_request(stage: Stage) -> None:
    hooks = [a_hook("afterLaunch", ref=f"https://hooks.example.com/{name}") for name in "bca"]
    migration = await to_the_end(stage, hooks=hooks)
    called = [run.hook.ref[-1] for run in migration.world.asked("run_hook afterLaunch")]
    assert called == ["b", "c", "a"]


@pytest.mark.parametrize("at", FORWARD)
async def test_a_hook_that_fails_with_warn_is_noted_and_goes_on(stage: Stage, at: str) -> None:
    world = World()
    world.fail(f"run_hook {at}")
    migration = await to_the_end(stage, world, hooks=[a_hook(at, onFailure="warn")])
    status = await migration.status()
    assert status.phase is Phase.COMPLETED
    (result,) = status.hooks
    assert (result.outcome, result.tolerated) == (HookOutcome.FAILED, True)
    assert "failed" in result.said
    assert [finding.code for finding in status.findings] == [FindingCode.HOOK_FAILED]


@pytest.mark.parametrize("at", ["beforeQuiesce", "afterQuiesce", "afterLaunch", "beforeSwitch"])
async def test_a_hook_that_fails_fails_its_step_which_is_rolled_back(stage: Stage, at: str) -> None:
    world = World()
    world.fail(f"run_hook {at}")
    migration = await to_the_end(stage, world, hooks=[a_hook(at)], **TO_START)
    status = await migration.status()
    assert (status.phase, status.served_by) == (Phase.ROLLED_BACK, Side.SOURCE)
    assert "restore_sources" in migration.world.since(f"run_hook {at}")
    assert f"run_hook {at} failed" in status.message


async def test_a_hook_that_fails_after_the_switch_asks_a_person(stage: Stage) -> None:
    world = World()
    world.fail("run_hook afterSwitch")
    migration = await stage.start_light(world, hooks=[a_hook("afterSwitch")])
    await migration.approve()
    await migration.stands(Phase.AWAITING_DECISION, "failure")
    await migration.decide("retry")
    assert (await migration.ends()).served_by is Side.TARGET
    keys = [str(run.mark) for run in world.asked("run_hook afterSwitch")]
    assert keys == [f"{migration.migration_id}/1/switch/{entry}/hook-0" for entry in (1, 2)]


async def test_a_hook_that_fails_before_decommission_is_tried_again_as_another_one(stage: Stage) -> None:
    world = World()
    world.fail("run_hook beforeDecommission")
    migration = await stage.start_light(world, hooks=[a_hook("beforeDecommission")])
    await migration.approve()
    status = await migration.stands(Phase.AWAITING_DECISION, "failure")
    assert status.awaiting is not None
    assert status.awaiting.choices == ("retry", "skip")
    await migration.decide("retry")
    await migration.ends()
    first, second = (str(run.mark) for run in world.asked("run_hook beforeDecommission"))
    assert second == f"{first}/again-1"


async def test_a_rollback_hook_that_fails_does_not_stop_the_rest_and_waits_for_a_person(stage: Stage) -> None:
    world = World()
    world.fail("await_job")
    world.fail("run_hook beforeRollback")
    world.fail("run_hook afterRollback")
    hooks = [a_hook("beforeRollback"), a_hook("afterRollback"), a_hook("afterRollback")]
    migration = await stage.start_light(world, hooks=hooks, **TO_START)
    await migration.approve()
    status = await migration.stands(Phase.ROLLBACK_INCOMPLETE, "undo")
    assert [left.kind for left in status.left] == ["hooksBeforeRollback", "hooksAfterRollback"]
    assert status.served_by is Side.SOURCE
    assert {"fence_targets", "restore_sources", "remove_records"} <= set(world.since("run_hook beforeRollback"))
    await migration.decide("skip", undo="hooksBeforeRollback", reason="nothing to say")
    assert (await migration.ends()).status is Phase.ROLLED_BACK
    keys = [str(run.mark).rpartition("hook-")[2] for run in world.asked("run_hook afterRollback")]
    assert keys == ["1", "1/again-1", "2"]


async def test_a_hook_under_way_is_waited_for_before_anything_is_undone(stage: Stage) -> None:
    world = World()
    hold = world.hold("run_hook beforeQuiesce", obedient=True)
    migration = await stage.start_light(world, hooks=[a_hook("beforeQuiesce"), a_hook("afterRollback")], **TO_START)
    await migration.approve()
    await hold.is_reached()
    await migration.decide("rollback", reason="it takes too long")
    await migration.cancel()
    await migration.is_told_to_cancel()
    assert world.since("run_hook beforeQuiesce") == []
    hold.release()
    await migration.is_cancelled()
    first, *_ = world.since("run_hook beforeQuiesce")
    assert first == "fence_targets"
    outcomes = {result.place: result.outcome for result in (await migration.status()).hooks}
    assert outcomes == {"beforeQuiesce": HookOutcome.SUCCEEDED, "afterRollback": HookOutcome.SUCCEEDED}


async def test_the_lag_that_counts_is_seen_twice_after_the_hooks_and_before_the_source_goes_off(stage: Stage) -> None:
    migration = await to_the_end(stage, hooks=[a_hook("beforeQuiesce", "ssm")])
    since = migration.world.since("run_hook beforeQuiesce")
    assert since[:3] == ["await_hook", "await_replication", "shut_down_sources"]
    last_look = migration.world.asked("await_replication")[-1]
    assert (last_look.max_lag.total_seconds(), last_look.stable_observations) == (0, 2)


async def test_without_hooks_the_guests_shut_down_and_with_hook_only_their_power_is_cut(stage: Stage) -> None:
    usual = await to_the_end(stage)
    hooks = [a_hook("beforeQuiesce", "ssm")]
    by_hooks = await to_the_end(stage, hooks=hooks, quiesce={"method": "hookOnly"})
    asked = [one.world.asked("shut_down_sources")[0] for one in (usual, by_hooks)]
    assert [(shut_down.ask_guests, shut_down.disconnect_nics) for shut_down in asked] == [(True, True), (False, True)]


@pytest.mark.parametrize("kind", ["ssm", "webhook"])
async def test_a_hook_does_not_run_again_on_a_source_that_is_off_already(stage: Stage, kind: str) -> None:
    world = World()
    world.fail("await_job")
    migration = await stage.start_light(world, hooks=[a_hook("beforeQuiesce", kind)], onFailure={"action": "pause"})
    await migration.approve()
    await migration.stands(Phase.AWAITING_DECISION, "failure")
    await migration.decide("retry")
    assert (await migration.ends()).served_by is Side.TARGET
    assert world.acted("run_hook beforeQuiesce") == ["run_hook beforeQuiesce"]


async def test_what_hooks_have_done_is_in_the_evidence_of_the_next_approval(stage: Stage) -> None:
    world = World()
    world.fail("await_job")
    migration = await stage.start_light(world, hooks=[a_hook("afterQuiesce")])
    await migration.approve()
    await migration.is_reached("observe_replication", 2)
    status = await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    assert status.evidence is not None
    assert [hook["outcome"] for hook in status.evidence["hooks"]] == ["succeeded"]
    await migration.approve()
    await migration.ends()
    keys = [result.key.split("/")[-2] for result in (await migration.status()).hooks]
    assert keys == ["1", "2"]


async def test_hooks_of_two_tiers_run_before_the_first_of_them_stops(stage: Stage) -> None:
    servers = [a_server(SERVER), a_server("billing-db-01", tier=2)]
    migration = await to_the_end(
        stage,
        source={"type": "vmware", "connection": "vcenter-1", "servers": servers},
        hooks=[a_hook("beforeQuiesce"), a_hook("beforeQuiesce", server="billing-db-01")],
    )
    names = ("run_hook beforeQuiesce", "shut_down_sources")
    assert migration.world.acted(*names) == [names[0], names[0], names[1], names[1]]
    assert {result.step for result in (await migration.status()).hooks} == {Step.CUTOVER}
