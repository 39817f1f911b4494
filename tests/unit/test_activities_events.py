"""Events on their way to the bus: the order is kept, and a repeat is known by its id."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from activities.events import Events, EventsPut, PutEvents
from migration.errors import PrerequisiteError
from migration.messages import Message, MessageType
from migration.ports import BusEvent
from tests.fakes.environment import Attempts

BOUND = timedelta(minutes=2)


class Bus:
    """Takes events, or answers as it is told, once each."""

    def __init__(self, *answers: Sequence[str | None]) -> None:
        self.answers = list(answers)
        self.put_events: list[BusEvent] = []

    def put(self, events: Sequence[BusEvent]) -> Sequence[str | None]:
        self.put_events += events
        return self.answers.pop(0) if self.answers else [None] * len(events)


class NoBus:
    """Is configured, and not there."""

    def put(self, events: Sequence[BusEvent]) -> Sequence[str | None]:
        raise PrerequisiteError("there is no event bus", action="Create it.", retryable=True)


def some(number: int) -> PutEvents:
    return PutEvents(
        events=tuple(
            Message(
                id=f"mig:1:{sequence}",
                type=MessageType.STATUS_CHANGED,
                timestamp=datetime(2026, 11, 23, tzinfo=UTC),
                data={"sequence": sequence},
            )
            for sequence in range(1, number + 1)
        )
    )


def test_an_event_has_the_message_as_its_detail() -> None:
    bus = Bus()
    assert Attempts().attempt(Events(bus, BOUND).put_events, some(1)) == EventsPut(taken=1)
    (event,) = bus.put_events
    assert (event.id, event.type) == ("mig:1:1", "MigrationStatusChanged")
    assert json.loads(event.detail) == {
        "id": "mig:1:1",
        "type": "MigrationStatusChanged",
        "timestamp": "2026-11-23T00:00:00Z",
        "data": {"sequence": 1},
    }


def test_events_that_are_put_twice_have_the_same_ids() -> None:
    bus = Bus()
    for _ in range(2):
        Attempts().attempt(Events(bus, BOUND).put_events, some(2))
    assert [event.id for event in bus.put_events] == ["mig:1:1", "mig:1:2"] * 2


def test_what_follows_an_event_that_was_not_taken_counts_as_not_taken() -> None:
    bus = Bus([None, "InternalFailure", None])
    assert Attempts().attempt(Events(bus, BOUND).put_events, some(3)) == EventsPut(taken=1)


def test_an_attempt_that_stood_still_for_too_long_puts_nothing() -> None:
    bus = Bus()
    error = Attempts(age=BOUND).error(Events(bus, BOUND).put_events, some(1))
    assert (error.type, error.non_retryable) == ("Unavailable", False)
    assert not bus.put_events


def test_when_not_even_the_first_was_taken_it_is_tried_again() -> None:
    error = Attempts().error(Events(Bus(["InternalFailure", None]), BOUND).put_events, some(2))
    assert error.message == "the bus did not take mig:1:1: InternalFailure"
    assert not error.non_retryable


def test_a_missing_bus_is_tried_again_and_says_what_to_do() -> None:
    error = Attempts().error(Events(NoBus(), BOUND).put_events, some(1))
    assert (error.type, error.non_retryable) == ("PrerequisiteError", False)
    assert error.details[0]["action"] == "Create it."


def test_without_a_bus_in_the_settings_the_answer_says_so() -> None:
    assert Attempts().attempt(Events(None, BOUND).put_events, some(1)) == EventsPut(taken=None)
