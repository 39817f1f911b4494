"""What a migration tells of itself: the read model, messages, search attributes, the Web UI's details."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import WorkflowExecutionStatus, WorkflowHandle
from temporalio.exceptions import ApplicationError

from localcloud.temporal import search_attributes
from migration.decisions import DECISIONS
from migration.messages import MessageType
from migration.status import MigrationStatus, Phase
from tests.workflows.migration_requests import APPROVER
from tests.workflows.stage import Migration, Stage, summaries, until
from tests.workflows.worlds import World
from workflows.afterword import afterword_id
from workflows.callbacks import callbacks_id

CALLBACKS: dict[str, Any] = {
    "callbackUrl": "https://hooks.example.com/migrations",
    "callbackSecret": "env:CALLBACK_SECRET",
}
PREPARE_ONLY: dict[str, Any] = {"steps": ["validate", "prepare"], "migrationType": "test"}
DOWN = ApplicationError("the table does not answer", type="Unavailable")


# --- the read model ----------------------------------------------------------------------------------------------


async def test_versions_of_the_row_only_rise_and_name_one_state_each(stage: Stage) -> None:
    migration = await stage.start()
    await migration.approve()
    await migration.ends()
    rows = migration.world.rows
    versions = [row.version for row in rows]
    assert versions == sorted(versions)
    assert len({(row.version, row.row["document"]) for row in rows}) == len(set(versions))
    assert all(version // 1_000_000 in (0, 1) for version in versions)


async def test_the_last_row_says_how_it_ended_and_when_it_may_be_forgotten(stage: Stage) -> None:
    migration = await stage.start_light(migrationType="test", waveId="wave-07")
    await migration.ends()
    *earlier, last = migration.world.rows
    assert {row.expires_at for row in earlier} == {None}
    assert last.expires_at is not None
    document = MigrationStatus.model_validate_json(last.row.pop("document"))
    updated = last.row.pop("updatedAt")
    assert updated == document.updated.isoformat()
    assert last.row.pop("endedAt") == updated
    assert last.row.pop("startedAt") == document.started.isoformat()
    assert last.row == {
        "migrationId": migration.migration_id,
        "status": "COMPLETED",
        "appName": "billing",
        "environment": "dev",
        "waveId": "wave-07",
        "message": "all requested steps are done",
        "servedBy": "source",
        "generation": "1",
    }
    assert document == await migration.status()


async def test_a_row_says_who_is_awaited(stage: Stage) -> None:
    migration = await stage.start_light()
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    assert migration.world.rows[-1].row["awaiting"] == f"approve: {APPROVER}, approver-2@example.com"


async def test_a_read_model_that_is_down_for_a_while_catches_up(stage: Stage) -> None:
    world = World()
    world.fail("save_state", DOWN, times=1000)
    migration = await stage.start_light(world, **PREPARE_ONLY)
    await migration.is_reached("finish_claim")
    world.repair("save_state")
    assert (await migration.ends()).status is Phase.COMPLETED
    seen = world.seen()
    assert seen is not None
    assert seen.phase is Phase.COMPLETED


async def test_a_read_model_that_refuses_everything_does_not_fail_a_migration(stage: Stage) -> None:
    world = World()
    world.fail("save_state", times=1000)
    migration = await stage.start_light(world, migrationType="test", **CALLBACKS)
    assert (await migration.ends()).status is Phase.COMPLETED
    assert world.rows == []
    assert [message["type"] for message in await delivered(migration)][-1] == "MigrationSucceeded"


async def test_a_refused_row_is_tried_again_with_the_next_change(stage: Stage) -> None:
    world = World()
    world.fail("save_state")
    migration = await stage.start_light(world, **PREPARE_ONLY)
    await migration.ends()
    seen = world.seen()
    assert seen is not None
    assert seen.phase is Phase.COMPLETED


# --- messages ----------------------------------------------------------------------------------------------------


async def test_messages_leave_in_order_and_none_is_lost_over_the_runs(stage: Stage) -> None:
    migration = await stage.start(**CALLBACKS)
    await migration.approve()
    await migration.ends()
    messages = await delivered(migration)
    assert [message["id"] for message in messages] == [
        f"{migration.migration_id}:1:{number}" for number in range(1, len(messages) + 1)
    ]
    assert [request.message_id for request in migration.world.delivered] == [message["id"] for message in messages]
    told = [(message["type"], message["data"]["status"]) for message in messages]
    changed = "MigrationStatusChanged"
    assert told == [
        (changed, "PREPARING"),
        (changed, "REPLICATING"),
        (changed, "TESTING"),
        (changed, "AWAITING_APPROVAL"),
        ("ApprovalRequested", "AWAITING_APPROVAL"),
        (changed, "CUTTING_OVER"),
        (changed, "VERIFYING"),
        (changed, "SWITCHING"),
        (changed, "SOAKING"),
        (changed, "FINALIZING"),
        (changed, "DECOMMISSIONING"),
        ("MigrationSucceeded", "COMPLETED"),
    ]
    asked = messages[4]["data"]["awaiting"]
    assert (asked["what"], asked["choices"][0]) == ("approve", "approve")
    first = migration.world.delivered[0]
    assert (first.url, first.secret) == (CALLBACKS["callbackUrl"], CALLBACKS["callbackSecret"])


async def test_a_rollback_is_told_with_its_failure(stage: Stage) -> None:
    world = World()
    world.fail("configure_replication")
    migration = await stage.start_light(world, **CALLBACKS)
    await migration.ends()
    last = (await delivered(migration))[-1]
    assert (last["type"], last["data"]["status"]) == ("MigrationRolledBack", "ROLLED_BACK")
    assert last["data"]["failure"]["message"] == "configure_replication failed"


async def test_somebody_is_told_when_a_decision_is_needed(stage: Stage) -> None:
    world = World()
    world.fail("configure_replication")
    migration = await stage.start_light(world, onFailure={"action": "pause"}, **CALLBACKS)
    await migration.stands(Phase.AWAITING_DECISION, "failure")
    await until(lambda: kinds(migration)[-1:] == ["DecisionNeeded"], "the decision is asked for")


async def test_an_endpoint_that_never_answers_does_not_hold_the_migration(stage: Stage) -> None:
    world = World()
    calling = world.hold("deliver_callback")
    migration = await stage.start_light(world, migrationType="test", **CALLBACKS)
    assert (await migration.ends()).status is Phase.COMPLETED
    assert calling.reached.is_set()
    assert (await migration.callbacks()).delivered == 0
    calling.release()
    assert (await delivered(migration))[-1]["type"] == "MigrationSucceeded"


async def test_a_later_generation_does_not_call_the_endpoint_of_an_earlier_one(stage: Stage) -> None:
    world = World(generation=2)
    migration = await stage.start_light(world, migrationType="test", **CALLBACKS)
    await migration.ends()
    messages = await delivered(migration, generation=2)
    assert [message["id"] for message in messages][:2] == [f"{migration.migration_id}:2:{n}" for n in (1, 2)]
    assert {row.version // 1_000_000 for row in world.rows} <= {0, 2}


async def test_without_a_callback_url_nobody_is_called(stage: Stage) -> None:
    migration = await stage.start_light(**PREPARE_ONLY)
    await migration.ends()
    assert migration.world.calls.count("deliver_callback") == 0


def kinds(migration: Migration) -> list[str]:
    return [json.loads(request.body)["type"] for request in migration.world.delivered]


async def delivered(migration: Migration, generation: int = 1) -> list[dict[str, Any]]:
    """What was delivered, when the callback workflow has ended: nothing follows then."""
    handle = migration.client.get_workflow_handle(callbacks_id(migration.migration_id, generation))
    await asyncio.wait_for(handle.result(), 60)
    return [json.loads(request.body) for request in migration.world.delivered]


# --- events ------------------------------------------------------------------------------------------------------


async def test_events_leave_in_order_and_none_is_lost_or_told_twice_over_the_runs(stage: Stage) -> None:
    migration = await stage.start(World(bus=True))
    await migration.approve()
    await migration.ends()
    events = migration.world.events
    assert [event.id for event in events] == ids(migration, len(events))
    changed = "MigrationStatusChanged"
    assert [(event.type, event.data["status"]) for event in events] == [
        ("MigrationRequested", "VALIDATING"),
        (changed, "PREPARING"),
        (changed, "REPLICATING"),
        (changed, "TESTING"),
        (changed, "AWAITING_APPROVAL"),
        ("ApprovalRequested", "AWAITING_APPROVAL"),
        (changed, "CUTTING_OVER"),
        (changed, "VERIFYING"),
        (changed, "SWITCHING"),
        (changed, "SOAKING"),
        (changed, "FINALIZING"),
        (changed, "DECOMMISSIONING"),
        ("MigrationSucceeded", "COMPLETED"),
    ]
    assert events[5].data["evidenceHash"] == (await migration.status()).evidence_hash
    assert len(await migration.carried()) > 1


async def test_a_later_generation_is_requested_by_an_event_of_its_own(stage: Stage) -> None:
    migration = await stage.start_light(World(bus=True, generation=2), **PREPARE_ONLY)
    await migration.ends()
    first = migration.world.events[0]
    assert (first.type, first.id) == ("MigrationRequested", f"{migration.migration_id}:2:1")
    assert first.data["requestedBy"] == "requester@example.com"


async def test_a_bus_that_is_down_holds_nothing_and_gets_every_event_in_order_when_it_is_back(stage: Stage) -> None:
    world = World(bus=True)
    world.fail("put_events", DOWN, times=1000)
    migration = await stage.start_light(world, **PREPARE_ONLY, **CALLBACKS)
    await until(lambda: kinds(migration)[-1:] == ["MigrationSucceeded"], "every callback is delivered")
    await until(lambda: world.rows[-1].row["status"] == "COMPLETED", "the last row is written")
    assert world.events == []
    world.repair("put_events")
    await migration.ends()
    assert told_in_full(migration)


async def test_a_store_that_is_down_holds_no_event_and_no_callback(stage: Stage) -> None:
    world = World(bus=True)
    world.fail("save_state", DOWN, times=1000)
    migration = await stage.start_light(world, **PREPARE_ONLY, **CALLBACKS)
    await until(lambda: kinds(migration)[-1:] == ["MigrationSucceeded"], "every callback is delivered")
    await until(lambda: told_in_full(migration), "every event is told")
    assert world.rows == []


async def test_what_an_ended_migration_could_not_say_leaves_later(stage: Stage) -> None:
    world = World(bus=True)
    for name in ("put_events", "save_state"):
        world.fail(name, DOWN, times=1000)
    migration = await stage.start_light(world, **PREPARE_ONLY)
    assert (await migration.ends()).status is Phase.COMPLETED
    assert (world.rows, world.events) == ([], [])
    for name in ("put_events", "save_state"):
        # An attempt of the migration itself may be under way still though it has ended.
        world.repair(name, but_for=migration.migration_id)
    await asyncio.wait_for((await afterword(migration)).result(), 60)
    assert told_in_full(migration)
    (last,) = world.rows
    assert last.row["status"] == "COMPLETED"
    assert last.expires_at is not None


async def test_an_event_that_was_not_taken_is_sent_again_before_later_ones(stage: Stage) -> None:
    world = World(bus=True, taken_at_first=[1])
    first = world.hold("put_events")
    migration = await stage.start_light(world, **PREPARE_ONLY)
    await first.is_reached()
    await migration.is_reached("finish_claim")
    first.release()
    await migration.ends()
    assert told_in_full(migration)
    asked = [[event.id for event in request.events] for request in world.asked("put_events")]
    assert asked[0][0] == ids(migration, 1)[0]
    assert asked[1][0] == ids(migration, 2)[1]


async def test_a_bus_that_refuses_everything_fails_no_migration(stage: Stage) -> None:
    world = World(bus=True)
    world.fail("put_events", times=1000)
    migration = await stage.start_light(world, **PREPARE_ONLY)
    assert (await migration.ends()).status is Phase.COMPLETED
    left = await afterword(migration)
    assert (await left.describe()).status is WorkflowExecutionStatus.RUNNING
    await left.terminate("the test is over")


async def test_without_a_bus_events_stay_with_the_migration_and_each_run_asks_once(stage: Stage) -> None:
    migration = await stage.start_light()
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    runs = 1 + len(await migration.carried())
    assert migration.world.calls.count("put_events") <= runs
    kept = (await migration.handle.query("carried", result_type=dict))["events"]
    assert [event["id"] for event in kept] == ids(migration, len(kept))


async def afterword(migration: Migration) -> WorkflowHandle[Any, Any]:
    """The workflow that says what the migration could not."""
    return migration.client.get_workflow_handle(afterword_id(await migration.status(), ""))


def told_in_full(migration: Migration) -> bool:
    """Whether every event up to the last one was told, in order and once each."""
    events = migration.world.events
    ended = bool(events) and events[-1].type is MessageType.SUCCEEDED
    return ended and [event.id for event in events] == ids(migration, len(events))


def ids(migration: Migration, number: int) -> list[str]:
    return [f"{migration.migration_id}:1:{sequence}" for sequence in range(1, number + 1)]


# --- Temporal's own views ----------------------------------------------------------------------------------------


async def test_search_attributes_find_a_migration_by_wave_application_target_and_phase(stage: Stage) -> None:
    migration = await stage.start_light(waveId="wave-07")
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    found = await attributes(migration)
    at_the_gate = found.pop("PhaseSince")
    assert (await migration.status()).started < at_the_gate <= datetime.now(UTC)
    assert found == {
        "MigrationPhase": "AWAITING_APPROVAL",
        "AwaitingDecision": True,
        "WaveId": "wave-07",
        "AppName": "billing",
        "TargetAccount": "123456789012",
        "TargetRegion": "eu-central-1",
    }
    await migration.decide("approve", APPROVER)
    await migration.ends()
    ended = await attributes(migration)
    assert (ended["MigrationPhase"], ended["AwaitingDecision"], ended["WaveId"]) == ("COMPLETED", False, "wave-07")
    assert ended["PhaseSince"] > at_the_gate


async def attributes(migration: Migration) -> dict[str, Any]:
    """The project's own search attributes, not Temporal's."""
    found = (await migration.handle.describe()).typed_search_attributes
    return {pair.key.name: pair.value for pair in found if pair.key.name in search_attributes()}


async def test_the_web_ui_shows_the_steps_who_is_awaited_and_what_can_be_decided(stage: Stage) -> None:
    migration = await stage.start_light()
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    metadata = await migration.handle.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
    details = metadata.current_details
    assert details.startswith("**AWAITING_APPROVAL** · ")
    assert f"waiting for {APPROVER}" in details
    assert "served by: source" in details
    assert "| replicate | done | 1 |" in details
    assert "| cutover |   |  |  |  |" in details
    decisions = {signal.name: signal.description for signal in metadata.definition.signal_definitions}
    assert decisions.keys() >= DECISIONS.keys()
    assert {update.name for update in metadata.definition.update_definitions} == set(DECISIONS)
    assert all(decisions[name] for name in DECISIONS)
    assert "status" in {query.name for query in metadata.definition.query_definitions}


async def test_every_activity_says_in_words_what_it_does(stage: Stage) -> None:
    migration = await stage.start()
    await migration.approve()
    await migration.ends()
    words = summaries(await migration.histories())
    assert len(words) == len(migration.world.calls)
    assert all(0 < len(line) <= 200 for line in words)
    assert {"StartTest", "StartCutover", "shut down billing-web-01", "switch DNS to the target"} <= set(words)


async def test_the_callback_workflow_outlives_its_migration_until_all_is_delivered(stage: Stage) -> None:
    migration = await stage.start_light(**PREPARE_ONLY, **CALLBACKS)
    await migration.ends()
    await delivered(migration)
    handle = migration.client.get_workflow_handle(callbacks_id(migration.migration_id))
    description = await handle.describe()
    assert description.status is WorkflowExecutionStatus.COMPLETED
    assert description.parent_id == migration.migration_id
