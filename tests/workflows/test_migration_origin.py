"""What came with a request goes with its migration, through every run, and makes no other request of it."""

import json
import uuid

from migration.correlation import Origin
from starter.client import Migrations, Started
from tests.workflows.migration_requests import a_request
from tests.workflows.stage import Migration, Stage
from tests.workflows.worlds import World

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
OTHER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_a_migration_is_found_under_the_trace_of_its_request_to_its_end(stage: Stage) -> None:
    migration_id = f"mig-{uuid.uuid4().hex[:12]}"
    world = stage.world(migration_id, World())
    migrations = Migrations(stage.client, stage.task_queue)
    assert await migrations.can_be_reached()
    text = json.dumps(a_request(migration_id))
    started = await migrations.start(text, origin=Origin(traceparent=TRACEPARENT))
    again = await migrations.start(text, origin=Origin(traceparent=OTHER))
    assert (started.outcome, again.outcome) == (Started.STARTED, Started.ALREADY_RUNNING)
    assert started.correlation_id == again.correlation_id == TRACE

    migration = Migration(migration_id, world, stage.client.get_workflow_handle(migration_id), stage.client)
    await migration.approve()
    await migration.ends()
    assert (await migration.status()).correlation_id == TRACE
    assert {launch.mark.correlation_id for launch in world.asked("start_cutover")} == {TRACE}
    last = await migration.handle.describe()
    assert last.run_id != started.run_id
    memo = await last.memo()
    assert (memo["correlationId"], memo["traceparent"]) == (TRACE, TRACEPARENT)


async def test_a_memo_of_another_client_that_makes_no_sense_is_no_hindrance(stage: Stage) -> None:
    migration = await stage.start_with(
        migration_id := f"mig-{uuid.uuid4().hex[:12]}",
        a_request(migration_id),
        memo={"correlationId": 7, "traceparent": ["x"]},
    )
    await migration.approve()
    await migration.ends()
    assert (await migration.status()).correlation_id == migration_id
