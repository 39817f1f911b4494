"""The event bus against EventBridge: batches, entries that fail, a bus that is not there."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
from botocore.exceptions import ClientError

from adapters.aws import AwsSessions
from adapters.eventbridge import EventBridge
from localcloud.aws.seed import EVENT_BUS
from localcloud.faults import Rule
from migration.errors import PrerequisiteError, Unavailable
from migration.ports import BusEvent, EventBus
from tests.contracts.aws_cloud import ACCOUNT, REGION, Cloud, local_aws

MOST_BYTES = 262_144
AT = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
_numbers = count(1)


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with local_aws() as cloud:
        yield cloud


@pytest.fixture
def bus(cloud: Cloud) -> Iterator[EventBus]:
    heard(cloud)
    yield EventBridge(cloud.sessions, EVENT_BUS)
    cloud.faults.clear()


def some(number: int, **data: Any) -> list[BusEvent]:
    """So many events of one migration."""
    migration_id = f"mig-{next(_numbers)}"

    def event(sequence: int) -> BusEvent:
        event_id = f"{migration_id}:1:{sequence}"
        detail = {"id": event_id, "data": {"migrationId": migration_id, "sequence": sequence} | data}
        return BusEvent(id=event_id, type="MigrationStatusChanged", time=AT, detail=json.dumps(detail))

    return [event(sequence) for sequence in range(1, number + 1)]


def ids(events: Sequence[BusEvent]) -> list[str]:
    return [event.id for event in events]


def heard(cloud: Cloud) -> list[dict[str, Any]]:
    """What came through to the queue behind the bus since the last time."""
    sqs, found = cloud.sessions.client("sqs"), []
    url = cloud.aws.seeded.event_queue_url
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
        entries = [{"Id": each["MessageId"], "ReceiptHandle": each["ReceiptHandle"]} for each in messages]
        sqs.delete_message_batch(QueueUrl=url, Entries=entries)
        found += [json.loads(message["Body"]) for message in messages]
    return found


def heard_ids(cloud: Cloud) -> list[str]:
    return [event["detail"]["id"] for event in heard(cloud)]


def fail_entry(cloud: Cloud, target: str, **more: Any) -> None:
    cloud.faults.add(Rule("events", "entry", "refuse", target=target, times=1, **more))


def test_events_arrive_in_order_with_type_source_and_time(bus: EventBus, cloud: Cloud) -> None:
    events = some(3)
    assert list(bus.put(events)) == [None, None, None]
    arrived = heard(cloud)
    assert [event["detail"]["id"] for event in arrived] == ids(events)
    assert {(event["source"], event["detail-type"]) for event in arrived} == {("migrator", "MigrationStatusChanged")}
    assert {event["time"] for event in arrived} == {"2026-11-23T10:00:00Z"}
    assert {(event["account"], event["region"]) for event in arrived} == {(ACCOUNT, REGION)}
    assert arrived[0].keys() == {
        *("version", "id", "detail-type", "source", "account", "time", "region", "resources", "detail")
    }


def test_words_that_look_like_a_template_arrive_as_they_are(bus: EventBus, cloud: Cloud) -> None:
    bus.put(some(1, message="expected <id>, found <source>"))
    (arrived,) = heard(cloud)
    assert arrived["detail"]["data"]["message"] == "expected <id>, found <source>"


def test_more_than_ten_events_leave_in_several_requests(bus: EventBus, cloud: Cloud) -> None:
    events, before = some(25), len(cloud.calls("PutEvents"))
    assert list(bus.put(events)) == [None] * 25
    assert heard_ids(cloud) == ids(events)
    assert [len(call.detail["entries"]) for call in cloud.calls("PutEvents")[before:]] == [10, 10, 5]


def test_the_local_bus_takes_ten_entries_at_most_and_no_more_bytes_than_aws(cloud: Cloud) -> None:
    client = cloud.sessions.client("events")
    entry = {"Source": "x", "DetailType": "y", "Detail": "{}", "EventBusName": EVENT_BUS}
    for entries in ([entry] * 11, [entry | {"Detail": json.dumps({"x": "x" * MOST_BYTES})}]):
        with pytest.raises(ClientError, match="ValidationException"):
            client.put_events(Entries=entries)


def test_a_request_never_grows_beyond_what_the_bus_takes(bus: EventBus, cloud: Cloud) -> None:
    events = some(5, message="\N{SNOWMAN}" * 30_000)
    assert list(bus.put(events)) == [None] * 5
    arrived = heard(cloud)
    assert [event["detail"]["id"] for event in arrived] == ids(events)
    assert all(len(json.dumps(event, ensure_ascii=False).encode()) < MOST_BYTES for event in arrived)


def test_an_event_that_is_too_large_is_cut_to_a_reference(bus: EventBus, cloud: Cloud) -> None:
    (event,) = events = some(1, status="FAILED", message="x" * MOST_BYTES, servers=["a" * 100] * 3000)
    assert list(bus.put(events)) == [None]
    (arrived,) = heard(cloud)
    assert arrived["detail"] == {
        "id": event.id,
        "cut": True,
        "data": {"migrationId": event.id.partition(":")[0], "sequence": 1, "status": "FAILED"},
    }


def test_an_entry_that_fails_is_named_and_the_others_of_its_request_arrive(bus: EventBus, cloud: Cloud) -> None:
    events = some(4)
    fail_entry(cloud, events[1].id, code="ThrottlingException", message="slower")
    assert list(bus.put(events)) == [None, "ThrottlingException: slower", None, None]
    assert heard_ids(cloud) == [events[0].id, events[2].id, events[3].id]


def test_after_an_entry_that_fails_no_further_request_leaves(bus: EventBus, cloud: Cloud) -> None:
    events = some(12)
    fail_entry(cloud, events[4].id)
    answers = list(bus.put(events))
    assert [index for index, answer in enumerate(answers) if answer] == [4, 10, 11]
    assert set(heard_ids(cloud)).isdisjoint(ids(events[10:]))


def test_the_ledger_has_the_entries_that_were_taken(bus: EventBus, cloud: Cloud) -> None:
    events = some(2)
    fail_entry(cloud, events[0].id)
    bus.put(events)
    (call,) = cloud.calls("PutEvents", events[1].id)
    assert events[0].id not in call.targets
    assert len(call.detail["entries"]) == 1


@pytest.mark.parametrize(("status", "code"), [(400, "ThrottlingException"), (500, "InternalFailure")])
def test_a_bus_that_takes_nothing_is_worth_a_retry(bus: EventBus, cloud: Cloud, status: int, code: str) -> None:
    events = some(1)
    cloud.faults.add(Rule("events", "PutEvents", "refuse", status=status, code=code))
    with pytest.raises(Unavailable, match=code):
        bus.put(events)
    cloud.faults.clear()
    assert list(bus.put(events)) == [None]
    assert heard_ids(cloud) == ids(events)


def test_an_outage_between_two_requests_names_what_did_not_leave(bus: EventBus, cloud: Cloud) -> None:
    events = some(12)
    cloud.faults.add(Rule("events", "PutEvents", "refuse", after=1))
    assert [index for index, answer in enumerate(bus.put(events)) if answer] == [10, 11]
    assert heard_ids(cloud) == ids(events[:10])


def test_a_lost_reply_repeats_an_event_under_the_same_id(bus: EventBus, cloud: Cloud) -> None:
    events = some(1)
    cloud.lose_reply("events", "PutEvents")
    assert list(bus.put(events)) == [None]
    assert heard_ids(cloud) == ids(events) * 2


def test_a_missing_bus_is_said_so_although_it_would_take_events_in_silence(cloud: Cloud) -> None:
    missing = EventBridge(cloud.sessions, "no-such-bus")
    with pytest.raises(PrerequisiteError, match="no event bus no-such-bus") as refused:
        missing.put(some(1))
    assert refused.value.retryable
    assert refused.value.action
    client = cloud.sessions.client("events")
    entry = {"Source": "x", "DetailType": "y", "Detail": "{}", "EventBusName": "no-such-bus"}
    assert client.put_events(Entries=[entry])["FailedEntryCount"] == 0
    client.create_event_bus(Name="no-such-bus")
    assert list(missing.put(some(1))) == [None]


def test_the_bus_is_looked_for_once(cloud: Cloud) -> None:
    looks: list[Any] = []
    sessions = AwsSessions()
    sessions.client("events").meta.events.register("before-call.events.DescribeEventBus", lambda **_: looks.append(1))
    bus = EventBridge(sessions, EVENT_BUS)
    bus.put(some(1))
    bus.put(some(1))
    assert len(looks) == 1
    heard(cloud)
    sessions.close()


def test_a_missing_permission_is_somebody_s_to_give(bus: EventBus, cloud: Cloud) -> None:
    cloud.refuse("events", "PutEvents", 400, "AccessDeniedException", "not authorized to perform: events:PutEvents")
    with pytest.raises(PrerequisiteError, match="missing: events:PutEvents") as refused:
        bus.put(some(1))
    assert refused.value.retryable
    assert "Allow events:PutEvents" in (refused.value.action or "")
