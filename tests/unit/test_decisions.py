"""Decisions as plain JSON: who, what, and every reason why one is refused."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue

from migration.decisions import (
    DECISIONS,
    Abandon,
    Acknowledge,
    Approve,
    Commit,
    Decision,
    DecisionName,
    KeepSource,
    Pause,
    Reject,
    Reschedule,
    Resume,
    Retry,
    Rollback,
    Skip,
)
from migration.parsing import RequestErrors, parse_model
from migration.request import RollbackTo
from workflows.border import json_text
from workflows.desk import parse_decision

WHO = "operator-1@example.com"
LEAST: dict[DecisionName, dict[str, Any]] = {
    "approve": {},
    "reject": {},
    "rollback": {},
    "abandon": {"reason": "not needed"},
    "retry": {},
    "skip": {"reason": "done by hand"},
    "acknowledge": {},
    "reschedule": {"notBefore": "2026-11-28T20:00:00Z", "notAfter": "2026-11-29T04:00:00+01:00"},
    "commit": {},
    "pause": {},
    "resume": {},
    "keepSource": {},
}


def parsed(name: DecisionName, **fields: Any) -> Decision:
    return parse_model(json.dumps(fields), DECISIONS[name])


def refused(name: DecisionName, text: str | bytes) -> list[str]:
    """The paths of what is wrong."""
    with pytest.raises(RequestErrors) as errors:
        parse_model(text, DECISIONS[name])
    return [error.path for error in errors.value.errors]


def test_these_are_the_decisions() -> None:
    models = [Approve, Reject, Rollback, Abandon, Retry, Skip, Acknowledge, Reschedule, Commit]
    models += [Pause, Resume, KeepSource]
    assert list(DECISIONS.values()) == models
    assert LEAST.keys() == DECISIONS.keys()
    assert all(model.__doc__ for model in models)


@pytest.mark.parametrize("name", DECISIONS)
def test_a_decision_needs_little_more_than_a_name(name: DecisionName) -> None:
    decision = parsed(name, by=WHO, **LEAST[name])
    assert (decision.by, decision.comment) == (WHO, None)


@pytest.mark.parametrize("name", DECISIONS)
def test_who_decides_may_be_called_approver_too(name: DecisionName) -> None:
    assert parsed(name, approver=WHO, **LEAST[name]).by == WHO


@pytest.mark.parametrize("name", DECISIONS)
@pytest.mark.parametrize("by", ["", "   ", None, 7, ["a"], "x" * 321], ids=str)
def test_a_decision_of_nobody_is_refused(name: DecisionName, by: Any) -> None:
    assert refused(name, json.dumps({"by": by, **LEAST[name]})) == ["$.by"]


@pytest.mark.parametrize("name", DECISIONS)
@pytest.mark.parametrize("text", ["", "{by: me}", "null", "[]", '"me"', "7", b"\xff\xfe", '{"by": "a", "by": "b"}'])
def test_what_is_no_object_is_refused(name: DecisionName, text: str | bytes) -> None:
    assert refused(name, text)


@pytest.mark.parametrize("name", DECISIONS)
def test_fields_that_are_not_known_do_no_harm(name: DecisionName) -> None:
    assert parsed(name, by=WHO, ticket="CHG0030001", **LEAST[name]).by == WHO


@pytest.mark.parametrize("name", ["abandon", "skip"])
def test_what_leaves_something_undone_needs_a_reason(name: DecisionName) -> None:
    assert refused(name, json.dumps({"by": WHO})) == ["$.reason"]
    assert refused(name, json.dumps({"by": WHO, "reason": ""})) == ["$.reason"]


@pytest.mark.parametrize("name", ["reject", "rollback"])
def test_a_way_back_says_how_deep(name: DecisionName) -> None:
    decision = parsed(name, by=WHO, to="start")
    assert isinstance(decision, Reject | Rollback)
    assert decision.to is RollbackTo.START
    assert refused(name, json.dumps({"by": WHO, "to": "yesterday"})) == ["$.to"]


def test_a_window_is_two_moments_in_order() -> None:
    window = parsed("reschedule", by=WHO, **LEAST["reschedule"])
    assert isinstance(window, Reschedule)
    assert window.not_before == datetime(2026, 11, 28, 20, tzinfo=UTC)
    assert window.not_after == datetime(2026, 11, 29, 3, tzinfo=UTC)
    backwards = {"notBefore": LEAST["reschedule"]["notAfter"], "notAfter": LEAST["reschedule"]["notBefore"]}
    with pytest.raises(RequestErrors, match="notBefore must be earlier than notAfter"):
        parsed("reschedule", by=WHO, **backwards)
    assert refused("reschedule", json.dumps({"by": WHO})) == ["$.notAfter", "$.notBefore"]


@pytest.mark.parametrize("moment", ["2026-11-28", "2026-11-28 20:00:00Z", "2026-11-28T20:00:00", 1764360000, "soon"])
def test_a_moment_has_a_time_and_an_offset(moment: Any) -> None:
    text = json.dumps({"by": WHO, "notBefore": moment, "notAfter": "2026-11-29T04:00:00Z"})
    assert refused("reschedule", text) == ["$.notBefore"]


def test_codes_are_acknowledged_one_by_one_or_all() -> None:
    one, all_of_them = parsed("acknowledge", by=WHO, codes=["SUBNET_FULL"]), parsed("acknowledge", by=WHO)
    assert isinstance(one, Acknowledge)
    assert isinstance(all_of_them, Acknowledge)
    assert (one.codes, all_of_them.codes) == (("SUBNET_FULL",), None)


# --- as payloads -------------------------------------------------------------------------------------------------


def payload(data: bytes, encoding: bytes = b"json/plain") -> RawValue:
    return RawValue(Payload(metadata={"encoding": encoding}, data=data))


def test_a_payload_of_json_is_read_as_it_is() -> None:
    assert json_text(payload(b'{"a":  1}')) == b'{"a":  1}'
    assert json_text(payload(b'{"a": 1}', b"json/protobuf")) == b'{"a": 1}'


def test_an_empty_payload_is_null_and_one_of_another_encoding_is_no_json() -> None:
    assert json_text(payload(b"", b"binary/null")) == b"null"
    assert json_text(payload(b"{}", b"binary/plain")) == b""
    assert json_text(RawValue(Payload())) == b""


def test_a_decision_is_read_from_its_payload() -> None:
    decision = parse_decision("approve", payload(b'{"approver": "approver-1@example.com", "evidenceHash": "abc"}'))
    assert isinstance(decision, Approve)
    assert (decision.by, decision.evidence_hash) == ("approver-1@example.com", "abc")
    with pytest.raises(RequestErrors):
        parse_decision("approve", payload(b"{}", b"binary/encrypted"))
