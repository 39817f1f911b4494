"""Changed settings of a retry, as they are typed: names and values into the decision's JSON."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from migration.changes import Change
from migration.errors import ValidationError
from migration.parsing import parse_model

_NUMBERS = frozenset({"healthCheck.expectStatus", "healthCheck.port"})


def read(pairs: Iterable[str], settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """The change that these ask for; None when they ask for nothing.

    Args:
        pairs: `name=value`, several separated by commas; `healthCheck.url` is a name too.
        settings: Values by such names, which win over the pairs; None is not set.

    Raises:
        ValidationError: Something is no pair.
        RequestErrors: There is no such setting, or it cannot have this value; with the path.
    """
    named = dict(_pair(pair) for some in pairs for pair in some.split(",")) | {
        name: value for name, value in settings.items() if value is not None
    }
    if not named:
        return None
    document: dict[str, Any] = {name: value for name, value in named.items() if "." not in name}
    for name in (dotted for dotted in named if "." in dotted):
        part, _, inner = name.partition(".")
        if not isinstance(document.setdefault(part, {}), dict):
            raise ValidationError(f"{part} and {name} cannot both be given")
        document[part][inner] = named[name]
    parse_model(json.dumps(document), Change)
    return document


def _pair(text: str) -> tuple[str, Any]:
    name, found, value = text.partition("=")
    if not found or not name:
        raise ValidationError(f"a change is NAME=VALUE, as in instanceType=m5.large; {text!r} is not")
    return name, int(value) if name in _NUMBERS and value.isdecimal() else value
