"""What a message holds: a request as it is, or one in an envelope (Amazon EventBridge, CloudEvents 1.0).

The request's text is taken out of an envelope as it stands there, never written anew: duplicate keys and numbers that
nobody can hold are for `migration.parsing` to see. So no library opens the envelopes: `cloudevents`, for one, gives the
data as parsed objects.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from migration.json_text import Fault, FieldError, Location, member_texts, read_json, shown
from migration.parsing import listed

REQUESTED = "MigrationRequested"
"""The detail type of an EventBridge event that asks for a migration."""

CLOUD_EVENTS = "1.0"

_OUR_OWN, _MGN = "migrator", "aws.mgn"
"""Sources of events that ask for nothing: our own, and those of Application Migration Service."""

_JSON_TYPE = re.compile(r"[^/\s;]+/(?:[^/\s;]+\+)?json\s*(?:;.*)?", re.IGNORECASE | re.DOTALL)
_STRING, _OBJECT = "a string that is not empty", "an object, the migration request"


@dataclass(frozen=True)
class Envelope:
    """A message, opened.

    Attributes:
        request: The text of the request; empty where the message holds none.
        path: Where the request stands in the message, as a JSON path.
        traceparent: What the envelope says of the trace, unchecked.
        errors: What is wrong with the envelope itself, sorted by path.
        news: What the message tells where it asks for nothing: an event of somebody else's.
    """

    request: str | bytes = b""
    path: str = "$"
    traceparent: object = None
    errors: tuple[FieldError, ...] = ()
    news: str | None = None

    def placed(self, errors: tuple[FieldError, ...]) -> tuple[FieldError, ...]:
        """Errors of the request, with their paths in the message."""
        return tuple(FieldError(self.path + e.path.removeprefix("$"), e.expected, e.found) for e in errors)


def open_envelope(body: str) -> Envelope:
    """Open a message. What is no envelope is a request, good or bad."""
    document, faults = read_json(body)
    if not isinstance(document, dict):
        return Envelope(body)
    if "specversion" in document:
        return _cloud_event(body, document, faults)
    if "detail-type" in document:
        return _event(body, document, faults)
    return Envelope(body)


def _event(body: str, document: Mapping[str, Any], faults: Mapping[Location, Fault]) -> Envelope:
    """An event as EventBridge hands it to a queue ("Events in Amazon EventBridge", user guide)."""
    kind, source = document["detail-type"], document.get("source")
    if source in (_OUR_OWN, _MGN):
        return Envelope(news=f"{shown((), kind)} from {source}")
    wrong = _outside("detail", faults)
    _expect(wrong, "source", _STRING, met=_is_text(source))
    _expect(wrong, "detail-type", f'"{REQUESTED}"', met=kind == REQUESTED)
    holds = isinstance(document.get("detail"), dict)
    _expect(wrong, "detail", _OBJECT, met=holds)
    text = member_texts(body)["detail"] if holds else ""
    return Envelope(text, "$.detail", document.get("traceparent"), listed(document, wrong))


def _cloud_event(body: str, document: Mapping[str, Any], faults: Mapping[Location, Fault]) -> Envelope:
    """An event in the JSON format, structured mode (CloudEvents 1.0.2, and its distributed tracing extension).

    Its type is the sender's own affair: what comes to this queue asks for a migration.
    """
    said = {name: value for name, value in document.items() if value is not None}  # null: not there (section 2.2)
    encoded = "data_base64" in said
    name = "data_base64" if encoded else "data"
    wrong = _outside(name, faults)
    _expect(wrong, "specversion", f'"{CLOUD_EVENTS}"', met=said.get("specversion") == CLOUD_EVENTS)
    for attribute in ("id", "source", "type"):
        _expect(wrong, attribute, _STRING, met=_is_text(said.get(attribute)))
    media = said.get("datacontenttype", "application/json")
    _expect(wrong, "datacontenttype", "a media type of JSON", met=_is_json_type(media))
    text: str | bytes | None
    if encoded:
        _expect(wrong, "data", "no such field beside data_base64", met="data" not in said)
        text = _from_base64(said["data_base64"])
        _expect(wrong, name, "a string in base64", met=text is not None)
    else:
        text = member_texts(body)["data"] if isinstance(said.get("data"), dict) else None
        _expect(wrong, name, _OBJECT, met=text is not None)
    return Envelope(text or b"", f"$.{name}", said.get("traceparent"), listed(document, wrong))


def _outside(holder: str, faults: Mapping[Location, Fault]) -> dict[Location, Fault]:
    """The faults of the text that are not within the request."""
    return {place: fault for place, fault in faults.items() if place[:1] != (holder,) or len(place) == 1}


def _expect(wrong: dict[Location, Fault], name: str, expected: str, *, met: bool) -> None:
    if not met:
        wrong.setdefault((name,), Fault(expected))


def _is_json_type(value: object) -> bool:
    return isinstance(value, str) and _JSON_TYPE.fullmatch(value) is not None


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _from_base64(value: object) -> bytes | None:
    try:
        return base64.b64decode(value, validate=True) if isinstance(value, str) else None
    except (binascii.Error, ValueError):
        return None
