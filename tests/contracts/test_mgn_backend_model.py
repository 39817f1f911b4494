"""Every operation of MGN's service model: it works as modelled, or says that it is not offered here."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import botocore.session
import pytest
from botocore.model import Shape
from botocore.validate import ParamValidator

from tests.contracts.mgn_cases import CASES
from tests.contracts.mgn_site import Site, moto_server, refused, running_site

MODEL: Any = botocore.session.get_session().get_service_model("mgn")
NOT_OFFERED = {
    name
    for name in MODEL.operation_names
    if "NetworkMigration" in name
    or "RemoteSource" in name
    or re.search("(Import|Export)", name)
    or name in {"CreateConnector", "UpdateConnector", "DeleteConnector"}
}


@pytest.fixture(scope="module")
def url() -> str:
    return moto_server()


@pytest.fixture
def site(url: str) -> Iterator[Site]:
    with running_site(url) as one:
        # With Z at their end, times keep to the pattern of the model; what was seen of the service does not.
        one.configure(timestamps="zulu", managed_accounts={one.account: ["210987654321"]})
        yield one


def call(site: Site, operation: str) -> Callable[..., Any]:
    names = {api: name for name, api in site.mgn.meta.method_to_api_mapping.items()}
    found: Callable[..., Any] = getattr(site.mgn, names[operation])
    return found


def test_every_operation_of_the_model_is_either_offered_or_not() -> None:
    assert set(CASES) | NOT_OFFERED == set(MODEL.operation_names)
    assert not set(CASES) & NOT_OFFERED


@pytest.mark.parametrize("operation", CASES)
def test_an_operation_answers_as_the_model_says_once_the_account_is_initialised(site: Site, operation: str) -> None:
    described = MODEL.operation_model(operation)
    parameters = CASES[operation].accepted(site)
    site.backend.initialized = False
    if "UninitializedAccountException" in {shape.name for shape in described.error_shapes}:
        error = refused(call(site, operation), **parameters)
        assert error["Error"]["Code"] == "UninitializedAccountException"
        site.backend.initialized = True

    answer = call(site, operation)(**parameters)

    assert answer.pop("ResponseMetadata")["HTTPStatusCode"] == described.http["responseCode"]
    if described.output_shape is None:
        assert answer == {}
        return
    assert "items" not in answer or answer["items"]
    assert ParamValidator().validate(answer, described.output_shape).generate_report() == ""
    assert list(strays(described.output_shape, answer, operation)) == []


@pytest.mark.parametrize("operation", [name for name, case in CASES.items() if case.code])
def test_an_operation_refuses_with_an_error_that_it_models(site: Site, operation: str) -> None:
    case = CASES[operation]

    error = refused(call(site, operation), **case.refused(site))

    assert error["Error"]["Code"] == case.code
    assert case.code in {shape.name for shape in MODEL.operation_model(operation).error_shapes}
    assert set(MODEL.shape_for(case.code).members) <= set(error) | {"code"}


@pytest.mark.parametrize("operation", sorted(NOT_OFFERED))
def test_what_is_not_offered_says_so(site: Site, operation: str) -> None:
    http = MODEL.operation_model(operation).http

    status, error, answer = site.post(http["requestUri"], {}, http["method"])

    assert (status, error) == (400, "ValidationException")
    assert answer["reason"] == "unknownOperation"
    assert operation in answer["message"]


@pytest.mark.parametrize(("path", "method"), [("/NoSuchThing", "POST"), ("/StartTest", "GET")])
def test_what_is_not_modelled_is_an_error_of_the_service_too(site: Site, path: str, method: str) -> None:
    status, error, answer = site.post(path, {}, method)
    assert (status, error, answer["reason"]) == (400, "ValidationException", "unknownOperation")


def strays(shape: Shape, value: Any, name: str) -> Iterator[str]:
    """What in an answer does not keep to the model's patterns, enumerations, lengths and limits."""
    for its_shape, part, its_name in parts(shape, value, name):
        yield from strays(its_shape, part, its_name)
    rules = shape.metadata
    if "enum" in rules and value not in rules["enum"]:
        yield f"{name}: {value}"
    if "pattern" in rules and not re.fullmatch(rules["pattern"], value):
        yield f"{name}: {value}"
    if "max" in rules and (value if isinstance(value, int | float) else len(value)) > rules["max"]:
        yield f"{name}: {value}"


def parts(shape: Any, value: Any, name: str) -> Iterator[tuple[Shape, Any, str]]:
    if shape.type_name == "structure":
        yield from (
            (its, value[member], f"{name}.{member}") for member, its in shape.members.items() if member in value
        )
    elif shape.type_name == "list":
        yield from ((shape.member, item, f"{name}[]") for item in value)
    elif shape.type_name == "map":
        yield from ((shape.value, item, f"{name}{{}}") for item in value.values())
