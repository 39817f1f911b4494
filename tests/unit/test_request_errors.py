"""How a refused document is reported: by path, in words, all at once, without secrets."""

import json
import time
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from migration.errors import ValidationError
from migration.json_text import DEEPEST, LARGEST_TEXT, FieldError, json_path
from migration.parsing import MOST_ERRORS, RequestErrors, parse_model, parse_request
from tests.corpus_cases import good


def refused(text: str | bytes) -> tuple[FieldError, ...]:
    """Return the errors of a request that must be refused."""
    with pytest.raises(RequestErrors) as refusal:
        parse_request(text)
    return refusal.value.errors


def refused_with(**changes: Any) -> list[str]:
    """Return the errors, as text, of the small request with some fields replaced."""
    return [str(error) for error in refused(json.dumps(good("minimal") | changes))]


def test_an_error_reads_as_a_sentence() -> None:
    document = good("minimal")
    document["target"]["accountId"] = 12
    assert [str(error) for error in refused(json.dumps(document))] == [
        "$.target.accountId: expected a 12-digit account id as a string, found 12"
    ]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"environment": "live"}, "$.environment: expected one of 'dev', 'test', 'staging' or 'prod', found \"live\""),
        ({"dryRun": True}, "$.dryRun: expected no such field, found true"),
        ({"soak": []}, "$.soak: expected an object, found []"),
        ({"dns": {}}, "$.dns: expected a list, found {}"),
        ({"soak": {"failures": 0}}, "$.soak.failures: expected a number of at least 1, found 0"),
        ({"soak": {"failures": "3"}}, '$.soak.failures: expected a whole number, found "3"'),
        ({"soak": {"failures": 1.5}}, "$.soak.failures: expected a whole number, found 1.5"),
        ({"quiesce": {"disconnectNics": 1}}, "$.quiesce.disconnectNics: expected true or false, found 1"),
        ({"approval": {}}, "$.approval.approvers: expected a value, which is required, found nothing"),
        ({"approval": {"approvers": []}}, "$.approval.approvers: expected at least 1 of them, found []"),
        ({"schemaVersion": "2"}, "$.schemaVersion: expected '1.0', found \"2\""),
        ({"migrationType": "cutover"}, "$.approval: expected an approval, which steps and migrationType need"),
        ({"hooks": [{"server": "x"}]}, '$.hooks[0].server: expected the name of a server of the request, found "x"'),
    ],
)
def test_each_kind_of_error_has_its_words(changes: dict[str, Any], sentence: str) -> None:
    assert any(line.startswith(sentence) for line in refused_with(**changes))


def test_a_refusal_is_a_validation_error_that_lists_everything() -> None:
    with pytest.raises(ValidationError) as refusal:
        parse_request("{}")
    assert len(str(refusal.value).splitlines()) == 7
    assert not refusal.value.retryable


def test_rules_are_judged_beside_the_errors_of_fields() -> None:
    document = good("full")
    document["source"]["servers"][0]["os"] = "solaris"
    document["healthChecks"][0]["server"] = "elsewhere"
    document["approval"]["minimum"] = 5
    assert [error.path for error in refused(json.dumps(document))] == [
        "$.approval.approvers",
        "$.healthChecks[0].server",
        "$.source.servers[0].os",
    ]


def test_no_rule_speaks_of_a_value_that_is_wrong_in_itself() -> None:
    document = good("full")
    document["source"]["servers"][0]["name"] = "bad name"
    document["dns"][0]["zone"] = "bad zone"
    document["cutoverWindow"]["notAfter"] = "tomorrow"
    document["approval"]["approvers"] = ["requester@example.com", 7]
    assert [error.path for error in refused(json.dumps(document))] == [
        "$.approval.approvers[1]",
        "$.cutoverWindow.notAfter",
        "$.dns[0].zone",
        "$.source.servers[0].name",
    ]


def test_errors_come_in_the_order_of_their_places() -> None:
    servers = [{"name": f"s{i}", "vm": f"s{i}", "os": "linux", "address": "x"} for i in range(12)]
    paths = [error.path for error in refused(json.dumps(good("minimal") | {"source": {"servers": servers}}))]
    assert paths == [
        "$.source.connection",
        *(f"$.source.servers[{i}].address" for i in range(12)),
        "$.source.type",
    ]


def test_no_more_errors_are_listed_than_a_failure_can_carry() -> None:
    errors = refused(json.dumps(good("minimal") | {f"x{i:04}": 1 for i in range(MOST_ERRORS + 5)}))
    assert len(errors) == MOST_ERRORS + 1
    assert errors[-1] == FieldError("$", f"at most {MOST_ERRORS} errors to list", "more")


def test_text_made_of_nothing_but_errors_is_refused_in_time() -> None:
    started = time.process_time()
    refused(json.dumps(good("minimal") | {"approval": {"approvers": [1] * 80000}}))
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    "changes",
    [
        {"callbackSecret": "hunter2"},
        {"callbackSecret": {"value": "hunter2"}},
        {"callbackUrl": "https://user:hunter2@example.com/"},
        {"password": "hunter2"},
        {"extra": {"apiToken": "hunter2", "deep": [{"Password": "hunter2"}]}},
        {"hooks": [{"parameters": {"commands": "login hunter2"}}]},
        {"source": {"servers": [{"credential": "hunter2"}]}},
        {"healthChecks": [{"type": "http", "url": "http://admin:hunter2@{privateIp}/"}]},
        {"cmdb": {"connection": "https://admin:hunter2@cmdb.example.com"}},
    ],
)
def test_what_may_be_a_secret_is_never_shown(changes: dict[str, Any]) -> None:
    lines = refused_with(**changes)
    assert lines
    assert not any("hunter2" in line for line in lines)


def test_what_is_found_is_cut_short() -> None:
    (error,) = refused(json.dumps(good("minimal") | {"appName": "x" * 5000}))
    assert len(error.found) == 80
    assert error.found.endswith("...")


def test_a_text_of_the_greatest_size_is_read_and_one_byte_more_is_not() -> None:
    text = json.dumps(good("minimal"))
    parse_request(text + " " * (LARGEST_TEXT - len(text)))
    (error,) = refused(text + " " * (LARGEST_TEXT - len(text) + 1))
    assert str(error) == f"$: expected JSON of at most {LARGEST_TEXT} bytes, found {LARGEST_TEXT + 1} bytes"


def test_the_deepest_text_is_read_and_one_level_more_is_not() -> None:
    (error,) = refused(json.dumps(good("minimal"))[:-1] + ',"x":' + "[" * (DEEPEST - 1) + "]" * (DEEPEST - 1) + "}")
    assert error.path == "$.x"
    (error,) = refused(json.dumps(good("minimal"))[:-1] + ',"x":' + "[" * DEEPEST + "]" * DEEPEST + "}")
    assert str(error) == f"$: expected JSON of at most {DEEPEST} levels, found more levels"


def test_brackets_in_strings_are_no_levels() -> None:
    parse_request(json.dumps(good("minimal") | {"requestedBy": '"\\' + "[{" * 40}))


def test_a_str_with_a_lone_surrogate_is_no_utf8() -> None:
    (error,) = refused('{"appName": "\ud800"}')
    assert error.path == "$"


def test_what_is_wrong_with_the_text_is_reported_beside_the_fields() -> None:
    text = json.dumps(good("minimal"))[:-1] + ', "appName": "b", "waveId": NaN, "soak": {"failures": 0}}'
    assert [str(error) for error in refused(text)] == [
        "$.appName: expected each name once in an object, found it more than once",
        "$.soak.failures: expected a number of at least 1, found 0",
        "$.waveId: expected JSON, which has no such number, found NaN",
    ]


def test_a_path_quotes_the_names_that_need_it() -> None:
    assert json_path(("a", 0, "b c", "it's", "")) == "$.a[0]['b c']['it\\'s']['']"
    assert len(json_path(("x" * 1000,))) < 100


class Decision(BaseModel):
    """A model without rules that span fields."""

    model_config = ConfigDict(extra="forbid", strict=True)

    approver: str
    comment: str | None = None


def test_any_model_is_parsed_the_same_way() -> None:
    assert parse_model('{"approver": "approver-1@example.com"}', Decision).approver == "approver-1@example.com"
    with pytest.raises(RequestErrors) as refusal:
        parse_model('{"comment": 1, "comment": 2, "by": "x"}', Decision)
    assert [str(error) for error in refusal.value.errors] == [
        "$.approver: expected a value, which is required, found nothing",
        '$.by: expected no such field, found "x"',
        "$.comment: expected each name once in an object, found it more than once",
    ]


def test_a_field_that_only_sounds_like_a_secret_is_shown() -> None:
    server = good("minimal")["source"]["servers"][0] | {"launch": {"httpTokens": "v2"}}
    (error,) = refused(json.dumps(good("minimal") | {"source": good("minimal")["source"] | {"servers": [server]}}))
    assert str(error) == (
        "$.source.servers[0].launch.httpTokens: expected one of 'required' or 'optional', found \"v2\""
    )
