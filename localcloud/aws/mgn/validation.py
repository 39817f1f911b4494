"""Every rule that the service model states about a request, in one place.

botocore's client checks only what is required, types and least lengths; the service checks the rest, and so must we:
greatest lengths, list sizes, patterns and enumerations.
"""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, cast

import botocore.session
from botocore.model import OperationModel, ServiceModel, Shape, StructureShape

from .exceptions import ValidationException

_TYPES: dict[str, tuple[type, ...]] = {
    "structure": (dict,),
    "map": (dict,),
    "list": (list,),
    "string": (str,),
    "integer": (int,),
    "long": (int,),
    "boolean": (bool,),
    "float": (int, float),
    "double": (int, float),
    "timestamp": (int, float, str),
}

Findings = Iterator[tuple[str, str]]


@cache
def service_model() -> ServiceModel:
    """The model of the service, as botocore has it."""
    return botocore.session.get_session().get_service_model("mgn")


@cache
def operation(name: str) -> OperationModel:
    """The model of one operation, as botocore has it."""
    return service_model().operation_model(name)


def read_request(name: str, body: bytes, path: Mapping[str, str], query: Mapping[str, list[str]]) -> dict[str, Any]:
    """The parameters of a request, checked.

    Args:
        name: The operation, as in the service model.
        body: The body as it came.
        path: What the router found in the path.
        query: The query string's values.

    Returns:
        The members that are set, by the names of the service model.

    Raises:
        ValidationException: The body is no JSON object, or a field breaks a rule; `fieldList` names every one.
    """
    shape = cast("StructureShape", operation(name).input_shape)
    given = _modelled(shape, _json_object(body))
    for member, its_shape in shape.members.items():
        place, wire_name = its_shape.serialization.get("location"), its_shape.serialization.get("name", member)
        if place == "uri":
            given[member] = path.get(wire_name)
        elif place == "querystring" and wire_name in query:
            given[member] = _from_query(its_shape, query[wire_name])
    findings = list(_findings(shape, given, ""))
    if findings:
        wrong = "; ".join(f"{field}: {message}" for field, message in findings)
        raise ValidationException(f"{name}: {wrong}", fields=findings)
    return cast("dict[str, Any]", given)


def _modelled(shape: Any, value: Any) -> Any:
    """The value without what the model does not know, and without members that are null: the same as absent."""
    if shape.type_name == "structure" and isinstance(value, dict):
        return {
            name: _modelled(its_shape, value[name])
            for name, its_shape in shape.members.items()
            if value.get(name) is not None
        }
    if shape.type_name == "list" and isinstance(value, list):
        return [_modelled(shape.member, item) for item in value]
    if shape.type_name == "map" and isinstance(value, dict):
        return {key: _modelled(shape.value, item) for key, item in value.items()}
    return value


def models_error(operation_name: str, code: str) -> bool:
    """Whether an operation has this error in the service model."""
    return code in {shape.name for shape in operation(operation_name).error_shapes}


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        read = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise ValidationException("the body is not JSON", "cannotParse") from error
    if not isinstance(read, dict):
        raise ValidationException("the body is not a JSON object", "cannotParse")
    return read


def _from_query(shape: Shape, values: list[str]) -> object:
    if shape.type_name == "list":
        return values
    return int(values[0]) if shape.type_name == "integer" and values[0].isdigit() else values[0]


def _findings(shape: Shape, value: object, field: str) -> Findings:
    types = _TYPES.get(shape.type_name, (object,))
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        yield field, f"must be of type {shape.type_name}"
        return
    yield from _own_rules(shape, value, field)
    for member, its_shape, its_value in _parts(shape, value, field):
        yield from _findings(its_shape, its_value, member)


def _parts(shape: Shape, value: Any, field: str) -> Iterator[tuple[str, Shape, object]]:
    described = cast("Any", shape)
    if shape.type_name == "structure":
        prefix = f"{field}." if field else ""
        for name, its_shape in described.members.items():
            if value.get(name) is not None:
                yield f"{prefix}{name}", its_shape, value[name]
    elif shape.type_name == "list":
        for index, item in enumerate(value):
            yield f"{field}[{index}]", described.member, item
    elif shape.type_name == "map":
        for key, item in value.items():
            yield f"{field} key", described.key, key
            yield f"{field}.{key}", described.value, item


def _own_rules(shape: Shape, value: Any, field: str) -> Findings:
    rules = shape.metadata
    if shape.type_name == "structure":
        prefix = f"{field}." if field else ""
        yield from ((f"{prefix}{name}", "is required") for name in rules.get("required", ()) if value.get(name) is None)
        return
    size = value if isinstance(value, int | float) else len(value)
    noun = "value" if isinstance(value, int | float) else "length"
    if "min" in rules and size < rules["min"]:
        yield field, f"{noun} must be at least {rules['min']}"
    if "max" in rules and size > rules["max"]:
        yield field, f"{noun} must be at most {rules['max']}"
    if "pattern" in rules and not re.fullmatch(rules["pattern"], value):
        yield field, f"must match {rules['pattern']}"
    if "enum" in rules and value not in rules["enum"]:
        yield field, f"must be one of {', '.join(rules['enum'])}"
