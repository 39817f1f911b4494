"""The JSON Schemas of the vocabulary, generated from its models: `python -m migration.schema` writes them here."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from migration.request import MigrationRequest

DIALECT = "https://json-schema.org/draft/2020-12/schema"
FOLDER = Path(__file__).parent


def request_schema() -> dict[str, Any]:
    """Describe the request as far as JSON Schema 2020-12 can say it; the models are stricter."""
    generated = MigrationRequest.model_json_schema(mode="validation", by_alias=True)
    return {"$schema": DIALECT, "$id": "urn:migrator:migration-request:1.0", **generated}


SCHEMAS: dict[str, Callable[[], dict[str, Any]]] = {"migration-request.json": request_schema}


def schema_text(schema: dict[str, Any]) -> str:
    """Write a schema as it is committed."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def drifted() -> list[str]:
    """Name the committed schemas that are not what the models say."""
    return [
        name
        for name, generate in SCHEMAS.items()
        if not (path := FOLDER / name).is_file() or path.read_text(encoding="utf-8") != schema_text(generate())
    ]


def write_schemas() -> list[str]:
    """Write the schemas that have drifted, and name them."""
    names = drifted()
    for name in names:
        (FOLDER / name).write_text(schema_text(SCHEMAS[name]()), encoding="utf-8")
    return names
