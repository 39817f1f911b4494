"""What all formats share: a pattern, and the words by which an error says what was expected."""

from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, StringConstraints
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema


def mismatch(expected: str) -> PydanticCustomError:
    """Make the error that our own validators raise: what was expected, in words."""
    return PydanticCustomError("mismatch", "expected {expected}", {"expected": expected, "at": ""})


def broken_rule(expected: str) -> PydanticCustomError:
    """Make the error for a rule that spans fields: what was expected at its place, in words."""
    return PydanticCustomError("rule", "expected {expected}", {"expected": expected})


_BRANCH = "\0"


def branch(name: str) -> str:
    """Name a branch of a union so that it cannot be taken for a field in an error's location: no field has a NUL."""
    return _BRANCH + name


def is_branch(part: str | int) -> bool:
    """Tell a union's branch in an error's location."""
    return isinstance(part, str) and part.startswith(_BRANCH)


class Expected:
    """Words for a type: whatever is wrong with a value of it, the error says what was expected."""

    def __init__(self, words: str) -> None:
        """Keep the words, which follow "expected"."""
        self.words = words

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Replace each inner error by one that carries the words."""
        return core_schema.custom_error_schema(
            handler(source),
            custom_error_type="mismatch",
            custom_error_message="expected {expected}",
            custom_error_context={"expected": self.words, "at": ""},
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Describe the type by its words, and close the door that some validators leave to a line end before `$`."""
        said = {**handler(schema), "description": self.words[0].upper() + self.words[1:] + "."}
        if said.get("pattern", "").endswith("$"):
            said.setdefault("not", {"pattern": "\\n"})
        return said


def text(pattern: str, words: str, maximum: int | None = None) -> tuple[StringConstraints, Expected]:
    """Annotate a string: its pattern, its words, and its greatest length in characters."""
    return StringConstraints(strict=True, pattern=pattern, max_length=maximum), Expected(words)
