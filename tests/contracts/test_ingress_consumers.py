"""The consumers of the request queue against SQS: no message is lost, and none is held longer than it must be."""

import asyncio
import json
import threading
from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import count
from typing import Any

import pytest

from adapters.sqs import Message, RequestQueue
from migration.correlation import Origin
from migration.errors import Conflict, Unavailable
from starter import ingress
from starter.client import Migrations, Started, StartResult
from starter.ingress import Ingress
from starter.refusals import Refusals
from tests.contracts.aws_cloud import Cloud, local_aws

WITHIN = 20.0
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

_numbers = count(1)
_nobody: Any = None


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with local_aws() as cloud:
        yield cloud


class Watched(RequestQueue):
    """The request queue; it says when it is being polled, and when a message is gone."""

    def __init__(self, cloud: Cloud) -> None:
        client, number = cloud.sessions.client("sqs"), next(_numbers)
        self.requests, self.dead_letters = (
            client.create_queue(QueueName=f"{kind}-{number}")["QueueUrl"] for kind in ("consumed", "refused")
        )
        super().__init__(cloud.sessions, self.requests, self.dead_letters)
        self.polls = 0
        self.polled, self.deleted = threading.Event(), threading.Event()

    def receive(self, most: int = 10, wait_seconds: int = 20) -> Sequence[Message]:
        self.polls += 1
        self.polled.set()
        return super().receive(most, wait_seconds)

    def delete(self, message: Message) -> None:
        super().delete(message)
        self.deleted.set()

    async def is_emptied(self) -> None:
        """Wait until its one message is gone."""
        assert await asyncio.to_thread(self.deleted.wait, WITHIN)


@pytest.fixture
def queue(cloud: Cloud) -> Watched:
    return Watched(cloud)


class Temporal(Migrations):
    """Starts migrations when it is let; refuses, or does not answer, as it is told."""

    def __init__(self, *troubles: Exception, let: bool = True) -> None:
        super().__init__(_nobody, "nobody")
        self.troubles = list(troubles)
        self.started: list[tuple[str | bytes, Origin | None]] = []
        self.begun, self.let, self.reachable = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.asked = asyncio.Event()
        self.reachable.set()
        if let:
            self.let.set()

    async def can_be_reached(self) -> bool:
        self.asked.set()
        return self.reachable.is_set()

    async def start(self, text: str | bytes, *, again: bool = False, origin: Origin | None = None) -> StartResult:
        self.begun.set()
        await self.let.wait()
        if self.troubles:
            raise self.troubles.pop(0)
        self.started.append((text, origin))
        return StartResult("mig-one", Started.STARTED, "run-1", "mig-one")


class Running:
    """An ingress at work, until it is told to stop."""

    def __init__(self, temporal: Migrations, queue: Watched, consumers: int = 1) -> None:
        refusals = Refusals(queue, None, _nobody, "nobody")
        self.stop = asyncio.Event()
        self.task = asyncio.create_task(Ingress(temporal, queue, refusals, consumers).run(self.stop))

    async def stopped(self) -> None:
        self.stop.set()
        await asyncio.wait_for(self.task, WITHIN)


def visible(queue: Watched, wait_seconds: int = 0) -> list[Message]:
    return list(RequestQueue.receive(queue, wait_seconds=wait_seconds))


def counts(cloud: Cloud, url: str) -> tuple[int, int]:
    """How many messages wait, and how many are hidden."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    reply = cloud.sessions.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)
    waiting, hidden = (int(reply["Attributes"][name]) for name in names)
    return waiting, hidden


async def test_what_is_under_way_is_finished_when_the_ingress_stops(cloud: Cloud, queue: Watched) -> None:
    queue.send("{}")
    temporal = Temporal(let=False)
    running = Running(temporal, queue)
    await asyncio.wait_for(temporal.begun.wait(), WITHIN)
    running.stop.set()
    temporal.let.set()
    await running.stopped()
    assert len(temporal.started) == 1
    assert counts(cloud, queue.requests) == (0, 0)


async def test_what_comes_with_the_last_poll_can_be_seen_by_others_at_once(cloud: Cloud, queue: Watched) -> None:
    temporal = Temporal()
    running = Running(temporal, queue)
    assert await asyncio.to_thread(queue.polled.wait, WITHIN)
    running.stop.set()
    queue.send("{}")
    await running.stopped()
    (message,) = visible(queue)
    assert message.receive_count == 2
    assert temporal.started == []


async def test_a_message_stays_hidden_for_as_long_as_it_is_worked_on(
    cloud: Cloud, queue: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingress, "SHORTEST_HIDING", timedelta(seconds=1))
    cloud.sessions.client("sqs").set_queue_attributes(QueueUrl=queue.requests, Attributes={"VisibilityTimeout": "1"})
    queue.send("{}")
    temporal = Temporal(let=False)
    running = Running(temporal, queue)
    await asyncio.wait_for(temporal.begun.wait(), WITHIN)
    assert await asyncio.to_thread(visible, queue, 2) == []
    temporal.let.set()
    await queue.is_emptied()
    await running.stopped()
    assert len(temporal.started) == 1


async def test_nothing_is_taken_from_the_queue_while_temporal_does_not_answer(
    cloud: Cloud, queue: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingress, "PAUSE_AFTER_TROUBLE", timedelta(0))
    queue.send("{}")
    temporal = Temporal(Unavailable("no answer"))
    temporal.reachable.clear()
    running = Running(temporal, queue)
    await asyncio.wait_for(temporal.asked.wait(), WITHIN)
    assert queue.polls == 1
    assert counts(cloud, queue.requests) == (1, 0)
    temporal.reachable.set()
    await queue.is_emptied()
    await running.stopped()
    assert len(temporal.started) == 1


async def test_a_message_rests_longer_each_time(monkeypatch: pytest.MonkeyPatch, queue: Watched) -> None:
    rests: list[float] = []
    monkeypatch.setattr(queue, "extend", lambda _, within: rests.append(within.total_seconds()))
    temporal = Temporal(*(RuntimeError("a bug of ours") for _ in range(6)))
    settled = Ingress(temporal, queue, Refusals(queue, None, _nobody, "nobody"))
    for receptions in (1, 2, 3, 4, 5, 400):
        message = Message(id="m-1", receipt="r-1", body="{}", receive_count=receptions)
        assert not await settled.take(message)
    assert rests == [2, 8, 32, 120, 120, 120]


async def test_what_came_with_a_request_goes_on_with_it(cloud: Cloud, queue: Watched) -> None:
    body = '{"detail-type": "MigrationRequested", "source": "portal", "detail": {"a": 1, "a": 2}}'
    queue.send(body, {"correlationId": "corr-1", "traceparent": TRACEPARENT})
    temporal = Temporal()
    running = Running(temporal, queue, consumers=2)
    await queue.is_emptied()
    await running.stopped()
    assert temporal.started == [('{"a": 1, "a": 2}', Origin(correlation_id="corr-1", traceparent=TRACEPARENT))]


async def test_an_event_of_mgn_is_no_request_and_no_dead_letter(cloud: Cloud, queue: Watched) -> None:
    queue.send(json.dumps({"detail-type": "MGN Source Server Launch Result", "source": "aws.mgn", "detail": {}}))
    temporal = Temporal()
    running = Running(temporal, queue)
    await queue.is_emptied()
    await running.stopped()
    assert temporal.started == []
    assert counts(cloud, queue.dead_letters) == (0, 0)


async def test_a_conflict_is_a_dead_letter_of_that_type(cloud: Cloud, queue: Watched) -> None:
    queue.send("{}", {"traceparent": TRACEPARENT})
    running = Running(Temporal(Conflict("the id of another one")), queue)
    await queue.is_emptied()
    await running.stopped()
    letters = RequestQueue(cloud.sessions, queue.dead_letters, None).receive(wait_seconds=0)
    (said,) = [letter.attributes for letter in letters]
    assert (said["errorType"], json.loads(said["reasons"])) == ("Conflict", ["the id of another one"])
    assert (said["correlationId"], said["traceparent"]) == ("4bf92f3577b34da6a3ce929d0e0e4736", TRACEPARENT)
