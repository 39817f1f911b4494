"""Under which id a migration is found, whatever came with its request."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migration.correlation import Origin, correlation_id, fit_correlation_id, trace_id
from migration.memo import memo, origin_of
from migration.parsing import parse_request
from migration.request import MigrationRequest, request_hash
from tests.workflows.migration_requests import a_request

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
OTHER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


def requested(**fields: object) -> MigrationRequest:
    return parse_request(json.dumps(a_request("mig-traced", **fields)))


@pytest.mark.parametrize(
    ("own", "sent", "traces", "found"),
    [
        ("own-1", "sent-1", [TRACEPARENT], "own-1"),
        (None, "sent-1", [TRACEPARENT], "sent-1"),
        (None, None, [TRACEPARENT, OTHER], TRACE),
        (None, None, [None, TRACEPARENT], TRACE),
        (None, None, ["00-nonsense", TRACEPARENT], TRACE),
        (None, "two words", [TRACEPARENT], TRACE),
        (None, "two words", [], "mig-traced"),
        (None, None, [], "mig-traced"),
    ],
)
def test_the_nearest_id_to_the_request_goes_first(
    own: str | None, sent: object, traces: list[object], found: str
) -> None:
    assert correlation_id(requested(correlationId=own), Origin.of(sent, *traces)) == found


def test_the_same_request_in_another_trace_is_the_same_request() -> None:
    request = requested()
    first, second = (memo(request, Origin.of(None, trace)) for trace in (TRACEPARENT, OTHER))
    assert first["requestHash"] == second["requestHash"] == request_hash(request)
    assert (first["correlationId"], first["traceparent"]) == (TRACE, TRACEPARENT)
    assert second["traceparent"] == OTHER


@pytest.mark.parametrize("origin", [Origin(), Origin.of("sent-1", TRACEPARENT), Origin.of(None, TRACEPARENT)])
def test_a_run_finds_its_id_in_its_memo(origin: Origin) -> None:
    request = requested()
    read = origin_of(memo(request, origin))
    assert correlation_id(request, read) == correlation_id(request, origin)
    assert read.traceparent == origin.traceparent


@pytest.mark.parametrize("foreign", [{}, {"correlationId": 7, "traceparent": ["x"]}, {"correlationId": "two words"}])
def test_a_memo_that_somebody_else_wrote_is_no_hindrance(foreign: dict[str, object]) -> None:
    assert correlation_id(requested(), origin_of(foreign)) == "mig-traced"


@pytest.mark.parametrize(
    "traceparent",
    [
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-00f067aa0ba902b7-01",
        f"00-{TRACE.upper()}-00f067aa0ba902b7-01",
        f"00-{TRACE}-00f067aa0ba902b7-01-more",
        f"00-{TRACE}-00f067aa0ba902b7",
        f"{TRACEPARENT}\n",
        "",
        None,
        7,
    ],
)
def test_an_invalid_traceparent_counts_as_none(traceparent: object) -> None:
    assert trace_id(traceparent) is None


def test_a_traceparent_of_a_later_version_may_go_on() -> None:
    assert trace_id(f"cc-{TRACE}-00f067aa0ba902b7-01-what-the-future-brings") == TRACE


@given(st.one_of(st.text(), st.none(), st.integers(), st.binary()))
def test_whatever_comes_is_an_id_or_nothing(value: object) -> None:
    assert fit_correlation_id(value) in (None, value)
    assert trace_id(value) is None
