"""What a process measures of itself: nothing unless it is asked to, and then nothing that is long past."""

import asyncio
import socket
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families
from temporalio.common import MetricMeter

from activities.lags import LagsSeen
from migration import metrics
from migration.errors import NotFound, PrerequisiteError, Unavailable
from migration.metrics import METRICS, By, Counter, Watched
from migration.ports import CallMade
from migration.settings import Settings
from starter.calls import CallCounter, listened_to
from starter.measures import measures
from starter.runtime import runtime
from tests.fakes.mgn import FakeReplication

NOBODY: Any = None


def scraped(address: str) -> dict[tuple[str, ...], float]:
    """What is served, but for the labels that the SDK adds: name and values of labels to value."""
    with urlopen(f"http://{address}/metrics") as reply:
        text = reply.read().decode()
    return {
        (sample.name, *(value for name, value in sorted(sample.labels.items()) if name != "service_name")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture(scope="module")
def address() -> str:
    """Where this process serves metrics; its engine stays for as long as it lives."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


# --- off ---------------------------------------------------------------------------------------------------------


def test_metrics_are_off_by_default() -> None:
    assert Settings().metrics_address is None
    assert runtime().metric_meter is MetricMeter.noop


async def test_no_census_runs_and_nothing_hears_of_calls_when_metrics_are_off() -> None:
    async with AsyncExitStack() as running:
        measured = await measures(NOBODY, Settings(), running)
        assert measured.observe is None
        assert "census" not in {task.get_name() for task in asyncio.all_tasks()}


# --- on ----------------------------------------------------------------------------------------------------------


def test_what_is_known_beforehand_begins_at_0(address: str) -> None:
    meter = runtime(address).metric_meter
    metrics.begin(meter, By.INGRESS)
    served = scraped(address)
    assert {key: served[key] for key in served if key[0] == "migrator_ingress_messages_total"} == {
        ("migrator_ingress_messages_total", result): 0.0 for result in metrics.MESSAGES.labels["result"]
    }


def test_the_first_call_of_an_operation_begins_all_that_may_come_of_it_at_0(address: str) -> None:
    count = CallCounter(runtime(address).metric_meter)
    call = CallMade(system="mgn", operation="StartTest", result="throttled", took=timedelta(seconds=3))
    count(call)
    count(call)
    served = scraped(address)
    results = {key[2]: value for key, value in served.items() if key[0] == "migrator_calls_total"}
    assert results == {result: 2.0 if result == "throttled" else 0.0 for result in metrics.CALL_RESULTS}
    assert served["migrator_call_duration_seconds_sum", "StartTest", "mgn"] == 6.0


def test_a_port_is_listened_to_by_what_it_is_asked_for() -> None:
    made, mgn = list[CallMade](), FakeReplication()
    mgn.add("s-1")
    heard = listened_to(mgn, "mgn", made.append)
    assert heard.servers(["s-1"]).keys() == {"s-1"}
    with pytest.raises(NotFound):
        heard.servers(["s-9"])
    mgn.refuse("find")
    with pytest.raises(Unavailable):
        heard.find(["vc:s-1"])
    assert [(one.operation, one.result) for one in made] == [
        ("servers", "ok"),
        ("servers", "refused"),
        ("find", "unavailable"),
    ]


def test_a_step_that_lasts_for_weeks_has_a_bucket(address: str) -> None:
    metrics.STEP_DURATION.record(runtime(address).metric_meter, timedelta(days=20), step="replicate", outcome="done")
    served = scraped(address)
    buckets = {key[1]: value for key, value in served.items() if key[0] == "migrator_step_duration_seconds_bucket"}
    assert (buckets["1209600"], buckets["2419200"]) == (0.0, 1.0)


def test_an_address_that_is_taken_is_named_in_words() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(PrerequisiteError, match=f"metrics cannot be served at {where}: .*in use"):
            runtime(where)


def test_an_address_that_is_none_is_named_in_words() -> None:
    with pytest.raises(PrerequisiteError, match="metrics cannot be served at localhost"):
        runtime("localhost")


# --- the definitions ---------------------------------------------------------------------------------------------


def test_names_are_prometheus_names_and_none_begins_another_histogram() -> None:
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)
    # The SDK takes the bounds of a histogram for every name that begins like it.
    assert all(sum(name.startswith(bound) for name in names) == 1 for bound in metrics.buckets())
    assert all(metric.name.startswith("migrator_") and not metric.name.endswith("_total") for metric in METRICS)
    assert all(metric.exported.endswith("_total") for metric in METRICS if isinstance(metric, Counter))


# --- replication, as it was last seen ----------------------------------------------------------------------------


def test_the_worst_lag_is_that_of_any_migration_seen_lately() -> None:
    now = 0.0
    lags, mgn = LagsSeen(clock=lambda: now), FakeReplication()
    mgn.add("s-1", "READY_FOR_CUTOVER", lag=timedelta(minutes=5))
    mgn.add("s-2", "READY_FOR_CUTOVER", lag=timedelta(hours=2), replication_state="STALLED")
    mgn.add("s-3", "NOT_READY", lag=None)
    found = list(mgn.records.values())
    lags.note(Watched.AT_THE_GATE, "mig-1", found[:1])
    lags.note(Watched.AT_THE_GATE, "mig-2", found)
    assert (lags.worst(Watched.AT_THE_GATE), lags.stalled(Watched.AT_THE_GATE)) == (timedelta(hours=2), 1)
    assert lags.worst(Watched.CATCHING_UP) == timedelta(0)
    lags.note(Watched.AT_THE_GATE, "mig-2", found[2:])
    assert lags.worst(Watched.AT_THE_GATE) == timedelta(minutes=5)
    now = 301.0
    assert lags.worst(Watched.AT_THE_GATE) == timedelta(0)
