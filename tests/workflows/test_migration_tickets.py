"""The change ticket: it opens the gate with the approvers, holds the source to the last moment, and hears of it all."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from activities.tickets import TicketState
from migration.status import Phase, Side
from tests.workflows.stage import Migration, Stage, until
from tests.workflows.worlds import World

RIGHT = TicketState()
ON_HOLD = TicketState(problem="the change ticket CHG0030001 does not allow it: it is on hold")
UNREADABLE = TicketState(problem="CHG0030001 cannot be read: ServiceNow is down", readable=False)
CHANGE = {"change": {"system": "servicenow", "connection": "servicenow-1", "number": "CHG0030001"}}
ACTS = ("shut_down_sources", "fence_targets", "restore_sources", "run_hook beforeQuiesce")


async def with_ticket(stage: Stage, *states: TicketState, **parts: Any) -> Migration:
    world = World()
    world.tickets = list(states)
    migration = await stage.start_light(world, **(CHANGE | parts))
    await migration.approve()
    return migration


def notes(migration: Migration) -> list[tuple[str, str | None]]:
    """What the ticket was told: part of the mark, and the code it was closed with."""
    told = [(str(note.mark).partition("/ticket-")[2], note.close) for note in migration.world.asked("record_on_ticket")]
    return sorted(told, key=str)


async def test_a_ticket_that_is_right_opens_the_gate_and_hears_of_every_station(stage: Stage) -> None:
    migration = await with_ticket(stage, RIGHT)
    assert (await migration.ends()).status is Phase.COMPLETED
    await until(lambda: migration.world.calls.count("record_on_ticket") == 4, "all notes")
    assert notes(migration) == [("approve", None), ("cutover", None), ("end", "successful"), ("switch", None)]
    said = {note.mark.part: note.note for note in migration.world.asked("record_on_ticket")}
    evidence = (await migration.status()).evidence_hash
    assert said["ticket-approve"].endswith(f"at the gate, with the evidence {evidence}")


async def test_a_ticket_that_is_not_right_is_waited_for_at_the_gate_in_words(stage: Stage) -> None:
    until_then = datetime.now(UTC) + timedelta(days=1)
    early = TicketState(problem="its planned time begins tomorrow", until=until_then)
    migration = await with_ticket(stage, ON_HOLD)
    status = await migration.stands(Phase.AWAITING_APPROVAL, "change")
    assert status.awaiting is not None
    assert status.awaiting.message == ON_HOLD.problem
    migration.world.tickets = [early]
    await until(lambda: _awaits(migration, early.problem), "the other words")
    assert _awaiting_until(migration) == until_then
    assert migration.world.acted(*ACTS) == []
    migration.world.tickets = [RIGHT]
    assert (await migration.ends()).served_by is Side.TARGET


def _awaits(migration: Migration, words: str | None) -> bool:
    seen = migration.world.seen()
    return bool(seen and seen.awaiting and seen.awaiting.message == words)


def _awaiting_until(migration: Migration) -> datetime | None:
    seen = migration.world.seen()
    return seen.awaiting.until if seen and seen.awaiting else None


async def test_a_ticket_that_nobody_can_read_opens_no_gate(stage: Stage) -> None:
    migration = await with_ticket(stage, UNREADABLE)
    status = await migration.stands(Phase.AWAITING_APPROVAL, "change")
    assert "ServiceNow is down" in status.message
    migration.world.tickets = [RIGHT]
    assert (await migration.ends()).status is Phase.COMPLETED


async def test_a_migration_that_waits_for_its_ticket_can_be_abandoned(stage: Stage) -> None:
    migration = await with_ticket(stage, ON_HOLD)
    await migration.stands(Phase.AWAITING_APPROVAL, "change")
    await migration.decide("abandon", reason="another year")
    assert (await migration.ends()).status is Phase.CANCELLED
    assert notes(migration) == [("approve", None), ("end", None), ("rollback", None)]


@pytest.mark.parametrize("hooks", [[], [{"at": "beforeQuiesce"}]], ids=["no hooks", "hooks"])
async def test_a_ticket_revoked_after_the_gate_sends_back_to_it_with_nothing_half_done(
    stage: Stage, hooks: list[dict[str, Any]]
) -> None:
    fields = {"on": "source", "server": "billing-web-01", "type": "ssm", "ref": "AWS-RunShellScript"}
    migration = await with_ticket(stage, RIGHT, ON_HOLD, hooks=[hook | fields for hook in hooks])
    await migration.is_reached("observe_replication", 2)
    status = await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    assert (status.served_by, status.down_since, status.approvals) == (Side.SOURCE, None, [])
    assert not {"shut_down_sources", "run_hook beforeQuiesce"} & set(migration.world.acted())
    await migration.approve()
    status = await migration.stands(Phase.AWAITING_APPROVAL, "change")
    assert status.message == ON_HOLD.problem
    migration.world.tickets = [RIGHT]
    assert (await migration.ends()).served_by is Side.TARGET


async def test_a_ticket_that_cannot_be_read_before_the_source_goes_off_is_waited_for_and_lag_is_seen_anew(
    stage: Stage,
) -> None:
    migration = await with_ticket(stage, RIGHT, UNREADABLE, RIGHT)
    assert (await migration.ends()).served_by is Side.TARGET
    waited = migration.world.calls[migration.world.calls.index("set_launch_targets") :]
    looks = [call for call in waited if call in ("await_ticket", "await_replication", "shut_down_sources")]
    assert looks[:6] == [
        *("await_replication", "await_ticket", "await_ticket", "await_replication", "await_ticket"),
        "shut_down_sources",
    ]


async def test_a_ticket_system_that_is_down_after_the_gate_holds_nothing_up(stage: Stage) -> None:
    world = World()
    held = [world.hold("record_on_ticket", call=call) for call in range(1, 5)]
    migration = await stage.start_light(world, **CHANGE)
    await migration.approve()
    assert (await migration.ends()).status is Phase.COMPLETED
    for hold in held:
        hold.release()


async def test_a_rollback_closes_the_ticket_as_unsuccessful(stage: Stage) -> None:
    world = World()
    world.fail("await_job")
    migration = await stage.start_light(world, rollback={"to": "start"}, **CHANGE)
    await migration.approve()
    assert (await migration.ends()).status is Phase.ROLLED_BACK
    assert notes(migration) == [("approve", None), ("cutover", None), ("end", "unsuccessful"), ("rollback", None)]


async def test_a_rollback_before_the_source_was_stopped_leaves_the_ticket_open_for_another_try(stage: Stage) -> None:
    world = World()
    world.fail("set_launch_targets")
    migration = await stage.start_light(world, rollback={"to": "start"}, **CHANGE)
    await migration.approve()
    assert (await migration.ends()).status is Phase.ROLLED_BACK
    assert "shut_down_sources" not in world.calls
    assert notes(migration) == [("approve", None), ("end", None), ("rollback", None)]


async def test_a_migration_without_a_ticket_asks_and_tells_nobody(stage: Stage) -> None:
    migration = await stage.start_light()
    await migration.approve()
    await migration.ends()
    assert not {"await_ticket", "record_on_ticket"} & set(migration.world.calls)
