import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import pytest

from localcloud.control import ControlServer
from localcloud.faults import FaultPlan
from localcloud.ledger import Ledger


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def control(ledger: Ledger) -> Iterator[ControlServer]:
    server = ControlServer(ledger, FaultPlan(), lambda: {"billing": {"writes": 7}})
    server.start()
    yield server
    server.stop()


def test_entries_keep_one_order_without_gaps_when_many_threads_record(ledger: Ledger) -> None:
    def record() -> None:
        for _ in range(50):
            ledger.record(service="mgn", operation="StartTest", targets=["s-1"])

    threads = [threading.Thread(target=record) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entries = ledger.entries()
    assert [entry.seq for entry in entries] == list(range(1, 201))
    assert [entry.time for entry in entries] == sorted(entry.time for entry in entries)


def test_an_entry_tells_its_time_as_rfc_3339_in_utc_with_microseconds(ledger: Ledger) -> None:
    ledger.record(service="ec2", operation="StopInstances", targets=["i-1"], caller="AKIA", detail={"force": True})
    entry = ledger.entries()[0].to_json()
    assert entry["time"].endswith("Z")
    assert len(entry["time"]) == len("2026-01-01T00:00:00.000000Z")
    assert abs((datetime.now(UTC) - datetime.fromisoformat(entry["time"])).total_seconds()) < 5
    assert entry | {"time": ""} == {
        "seq": 1,
        "time": "",
        "service": "ec2",
        "operation": "StopInstances",
        "targets": ["i-1"],
        "caller": "AKIA",
        "detail": {"force": True},
    }


def test_the_ledger_is_read_over_http_as_json_lines_with_filters(ledger: Ledger, control: ControlServer) -> None:
    ledger.record(service="mgn", operation="StartTest", targets=["s-1", "billing-web-01"])
    ledger.record(service="mgn", operation="StartCutover", targets=["s-1"])
    ledger.record(service="ec2", operation="StopInstances", targets=["i-1"])

    def sequence(**filters: str) -> list[int]:
        reply = httpx.get(control.ledger_url, params=filters).raise_for_status()
        return [json.loads(line)["seq"] for line in reply.text.splitlines()]

    assert sequence() == [1, 2, 3]
    assert sequence(service="mgn") == [1, 2]
    assert sequence(operation="StartCutover") == [2]
    assert sequence(target="billing-web-01") == [1]
    assert sequence(since="1", service="mgn") == [2]


@pytest.mark.parametrize("query", ["since=yesterday", "colour=blue"])
def test_a_filter_that_makes_no_sense_is_refused(control: ControlServer, query: str) -> None:
    reply = httpx.get(f"{control.ledger_url}?{query}")
    assert reply.status_code == 400
    assert reply.json()["error"]


def test_the_applications_are_read_over_http(control: ControlServer) -> None:
    assert httpx.get(control.applications_url).json() == {"billing": {"writes": 7}}
    assert httpx.get(f"{control.url}/nothing").status_code == 404
