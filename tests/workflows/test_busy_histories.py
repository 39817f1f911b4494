"""Whatever comes together in one workflow task, a worker that has forgotten the migration can go on with it."""

import asyncio
from typing import Any

from migration.status import Phase
from tests.workflows.migration_requests import APPROVER
from tests.workflows.stage import Migration, Stage
from tests.workflows.test_replay import replay

MANY = 8
CALLBACKS: dict[str, Any] = {
    "callbackUrl": "https://hooks.example.com/migrations",
    "callbackSecret": "env:CALLBACK_SECRET",
}


async def test_decisions_that_come_while_much_is_published_replay(stage: Stage) -> None:
    soak = {"for": "PT0S", "end": "wait"}
    migrations = await asyncio.gather(*(stage.start_light(soak=soak, **CALLBACKS) for _ in range(MANY)))
    await asyncio.gather(*(_decided(migration) for migration in migrations))
    for migration in migrations:
        for history in await migration.histories():
            await replay(migration.migration_id.removeprefix("mig-"), history.to_json())


async def _decided(migration: Migration) -> None:
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    await asyncio.gather(migration.decide("pause"), migration.signal("resume"), migration.decide("approve", APPROVER))
    await migration.signal("resume")
    await migration.stands(Phase.SOAKING, "commit")
    await asyncio.gather(migration.signal("pause"), migration.decide("commit"))
    await migration.decide("resume")
    assert (await migration.ends()).status is Phase.COMPLETED
