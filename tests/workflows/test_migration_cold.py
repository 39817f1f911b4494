"""Workers that know nothing of a migration but its history go on with it, each from where the last one stopped."""

from collections.abc import AsyncIterator

import pytest_asyncio
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHistory

from migration.status import Phase
from tests.workflows.stage import Migration, Stage, set_up, until
from tests.workflows.test_replay import replay
from tests.workflows.worlds import World

TASK = [
    EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED,
    EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED,
    EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED,
]
RESULT = [EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED, EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def cold_stage(temporal_address: str, compiled_once: None) -> AsyncIterator[Stage]:
    """Each workflow task is worked on from the history alone, as after a restart."""
    async with set_up(temporal_address, max_cached_workflows=0) as stage:
        yield stage


def kinds(history: WorkflowHistory) -> list[int]:
    """The types of its events."""
    return [event.event_type for event in history.events]


async def rests_with(migration: Migration, *activities: str) -> None:
    """Wait until nothing is under way but these activities, and no workflow task."""

    async def does_rest() -> bool:
        described = (await migration.handle.describe()).raw_description
        pending = {one.activity_type.name for one in described.pending_activities}
        return pending == set(activities) and not described.HasField("pending_workflow_task")

    await until(does_rest, f"{migration.migration_id} rests with {activities}")


async def test_a_decision_after_two_workflow_tasks_without_commands_is_replayed_as_it_was_taken(
    cold_stage: Stage,
) -> None:
    """The tasks with the results of put_events and save_state: sdk-core takes the second one for a heartbeat."""
    world = World(bus=True)
    row = world.hold("save_state", about=lambda asked: "awaiting" in asked.row)
    migration = await cold_stage.start_light(world, soak={"for": "PT0S"}, grace="PT0S")
    await row.is_reached()
    await rests_with(migration, "save_state", "watch_replication")
    row.release()
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    await rests_with(migration, "watch_replication")
    await migration.approve()
    await migration.stands(Phase.SOAKING, "commit")

    histories = await migration.histories()
    decided = next(h for h in histories if EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED in kinds(h))
    before = kinds(decided)[: kinds(decided).index(EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED)]
    assert before[-11:] == [*TASK, *RESULT, *TASK, *TASK], "it is the case that this test is about"
    for history in histories:
        await replay(migration.migration_id.removeprefix("mig-"), history.to_json())
