"""Requests in envelopes: taken out as they stand, and judged as if they had come alone."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migration.envelopes import Envelope, open_envelope
from migration.json_text import FieldError, member_texts
from migration.parsing import RequestErrors, parse_request
from tests.corpus_cases import BadCase, bad_cases, good_cases

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

EVENT = {
    "version": "0",
    "id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718",
    "detail-type": "MigrationRequested",
    "source": "com.example.portal",
    "account": "123456789012",
    "time": "2026-11-28T12:00:00Z",
    "region": "eu-central-1",
    "resources": [],
}
CLOUD_EVENT = {
    "specversion": "1.0",
    "id": "A234-1234-1234",
    "source": "/portal/requests",
    "type": "com.example.portal.migration.requested",
    "datacontenttype": "application/json",
}


def around(envelope: dict[str, Any], name: str, text: str) -> str:
    """The envelope, with a member whose text is exactly this."""
    return f'{json.dumps(envelope)[:-1]},\n "{name}" : {text} }}'


def event(text: bytes) -> str:
    return around(EVENT, "detail", text.decode())


def cloud_event(text: bytes) -> str:
    return around(CLOUD_EVENT, "data", text.decode())


def cloud_event_in_base64(text: bytes) -> str:
    return json.dumps({**CLOUD_EVENT, "data_base64": base64.b64encode(text).decode()})


WRAPPERS: dict[str, Callable[[bytes], str]] = {
    "$.detail": event,
    "$.data": cloud_event,
    "$.data_base64": cloud_event_in_base64,
}


def errors_of(body: str) -> list[FieldError]:
    """Everything that is wrong with a message, as the ingress says it."""
    envelope = open_envelope(body)
    if envelope.errors:
        return list(envelope.errors)
    try:
        parse_request(envelope.request)
    except RequestErrors as refused:
        return list(envelope.placed(refused.errors))
    return []


def paths_of(body: str) -> list[str]:
    return [error.path for error in errors_of(body)]


# --- what is in them -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", good_cases(), ids=lambda case: case.name)
def test_a_request_means_the_same_in_every_envelope(case: Any) -> None:
    bare = parse_request(case.text)
    assert open_envelope(case.text.decode()) == Envelope(case.text.decode())
    for path, wrapped in WRAPPERS.items():
        envelope = open_envelope(wrapped(case.text))
        assert (envelope.path, envelope.errors, envelope.news) == (path, (), None)
        assert parse_request(envelope.request) == bare


def _can_be_a_member(case: BadCase) -> bool:
    """Whether a text can stand in another one without making that one unreadable."""
    whole_text_refused = any(error.path == "$" for error in _alone(case.text))
    return case.is_json and not whole_text_refused


def _bad_cases_in_envelopes() -> list[Any]:
    return [
        pytest.param(path, case, id=f"{path}-{case.name}")
        for path in WRAPPERS
        for case in bad_cases()
        if path == "$.data_base64" or _can_be_a_member(case)
    ]


def _alone(text: bytes) -> tuple[FieldError, ...]:
    with pytest.raises(RequestErrors) as refused:
        parse_request(text)
    return refused.value.errors


@pytest.mark.parametrize(("path", "case"), _bad_cases_in_envelopes())
def test_a_bad_request_has_the_same_errors_in_every_envelope(path: str, case: BadCase) -> None:
    expected = [FieldError(path + e.path.removeprefix("$"), e.expected, e.found) for e in _alone(case.text)]
    assert errors_of(WRAPPERS[path](case.text)) == expected


@pytest.mark.parametrize("path", WRAPPERS)
def test_what_a_parser_would_put_right_in_silence_reaches_the_reader(path: str) -> None:
    text = b'{"appName": "a", "appName": "b", "big": 1' + b"0" * 5000 + b', "nan": NaN, "s": "\\ud800", "f": 1e999}'
    envelope = open_envelope(WRAPPERS[path](text))
    given = envelope.request if isinstance(envelope.request, bytes) else envelope.request.encode()
    assert given == text
    assert envelope.errors == ()


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), _json, max_size=5), st.sampled_from([None, 2]), st.booleans())
def test_every_member_is_found_as_it_stands(document: dict[str, Any], indent: int | None, ascii_only: bool) -> None:
    def written(value: Any) -> str:
        return json.dumps(value, indent=indent, ensure_ascii=ascii_only)

    texts = {name: written(value) for name, value in document.items()}
    members = ",\n\t".join(f"{json.dumps(name)}\r\n : {text}" for name, text in texts.items())
    assert member_texts(f" {{ {members} }} ") == texts


@given(st.text() | _json.map(json.dumps) | st.dictionaries(st.sampled_from(sorted(EVENT)), _json).map(json.dumps))
def test_whatever_comes_is_opened_without_an_accident(body: str) -> None:
    open_envelope(body)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys((*CLOUD_EVENT, "data", "data_base64", "traceparent"), _json)))
def test_whatever_says_that_it_is_a_cloud_event_is_opened_without_an_accident(document: dict[str, Any]) -> None:
    open_envelope(json.dumps({"specversion": "1.0"} | document))


# --- what is wrong with them -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "paths"),
    [
        ({"detail-type": "SomethingElse"}, ["$['detail-type']"]),
        ({"detail-type": None, "source": ""}, ["$['detail-type']", "$.source"]),
        ({"detail": "text"}, ["$.detail"]),
        ({"detail": None}, ["$.detail"]),
        ({"source": 7, "detail": []}, ["$.detail", "$.source"]),
    ],
)
def test_a_malformed_event_is_refused_with_the_paths(change: dict[str, Any], paths: list[str]) -> None:
    assert paths_of(json.dumps({**EVENT, "detail": {}} | change)) == paths


def test_an_event_without_a_detail_is_refused() -> None:
    assert errors_of(json.dumps(EVENT)) == [FieldError("$.detail", "an object, the migration request", "nothing")]


@pytest.mark.parametrize(
    ("change", "paths"),
    [
        ({"specversion": "0.3"}, ["$.specversion"]),
        ({"specversion": None}, ["$.specversion"]),
        ({"specversion": 1.0}, ["$.specversion"]),
        ({"id": "", "source": None, "type": 7}, ["$.id", "$.source", "$.type"]),
        ({"datacontenttype": "application/xml"}, ["$.datacontenttype"]),
        ({"datacontenttype": 7}, ["$.datacontenttype"]),
        ({"data": "text"}, ["$.data"]),
        ({"data": None}, ["$.data"]),
        ({"data_base64": "e30="}, ["$.data"]),
        ({"data_base64": "not base64", "data": None}, ["$.data_base64"]),
        ({"data_base64": 7, "data": None}, ["$.data_base64"]),
    ],
)
def test_a_malformed_cloud_event_is_refused_with_the_paths(change: dict[str, Any], paths: list[str]) -> None:
    assert paths_of(json.dumps({**CLOUD_EVENT, "data": {}} | change)) == paths


@pytest.mark.parametrize(
    "media", ["application/json; charset=utf-8", "application/vnd.example+JSON", "text/json", None]
)
def test_every_media_type_of_json_will_do(media: str | None) -> None:
    assert open_envelope(json.dumps({**CLOUD_EVENT, "datacontenttype": media, "data": {}})).errors == ()


@pytest.mark.parametrize(
    ("body", "paths"),
    [
        (around(EVENT | {"detail": {}}, "detail", "{}"), ["$.detail"]),
        (around(EVENT, "detail", "NaN"), ["$.detail"]),
        (around(EVENT | {"resources": [10**30]}, "detail", "{}"), ["$.resources[0]"]),
        (around(EVENT | {"resources": ["\0"]}, "detail", '{"a": "\\u0000"}'), ["$.resources[0]"]),
    ],
)
def test_faults_of_the_text_outside_the_request_are_the_envelopes(body: str, paths: list[str]) -> None:
    assert paths_of(body) == paths


# --- what else they say ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["aws.mgn", "migrator"])
def test_events_that_ask_for_nothing_are_news(source: str) -> None:
    kind = "MGN Source Server Lifecycle State Change"
    envelope = open_envelope(json.dumps({**EVENT, "detail-type": kind, "source": source, "detail": {"state": "x"}}))
    assert envelope == Envelope(news=f'"{kind}" from {source}')


@pytest.mark.parametrize("wrapped", [event, cloud_event])
def test_an_envelope_hands_its_traceparent_on(wrapped: Callable[[bytes], str]) -> None:
    body = json.dumps(json.loads(wrapped(b"{}")) | {"traceparent": TRACEPARENT})
    assert open_envelope(body).traceparent == TRACEPARENT
