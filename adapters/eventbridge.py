"""The event bus in Amazon EventBridge (API 2015-10-07).

PutEvents has no token: an event whose answer got lost arrives twice, with the same `id` in its detail.
"""

import json
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from adapters.aws import AwsSessions, aws_call
from migration.errors import MigrationError, NotFound, PrerequisiteError, Unavailable
from migration.ports import BusEvent

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_events.type_defs import PutEventsRequestEntryTypeDef, PutEventsResultEntryTypeDef

SOURCE = "migrator"
"""The source of every event, which rules match."""

MOST_ENTRIES = 10
MOST_BYTES = 245_760
"""Of a request: 256 KB less 16 KB, for what EventBridge adds to an event that goes on to a queue.

Accounts of later date allow 1 MB; the smaller limit is everywhere and is the one of many targets.
"""

_TIME_BYTES = 14
_SHORT = 512
"""Characters of a member that stays in the detail of an event that is too large."""


class EventBridge:
    """One bus, as `EventBus`."""

    def __init__(self, sessions: AwsSessions, bus: str, *, region: str | None = None) -> None:
        """Nothing is called yet.

        Args:
            sessions: Where clients come from.
            bus: The bus's name or ARN.
            region: None: the default one.
        """
        self._client: EventBridgeClient = sessions.client("events", region=region)
        self._bus = bus
        self._lock = threading.Lock()
        self._found = False

    def put(self, events: Sequence[BusEvent]) -> Sequence[str | None]:
        """Send these events; returns why each was not taken, None where it was, in the order of the events.

        The first request with an event that is not taken is the last one: later events are not to overtake it by
        more than what was under way together.

        Raises:
            Unavailable: The bus took nothing at all.
            PrerequisiteError: It is missing, or does not let us in; worth a retry, since somebody may mend that.
        """
        self._find()
        refusals: list[str | None] = []
        for batch in _batches([self._entry(event) for event in events]):
            if any(refusals):
                refusals += ["an earlier event was not taken"] * len(batch)
                continue
            try:
                refusals += self._send(batch)
            except Unavailable as error:
                if not refusals:
                    raise
                refusals += [str(error)] * len(batch)
        return refusals

    def _find(self) -> None:
        """See once that the bus is there: PutEvents itself drops events for a missing bus and says nothing."""
        with self._lock:
            if self._found:
                return
            try:
                self._call("DescribeEventBus", lambda: self._client.describe_event_bus(Name=self._bus))
            except NotFound as error:
                raise PrerequisiteError(
                    f"there is no event bus {self._bus}: {error}",
                    action="Create it, or correct `event_bus` in the settings of the workers.",
                    retryable=True,
                ) from error
            self._found = True

    def _entry(self, event: BusEvent) -> "PutEventsRequestEntryTypeDef":
        entry: PutEventsRequestEntryTypeDef = {
            "Source": SOURCE,
            "DetailType": event.type,
            "Detail": event.detail,
            "Time": event.time,
            "EventBusName": self._bus,
        }
        return entry if _size(entry) <= MOST_BYTES else {**entry, "Detail": _reference(event.detail)}

    def _send(self, batch: Sequence["PutEventsRequestEntryTypeDef"]) -> list[str | None]:
        reply = self._call("PutEvents", lambda: self._client.put_events(Entries=batch))
        return [_refusal(entry) for entry in reply["Entries"]]

    def _call(self, operation: str, call: Any) -> Any:
        try:
            with aws_call(operation):
                return call()
        except (Unavailable, NotFound):
            raise
        except MigrationError as error:
            raise PrerequisiteError(str(error), action=error.action, retryable=True) from error


def _refusal(entry: "PutEventsResultEntryTypeDef") -> str | None:
    code = entry.get("ErrorCode")
    return f"{code}: {entry.get('ErrorMessage', '')}".rstrip(": ") if code else None


def _batches(
    entries: Sequence["PutEventsRequestEntryTypeDef"],
) -> Iterator[Sequence["PutEventsRequestEntryTypeDef"]]:
    """Cut into requests, in order, each within what one may hold."""
    batch: list[PutEventsRequestEntryTypeDef] = []
    size = 0
    for entry in entries:
        if batch and (len(batch) == MOST_ENTRIES or size + _size(entry) > MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(entry)
        size += _size(entry)
    if batch:
        yield batch


def _size(entry: "PutEventsRequestEntryTypeDef") -> int:
    """Bytes, as the user guide counts them ("Calculating PutEvents event entry size")."""
    texts = (entry["Source"], entry["DetailType"], entry["Detail"])
    return _TIME_BYTES + sum(len(text.encode()) for text in texts)


def _reference(detail: str) -> str:
    """A detail that is too large, cut to its short members, with `cut`: the read model has the rest under its id."""
    document = json.loads(detail)
    kept = {name: value for name, value in document.items() if _short(value)}
    data = {name: value for name, value in (document.get("data") or {}).items() if _short(value)}
    return json.dumps(kept | {"data": data, "cut": True}, ensure_ascii=False)


def _short(value: object) -> bool:
    return not isinstance(value, dict | list) and len(str(value)) <= _SHORT
