"""Records the histories that `test_replay.py` replays: `python -m tests.workflows.record_histories`.

Only to be run when the workflows are meant to have changed in a way that running migrations cannot follow: those
that are under way have to be ended, or the change has to be patched, before such a version is deployed.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from temporalio.client import WorkflowHistory, WorkflowUpdateFailedError

from activities.tickets import TicketState
from activities.watching import ReplicationChanged
from migration.status import Phase
from migration.steps import Step
from tests.workflows.migration_requests import APPROVER, OTHER_APPROVER, REQUESTER, a_record, a_window
from tests.workflows.signers import approvals, signed
from tests.workflows.stage import Migration, Stage, set_up, temporal_server, until
from tests.workflows.test_migration_hooks import BACK, FORWARD, a_hook
from tests.workflows.test_migration_taken_over import taken_over
from tests.workflows.test_migration_tickets import CHANGE
from tests.workflows.worlds import World
from workflows.callbacks import callbacks_id

HISTORIES = Path(__file__).parents[1] / "histories"

CALLBACKS: dict[str, Any] = {"callbackUrl": "https://hooks.example.com/migrations"}

TWO: dict[str, Any] = {"approvers": [APPROVER, OTHER_APPROVER, REQUESTER], "minimum": 2}

SECOND_ENTRY = 2

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
    await until(lambda: _entries(migration, Step.APPROVE) == SECOND_ENTRY, "the gate is entered again")
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


# --- decisions ---------------------------------------------------------------------------------------------------


async def paused_and_retried_with_change(stage: Stage, **named: Any) -> Migration:
    """A failed launch, tried again on another instance type."""
    world = World()
    world.fail("start_cutover")
    migration = await stage.start_light(world, onFailure={"action": "pause"}, **named)
    await migration.approve()
    await migration.stands(Phase.AWAITING_DECISION, "failure")
    await migration.decide("retry", change={"instanceType": "m5.xlarge"})
    await migration.ends()
    return migration


async def evidence_lapsed(stage: Stage, **named: Any) -> Migration:
    """Replication falls behind while a second approval is waited for: both are asked for anew."""
    migration = await stage.start_light(approval=TWO, **named)
    await migration.approve()
    migration.world.changed_evidence.append(ReplicationChanged(reason="replication is behind: s-1"))
    await migration.is_reached("observe_replication", calls=2)
    await until(lambda: _is_asked_anew(migration), "new evidence is shown")
    await migration.decide("approve", APPROVER)
    await migration.decide("approve", OTHER_APPROVER)
    await migration.ends()
    return migration


async def tested_again(stage: Stage, **named: Any) -> Migration:
    """A test launch that is too old, made again; given up then."""
    migration = await stage.start(test={"maxAge": "PT5S"}, approval=TWO, **named)
    await migration.approve()
    await migration.is_reached("start_test", calls=2)
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    await migration.decide("abandon", reason="recorded")
    await migration.ends()
    return migration


async def window_turned_back(stage: Stage, **named: Any) -> Migration:
    """A launch that lasts beyond the window's last moment: back to the gate, and rejected there."""
    world = World()
    world.hold("await_job", obedient=True)
    migration = await stage.start_light(world, **named)
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    await migration.decide("reschedule", **a_window(timedelta(0), timedelta(seconds=10)))
    await migration.approve()
    await until(lambda: _entries(migration, Step.APPROVE) == SECOND_ENTRY, "the gate is entered again")
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    await migration.decide("reject", APPROVER, to="start")
    await migration.ends()
    return migration


async def signed_approval(stage: Stage, **named: Any) -> Migration:
    """Signed decisions only: an unsigned one, a right one and its replay."""
    rules = {**TWO, "signed": True}
    migration = await stage.start_light(approval=rules, **named)
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    await migration.refuses("approve", APPROVER)
    status = await migration.status()
    jws = signed(status)
    await migration.decide("approve", APPROVER, jws=jws)
    await migration.refuses("approve", APPROVER, jws=jws)
    await migration.signal("approve", OTHER_APPROVER, jws=signed(status, OTHER_APPROVER))
    await migration.ends()
    return migration


async def approvals_raced(stage: Stage, **named: Any) -> Migration:
    """Many approvals at once, by updates and signals, from who may and who may not."""
    migration = await stage.start_light(approval=TWO, **named)
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    await asyncio.gather(
        *(_approval(migration, by) for by in (REQUESTER, APPROVER, OTHER_APPROVER) * 4),
        *(migration.signal("approve", by) for by in (REQUESTER, APPROVER, OTHER_APPROVER) * 2),
    )
    await migration.ends()
    return migration


async def operator_paused(stage: Stage, **named: Any) -> Migration:
    """An operator stops an approved migration before its cutover, and lets it go on."""
    migration = await stage.start_light(**named)
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    await migration.decide("pause")
    await migration.decide("approve", APPROVER)
    await migration.stands(Phase.AWAITING_DECISION, "resume")
    await migration.signal("resume")
    await migration.ends()
    return migration


# --- the end of the source ---------------------------------------------------------------------------------------


async def source_deleted(stage: Stage, **named: Any) -> Migration:
    """A deletion, with its second approval."""
    migration = await stage.start_light(sourceAfter="delete", **named)
    await migration.approve()
    await migration.stands(Phase.AWAITING_DECISION, "delete")
    await migration.decide("approve", APPROVER, **{"for": "delete"})
    await migration.ends()
    return migration


async def source_kept(stage: Stage, **named: Any) -> Migration:
    """A retirement that somebody stops in its grace period."""
    migration = await stage.start_light(grace="PT1H", **named)
    await migration.approve()
    await migration.stands(Phase.DECOMMISSIONING)
    await migration.decide("keepSource")
    await migration.ends()
    return migration


# --- the saga ----------------------------------------------------------------------------------------------------


async def rollback_incomplete_retried(stage: Stage, **named: Any) -> Migration:
    """An undo that fails, and is tried again."""
    world = World()
    world.fail("start_cutover")
    world.fail("restore_sources")
    migration = await stage.start_light(world, rollback={"to": "start"}, **named)
    await migration.approve()
    await migration.stands(Phase.ROLLBACK_INCOMPLETE, "undo")
    await migration.decide("retry")
    await migration.ends()
    return migration


async def run_taken_over(stage: Stage, **named: Any) -> Migration:
    """A run that is terminated in its cutover, and the one that goes on from there."""
    world = World()
    world.hold("start_cutover")
    migration = await stage.start_light(world, **named)
    await migration.approve()
    await migration.is_reached("start_cutover")
    heir = await taken_over(stage, migration)
    world.release_all()
    await heir.ends()
    return heir


Story = Callable[..., Awaitable[Migration]]

# --- hooks and change tickets ------------------------------------------------------------------------------------


async def hooks_and_a_ticket(stage: Stage, **named: Any) -> Migration:
    """The application's own steps on the way forward, and a ticket that opens the gate only at the second look."""
    world = World()
    world.tickets = [TicketState(problem="it is not approved"), TicketState()]
    migration = await stage.start_light(world, hooks=[a_hook(at) for at in FORWARD], **CHANGE, **named)
    await migration.approve()
    await migration.ends()
    return migration


async def hooks_on_the_way_back(stage: Stage, **named: Any) -> Migration:
    """A failed launch, undone between the application's own steps."""
    world = World()
    world.fail("start_cutover")
    hooks = [a_hook(at) for at in BACK]
    migration = await stage.start_light(world, hooks=hooks, rollback={"to": "start"}, **CHANGE, **named)
    await migration.approve()
    await migration.ends()
    return migration


STORIES: tuple[Story, ...] = (
    *(happy_path, rolled_back_to_start, rolled_back_to_ready, rolled_back_after_the_switch),
    *(paused_and_retried, cancelled_at_the_gate, rejected),
    *(paused_and_retried_with_change, evidence_lapsed, tested_again, window_turned_back),
    *(signed_approval, approvals_raced, operator_paused, source_deleted, source_kept),
    *(rollback_incomplete_retried, run_taken_over, hooks_and_a_ticket, hooks_on_the_way_back),
)


async def _approval(migration: Migration, by: str) -> None:
    """An approval that may be refused."""
    with suppress(WorkflowUpdateFailedError):
        await migration.decide("approve", by)


async def _is_asked_anew(migration: Migration) -> bool:
    status = await migration.status()
    return status.evidence_hash is not None and status.approvals == []


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
    """What makes a run different from another one: what it was given, its activities, decisions, and how it ended."""
    events = json.loads(text)["events"]
    given = events[0]["workflowExecutionStartedEventAttributes"].get("memo", {}).get("fields", {})
    heard = [said for event in events if (said := _heard_or_asked(event)) not in ("", "save_state")]
    return (*sorted(given), *heard, events[-1]["eventType"])


def _heard_or_asked(event: dict[str, Any]) -> str:
    """The activity that is scheduled, the signal that has come, or the update that was accepted."""
    accepted = event.get("workflowExecutionUpdateAcceptedEventAttributes", {}).get("acceptedRequest", {})
    signalled = event.get("workflowExecutionSignaledEventAttributes", {}).get("signalName", "")
    scheduled = event.get(_SCHEDULED, {}).get("activityType", {}).get("name", "")
    return str(scheduled or signalled or accepted.get("input", {}).get("name", ""))


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
    signatures = approvals().verify_signature
    async with temporal_server() as address, set_up(address, also=[signatures]) as stage:
        recorded = await asyncio.gather(*(record(stage, story) for story in STORIES))
    HISTORIES.mkdir(exist_ok=True)
    for old in HISTORIES.glob("*.json"):
        old.unlink()
    different = {shape(text): (name, text) for runs in recorded[::-1] for name, text in reversed(runs.items())}
    for name, text in different.values():
        (HISTORIES / name).write_text(text)


if __name__ == "__main__":
    asyncio.run(main())
