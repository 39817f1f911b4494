"""The change requests of the ServiceNow stand-in: their fields, state model, and journal of work notes.

Source: ServiceNow, "State model and transitions" and "Journal field type". A journal field stores nothing itself: each
write adds an entry, and only its display value shows them.
"""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from localcloud.world import Application

TABLE = "change_request"
JOURNAL = "work_notes"
FIELDS = frozenset(
    {
        *("number", "short_description", "type", "state", "approval", "on_hold", "on_hold_reason"),
        *("start_date", "end_date", "close_code", "close_notes", "correlation_id", JOURNAL),
    }
)
FORMAT = "%Y-%m-%d %H:%M:%S"

_STATES = {
    "-5": "New",
    "-4": "Assess",
    "-3": "Authorize",
    "-2": "Scheduled",
    "-1": "Implement",
    "0": "Review",
    "3": "Closed",
    "4": "Canceled",
}
_NEXT = {"-5": {"-4", "-2"}, "-4": {"-3"}, "-3": {"-2"}, "-2": {"-1"}, "-1": {"0"}, "0": {"3"}}
_CANCELLED, _CLOSED = "4", "3"
_CLOSE_CODES = frozenset({"successful", "successful_issues", "unsuccessful"})

Record = Mapping[str, str]


def change_number(application: str) -> str:
    """The number of an application's seeded change request: always the same."""
    return f"CHG{int(hashlib.sha256(application.encode()).hexdigest()[:8], 16) % 10_000_000:07}"


def change_sys_id(number: str) -> str:
    """The id of the seeded change request of this number: 32 hexadecimal digits, always the same."""
    return hashlib.sha256(f"{TABLE}/{number}".encode()).hexdigest()[:32]


def seeds(applications: Iterable[Application]) -> Iterable[tuple[str, dict[str, str]]]:
    """A change request for each application, with its id: approved, and planned for now."""
    now = datetime.now(UTC)
    for application in applications:
        number = change_number(application.name)
        yield (
            change_sys_id(number),
            {
                "number": number,
                "short_description": f"{application.name} moves into AWS",
                "type": "normal",
                "state": "-2",
                "approval": "approved",
                "on_hold": "false",
                "start_date": (now - timedelta(hours=1)).strftime(FORMAT),
                "end_date": (now + timedelta(days=30)).strftime(FORMAT),
                "correlation_id": application.name,
            },
        )


def refusal(record: Record, changed: Record) -> str | None:
    """Why the state model or a data policy refuses this write, or None."""
    before, after = record["state"], changed.get("state", record["state"])
    if after != before and after not in _NEXT.get(before, set()) and not (after == _CANCELLED and before != _CLOSED):
        return f"Invalid state transition: {_label(before)} to {_label(after)}"
    closing = {**record, **changed}
    if after == _CLOSED and (closing["close_code"] not in _CLOSE_CODES or not closing["close_notes"]):
        return "Data Policy Exception: The following fields are mandatory: Close code, Close notes"
    return None


def displayed(name: str, value: str) -> str:
    """What people see of a field's value."""
    return _label(value) if name == "state" else value


def entry(at: str, author: str, text: str) -> str:
    """A work note as the journal shows it."""
    return f"{at} - {author} (Work notes)\n{text}\n\n"


def _label(state: str) -> str:
    return _STATES.get(state, state)
