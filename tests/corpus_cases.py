"""The corpus of good and bad requests, shared by every test that lets a request in by some door."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).parent / "corpus"
EXAMPLE = Path(__file__).parents[1] / "docs" / "examples" / "migration-request.json"


@dataclass(frozen=True)
class GoodCase:
    """A request that is accepted."""

    name: str
    text: bytes


@dataclass(frozen=True)
class BadCase:
    """A request that is refused.

    Attributes:
        paths: The JSON paths of everything that is wrong with it.
        schema: Whether the JSON Schema refuses it too; None when what is wrong is the text, which a schema never sees.
    """

    name: str
    text: bytes
    paths: tuple[str, ...]
    schema: bool | None

    @property
    def is_json(self) -> bool:
        """Whether a client that only forwards JSON lets it through."""
        try:
            json.loads(self.text)
        except (ValueError, RecursionError):
            return False
        return True


@cache
def good_cases() -> tuple[GoodCase, ...]:
    """Read the requests that are accepted, by name."""
    return tuple(GoodCase(path.name, path.read_bytes()) for path in sorted((CORPUS / "good").iterdir()))


@cache
def bad_cases() -> tuple[BadCase, ...]:
    """Read the requests that are refused, by name."""
    expectations = json.loads((CORPUS / "expectations.json").read_text(encoding="utf-8"))
    return tuple(
        BadCase(name, (CORPUS / "bad" / name).read_bytes(), tuple(expected["paths"]), expected["schema"])
        for name, expected in sorted(expectations.items())
    )


def good(name: str) -> Any:
    """Read a good request as plain JSON, to be changed at will."""
    return json.loads((CORPUS / "good" / f"{name}.json").read_text(encoding="utf-8"))
