"""The local EventBridge: moto's, as strict as AWS about sizes, and with entries that fail by the fault plan.

moto delivers to queues by itself, by a template that leaves the account out and puts values into the words of others:
here a target without a template gets the event as it is. moto refuses a request for a bus that is not there, where AWS
takes the events and drops them; here they are dropped, too.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import uuid4

from moto.core.exceptions import JsonRESTError
from moto.events.models import EventsBackend
from moto.events.utils import EventTemplateParser

from localcloud.faults import FaultPlan

ENTRY = "entry"
"""The operation of the fault plan's rules for single entries of a PutEvents, of service `events`."""

_MOST_ENTRIES, _MOST_BYTES = 10, 262_144
_TIME_BYTES = 14
_FAILURES = {"throttle": "ThrottlingException"}
_USUAL_FAILURE = "InternalFailure"
_put_events = EventsBackend.put_events
_parse = EventTemplateParser.parse


def install(faults: FaultPlan) -> None:
    """Teach moto's EventBridge this fault plan, in place of any earlier one.

    An entry is meant by its detail type, or by what its detail has as `id` or `migrationId`; any verb makes it fail.
    """

    def put_events(self: EventsBackend, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if len(events) > _MOST_ENTRIES:
            raise JsonRESTError("ValidationException", f"'entries' must have {_MOST_ENTRIES} members at most")
        if sum(map(_size, events)) > _MOST_BYTES:
            raise JsonRESTError("ValidationException", "Total size of the entries in the request is over the limit.")
        failures = [_failure(faults, entry) for entry in events]
        taken = [entry for entry, failure in zip(events, failures, strict=True) if not failure]
        results = iter(_deliver(self, taken))
        return [failure or next(results) for failure in failures]

    EventsBackend.put_events = put_events
    EventTemplateParser.parse = staticmethod(_for_the_target)


def names_of(entry: Mapping[str, Any]) -> list[str]:
    """What an entry is about: its detail type, and the ids of its detail."""
    return [str(entry.get("DetailType", "")), *_ids(entry)]


def _ids(entry: Mapping[str, Any]) -> Iterator[str]:
    try:
        detail = json.loads(entry.get("Detail") or "{}")
    except ValueError:
        return
    if isinstance(detail, dict):
        data = detail.get("data")
        found = (detail.get("id"), data.get("migrationId") if isinstance(data, dict) else None)
        yield from (value for value in found if isinstance(value, str))


def _failure(faults: FaultPlan, entry: Mapping[str, Any]) -> dict[str, Any] | None:
    rule = faults.take(service="events", operation=ENTRY, targets=names_of(entry))
    if rule is None:
        return None
    code = rule.code or _FAILURES.get(rule.action, _USUAL_FAILURE)
    return {"ErrorCode": code, "ErrorMessage": rule.message or "the entry is refused by the fault plan"}


def _for_the_target(input_template: str | None, input_paths_map: dict[str, Any], event: Any) -> dict[str, Any]:
    if input_template:
        transformed: dict[str, Any] = _parse(input_template, input_paths_map, event)
        return transformed
    return {name: value for name, value in event.items() if name != "ingestion-time"}


def _deliver(backend: EventsBackend, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = []
    for entry in entries:
        bus = (entry.get("EventBusName") or "default").rpartition("/")[2]
        results += _put_events(backend, [entry]) if bus in backend.event_buses else [{"EventId": str(uuid4())}]
    return results


def _size(entry: Mapping[str, Any]) -> int:
    """Bytes of an entry, as the user guide counts them ("Calculating PutEvents event entry size")."""
    texts = [entry.get("Source"), entry.get("DetailType"), entry.get("Detail"), *(entry.get("Resources") or ())]
    return sum(len(str(text).encode()) for text in texts if text) + (_TIME_BYTES if entry.get("Time") else 0)
