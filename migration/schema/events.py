"""The JSON Schema of each message, and the page about them: generated from `migration.messages`."""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import create_model

from migration.messages import DATA, EVENTS_ONLY, OF_A_MIGRATION, Message, MessageType, Told

_ABOUT = """\
# Events

Written from `migration/messages.py` by `make generated`.

What happens to a migration is told on the EventBridge bus that the setting `event_bus` names, and to the request's
`callbackUrl`. Both get the same messages: the body of a callback is the `detail` of an event.

- On the bus, `source` is `migrator` and `detail-type` is the message's type. Workers need `events:PutEvents` and
  `events:DescribeEventBus`.
- A message arrives at least once. Its `id` stays the same, so a reader drops what it has seen:
  `MIGRATION-ID:GENERATION:SEQUENCE`, where the run's id stands for the generation of a try that got no claim.
- Bus and callbacks count by themselves: `sequence` rises by one on each way, and tells the order. Events leave in that
  order; one that the bus did not take is sent again before any later one, together with those that were sent after it.
- A bus that is down holds no migration: what waits for it leaves, in order, when it is back, after the migration's end
  too. When more than {most} events wait, the oldest are given up, which a gap in `sequence` shows. Where the settings
  name no bus, a migration keeps its last {few}, which a bus that is configured later still gets.
- A detail above 240 KB is cut to its short members, and says so by `"cut": true`: `migrator get ID` has the rest.
- Members may be added at any time: a reader ignores what it does not know. JSON Schemas (2020-12) of every message are
  in [migration/schema/events](../migration/schema/events).
"""


_ATTRIBUTES = "Attributes:"


def message_schema(kind: MessageType, dialect: str) -> dict[str, Any]:
    """The schema of a message as it is sent."""
    data = DATA[kind]
    members: dict[str, Any] = {"type": Literal[kind], "data": data}
    envelope = create_model(kind, __base__=Message, __doc__=inspect.getdoc(data), **members)
    generated = envelope.model_json_schema(mode="serialization", by_alias=True)
    return {"$schema": dialect, "$id": f"urn:migrator:event:{kind}:1.0", **generated}


def events_page(schemas: Mapping[str, Mapping[str, Any]], *, most: int, few: int) -> str:
    """The page: what holds for all messages, then each of them with the members of its data."""
    about = _ABOUT.format(most=most, few=few)
    return "\n".join([about, *_overview(schemas), *_common(schemas), *_each(schemas), *_parts(schemas), ""])


def _overview(schemas: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    yield "| type | says | callback |\n|---|---|---|"
    for kind in MessageType:
        callback = "no" if kind in EVENTS_ONLY else "yes"
        yield f"| [{kind}](#{kind.lower()}) | {_first_line(schemas[kind])} | {callback} |"


def _common(schemas: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    schema = schemas[MessageType.STATUS_CHANGED]
    yield "\n## Every message\n"
    by_type = {
        "type": {"type": "string", "description": "One of those above."},
        "data": {"type": "object", "description": "What its type says below."},
    }
    yield from _table({**schema["properties"], **by_type})
    yield "\nThe `data` of every message about a migration:\n"
    yield from _table(_data(schema)["properties"])


def _each(schemas: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    common = {field.alias for field in Told.model_fields.values()}
    for kind in MessageType:
        members = _data(schemas[kind])["properties"]
        own = members if kind not in OF_A_MIGRATION else _without(members, common)
        yield f"\n## {kind}\n\n{schemas[kind]['description']}"
        if own:
            yield "\nAlso in its `data`:\n" if kind in OF_A_MIGRATION else "\nIts `data`:\n"
            yield from _table(own)


def _parts(schemas: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    whole = {_name(schema["properties"]["data"]) for schema in schemas.values()}
    parts = {name: part for schema in schemas.values() for name, part in schema["$defs"].items() if name not in whole}
    yield "\n## Their parts"
    for name, part in sorted(parts.items()):
        yield f"\n### {name}\n\n{part['description'].partition(_ATTRIBUTES)[0].strip()}\n"
        if "enum" in part:
            yield ", ".join(f"`{value}`" for value in part["enum"])
        else:
            yield from _table(part["properties"])


def _without(members: Mapping[str, Any], names: set[str | None]) -> dict[str, Any]:
    return {name: member for name, member in members.items() if name not in names}


def _data(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    data: Mapping[str, Any] = schema["$defs"][_name(schema["properties"]["data"])]
    return data


def _table(members: Mapping[str, Any]) -> Iterator[str]:
    yield "| member | is | says |\n|---|---|---|"
    for name, member in members.items():
        yield f"| `{name}` | {_kind(member)} | {member.get('description', '')} |"


def _kind(member: Mapping[str, Any]) -> str:
    if "anyOf" in member:
        return " or ".join(map(_kind, member["anyOf"]))
    if "$ref" in member:
        return f"[{_name(member)}](#{_name(member).lower()})"
    if "const" in member:
        return f"`{member['const']}`"
    if member.get("type") == "array":
        return f"list of {_kind(member['items'])}"
    return str(member.get("format") or member["type"])


def _name(reference: Mapping[str, Any]) -> str:
    return str(reference["$ref"]).rpartition("/")[2]


def _first_line(schema: Mapping[str, Any]) -> str:
    return str(schema["description"]).partition("\n")[0]
