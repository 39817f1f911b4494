"""JSON text from outside becomes a model, or every reason why it does not.

Pure and deterministic: a workflow may call it. Strict pydantic refuses durations, times and lists in Python objects,
so it is always the text that is validated.
"""

import json
from typing import Any, Protocol, TypeVar, runtime_checkable

from pydantic import BaseModel
from pydantic import ValidationError as PydanticValidationError

from migration.errors import ValidationError
from migration.formats import is_branch
from migration.json_text import INVALID, FieldError, Location, json_path, read_json, shown
from migration.request import MigrationRequest
from migration.request.rules import Breach

ModelT = TypeVar("ModelT", bound=BaseModel)


class RequestErrors(ValidationError):  # noqa: N818  it is all of them
    """A document from outside is refused.

    Attributes:
        errors: Everything that is wrong with it, sorted by path.
    """

    def __init__(self, errors: tuple[FieldError, ...]) -> None:
        """Keep the errors; the message has one line each."""
        super().__init__("\n".join(map(str, errors)), action="Correct the document and send it again.")
        self.errors = errors


@runtime_checkable
class _Ruled(Protocol):
    """A model with rules that span its fields."""

    @staticmethod
    def breaches(document: Any) -> list[Breach]: ...


def parse_request(text: str | bytes) -> MigrationRequest:
    """Read a migration request.

    Raises:
        RequestErrors: It is refused, with every reason.
    """
    return parse_model(text, MigrationRequest)


def parse_model(text: str | bytes, model: type[ModelT]) -> ModelT:
    """Read a document of any model.

    All errors come at once: those of the text, those of single fields, and the rules that span fields, judged as far
    as the fields they look at are right in themselves.

    Raises:
        RequestErrors: The document is refused, with every reason.
    """
    document, errors = read_json(text)
    if document is not INVALID and not isinstance(document, dict):
        errors[()] = FieldError("$", "an object", shown((), document))
    if () in errors:
        raise RequestErrors((errors[()],))
    try:
        parsed = model.model_validate_json(json.dumps(document) if errors else text)
    except PydanticValidationError as refused:
        for location, error in _field_errors(document, refused):
            errors.setdefault(location, error)
        for location, error in _broken_rules(document, model, errors):
            errors.setdefault(location, error)
        parsed = None
    if errors:
        raise RequestErrors(tuple(sorted(errors.values())))
    return parsed  # type: ignore[return-value]  # None only together with errors


# --- from pydantic's errors to ours ----------------------------------------------------------------------------


def _field_errors(document: Any, refused: PydanticValidationError) -> list[tuple[Location, FieldError]]:
    found = []
    for error in refused.errors(include_url=False):
        context = error.get("ctx", {})
        location = tuple(part for part in error["loc"] if not is_branch(part))
        if context.get("at"):
            location = (*location, context["at"])
        found.append(
            (
                location,
                FieldError(
                    json_path(location), _words(error["type"], context, error["msg"]), _found(document, location)
                ),
            )
        )
    return found


_WORDS = {
    "missing": "a value, which is required",
    "extra_forbidden": "no such field",
    "string_type": "a string",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "literal_error": "{expected}",
    "enum": "one of {expected}",
    "greater_than_equal": "a number of at least {ge}",
    "less_than_equal": "a number of at most {le}",
    "too_short": "at least {min_length} of them",
    "too_long": "at most {max_length} of them",
    "mismatch": "{expected}",
}


def _words(kind: str, context: dict[str, Any], message: str) -> str:
    template = _WORDS.get(kind)
    return template.format(**context) if template else message


def _found(document: Any, location: Location) -> str:
    value = document
    for part in location:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return "nothing"
    return shown(location, value)


def _broken_rules(
    document: Any, model: type[BaseModel], errors: dict[Location, FieldError]
) -> list[tuple[Location, FieldError]]:
    if not isinstance(model, _Ruled):
        return []
    return [
        (breach.location, FieldError(json_path(breach.location), breach.expected, _found(document, breach.location)))
        for breach in model.breaches(_without(document, set(errors)))
    ]


def _without(value: Any, wrong: set[Location], location: Location = ()) -> Any:
    """Copy a document with INVALID in the places that are known to be wrong."""
    if location in wrong:
        return INVALID
    if isinstance(value, dict):
        return {name: _without(item, wrong, (*location, name)) for name, item in value.items()}
    if isinstance(value, list):
        return [_without(item, wrong, (*location, i)) for i, item in enumerate(value)]
    return value
