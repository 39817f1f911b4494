"""The examples are requests that every door takes."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from migration.parsing import parse_request
from migration.schema import request_schema

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "examples"
EXAMPLES = sorted(path.name for path in FOLDER.glob("*.json"))


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_a_request_and_keeps_to_the_schema(name: str) -> None:
    text = (FOLDER / name).read_bytes()
    assert parse_request(text).migration_id
    Draft202012Validator(request_schema()).validate(json.loads(text))


def test_every_example_is_explained() -> None:
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert [name for name in EXAMPLES if f"]({name})" not in page] == []
