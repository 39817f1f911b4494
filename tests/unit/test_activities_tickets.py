from datetime import timedelta
from typing import Any

import pytest

from activities.running import now
from activities.tickets import AwaitTicket, ChangeTickets, RecordOnTicket, TicketState, state_of
from migration.errors import Conflict, Unavailable
from migration.marks import Mark
from migration.steps import Step
from tests.fakes.environment import Attempts, stands_still_while
from tests.fakes.tickets import FakeTickets, a_ticket

NUMBER = "CHG0030001"
MARK = Mark(migration_id="mig-a", generation=1, step=Step.SWITCH, entry=1, part="ticket", correlation_id="mig-a")
LOOK = AwaitTicket(connection="sn", number=NUMBER)
NOTE = RecordOnTicket(connection="sn", number=NUMBER, mark=MARK, note="users are sent to the target")
END = NOTE.model_copy(update={"close": "successful"})
HOUR = timedelta(hours=1)


@pytest.fixture
def system() -> FakeTickets:
    return FakeTickets(a_ticket())


@pytest.fixture
def tickets(system: FakeTickets) -> ChangeTickets:
    return ChangeTickets(lambda _: system, timedelta(minutes=2), timedelta(seconds=60))


# --- whether it allows the cutover -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"approved": False, "approval": "Requested"}, "it is not approved (Requested)"),
        ({"approved": False, "approval": ""}, "it is not approved (nobody was asked)"),
        ({"on_hold": True}, "it is on hold"),
        ({"state": "Review", "to_be_done": False}, "its state is Review"),
        ({"starts": None}, "it has no planned start and end"),
        ({"ends": None}, "it has no planned start and end"),
        ({"on_hold": True, "ends": None}, "it is on hold; it has no planned start and end"),
    ],
)
def test_a_ticket_that_does_not_allow_the_cutover_says_why(changes: dict[str, Any], words: str) -> None:
    assert state_of(a_ticket(**changes), now()) == TicketState(
        problem=f"the change ticket {NUMBER} does not allow it: {words}"
    )


def test_a_ticket_allows_the_cutover_from_its_planned_start_to_its_planned_end() -> None:
    starts = now().replace(microsecond=0)
    ticket = a_ticket(starts=starts, ends=starts + HOUR)
    early = state_of(ticket, starts - timedelta(seconds=1))
    assert (early.until, "its planned time begins at" in (early.problem or "")) == (starts, True)
    assert state_of(ticket, starts) == TicketState()
    assert state_of(ticket, starts + HOUR - timedelta(seconds=1)) == TicketState()
    late = state_of(ticket, starts + HOUR)
    assert (late.until, "its planned time ended at" in (late.problem or "")) == (None, True)


def test_a_ticket_is_watched_until_something_is_news(system: FakeTickets, tickets: ChangeTickets) -> None:
    system.change(NUMBER, on_hold=True)
    environment = Attempts()
    held = environment.attempt(tickets.await_ticket, LOOK)
    assert held.problem
    again = LOOK.model_copy(update={"known": held})
    assert environment.not_yet(tickets.await_ticket, again).message == held.problem
    system.change(NUMBER, approved=False)
    assert environment.attempt(tickets.await_ticket, again).problem != held.problem
    system.change(NUMBER, approved=True, on_hold=False)
    assert environment.attempt(tickets.await_ticket, again) == TicketState()


def test_a_ticket_that_cannot_be_read_three_times_in_a_row_allows_nothing_and_is_told_of_once(
    system: FakeTickets, tickets: ChangeTickets
) -> None:
    for words in ("gone", "no route", "connection refused"):
        system.refuse("ticket", Unavailable(words))
    system.refuse("ticket", Conflict("not with this account"))
    environment = Attempts()
    for words in ("gone", "no route"):
        assert environment.not_yet(tickets.await_ticket, LOOK).message == f"{NUMBER} cannot be read: {words}"
    seen = environment.attempt(tickets.await_ticket, LOOK)
    assert seen == TicketState(problem=f"{NUMBER} cannot be read: connection refused", readable=False)
    environment.not_yet(tickets.await_ticket, LOOK.model_copy(update={"known": seen}))
    assert environment.attempt(tickets.await_ticket, LOOK.model_copy(update={"known": seen})) == TicketState()


def test_looks_that_are_lost_between_others_are_no_news(system: FakeTickets, tickets: ChangeTickets) -> None:
    system.change(NUMBER, on_hold=True)
    environment = Attempts()
    held = LOOK.model_copy(update={"known": environment.attempt(tickets.await_ticket, LOOK)})
    for _ in range(3):
        for _ in range(2):
            system.refuse("ticket", Unavailable("connection refused"))
            environment.not_yet(tickets.await_ticket, held)
        assert "on hold" in environment.not_yet(tickets.await_ticket, held).message


# --- what it is told ---------------------------------------------------------------------------------------------


def test_a_note_is_written_once_however_often_it_is_asked_for(system: FakeTickets, tickets: ChangeTickets) -> None:
    system.lose_reply("add_note")
    environment = Attempts()
    environment.error(tickets.record_on_ticket, NOTE)
    environment.attempt(tickets.record_on_ticket, NOTE)
    Attempts().attempt(tickets.record_on_ticket, NOTE)
    assert system.count("add_note") == 1
    assert system.tickets[NUMBER].notes.splitlines()[:2] == [NOTE.note, f"[{MARK}]"]


def test_an_attempt_that_stood_still_before_its_call_sees_what_another_has_written(
    system: FakeTickets, tickets: ChangeTickets, monkeypatch: pytest.MonkeyPatch
) -> None:
    stands_still_while(monkeypatch, lambda: Attempts().attempt(tickets.record_on_ticket, NOTE))
    Attempts().attempt(tickets.record_on_ticket, NOTE)
    assert system.count("add_note") == 1


def test_a_ticket_is_closed_state_by_state_and_goes_on_where_a_reply_was_lost(
    system: FakeTickets, tickets: ChangeTickets
) -> None:
    system.lose_reply("advance")
    environment = Attempts()
    environment.error(tickets.record_on_ticket, END)
    environment.attempt(tickets.record_on_ticket, END)
    Attempts().attempt(tickets.record_on_ticket, END)
    assert [effect[1:] for effect in system.effects if effect[0] == "advance"] == [
        ("Implement",),
        ("Review",),
        ("Closed", "successful", NOTE.note),
    ]
    assert system.count("add_note") == 1


def test_what_somebody_else_has_closed_stays_as_it_is(system: FakeTickets, tickets: ChangeTickets) -> None:
    system.change(NUMBER, state="Closed", over=True)
    Attempts().attempt(tickets.record_on_ticket, END)
    assert system.count("advance") == 0
