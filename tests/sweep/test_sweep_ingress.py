"""Whatever goes wrong once on the way of a message: it becomes one migration, or a dead letter, and never nothing."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest
from temporalio.client import Client

from localcloud.aws.seed import DEAD_LETTER_QUEUE
from localcloud.faults import Rule
from localcloud.report import Systems
from localcloud.supervisor import Supervisor, request_for
from localcloud.up import Program, kill_caller
from tests.sweep.cases import FAULTS, Fault, verb
from tests.sweep.invariants import without_migration

pytestmark = [pytest.mark.local, pytest.mark.timeout(300)]

HIDDEN_SECONDS = 2
SETTLED_WITHIN = 60.0


class Desk:
    """The queues of a local cloud, with an ingress that is started again when it was killed."""

    def __init__(self, cloud: Supervisor, ingress: Program) -> None:
        self.cloud, self.ingress = cloud, ingress
        self.queues: dict[str, str] = cloud.local["queues"]
        self.sqs = Systems(cloud.local).aws("sqs")
        self.sqs.set_queue_attributes(
            QueueUrl=self.queues["requests"], Attributes={"VisibilityTimeout": str(HIDDEN_SECONDS)}
        )

    def send(self, body: dict[str, Any]) -> None:
        self.sqs.send_message(QueueUrl=self.queues["requests"], MessageBody=json.dumps(body))

    def settle(self) -> None:
        """Wait until no fault and no request is left, seen or hidden."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]

        def empty() -> bool:
            reply = self.sqs.get_queue_attributes(QueueUrl=self.queues["requests"], AttributeNames=names)
            return all(int(reply["Attributes"][name]) == 0 for name in names)

        self.wait(lambda: not self.cloud.faults.rules() and empty())

    def wait(self, until: Callable[[], bool]) -> None:
        """Wait for something, with the ingress kept alive."""
        deadline = time.monotonic() + SETTLED_WITHIN
        while not until():
            self.ingress.keep_alive(lambda _: None)
            assert time.monotonic() < deadline, f"not settled; left of the plan: {self.cloud.faults.rules()}"
            time.sleep(0.1)

    def dead_letters(self) -> list[str]:
        """Take the bodies of all dead letters."""
        found: list[str] = []
        while batch := self.sqs.receive_message(QueueUrl=self.queues["dead_letters"]).get("Messages"):
            for message in batch:
                found.append(message["Body"])
                self.sqs.delete_message(QueueUrl=self.queues["dead_letters"], ReceiptHandle=message["ReceiptHandle"])
        return found

    def runs(self) -> list[str]:
        """The ids of all migrations that were ever started, once for each run."""
        return asyncio.run(self._runs())

    async def _runs(self) -> list[str]:
        client = await Client.connect(self.cloud.local["temporal"])
        return [run.id async for run in client.list_workflows("WorkflowType = 'MigrationWorkflow'")]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    cloud = Supervisor(tmp_path_factory.mktemp("ingress"), applications=1)
    with cloud, ExitStack() as programs:
        ingress = programs.enter_context(Program("ingress", cloud))
        cloud.faults.killer = partial(kill_caller, [ingress])
        yield Desk(cloud, ingress)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_message_whose_reception_fails_becomes_exactly_one_migration(desk: Desk, fault: Fault) -> None:
    slug = fault.replace(" ", "-")
    desk.cloud.faults.add(Rule("sqs", "ReceiveMessage", **verb(fault)))
    # A look that was under way before the fault takes this one; the message below is for the look that meets it.
    desk.send(request_for(desk.cloud.local, "billing", migrationId=f"mig-first-{slug}"))
    desk.wait(lambda: not desk.cloud.faults.rules())
    desk.send(request_for(desk.cloud.local, "billing", migrationId=f"mig-received-{slug}"))
    desk.settle()
    assert list(without_migration([f"mig-first-{slug}", f"mig-received-{slug}"], desk.runs())) == []
    assert desk.dead_letters() == []


@pytest.mark.parametrize("fault", FAULTS)
def test_a_message_whose_deletion_fails_becomes_exactly_one_migration(desk: Desk, fault: Fault) -> None:
    migration_id = f"mig-deleted-{fault.replace(' ', '-')}"
    desk.cloud.faults.add(Rule("sqs", "DeleteMessage", **verb(fault)))
    desk.send(request_for(desk.cloud.local, "billing", migrationId=migration_id))
    desk.settle()
    assert list(without_migration([migration_id], desk.runs())) == []
    assert desk.dead_letters() == []


@pytest.mark.parametrize("operation", ["SendMessage", "DeleteMessage"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_message_becomes_a_dead_letter(desk: Desk, operation: str, fault: Fault) -> None:
    body = {"migrationId": f"bad {operation} {fault}"}
    rule = Rule("sqs", operation, target=DEAD_LETTER_QUEUE if operation == "SendMessage" else None, **verb(fault))
    desk.cloud.faults.add(rule)
    desk.send(body)
    desk.settle()
    letters = desk.dead_letters()
    assert letters
    assert {json.loads(letter)["migrationId"] for letter in letters} == {body["migrationId"]}
