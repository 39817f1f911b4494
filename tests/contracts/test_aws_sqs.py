"""The request queue against SQS: taken, kept, deleted, and refused with its reasons."""

import json
from collections.abc import Iterator
from datetime import timedelta
from itertools import count
from typing import Any, NamedTuple

import pytest

from adapters.sqs import Message, RequestQueue
from migration.errors import NotFound, Unavailable
from tests.contracts.aws_cloud import Cloud, local_aws

MOST_BYTES = 262_144
_numbers = count(1)


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with local_aws() as cloud:
        yield cloud


class Queues(NamedTuple):
    requests: str
    dead_letters: str


@pytest.fixture
def urls(cloud: Cloud) -> Queues:
    client, number = cloud.sessions.client("sqs"), next(_numbers)
    made = (client.create_queue(QueueName=f"{kind}-{number}")["QueueUrl"] for kind in ("requests", "dead-letters"))
    return Queues(*made)


@pytest.fixture
def queue(cloud: Cloud, urls: Queues) -> RequestQueue:
    return RequestQueue(cloud.sessions, urls.requests, urls.dead_letters)


def taken(queue: RequestQueue) -> Message:
    (message,) = queue.receive(wait_seconds=1)
    return message


def dead_letter(cloud: Cloud, urls: Queues) -> Any:
    reply = cloud.sessions.client("sqs").receive_message(QueueUrl=urls.dead_letters, MessageAttributeNames=["All"])
    (message,) = reply["Messages"]
    return message


def attributes_of(message: Any) -> dict[str, str]:
    return {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}


def test_a_sent_message_is_received_with_its_attributes(queue: RequestQueue) -> None:
    sent = queue.send('{"a": 1}', {"correlationId": "corr-1"})
    message = taken(queue)
    assert (message.id, message.body, message.receive_count) == (sent, '{"a": 1}', 1)
    assert message.attributes == {"correlationId": "corr-1"}


def test_an_empty_queue_gives_nothing(queue: RequestQueue) -> None:
    assert list(queue.receive(wait_seconds=0)) == []


def test_a_message_stays_until_it_is_deleted(queue: RequestQueue) -> None:
    queue.send("again")
    queue.extend(taken(queue), timedelta(0))
    message = taken(queue)
    assert message.receive_count == 2
    queue.extend(message, timedelta(minutes=5))
    assert list(queue.receive(wait_seconds=0)) == []
    queue.delete(message)
    queue.delete(message)


def test_a_refused_message_carries_its_reasons(queue: RequestQueue, cloud: Cloud, urls: Queues) -> None:
    queue.send("not JSON", {"correlationId": "corr-2"})
    message = taken(queue)
    queue.send_to_dead_letter(message, ["$: not JSON", "$.a: \x00 \N{SNOWMAN}"])
    refused = dead_letter(cloud, urls)
    attributes = attributes_of(refused)
    assert refused["Body"] == "not JSON"
    assert json.loads(attributes.pop("reasons")) == ["$: not JSON", "$.a: \x00 \N{SNOWMAN}"]
    assert attributes == {"errorType": "ValidationError", "originalMessageId": message.id, "correlationId": "corr-2"}


@pytest.mark.parametrize("length", [10, MOST_BYTES - 20_000, MOST_BYTES])
def test_reasons_and_message_always_fit_together(queue: RequestQueue, cloud: Cloud, urls: Queues, length: int) -> None:
    message = Message(id="m-1", receipt="r-1", body="x" * length)
    queue.send_to_dead_letter(message, [f"$.field{number}: \N{SNOWMAN} is wrong" for number in range(5000)])
    refused = dead_letter(cloud, urls)
    attributes = attributes_of(refused)
    reasons = json.loads(attributes["reasons"])
    assert reasons[0].startswith("$.field0: ")
    assert reasons[-1].endswith(" more")
    size = len(refused["Body"]) + sum(len(name) + len("String") + len(value) for name, value in attributes.items())
    assert size <= MOST_BYTES
    assert refused["Body"] == message.body[: len(refused["Body"])]
    assert length == MOST_BYTES or refused["Body"] == message.body


def test_one_endless_reason_is_cut(queue: RequestQueue, cloud: Cloud, urls: Queues) -> None:
    queue.send_to_dead_letter(Message(id="m-1", receipt="r-1", body="x"), ["\N{SNOWMAN}" * 300_000])
    assert json.loads(attributes_of(dead_letter(cloud, urls))["reasons"])[0].startswith("\N{SNOWMAN}")


def test_a_send_without_an_answer_is_not_repeated_blindly(queue: RequestQueue, cloud: Cloud) -> None:
    cloud.lose_reply("sqs", "SendMessage")
    with pytest.raises(Unavailable):
        queue.send("once")
    assert taken(queue).body == "once"
    assert list(queue.receive(wait_seconds=0)) == []


def test_a_queue_that_does_not_exist_is_said_so(cloud: Cloud) -> None:
    missing = RequestQueue(cloud.sessions, f"{cloud.aws.url}/123456789012/no-such-queue", None)
    assert not missing.has_dead_letters
    with pytest.raises(NotFound):
        missing.receive(wait_seconds=0)
    with pytest.raises(ValueError, match="no dead-letter queue"):
        missing.send_to_dead_letter(Message(id="m-1", receipt="r-1", body="x"), ["why"])
