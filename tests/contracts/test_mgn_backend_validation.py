"""Every rule that MGN's service model states about requests, broken once for every operation offered."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import botocore.session
import pytest
from botocore.model import Shape

from tests.contracts.mgn_cases import CASES
from tests.contracts.mgn_site import Site, moto_server, running_site

MODEL: Any = botocore.session.get_session().get_service_model("mgn")
IN_THE_BODY = [name for name in CASES if not MODEL.operation_model(name).http["requestUri"].startswith("/tags/")]
IN_THE_BODY.remove("DescribeVcenterClients")

Breach = Callable[[Any, str], tuple[Any, set[str]] | None]
"""A value for a shape that breaks one rule, with the fields that are to be named; None: it has no such rule."""


@dataclass
class Broken:
    """A request in which every member that has a rule of one kind breaks it."""

    value: Any
    fields: set[str]


def too_much(shape: Any, field: str) -> tuple[Any, set[str]] | None:
    most = shape.metadata.get("max")
    if most is None or most >= 2**31:
        return None
    values: dict[str, Any] = {
        "string": "x" * (most + 1),
        "integer": most + 1,
        "long": most + 1,
        "list": [""] * (most + 1),
        "map": {str(number): "" for number in range(most + 1)},
    }
    return values[shape.type_name], {field}


def too_little(shape: Any, field: str) -> tuple[Any, set[str]] | None:
    least = shape.metadata.get("min", 0)
    numbers = shape.type_name in {"integer", "long"} and "min" in shape.metadata
    if not least and not numbers:
        return None
    values: dict[str, Any] = {"string": "x" * (least - 1), "integer": least - 1, "long": least - 1, "list": []}
    return values[shape.type_name], {field}


def off_pattern(shape: Any, field: str) -> tuple[Any, set[str]] | None:
    pattern = shape.metadata.get("pattern")
    if pattern is None:
        return None
    return next(text for text in ("\x00", "!", " ") if not re.fullmatch(pattern, text)), {field}


def off_enumeration(shape: Any, field: str) -> tuple[Any, set[str]] | None:
    return ("NO_SUCH", {field}) if shape.metadata.get("enum") else None


def of_another_type(shape: Any, field: str) -> tuple[Any, set[str]] | None:
    # What is a whole number must be none here; a boolean counts as no number.
    return (True if shape.type_name in {"integer", "long"} else 1.5), {field}


def broken(shape: Any, breach: Breach, field: str = "") -> Broken | None:
    """A value in which everything that can breaks its rule; the parts of what is broken itself stay as they are."""
    found = breach(shape, field) if field else None
    if found:
        return Broken(*found)
    parts = list(_parts(shape, breach, field))
    if not parts:
        return None
    fields = {name for _, part in parts for name in part.fields}
    if shape.type_name == "structure":
        return Broken({name: part.value for name, part in parts}, fields)
    if shape.type_name == "list":
        return Broken([part.value for _, part in parts], fields)
    return Broken({name: part.value for name, part in parts}, fields)


def _parts(shape: Any, breach: Breach, field: str) -> Iterator[tuple[str, Broken]]:
    named: Mapping[str, tuple[Shape, str]] = {}
    if shape.type_name == "structure":
        named = {name: (its, f"{field}.{name}" if field else name) for name, its in shape.members.items()}
    elif shape.type_name == "list":
        named = {"0": (shape.member, f"{field}[0]")}
    elif shape.type_name == "map":
        named = {"key": (shape.value, f"{field}.key")}
    for name, (its_shape, its_field) in named.items():
        part = broken(its_shape, breach, its_field)
        if part:
            yield name, part


def required(shape: Any, field: str = "") -> Broken:
    """Nothing of what is required, in this structure and in all structures below."""
    prefix = f"{field}." if field else ""
    value, fields = {}, {prefix + name for name in shape.required_members}
    for name, its_shape in shape.members.items():
        if its_shape.type_name == "structure" and name not in shape.required_members:
            below = required(its_shape, prefix + name)
            if below.fields:
                value[name] = below.value
                fields |= below.fields
    return Broken(value, fields)


@pytest.fixture(scope="module")
def url() -> str:
    return moto_server()


@pytest.fixture(scope="module")
def site(url: str) -> Iterator[Site]:
    with running_site(url) as one:
        yield one


def named(site: Site, operation: str, request: Broken) -> set[str]:
    """The fields that a refusal names."""
    status, error, answer = site.post(MODEL.operation_model(operation).http["requestUri"], request.value)
    assert (status, error, answer["reason"]) == (400, "ValidationException", "fieldValidationFailed")
    return {field["name"] for field in answer["fieldList"]}


@pytest.mark.parametrize("breach", [too_much, too_little, off_pattern, off_enumeration, of_another_type])
def test_every_rule_about_values_is_enforced_for_every_operation(site: Site, breach: Breach) -> None:
    checked = 0
    for operation in IN_THE_BODY:
        request = broken(MODEL.operation_model(operation).input_shape, breach)
        if request:
            assert request.fields <= named(site, operation, request), operation
            checked += len(request.fields)
    assert checked >= 50


def test_what_is_required_is_required_of_every_operation(site: Site) -> None:
    for operation in IN_THE_BODY:
        request = required(MODEL.operation_model(operation).input_shape)
        if request.fields:
            assert named(site, operation, request) == request.fields, operation


def test_tags_and_vcenter_clients_are_checked_where_they_travel(site: Site) -> None:
    arn = "/tags/arn:aws:mgn:eu-central-1:1:x"
    for path, method, body, field in (
        (arn, "POST", {}, "tags"),
        (arn, "POST", {"tags": {"a": "x" * 257}}, "tags.a"),
        (arn, "DELETE", {}, "tagKeys"),
        (arn + "?tagKeys=" + "x" * 257, "DELETE", {}, "tagKeys[0]"),
        ("/tags/short", "GET", {}, "resourceArn"),
        ("/DescribeVcenterClients?maxResults=0", "GET", {}, "maxResults"),
        ("/DescribeVcenterClients?maxResults=many", "GET", {}, "maxResults"),
        ("/DescribeVcenterClients?nextToken=" + "x" * 2049, "GET", {}, "nextToken"),
    ):
        status, error, answer = site.post(path, body, method)
        assert (status, error) == (400, "ValidationException")
        assert [each["name"] for each in answer["fieldList"]] == [field]


@pytest.mark.parametrize(("body", "reason"), [(b"{", "cannotParse"), (b"[]", "cannotParse"), (b"\xff", "cannotParse")])
def test_no_operation_takes_a_body_that_is_no_json_object(site: Site, body: bytes, reason: str) -> None:
    for operation in CASES:
        http = MODEL.operation_model(operation).http
        path = http["requestUri"].replace("{resourceArn}", "arn:aws:mgn:eu-central-1:1:x")
        status, error, answer = site.post(path + ("?tagKeys=a" if "Untag" in operation else ""), body, http["method"])
        assert (status, error, answer["reason"]) == (400, "ValidationException", reason), operation


def test_what_is_null_or_unknown_is_as_absent(site: Site) -> None:
    status, _, answer = site.post("/CreateWave", {"name": "wave-07", "description": None, "colour": "red"})
    assert (status, "description" in answer) == (201, False)
