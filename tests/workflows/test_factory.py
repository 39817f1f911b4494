"""What Cloud Migration Factory hears of migrations: beside them, the latest only, and of a wave by one writer."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowHandle
from temporalio.exceptions import ApplicationError

from activities.cmf import HEARD, FactoryWaveKey, HeardOf, wave_workflow_id
from migration import policies
from migration.errors import Conflict, Unavailable
from migration.factory_words import ServerWords
from migration.findings import Finding, FindingCode, Severity
from migration.status import Phase
from tests.fakes.factory import WAVE, FakeFactory
from tests.workflows.factories import a_factory
from tests.workflows.migration_requests import a_server
from tests.workflows.stage import Migration, Stage, as_json, until
from tests.workflows.worlds import World
from workflows.factory_wave import FactoryWaveState, FactoryWaveWorkflow

DOWN = Unavailable("CMF does not answer")
MOVED = {"replication_status": "Archived - Please reinstall agent", "target_instance_id": "i-1"}


def said(factory: FakeFactory, attribute: str = "migration_status") -> list[str]:
    """What the factory was told of its servers, in order."""
    told = (effect[2] for effect in factory.effects if effect[0] == "update_server")
    return [attributes[attribute] for attributes in told if attribute in attributes]


def statuses(factory: FakeFactory) -> list[str]:
    """What the wave was set to, in order."""
    return [effect[2] for effect in factory.effects if effect[0] == "set_wave_status"]


def wave_of(stage: Stage, cmf: dict[str, Any]) -> WorkflowHandle[Any, Any]:
    key = FactoryWaveKey(connection=cmf["connection"], wave_id=cmf["waveId"])
    return stage.client.get_workflow_handle(wave_workflow_id(key))


async def begun_by_hand(stage: Stage, cmf: dict[str, Any], *inputs: Any, **state: Any) -> WorkflowHandle[Any, Any]:
    key = FactoryWaveKey(connection=cmf["connection"], wave_id=cmf["waveId"])
    return await stage.client.start_workflow(
        "FactoryWaveWorkflow",
        args=inputs or [FactoryWaveState(wave=key, **state)],
        id=wave_workflow_id(key),
        task_queue=stage.task_queue,
    )


async def ends(handle: WorkflowHandle[Any, Any]) -> None:
    async def has_ended() -> bool:
        return (await handle.describe()).status is not WorkflowExecutionStatus.RUNNING

    await until(has_ended, f"{handle.id} ends")
    assert (await handle.describe()).status is WorkflowExecutionStatus.COMPLETED


def in_this_order(words: Sequence[str], told: Sequence[str]) -> bool:
    rest = iter(told)
    return all(word in rest for word in words)


# --- servers -----------------------------------------------------------------------------------------------------


async def test_a_server_and_its_wave_say_how_a_migration_went(stage: Stage) -> None:
    factory, cmf = a_factory()
    migration = await stage.start(cmf=cmf)
    await migration.approve()
    assert (await migration.ends()).status is Phase.COMPLETED
    await ends(wave_of(stage, cmf))
    seen = await migration.status()
    server = factory.server("billing-web-01")
    assert server.migration_status == "2/2 status checks : Passed"
    assert server.replication_status == "Archived - Please reinstall agent"
    assert server.target_instance_id == seen.servers[0].instance_id
    assert in_this_order(["Agent Install - Success", "2/2 status checks : Passed"], said(factory))
    assert statuses(factory) == ["In progress", "Completed"]


async def test_nothing_is_told_twice_over_the_runs_of_one_migration(stage: Stage) -> None:
    _, cmf = a_factory()
    migration = await stage.start(cmf=cmf)
    await migration.approve()
    await migration.ends()
    told = [carried.factory for carried in await migration.carried()]
    assert [words.migration_status for words in told[-1].servers] == ["2/2 status checks : Passed"]
    assert {one.wave for one in told} == {HeardOf(migration_id=migration.migration_id)}


async def test_a_factory_that_is_down_holds_no_migration_and_catches_up_after_its_end(stage: Stage) -> None:
    factory, cmf = a_factory()
    factory.down = DOWN
    migration = await stage.start_light(cmf=cmf)
    await migration.approve()
    assert (await migration.ends()).status is Phase.COMPLETED
    assert factory.effects == []
    factory.down = None
    await ends(wave_of(stage, cmf))
    assert factory.server("billing-web-01").migration_status == "2/2 status checks : Passed"
    assert len(said(factory)) == 1, "of an outage only the latest words are left"
    assert factory.waves[WAVE].status == "Completed"


async def test_a_factory_that_is_down_for_a_while_gets_the_latest_words(stage: Stage) -> None:
    factory, cmf = a_factory()
    factory.down = DOWN
    migration = await stage.start_light(cmf=cmf)
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    factory.down = None
    await until(lambda: factory.waves[WAVE].status == "In progress", "the wave is in progress")
    await until(lambda: said(factory, "replication_status")[-1:] == ["Healthy"], "the server is healthy")
    assert len(said(factory)) <= 2
    await migration.decide("abandon", reason="enough was seen")
    await migration.ends()
    await ends(wave_of(stage, cmf))


async def test_a_factory_that_refuses_everything_fails_no_migration_and_wedges_no_wave(stage: Stage) -> None:
    factory, cmf = a_factory()
    factory.down = Conflict("no permission", action="Give the role a policy")
    migration = await stage.start_light(cmf=cmf, steps=["validate", "prepare"], migrationType="test")
    assert (await migration.ends()).status is Phase.COMPLETED
    await ends(wave_of(stage, cmf))
    assert factory.effects == []


async def test_refused_words_leave_with_the_next_change(stage: Stage) -> None:
    factory, cmf = a_factory("billing-web-01", "billing-web-02")
    factory.refuse("update_server", Conflict("no such attribute"))
    servers = [a_server("billing-web-01"), a_server("billing-web-02")]
    source = {"type": "vmware", "connection": "vcenter-1", "servers": servers}
    migration = await stage.start_light(cmf=cmf, source=source, steps=["validate", "prepare"], migrationType="test")
    await migration.ends()
    await ends(wave_of(stage, cmf))
    assert {server.migration_status for server in factory.known.values()} == {"Agent Install - Success"}


async def test_a_rolled_back_migration_takes_its_instance_out_and_blocks_the_wave(stage: Stage) -> None:
    factory, cmf = a_factory()
    world = World()
    world.fail("await_health", call=2)
    migration = await stage.start(world, cmf=cmf, rollback={"to": "start"})
    await migration.approve()
    assert (await migration.ends()).status is Phase.ROLLED_BACK
    await ends(wave_of(stage, cmf))
    server = factory.server("billing-web-01")
    assert (server.migration_status, server.target_instance_id) == ("Rolled back", "")
    assert server.replication_status == "Replication info not Available"
    assert statuses(factory) == ["In progress", "Blocked"]


async def test_failed_checks_are_told_unless_they_are_about_the_link_itself(stage: Stage) -> None:
    def refused(path: str) -> World:
        code, words = FindingCode.FACTORY_WAVE_MISSING, "wrong"
        return World(findings=[Finding(code=code, severity=Severity.CRITICAL, message=words, path=path)])

    factory, cmf = a_factory()
    await (await stage.start(refused("$.target.subnetId"), cmf=cmf)).fails()
    await ends(wave_of(stage, cmf))
    assert said(factory) == ["Pre-requisites checks : Failed - wrong"]
    assert statuses(factory) == ["Blocked"]
    other, unknown = a_factory()
    await (await stage.start(refused("$.cmf.waveId"), cmf=unknown)).fails()
    assert other.effects == []


async def test_a_migration_whose_claim_is_refused_says_nothing_of_servers_that_are_anothers(stage: Stage) -> None:
    factory, cmf = a_factory()
    world = World()
    world.fail("claim_migration", ApplicationError("held", type="PrerequisiteError", non_retryable=True))
    await (await stage.start(world, cmf=cmf)).fails()
    assert factory.effects == []


# --- the wave ----------------------------------------------------------------------------------------------------


async def light(stage: Stage, cmf: dict[str, Any], server: str, world: World | None = None) -> Migration:
    source = {"type": "vmware", "connection": "vcenter-1", "servers": [a_server(server)]}
    return await stage.start_light(world, cmf=cmf, source=source, dns=[])


async def test_a_wave_has_one_writer_and_is_completed_by_its_last_migration(stage: Stage) -> None:
    factory, cmf = a_factory("billing-web-01", "shop-web-01")
    first, second = await light(stage, cmf, "billing-web-01"), await light(stage, cmf, "shop-web-01")
    await first.approve()
    await first.ends()
    wave = wave_of(stage, cmf)

    async def knows_of_the_second_alone() -> bool:
        state: FactoryWaveState = await wave.query(FactoryWaveWorkflow.status)
        return tuple(state.running) == (second.migration_id,) and not state.unwritten

    await until(knows_of_the_second_alone, "the wave knows of the second migration alone")
    assert factory.waves[WAVE].status == "In progress"
    run = (await wave.describe()).run_id
    await second.approve()
    await second.ends()
    await ends(wave)
    assert (await wave.describe()).run_id == run, "one run has written all of it"
    assert statuses(factory) == ["In progress", "Completed"]


async def test_a_wave_that_begins_anew_knows_what_earlier_migrations_have_come_to(stage: Stage) -> None:
    factory, cmf = a_factory("billing-web-01", "shop-web-01")
    first = await light(stage, cmf, "billing-web-01")
    await first.approve()
    await first.ends()
    await ends(wave_of(stage, cmf))
    assert factory.waves[WAVE].status == "In progress"
    second = await light(stage, cmf, "shop-web-01")
    await second.approve()
    await second.ends()
    await ends(wave_of(stage, cmf))
    assert statuses(factory) == ["In progress", "Completed"]


async def test_a_wave_is_blocked_while_a_person_is_awaited_after_a_failure(stage: Stage) -> None:
    factory, cmf = a_factory()
    world = World()
    world.fail("install_agents")
    migration = await stage.start_light(world, cmf=cmf, onFailure={"action": "pause"})
    await migration.stands(Phase.AWAITING_DECISION, "failure")
    await until(lambda: factory.waves[WAVE].status == "Blocked", "the wave is blocked")
    assert said(factory)[-1].startswith("Agent Install - Failed")
    await migration.decide("retry")
    await until(lambda: factory.waves[WAVE].status == "In progress", "the wave goes on")
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    await migration.decide("abandon", reason="enough was seen")
    await migration.ends()
    await ends(wave_of(stage, cmf))
    assert factory.waves[WAVE].status == "Blocked"


async def test_signals_that_are_no_messages_wedge_no_wave(stage: Stage) -> None:
    factory, cmf = a_factory()
    wave = await begun_by_hand(stage, cmf, running={"mig-a": False})
    for told in ("", "{", "null", '{"migrationId": 7}', '{"left": []}'):
        await wave.signal(HEARD, as_json(told))
    await wave.signal(HEARD)
    await wave.signal(HEARD, args=["mig-a", True])
    await wave.signal(HEARD, HeardOf(migration_id="mig-a", ended=True))
    await ends(wave)
    assert statuses(factory) == ["In progress"]


async def test_a_start_that_names_no_wave_fails_in_words(stage: Stage) -> None:
    _, cmf = a_factory()
    wave = await begun_by_hand(stage, cmf, {"nothing": 1})

    async def has_failed() -> bool:
        return (await wave.describe()).status is WorkflowExecutionStatus.FAILED

    await until(has_failed, "it fails")


async def test_what_a_run_has_left_is_said_by_the_next_one(stage: Stage) -> None:
    factory, cmf = a_factory()
    left = (ServerWords(names=("billing-web-01",), migration_status="2/2 status checks : Passed", **MOVED),)
    wave = await begun_by_hand(stage, cmf, left=left, unwritten=True, running={"mig-a": False})
    await until(lambda: factory.waves[WAVE].status == "Completed", "the wave is completed")
    await wave.signal(HEARD, HeardOf(migration_id="mig-a", ended=True))
    await ends(wave)
    assert len(said(factory)) == 1


async def test_a_migration_that_was_terminated_keeps_no_wave_open(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policies, "FACTORY_WAVE_LOOKS", timedelta(milliseconds=300))
    _, cmf = a_factory()
    migration = await stage.start_light(cmf=cmf)
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    wave = wave_of(stage, cmf)
    assert (await wave.describe()).status is WorkflowExecutionStatus.RUNNING
    await migration.handle.terminate("as an operator would")
    await ends(wave)
