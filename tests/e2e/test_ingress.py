"""The ingress as a program of its own, with queues of its own: whatever happens to it, each message has one end."""

import asyncio
import json
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest
from temporalio.client import WorkflowExecution

from tests.e2e.local_cloud import LocalCloud, until

COPIES, MALFORMED, CONSUMERS = 50, 100, 4
HIDDEN_SECONDS = 3
NOBODY = "a-queue-without-a-worker"
"""Migrations that are started there stay as they are: what they do is not what these tests are about."""

_numbers = count(1)
_EMPTY = ["0", "0"]


@dataclass
class Site:
    """A request queue and its dead letters, where refusals go from the bus, and ingresses over them."""

    cloud: LocalCloud
    number: int
    requests: str
    dead_letters: str
    events: str
    programs: list[Popen[bytes]]

    @classmethod
    def built(cls, cloud: LocalCloud) -> "Site":
        number = next(_numbers)
        sqs, bus = cloud.systems.aws("sqs"), cloud.local["events"]["bus"]
        names = {kind: f"test-ingress-{kind}-{number}" for kind in ("requests", "dead-letters", "refusals")}
        urls = {kind: sqs.create_queue(QueueName=name)["QueueUrl"] for kind, name in names.items()}
        hidden = {"VisibilityTimeout": str(HIDDEN_SECONDS)}
        sqs.set_queue_attributes(QueueUrl=urls["requests"], Attributes=hidden)
        eventbridge, rule = cloud.systems.aws("events"), names["refusals"]
        pattern = json.dumps({"detail-type": ["MigrationRequestRefused"]})
        eventbridge.put_rule(Name=rule, EventBusName=bus, EventPattern=pattern)
        arn = f"arn:aws:sqs:{cloud.local['region']}:{cloud.local['account_id']}:{rule}"
        eventbridge.put_targets(Rule=rule, EventBusName=bus, Targets=[{"Id": rule, "Arn": arn}])
        return cls(cloud, number, urls["requests"], urls["dead-letters"], urls["refusals"], [])

    @property
    def settings(self) -> dict[str, str]:
        """What leads a program to these queues."""
        return {
            "MIGRATOR_REQUEST_QUEUE_URL": self.requests,
            "MIGRATOR_DEAD_LETTER_QUEUE_URL": self.dead_letters,
            "MIGRATOR_INGRESS_CONSUMERS": str(CONSUMERS),
        }

    @property
    def log(self) -> Path:
        """What the ingresses say."""
        return self.cloud.state_dir / "logs" / f"test-ingress-{self.number}.log"

    def ingress(self, **settings: str) -> Popen[bytes]:
        """Start an ingress."""
        program = self.cloud.spawn([sys.executable, "-m", "starter.cli", "ingress"], self.settings | settings, self.log)
        self.programs.append(program)
        return program

    async def send(self, *bodies: str, **attributes: str) -> list[str]:
        """Send messages, ten at a time; returns their ids."""
        texts = {name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()}
        sqs, ids = self.cloud.systems.aws("sqs"), list[str]()
        for start in range(0, len(bodies), 10):
            batch = bodies[start : start + 10]
            entries = [{"Id": str(n), "MessageBody": body, "MessageAttributes": texts} for n, body in enumerate(batch)]
            reply = await asyncio.to_thread(sqs.send_message_batch, QueueUrl=self.requests, Entries=entries)
            ids += [sent["MessageId"] for sent in sorted(reply["Successful"], key=lambda sent: int(sent["Id"]))]
        return ids

    async def is_settled(self) -> bool:
        """Whether no message waits, and none is being worked on."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        sqs = self.cloud.systems.aws("sqs")
        reply = await asyncio.to_thread(sqs.get_queue_attributes, QueueUrl=self.requests, AttributeNames=names)
        return [reply["Attributes"][name] for name in names] == _EMPTY

    async def settles(self) -> None:
        await until("every message has its end", self.is_settled, within=60)

    def refusals(self) -> list[dict[str, Any]]:
        """Take the details of the refusals that came from the bus."""
        sqs, found = self.cloud.systems.aws("sqs"), list[dict[str, Any]]()
        while messages := sqs.receive_message(QueueUrl=self.events, MaxNumberOfMessages=10).get("Messages"):
            found += [json.loads(message["Body"])["detail"] for message in messages]
        return found

    async def dead(self) -> list[dict[str, Any]]:
        """The dead letters, as the CLI lists them."""
        listed: list[dict[str, Any]] = (await self.cloud.migrator("dlq", "list", "-o", "json", **self.settings)).json[
            "deadLetters"
        ]
        return listed

    async def runs(self, migration_id: str) -> list[WorkflowExecution]:
        """The runs of a migration."""
        client = await self.cloud.client()
        return [run async for run in client.list_workflows(f"WorkflowId = '{migration_id}'")]


@pytest.fixture
def site(cloud: LocalCloud) -> Iterator[Site]:
    site = Site.built(cloud)
    yield site
    for program in site.programs:
        with suppress(ProcessLookupError):
            program.kill()
        program.wait()


def traceparent(number: int) -> str:
    return f"00-{number:032x}-00f067aa0ba902b7-01"


async def test_fifty_copies_of_a_message_are_one_migration(site: Site) -> None:
    request = json.dumps(site.cloud.request("crm", migrationId="mig-copies"))
    for batch in range(1, COPIES // 10 + 1):  # the copies of a batch have a trace of their own
        await site.send(*[request] * 10, traceparent=traceparent(batch))
    ingress = site.ingress(MIGRATOR_TASK_QUEUE=NOBODY)
    await site.settles()
    (run,) = await site.runs("mig-copies")
    memo = await run.memo()
    assert memo["traceparent"] in map(traceparent, range(1, COPIES // 10 + 1))
    assert memo["correlationId"] == memo["traceparent"].split("-")[1]
    assert await site.dead() == []
    ingress.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(ingress.wait, 15) == 0


async def test_a_hundred_malformed_messages_are_dead_letters_with_reasons_and_refusals_on_the_bus(site: Site) -> None:
    kinds = ("no JSON", "[]", '{"detail-type": "Other"}', '{"specversion": "1.0"}')
    bodies = [kinds[number % len(kinds)] for number in range(MALFORMED - 1)]
    secret = site.cloud.local["secrets"]["callback"]["reference"]
    endpoint = {"callbackUrl": f"{site.cloud.local['receiver']}/refused", "callbackSecret": secret}
    request = {"migrationId": "mig-malformed", **endpoint}
    wrong = {"specversion": "1.0", "id": "1", "source": "portal", "type": "requested", "data": request}
    sent = await site.send(*bodies, json.dumps(wrong))
    site.ingress()
    await site.settles()
    letters = {letter["messageId"]: letter for letter in await site.dead()}
    assert letters.keys() == set(sent)
    assert {letter["reason"].partition(": ")[0] for letter in letters.values()} == {
        "$",
        "$.detail",
        "$.data",
        "$.data.appName",
    }
    refused = {told["id"]: told for told in await asyncio.to_thread(site.refusals)}
    assert refused.keys() >= {f"{message_id}:refused" for message_id in sent}

    async def heard() -> list[dict[str, Any]]:
        return await asyncio.to_thread(site.cloud.systems.received, "mig-malformed")

    (delivery,) = await until("the refusal is called back", heard, within=30)
    assert delivery["verified"]
    body = json.loads(delivery["body"])
    assert body == refused[f"{sent[-1]}:refused"]
    assert "$.data.appName: expected a value, which is required, found nothing" in body["data"]["reasons"]


async def test_a_message_survives_a_kill_and_a_stop_between_its_start_and_its_deletion(site: Site) -> None:
    deletion = {"service": "sqs", "operation": "DeleteMessage", "target": site.requests.rpartition("/")[2]}
    hang = await site.cloud.plan(**deletion, action="hang")
    await site.send(json.dumps(site.cloud.request("crm", migrationId="mig-killed")))
    killed = site.ingress(MIGRATOR_TASK_QUEUE=NOBODY)
    await site.cloud.started("mig-killed")
    killed.kill()
    await site.cloud.take_back(hang)
    await site.cloud.plan(**deletion, action="delay", seconds=2, times=1)
    stopped = site.ingress(MIGRATOR_TASK_QUEUE=NOBODY)

    async def finds_it() -> bool:
        return "already running" in site.log.read_text()

    await until("the next ingress finds the migration", finds_it, within=30)
    stopped.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(stopped.wait, 15) == 0
    assert await site.is_settled()
    assert len(await site.runs("mig-killed")) == 1
    assert await site.dead() == []
