"""Records the histories that `test_replay.py` replays: `python -m tests.workflows.record_histories`.

Only to be run when the workflows are meant to have changed in a way that running migrations cannot follow: those
that are under way have to be ended, or the change has to be patched, before such a version is deployed.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from temporalio.client import WorkflowHistory

from migration.status import Phase
from migration.steps import Step
from tests.workflows.migration_requests import APPROVER, a_record
from tests.workflows.stage import Migration, Stage, set_up, temporal_server, until
from tests.workflows.worlds import World
from workflows.callbacks import callbacks_id

HISTORIES = Path(__file__).parents[1] / "histories"

CALLBACKS: dict[str, Any] = {"callbackUrl": "https://hooks.example.com/migrations"}

_OF_A_MACHINE = frozenset({"identity", "stackTrace", "workerVersion", "binaryChecksum", "requestId"})
"""Fields that say where a history was made, and that replay does not look at."""

_SCHEDULED = "activityTaskScheduledEventAttributes"
"""Replay looks at which activity is scheduled, not at its input."""


async def happy_path(stage: Stage, **named: Any) -> Migration:
    """Every step, the DNS TTL lowered, callbacks."""
    migration = await stage.start(World(old_ttl=2), dns=[a_record("billing-web-01", ttl=1)], **CALLBACKS, **named)
    await migration.approve()
    await migration.ends()
    await asyncio.wait_for(stage.client.get_workflow_handle(callbacks_id(migration.migration_id)).result(), 60)
    return migration


async def rolled_back_to_start(stage: Stage, **named: Any) -> Migration:
    """A target that does not become healthy: everything undone."""
    migration = await stage.start(_unhealthy(), rollback={"to": "start"}, **named)
    await migration.approve()
    await migration.ends()
    return migration


async def rolled_back_to_ready(stage: Stage, **named: Any) -> Migration:
    """A target that does not become healthy: back to the gate, and through it a second time."""
    migration = await stage.start(_unhealthy(), rollback={"to": "ready"}, **named)
    await migration.approve()
    await until(lambda: _entries(migration, Step.APPROVE) == 2, "the gate is entered again")
    await migration.approve()
    await migration.ends()
    return migration


async def rolled_back_after_the_switch(stage: Stage, **named: Any) -> Migration:
    """An application that fails in its soak: a person's decision, the target preserved."""
    world = World()
    world.unhealthy_watches = 1
    migration = await stage.start(world, rollback={"to": "start"}, **named)
    await migration.approve()
    await migration.stands(Phase.AWAITING_DECISION, "failure")
    await migration.decide("rollback")
    await migration.ends()
    return migration


async def paused_and_retried(stage: Stage, **named: Any) -> Migration:
    """A failed launch, tried again by a signal; a failed undo later on, skipped."""
    world = World()
    world.fail("start_cutover")
    world.fail("remove_records")
    migration = await stage.start(world, onFailure={"action": "pause"}, soak={"for": "PT1H", "end": "wait"}, **named)
    await migration.approve()
    await migration.stands(Phase.AWAITING_DECISION, "failure")
    await migration.signal("retry")
    await migration.is_reached("watch_health")
    await migration.decide("abandon", reason="recorded")
    await migration.stands(Phase.ROLLBACK_INCOMPLETE, "undo")
    await migration.decide("skip", reason="recorded")
    await migration.ends()
    return migration


async def cancelled_at_the_gate(stage: Stage, **named: Any) -> Migration:
    """A Temporal cancel while approval is waited for."""
    migration = await stage.start(**named)
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    await migration.cancel()
    await migration.is_cancelled()
    return migration


async def rejected(stage: Stage, **named: Any) -> Migration:
    """An approver says no."""
    migration = await stage.start(**named)
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    await migration.decide("reject", APPROVER, to="start", comment="not now")
    await migration.ends()
    return migration


Story = Callable[..., Awaitable[Migration]]

STORIES: tuple[Story, ...] = (
    *(happy_path, rolled_back_to_start, rolled_back_to_ready, rolled_back_after_the_switch),
    *(paused_and_retried, cancelled_at_the_gate, rejected),
)


def _unhealthy() -> World:
    world = World()
    world.fail("await_health", call=2)
    return world


def _entries(migration: Migration, step: Step) -> int:
    seen = migration.world.seen()
    return next(line for line in seen.steps if line.step is step).entry if seen else 0


def as_text(history: WorkflowHistory) -> str:
    """The history as JSON, without what says where it was made."""
    recorded = json.loads(history.to_json())
    for event in recorded["events"]:
        event.get(_SCHEDULED, {}).pop("input", None)
    return json.dumps(_without_machine(recorded), separators=(",", ":")) + "\n"


def shape(text: str) -> tuple[str, ...]:
    """What makes a run different from another one: its activities, and how it ended."""
    events = json.loads(text)["events"]
    acts = [event[_SCHEDULED]["activityType"]["name"] for event in events if _SCHEDULED in event]
    return (*(act for act in acts if act != "save_state"), events[-1]["eventType"])


def _without_machine(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_machine(item) for key, item in value.items() if key not in _OF_A_MACHINE}
    return [_without_machine(item) for item in value] if isinstance(value, list) else value


def name_of(story: Story) -> str:
    """The story's name, as its files have it, and, with a prefix, its migration."""
    return story.__name__.replace("_", "-")


async def record(stage: Stage, story: Story) -> dict[str, str]:
    """Play a story; gives its histories by file name."""
    name = name_of(story)
    migration = await story(stage, migrationId=f"mig-{name}")
    runs = {f"{name}-{number}.json": as_text(run) for number, run in enumerate(await migration.histories(), start=1)}
    if migration.world.delivered:
        callbacks = stage.client.get_workflow_handle(callbacks_id(migration.migration_id))
        runs[f"{name}-callbacks.json"] = as_text(await callbacks.fetch_history())
    return runs


async def main() -> None:
    """Replace all histories."""
    async with temporal_server() as address, set_up(address) as stage:
        recorded = await asyncio.gather(*(record(stage, story) for story in STORIES))
    HISTORIES.mkdir(exist_ok=True)
    for old in HISTORIES.glob("*.json"):
        old.unlink()
    different = {shape(text): (name, text) for runs in recorded[::-1] for name, text in reversed(runs.items())}
    for name, text in different.values():
        (HISTORIES / name).write_text(text)


if __name__ == "__main__":
    asyncio.run(main())
