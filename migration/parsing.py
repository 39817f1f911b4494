"""JSON text from outside becomes a model, or every reason why it does not.

Pure and deterministic: a workflow may call it. Strict pydantic refuses durations, times and lists in Python objects,
so it is always the text that is validated.
"""

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any, Protocol, TypeVar, runtime_checkable

from pydantic import BaseModel
from pydantic import ValidationError as PydanticValidationError

from migration.errors import ValidationError
from migration.formats import is_branch
from migration.json_text import INVALID, Fault, FieldError, Location, json_path, read_json, shown
from migration.request import MigrationRequest
from migration.request.rules import Breach

MOST_ERRORS = 200
"""How many errors are listed: a Temporal failure and a message have to carry them."""
_MOST_TRANSLATED = 2000
"""How many errors of fields are looked at: text made of nothing but errors must not hold a workflow's thread."""

ModelT = TypeVar("ModelT", bound=BaseModel)
_Faults = dict[Location, Fault]


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
    document, faults = read_json(text)
    if document is not INVALID and not isinstance(document, dict):
        faults[()] = Fault("an object")
    if () in faults:
        raise RequestErrors(listed(document, {(): faults[()]}))
    try:
        parsed = model.model_validate_json(json.dumps(document))
    except PydanticValidationError as refused:
        _collect(faults, document, model, refused)
        parsed = None
    if faults:
        raise RequestErrors(listed(document, faults))
    return parsed  # type: ignore[return-value]  # None only together with faults


def _collect(faults: _Faults, document: Any, model: type[BaseModel], refused: PydanticValidationError) -> None:
    """Add the faults of fields, then the rules judged without the fields that are wrong in themselves.

    The model judges its rules too, but only on a document that has no other fault, and it knows nothing of those of
    the text: its word on rules counts when there is nothing else.
    """
    rules: _Faults = {}
    for location, fault, is_rule in _reported(document, refused):
        (rules if is_rule else faults).setdefault(location, fault)
    if isinstance(model, _Ruled):
        for breach in model.breaches(_without(document, set(faults))):
            faults.setdefault(breach.location, Fault(breach.expected))
    if not faults:
        faults.update(rules)


def listed(document: Any, faults: _Faults) -> tuple[FieldError, ...]:
    """Put what is wrong with a document into words: by place, list items by number, as many as a message can carry."""
    places = sorted(faults, key=lambda location: [(isinstance(part, str), part) for part in location])
    listed = [
        FieldError(json_path(place), faults[place].expected, faults[place].found or _found(document, place))
        for place in places[:MOST_ERRORS]
    ]
    if len(places) > MOST_ERRORS:
        listed.append(FieldError("$", f"at most {MOST_ERRORS} errors to list", "more"))
    return tuple(listed)


# --- from pydantic's errors to ours ----------------------------------------------------------------------------


def _reported(document: Any, refused: PydanticValidationError) -> Iterator[tuple[Location, Fault, bool]]:
    """Translate each error; the last member says whether it is a rule that spans fields."""
    for error in islice(refused.errors(include_url=False, include_input=False), _MOST_TRANSLATED):
        kind, context = error["type"], error.get("ctx", {})
        location = tuple(part for part in error["loc"] if not is_branch(part))
        found = None
        if context.get("at"):
            location = (*location, context["at"])
        if kind == "too_short" and len(_value(document, location)) >= context["min_length"]:
            continue  # pydantic counts only the items that are right
        if location[-1:] == ("[key]",) and kind != "extra_forbidden":
            location = location[:-1]
            found = shown((), location[-1])
        yield location, Fault(_words(kind, context, error["msg"]), found), kind == "rule"


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
    "rule": "{expected}",
}


def _words(kind: str, context: dict[str, Any], message: str) -> str:
    template = _WORDS.get(kind)
    return template.format(**context) if template else message


def _value(document: Any, location: Location) -> Any:
    """Return the value at a location, INVALID when there is none."""
    for part in location:
        try:
            document = document[part]
        except (KeyError, IndexError, TypeError):
            return INVALID
    return document


def _found(document: Any, location: Location) -> str:
    value = _value(document, location)
    return "nothing" if value is INVALID else shown(location, value)


def _without(value: Any, wrong: set[Location], location: Location = ()) -> Any:
    """Copy a document with INVALID in the places that are known to be wrong."""
    if location in wrong:
        return INVALID
    if isinstance(value, dict):
        return {name: _without(item, wrong, (*location, name)) for name, item in value.items()}
    if isinstance(value, list):
        return [_without(item, wrong, (*location, i)) for i, item in enumerate(value)]
    return value
