"""What is generated from the models of the vocabulary: JSON Schemas, and the pages that say the same in words."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from migration import policies
from migration.messages import MessageType
from migration.request import MigrationRequest
from migration.schema.events import events_page, message_schema

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def request_schema() -> dict[str, Any]:
    """Describe the request as far as JSON Schema 2020-12 can say it; the models are stricter."""
    generated = MigrationRequest.model_json_schema(mode="validation", by_alias=True)
    return {"$schema": DIALECT, "$id": "urn:migrator:migration-request:1.0", **generated}


def event_schema(kind: MessageType) -> dict[str, Any]:
    """Describe a message as it is sent."""
    return message_schema(kind, DIALECT)


def schema_text(schema: dict[str, Any]) -> str:
    """Write a schema as it is committed."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _events_page() -> str:
    schemas: dict[str, dict[str, Any]] = {kind: event_schema(kind) for kind in MessageType}
    return events_page(schemas, most=policies.EVENTS_KEPT, few=policies.EVENTS_KEPT_WITHOUT_A_BUS)


FILES: Mapping[str, Callable[[], str]] = {
    "migration/schema/migration-request.json": lambda: schema_text(request_schema()),
    **{
        f"migration/schema/events/{kind}.json": partial(lambda kind: schema_text(event_schema(kind)), kind)
        for kind in MessageType
    },
    "docs/events.md": _events_page,
}
"""Each generated file, from the root of the checkout, and what it is to hold."""
