"""`migrator callbacks`: what it shows of all generations, and what it sends again."""

import asyncio
import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from migration.messages import Message, MessageType
from starter import cli
from starter.callbacks import Generation, shown
from tests.workflows.stage import Stage, until
from tests.workflows.worlds import World
from workflows.callbacks import CallbackStatus, DeadLetter, OpenCallbacks, Trying, callbacks_id

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def a_dead_letter(name: str, at: datetime | None = None) -> DeadLetter:
    message = Message(id=name, type=MessageType.SUCCEEDED, timestamp=at or datetime.now(UTC), data={})
    return DeadLetter(message=message, at=at or datetime.now(UTC), error="HTTP 503: closed for today")


async def migrator(*words: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, cli.app, ["callbacks", *words])


async def given_up(stage: Stage, migration_id: str, **generations: list[str]) -> World:
    """Ended generations of a migration, with these dead letters."""
    world = stage.world(migration_id, World())
    for name, letters in generations.items():
        opened = OpenCallbacks(
            migration_id=migration_id,
            url="https://hooks.example.com/",
            dead=tuple(map(a_dead_letter, letters)),
            delivered=7,
            ended=True,
        )
        workflow_id = callbacks_id(migration_id, int(name.removeprefix("generation_")))
        await stage.client.start_workflow("CallbackWorkflow", opened, id=workflow_id, task_queue=stage.task_queue)
    return world


async def listed(migration_id: str, **expected: Any) -> dict[str, Any]:
    """What programs are told, once it is so: the server's list of workflows lags a little behind."""

    async def look() -> dict[str, Any] | None:
        result = await migrator(migration_id, "--output", "json")
        document: dict[str, Any] = json.loads(result.stdout)
        found = {str(one["generation"]): one["status"]["delivered"] for one in document.get("generations", ())}
        return document if found == expected["delivered"] else None

    document: dict[str, Any] = await until(look, f"the callbacks of {migration_id} are {expected}")
    return document


@pytest.fixture
def migration_id(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("TEMPORAL_ADDRESS", stage.address)
    return f"mig-{uuid.uuid4().hex[:12]}"


async def test_dead_letters_of_all_generations_are_shown_and_sent_again(stage: Stage, migration_id: str) -> None:
    world = await given_up(stage, migration_id, generation_1=["a:1:1"], generation_2=["a:2:1", "a:2:2"])
    await given_up(stage, f"{migration_id}0", generation_1=["b:1:1"])
    document = await listed(migration_id, delivered={"1": 7, "2": 7})
    dead = [[letter["message"]["id"] for letter in one["status"]["dead"]] for one in document["generations"]]
    assert dead == [["a:1:1"], ["a:2:1", "a:2:2"]]
    assert (
        "generation 1: 7 delivered, 0 queued, 1 dead letter\n  DEAD     a:1:1  "
        in (await migrator(migration_id)).stdout
    )

    some = await migrator(migration_id, "--replay", "a:2:2", "-o", "json")
    assert json.loads(some.stdout)["replayed"] == ["a:2:2"]
    unknown = await migrator(migration_id, "--replay", "a:1:1", "b:1:1")
    assert (unknown.exit_code, unknown.stderr) == (3, f"{migration_id} has no dead letter b:1:1\n")

    rest = await migrator(migration_id, "--replay")
    assert rest.stdout.startswith("queued again: a:1:1, a:2:1\n")
    await listed(migration_id, delivered={"1": 8, "2": 9})
    assert "generation 2, ended: 9 delivered, 0 queued, 0 dead letters" in (await migrator(migration_id)).stdout
    assert sorted(request.message_id for request in world.delivered) == ["a:1:1", "a:2:1", "a:2:2"]


async def test_a_migration_without_callbacks_is_not_found(migration_id: str) -> None:
    for name in (migration_id, "x' OR WorkflowId != '"):
        result = await migrator(name)
        assert (result.exit_code, result.stderr) == (3, f"there are no callbacks of {name}\n")


async def test_message_ids_are_for_a_replay(migration_id: str) -> None:
    result = await migrator(migration_id, "a:1:1")
    assert (result.exit_code, result.stderr) == (2, "message ids are for --replay\n")


def test_people_see_what_waits_and_why() -> None:
    status = CallbackStatus(
        queued=2,
        delivered=3,
        dead=(a_dead_letter("a:1:2", NOW - timedelta(hours=2)),),
        trying=Trying(message_id="a:1:4", tries=5, error="HTTP 503", again=NOW + timedelta(minutes=3)),
        unreadable=1,
        gone="HTTP 410: moved",
    )
    lines = list(shown(Generation(generation=1, running=True, status=status), NOW))
    assert lines[0] == "generation 1: 3 delivered, 2 queued, 1 dead letter"
    assert lines[1] == "  GONE     the endpoint is not called again before a replay: HTTP 410: moved"
    assert lines[2].startswith("  WAITING  a:1:4  tried 5 times, again ")
    assert lines[2].endswith("(in 3 min): HTTP 503")
    assert lines[3] == "  LOST     1 signals carried no readable message"
    assert lines[4].startswith("  DEAD     a:1:2  MigrationSucceeded  ")
    assert lines[4].endswith("(2 h ago): HTTP 503: closed for today")
