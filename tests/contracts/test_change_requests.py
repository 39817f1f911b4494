"""Change requests: the ServiceNow adapter against the stand-in, and the stand-in's state model."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from activities.tickets import ChangeTickets, RecordOnTicket
from adapters.servicenow import ServiceNow
from localcloud.change_requests import FORMAT, change_number, change_sys_id
from localcloud.faults import FaultPlan, Rule
from localcloud.ledger import Ledger
from localcloud.servicenow import ServiceNow as Instance
from localcloud.world import build_world
from migration.errors import Conflict, NotFound, Unavailable
from migration.marks import Mark
from migration.settings import Connection
from migration.steps import Step
from tests.fakes.environment import Attempts

USER, PASSWORD = "migrator", "correct horse"
APPLICATION = build_world(16).applications[0].name
NUMBER = change_number(APPLICATION)
CHANGE = change_sys_id(NUMBER)
MARK = Mark(migration_id="mig-billing", generation=1, step=Step.FINALIZE, entry=1, part="end", correlation_id="c")
END = RecordOnTicket(connection="", number=NUMBER, mark=MARK, note="the target serves", close="successful")


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def faults() -> FaultPlan:
    return FaultPlan()


@pytest.fixture
def instance(ledger: Ledger, faults: FaultPlan) -> Iterator[Instance]:
    instance = Instance(ledger, faults, username=USER, password=PASSWORD)
    instance.seed_changes(build_world(16).applications)
    instance.start()
    yield instance
    instance.stop()


@pytest.fixture
def system(instance: Instance) -> Iterator[ServiceNow]:
    system = ServiceNow(Connection(url=instance.url, username=USER, password=SecretStr(PASSWORD)))
    yield system
    system.close()


def patch(instance: Instance, **fields: str) -> httpx.Response:
    url = f"{instance.url}/api/now/table/change_request/{CHANGE}"
    return httpx.patch(url, json=fields, auth=(USER, PASSWORD), trust_env=False)


def states(ledger: Ledger) -> list[dict[str, Any]]:
    entries = ledger.entries(service="change", operation="update", target=NUMBER)
    return [entry.detail["fields"] for entry in entries]


# --- reading -----------------------------------------------------------------------------------------------------


def test_a_change_request_is_read_by_its_number(system: ServiceNow) -> None:
    ticket = system.ticket(NUMBER)
    assert (ticket.id, ticket.number, ticket.state, ticket.approval) == (CHANGE, NUMBER, "Scheduled", "approved")
    assert (ticket.approved, ticket.to_be_done, ticket.on_hold, ticket.over) == (True, True, False, False)
    assert ticket.starts is not None
    assert ticket.ends is not None
    assert ticket.starts < datetime.now(UTC) < ticket.ends
    assert ticket.notes == ""


def test_dates_are_utc_whatever_the_account_sees(instance: Instance, system: ServiceNow) -> None:
    starts = datetime(2026, 11, 28, 22, 30, tzinfo=UTC)
    patch(instance, start_date=starts.strftime(FORMAT), end_date="")
    ticket = system.ticket(NUMBER)
    assert (ticket.starts, ticket.ends) == (starts, None)


@pytest.mark.parametrize(
    ("field", "value", "attribute"),
    [("approval", "rejected", "approved"), ("on_hold", "true", "on_hold"), ("state", "4", "to_be_done")],
)
def test_what_people_change_is_seen(
    instance: Instance, system: ServiceNow, field: str, value: str, attribute: str
) -> None:
    before = getattr(system.ticket(NUMBER), attribute)
    assert patch(instance, **{field: value}).is_success
    assert getattr(system.ticket(NUMBER), attribute) is not before


def test_a_change_request_that_there_is_not_is_not_found(system: ServiceNow) -> None:
    with pytest.raises(NotFound, match="no change request CHG9999999"):
        system.ticket("CHG9999999")


def test_a_number_cannot_widen_the_query(system: ServiceNow) -> None:
    with pytest.raises(Conflict, match="holds a"):
        system.ticket(f"CHG9999999^ORnumber={NUMBER}")


def test_two_change_requests_of_one_number_are_a_conflict(instance: Instance, system: ServiceNow) -> None:
    instance.seed("change_request", "0" * 32, {"number": NUMBER, "state": "-2"})
    with pytest.raises(Conflict, match="has 2 change requests"):
        system.ticket(NUMBER)


def test_an_instance_that_is_down_is_worth_a_retry(system: ServiceNow, faults: FaultPlan) -> None:
    faults.add(Rule("change", "list", "refuse", target="change_request"))
    with pytest.raises(Unavailable):
        system.ticket(NUMBER)


# --- writing -----------------------------------------------------------------------------------------------------


def test_notes_are_appended_and_the_newest_is_shown_first(system: ServiceNow) -> None:
    for note in ("first [a]", "second [b]"):
        system.add_note(CHANGE, note)
    notes = system.ticket(NUMBER).notes
    assert [line for line in notes.splitlines() if "[" in line] == ["second [b]", "first [a]"]


@pytest.mark.parametrize("lost", range(4))
def test_a_ticket_is_noted_and_closed_once_whichever_reply_is_lost(
    system: ServiceNow, ledger: Ledger, faults: FaultPlan, lost: int
) -> None:
    faults.add(Rule("change", "update", "replyLost", target=NUMBER, after=lost, times=1))
    tickets, environment = ChangeTickets(lambda _: system, timedelta(minutes=2), timedelta(seconds=1)), Attempts()
    assert not environment.error(tickets.record_on_ticket, END).non_retryable
    environment.attempt(tickets.record_on_ticket, END)
    note, *closing = states(ledger)
    assert note == {"work_notes": f"{END.note}\n[{MARK}]"}
    assert closing == [
        {"state": "-1"},
        {"state": "0"},
        {"state": "3", "close_code": "successful", "close_notes": END.note},
    ]
    assert system.ticket(NUMBER).over


def test_a_change_request_that_nothing_leads_to_its_end_is_left_to_a_person(
    instance: Instance, system: ServiceNow
) -> None:
    instance.seed("change_request", "1" * 32, {"number": "CHG1", "state": "-4"})
    with pytest.raises(Conflict, match="from which nothing leads to Closed"):
        system.advance("1" * 32, code="successful", notes="done")


# --- the stand-in ------------------------------------------------------------------------------------------------


def test_the_stand_in_keeps_to_the_state_model_and_wants_a_code_to_close(instance: Instance) -> None:
    assert "Invalid state transition" in patch(instance, state="3").text
    for state in ("-1", "0"):
        assert patch(instance, state=state).is_success
    assert "mandatory" in patch(instance, state="3", close_code="fine", close_notes="done").text
    assert patch(instance, state="3", close_code="unsuccessful", close_notes="rolled back").is_success
    assert "Invalid state transition" in patch(instance, state="4").text
