"""What MGN tells EventBridge, as a queue behind a rule gets it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from localcloud.aws.mgn import Trouble
from tests.contracts.mgn_site import SYNCED, Site, moto_server, running_site

LAUNCH, LIFECYCLE, STALLED = (
    "MGN Source Server Launch Result",
    "MGN Source Server Lifecycle State Change",
    "MGN Source Server Data Replication Stalled Change",
)


@pytest.fixture(scope="module")
def url() -> str:
    return moto_server()


@pytest.fixture
def site(url: str) -> Iterator[Site]:
    with running_site(url) as one:
        yield one


@pytest.fixture
def queue(site: Site) -> str:
    """The address of a queue that gets everything from MGN."""
    address = str(site.client("sqs").create_queue(QueueName="mgn-events")["QueueUrl"])
    arn = f"arn:aws:sqs:eu-central-1:{site.account}:mgn-events"
    bus = site.client("events")
    bus.put_rule(Name="mgn", EventPattern=json.dumps({"source": ["aws.mgn"]}))
    bus.put_targets(Rule="mgn", Targets=[{"Id": "queue", "Arn": arn}])
    return address


def received(site: Site, queue: str) -> list[Any]:
    site.backend.advance()
    sqs = site.client("sqs")
    messages = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
    for message in messages:
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    return [json.loads(message["Body"]) for message in messages]


def told(events: list[Any]) -> list[tuple[str, Any]]:
    return [(event["detail-type"], event["detail"]) for event in events]


def test_a_server_is_announced_when_it_is_ready_for_test_for_the_first_time_only(site: Site, queue: str) -> None:
    server_id = site.register()
    site.wait(SYNCED)

    events = received(site, queue)

    assert told(events) == [(LIFECYCLE, {"state": "READY_FOR_TEST"})]
    arn = f"arn:aws:mgn:eu-central-1:{site.account}:source-server/{server_id}"
    assert (events[0]["source"], events[0]["resources"]) == ("aws.mgn", [arn])
    assert events[0]["region"] == "eu-central-1"
    assert events[0]["time"] == "2027-01-15T08:15:00Z"
    site.mgn.stop_replication(sourceServerID=server_id)
    site.mgn.start_replication(sourceServerID=server_id)
    site.wait(SYNCED)
    assert received(site, queue) == []
    assert site.state(server_id) == "READY_FOR_TEST"


def test_each_launch_tells_its_result(site: Site, queue: str) -> None:
    good, bad = site.ready("web-01"), site.ready("web-02")
    received(site, queue)
    site.world.faults |= {"id-web-02 test": "no capacity", "id-web-01 cutover": "no capacity"}

    test = site.launch("start_test", good, bad)

    events = received(site, queue)
    assert {(event["resources"][0].rpartition("/")[2], event["detail"]["state"]) for event in events} == {
        (good, "TEST_LAUNCH_SUCCEEDED"),
        (bad, "TEST_LAUNCH_FAILED"),
    }
    assert {event["detail"]["job-id"] for event in events} == {test["jobID"]}
    assert {(event["detail-type"], event["time"]) for event in events} == {(LAUNCH, "2027-01-15T08:37:40Z")}
    site.change(good, "READY_FOR_CUTOVER")
    site.change(bad, "READY_FOR_CUTOVER")
    site.launch("start_cutover", good, bad)
    states = [event["detail"]["state"] for event in received(site, queue)]
    assert sorted(states) == ["CUTOVER_LAUNCH_FAILED", "CUTOVER_LAUNCH_SUCCEEDED"]


def test_a_stall_is_told_when_it_comes_and_when_it_goes(site: Site, queue: str) -> None:
    site.ready()
    received(site, queue)
    site.plan.stalls["id-web-01"] = [(site.now + 10, Trouble("UNSTABLE_NETWORK")), (site.now + 100, None)]
    assert received(site, queue) == []
    site.wait(10)
    assert told(received(site, queue)) == [(STALLED, {"state": "STALLED"})]
    assert received(site, queue) == []
    site.wait(90)
    assert told(received(site, queue)) == [(STALLED, {"state": "NOT_STALLED"})]


def test_an_event_that_cannot_be_delivered_hinders_nothing(
    site: Site, queue: str, caplog: pytest.LogCaptureFixture
) -> None:
    # moto knows no Lambda functions as targets, and raises.
    function = f"arn:aws:lambda:eu-central-1:{site.account}:function:mgn"
    site.client("events").put_targets(Rule="mgn", Targets=[{"Id": "function", "Arn": function}])
    server_id = site.ready()

    job = site.launch("start_test", server_id)

    assert job["participatingServers"][0]["launchStatus"] == "LAUNCHED"
    assert any("was not delivered" in record.message for record in caplog.records)
    caplog.clear()
