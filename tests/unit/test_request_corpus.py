"""Every payload of the corpus against the models and, as far as it can say it, the JSON Schema."""

import json

import pytest
from jsonschema import Draft202012Validator

from migration.parsing import RequestErrors, parse_request
from migration.request import request_hash
from migration.schema import request_schema
from tests.corpus_cases import CORPUS, EXAMPLE, BadCase, GoodCase, bad_cases, good_cases

SCHEMA = Draft202012Validator(request_schema())

each_good = pytest.mark.parametrize("case", good_cases(), ids=lambda case: case.name)
each_bad = pytest.mark.parametrize("case", bad_cases(), ids=lambda case: case.name)


@each_good
def test_a_good_payload_is_accepted_by_model_and_schema(case: GoodCase) -> None:
    parse_request(case.text)
    assert [error.message for error in SCHEMA.iter_errors(json.loads(case.text))] == []


@each_good
def test_a_request_written_out_is_the_same_request_again(case: GoodCase) -> None:
    request = parse_request(case.text)
    written = request.model_dump_json()
    assert parse_request(written) == request
    assert request_hash(parse_request(written)) == request_hash(request)
    assert SCHEMA.is_valid(json.loads(written))


@each_bad
def test_a_bad_payload_is_refused_with_all_its_paths_and_no_other(case: BadCase) -> None:
    with pytest.raises(RequestErrors) as refused:
        parse_request(case.text)
    assert sorted(error.path for error in refused.value.errors) == sorted(case.paths)


@each_bad
def test_every_error_says_what_was_expected_and_what_was_found(case: BadCase) -> None:
    with pytest.raises(RequestErrors) as refused:
        parse_request(case.text)
    for error in refused.value.errors:
        assert error.expected
        assert error.found
        assert str(error) == f"{error.path}: expected {error.expected}, found {error.found}"
        assert str(error) in str(refused.value)
        assert len(str(error)) < 400
        assert "hunter2" not in str(error)


@pytest.mark.parametrize("case", [case for case in bad_cases() if case.schema is not None], ids=lambda case: case.name)
def test_the_schema_refuses_what_it_can_say(case: BadCase) -> None:
    assert SCHEMA.is_valid(json.loads(case.text)) is not case.schema


def test_only_what_json_schema_cannot_say_is_left_to_the_model() -> None:
    """What remains compares values, knows no case, computes with times, has a grammar, or is a number's spelling."""
    assert {case.name.removesuffix(".json") for case in bad_cases() if case.schema is False} == {
        "approver-twice",
        "approvers-too-few",
        "approvers-too-few-without-the-requester",
        "body-pattern-that-explodes",
        "body-pattern-that-looks-around",
        "ca-that-is-broken",
        "ca-that-is-no-certificate",
        "ca-that-is-not-used",
        "cname-at-the-top-of-its-zone",
        "cname-to-two-servers",
        "credentials-in-a-header",
        "duration-endless",
        "record-in-a-zone-that-only-ends-alike",
        "record-of-the-other-family",
        "record-outside-its-zone",
        "record-twice",
        "requester-approves-alone",
        "role-in-another-account",
        "server-names-twice",
        "time-no-such-day",
        "tls-without-https",
        "unknown-servers",
        "whole-number-written-as-a-fraction",
        "window-backwards",
        "window-empty",
    }


def test_every_bad_payload_has_an_expectation_and_every_expectation_a_payload() -> None:
    assert {path.name for path in (CORPUS / "bad").iterdir()} == {case.name for case in bad_cases()}


def test_the_corpus_is_large_and_mostly_bad() -> None:
    assert len(good_cases()) + len(bad_cases()) >= 80
    assert len(bad_cases()) > len(good_cases())


def test_the_documented_example_is_part_of_the_corpus() -> None:
    assert (CORPUS / "good" / "full.json").read_bytes() == EXAMPLE.read_bytes()
