"""The local cloud that the end-to-end tests share: the product's own processes, and the ways in that its users have."""

import asyncio
import base64
import json
import sys
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from subprocess import Popen
from types import MappingProxyType
from typing import Any, TypeVar

import httpx
import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from localcloud.aws.seed import STATE_TABLE
from localcloud.documents import child_environment, request_for
from localcloud.process import last_lines, spawn, stop_process
from localcloud.report import Ending, Line, Systems, report
from localcloud.temporal import find_temporal
from migration.errors import Unavailable
from migration.status import MigrationStatus, Phase
from starter.client import Migrations
from tests.ticket_notes import notes_are_written

ROOT = Path(__file__).resolve().parents[2]
APPROVER = "approver-1@example.com"
TASK_QUEUE = "migrations"

WITHIN = 400.0
"""Seconds. Longer than a look of the product may take: one that a busy server loses is looked for again only then."""

_READY_WITHIN = 120.0
_LOOK = 0.3

Answer = TypeVar("Answer")


async def until(what: str, look: Callable[[], Awaitable[Answer | None]], within: float = WITHIN) -> Answer:
    """Look until there is an answer, and return it."""
    deadline = time.monotonic() + within
    while not (answer := await look()):
        if time.monotonic() > deadline:
            pytest.fail(f"not within {within:.0f} s: {what}")
        await asyncio.sleep(_LOOK)
    return answer


@dataclass(frozen=True)
class Ran:
    """How a program ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it said, read as JSON."""
        try:
            return json.loads(self.out)
        except ValueError:
            pytest.fail(f"no JSON, exit code {self.code}: {self.out}{self.err}")


@dataclass(frozen=True)
class DeadLetter:
    """A message that the ingress refused."""

    body: str
    reasons: tuple[str, ...]
    error_type: str
    correlation_id: str

    @property
    def paths(self) -> set[str]:
        """The JSON paths that the reasons name."""
        return paths_of(self.reasons)


def paths_of(reasons: Iterable[str]) -> set[str]:
    """The JSON paths at the beginnings of reasons."""
    return {reason.partition(": expected ")[0] for reason in reasons}


def decoded(payload: dict[str, str]) -> Any:
    """A payload as the `temporal` CLI prints it in JSON."""
    return json.loads(base64.b64decode(payload["data"]))


class LocalCloud:
    """`python -m localcloud up` with worker and ingress, in processes of their own."""

    def __init__(
        self, state_dir: Path, *, applications: int, servers: int, temporal: str | None = None, **variables: str
    ) -> None:
        """Start it with these variables of its environment too, and wait until it is ready.

        `temporal`: the HOST:PORT of a server that runs already.
        """
        self.state_dir = state_dir
        self.variables = variables
        self.log = state_dir / "up.log"
        words = ["--state-dir", str(state_dir), "--applications", str(applications), "--servers", str(servers)]
        words += ["--temporal", temporal] if temporal else []
        self.process = self.spawn([sys.executable, "-m", "localcloud", "up", *words], variables, self.log)
        self._wait_until_ready()
        self.local: dict[str, Any] = json.loads(state_dir.joinpath("local.json").read_text())
        self.environment = child_environment(self.local, state_dir)
        self.systems = Systems(self.local)
        self.temporal_binary = find_temporal(lambda _: None)
        self._clients: list[Client] = []
        self._letters: dict[str, list[DeadLetter]] = defaultdict(list)
        self._events: dict[str, list[dict[str, Any]]] = defaultdict(list)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _READY_WITHIN
        while "\nready\n" not in self.log.read_text():
            if self.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the local cloud did not come up:\n{last_lines(self.log, 40)}")
            time.sleep(_LOOK)

    def stop(self) -> None:
        """Stop it as a person would, with a signal."""
        stop_process(self.process, within=30.0)

    def spawn(self, words: Sequence[str | Path], more: dict[str, str], log: Path) -> Popen[bytes]:
        """Start a program of the product, which does not outlive the tests."""
        environment = getattr(self, "environment", None) or child_environment(_NOWHERE, self.state_dir)
        return spawn(words, environment | more, log, cwd=ROOT)

    # --- ways in -------------------------------------------------------------------------------------------------

    def request(self, application: str, **overrides: Any) -> dict[str, Any]:
        """A request for one of the applications, with an id that says so."""
        return request_for(self.local, application, **{"migrationId": f"mig-{application}", **overrides})

    def written(self, request: dict[str, Any], name: str = "request") -> str:
        """The path of a file with this request."""
        path = self.state_dir / f"{request['migrationId']}-{name}.json"
        path.write_text(json.dumps(request))
        return str(path)

    async def client(self) -> Client:
        """A Temporal client."""
        if not self._clients:
            self._clients = [await Client.connect(self.local["temporal"], data_converter=pydantic_data_converter)]
        return self._clients[0]

    async def migrations(self) -> Migrations:
        """The client side of migrations."""
        return Migrations(await self.client(), TASK_QUEUE)

    async def migrator(self, *words: str, **more: str) -> Ran:
        """Run the CLI `migrator`; `more` is added to its environment."""
        return await self.run([str(Path(sys.executable).with_name("migrator")), *words], more)

    async def temporal(self, *words: str) -> Ran:
        """Run the CLI `temporal`."""
        return await self.run([str(self.temporal_binary), *words])

    async def ask(self, *words: str) -> Ran:
        """Ask a workflow through the CLI `temporal`; again where one query waits already, and more are refused."""

        async def look() -> Ran | None:
            ran = await self.temporal("workflow", *words)
            return ran if ran.code == 0 else None

        return await until(f"an answer to temporal workflow {' '.join(words)}", look, within=60)

    async def run(self, words: Sequence[str], more: Mapping[str, str] = MappingProxyType({})) -> Ran:
        """Run a program with the environment that leads to the local cloud, and `more` of it."""
        process = await asyncio.create_subprocess_exec(
            *words,
            env={**self.environment, **more},
            cwd=ROOT,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        return Ran(process.returncode or 0, out.decode(), err.decode())

    # --- SQS -----------------------------------------------------------------------------------------------------

    async def send(self, *bodies: str) -> list[str]:
        """Put up to ten messages on the request queue, in one batch; returns their ids."""
        entries = [{"Id": str(number), "MessageBody": body} for number, body in enumerate(bodies)]
        sqs, queue = self.systems.aws("sqs"), self.local["queues"]["requests"]
        reply = await asyncio.to_thread(sqs.send_message_batch, QueueUrl=queue, Entries=entries)
        assert reply.get("Failed", []) == []
        return [sent["MessageId"] for sent in sorted(reply["Successful"], key=lambda sent: int(sent["Id"]))]

    async def dead_letter(self, message_id: str) -> DeadLetter:
        """What became of a message that is to be refused.

        A queue delivers at least once, and an answer of it can be lost: another letter must say the same.
        """

        async def look() -> list[DeadLetter]:
            return self._letters[message_id] or (await self.dead_letters())[message_id]

        letter, *again = await until(f"the message {message_id} is a dead letter", look, within=60)
        assert {(one.body, one.reasons) for one in again} <= {(letter.body, letter.reasons)}
        return letter

    async def dead_letters(self) -> dict[str, list[DeadLetter]]:
        """Every dead letter so far, by the id that its message had on the request queue."""
        while messages := await asyncio.to_thread(self._take, self.local["queues"]["dead_letters"]):
            for message in messages:
                said = {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}
                letter = DeadLetter(
                    body=message["Body"],
                    reasons=tuple(json.loads(said["reasons"])),
                    error_type=said["errorType"],
                    correlation_id=said["correlationId"],
                )
                self._letters[said["originalMessageId"]].append(letter)
        return self._letters

    def _take(self, queue: str) -> list[dict[str, Any]]:
        reply = self._sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, MessageAttributeNames=["All"])
        messages: list[dict[str, Any]] = reply.get("Messages", [])
        if messages:
            entries = [{"Id": m["MessageId"], "ReceiptHandle": m["ReceiptHandle"]} for m in messages]
            self._sqs.delete_message_batch(QueueUrl=queue, Entries=entries)
        return messages

    async def events(self, migration_id: str) -> list[dict[str, Any]]:
        """What came to the queue behind the event bus about a migration so far, in the order in which it came."""
        while messages := await asyncio.to_thread(self._take, self.local["events"]["queue"]):
            for message in messages:
                event = json.loads(message["Body"])
                self._events[event["detail"]["data"]["migrationId"]].append(event)
        return self._events[migration_id]

    async def request_queue_is_empty(self) -> bool:
        """Whether no message waits and none is being looked at."""
        counts = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        queue = self.local["queues"]["requests"]
        reply = await asyncio.to_thread(self._sqs.get_queue_attributes, QueueUrl=queue, AttributeNames=counts)
        return [reply["Attributes"][name] for name in counts] == ["0", "0"]

    @cached_property
    def _sqs(self) -> Any:
        return self.systems.aws("sqs")

    # --- faults and ledger ---------------------------------------------------------------------------------------

    async def plan(self, **rule: Any) -> str:
        """Plan a fault; returns its id."""
        async with httpx.AsyncClient(trust_env=False) as http:
            reply = await http.post(self.local["faults"], json=rule)
        return str(reply.raise_for_status().json()["ids"][0])

    async def take_back(self, fault: str) -> None:
        """End a fault."""
        async with httpx.AsyncClient(trust_env=False) as http:
            (await http.delete(f"{self.local['faults']}/{fault}")).raise_for_status()

    async def never_healthy(self, application: str) -> str:
        """Let the instance that a cutover launches for the first server answer 503; returns the fault's id."""
        return await self.plan(
            service="application", operation="health", target=f"{application}-web-01/cutover", action="neverHealthy"
        )

    async def ledger(self, service: str, operation: str | None = None) -> list[dict[str, Any]]:
        """The calls that a service accepted, oldest first."""
        entries = await asyncio.to_thread(self.systems.ledger, service)
        return [entry for entry in entries if operation in (None, entry["operation"])]

    async def launches(self, migration_id: str, operation: str) -> list[dict[str, Any]]:
        """The launches that MGN began for a migration."""
        return [entry for entry in await self.ledger("mgn", operation) if _tag(entry, "migration-id") == migration_id]

    # --- following and judging -----------------------------------------------------------------------------------

    async def reaches(self, migration_id: str, *phases: Phase) -> MigrationStatus:
        """Wait until a migration is in one of these phases; one that has ended otherwise is a failure."""
        migrations = await self.migrations()

        async def look() -> MigrationStatus | None:
            try:
                status = await migrations.status(migration_id)
            except Unavailable:  # a busy worker answers the next time
                return None
            if status.phase.ended and status.phase not in phases:
                pytest.fail(f"{migration_id} ended as {status.phase}: {status.message}")
            return status if status.phase in phases else None

        return await until(f"{migration_id} is {' or '.join(phases)}", look)

    async def at_the_gate(self, migration_id: str, entry: int = 1) -> MigrationStatus:
        """Wait until a migration asks for approval for that time."""

        async def look() -> MigrationStatus | None:
            status = await self.reaches(migration_id, Phase.AWAITING_APPROVAL)
            gate = next(line for line in status.steps if line.step == "approve")
            return status if gate.entry == entry and status.awaiting and status.awaiting.what == "approve" else None

        return await until(f"{migration_id} is at the gate, entry {entry}", look)

    async def started(self, migration_id: str) -> None:
        """Wait until the ingress has started a migration."""
        client = await self.client()

        async def look() -> bool:
            return (await client.count_workflows(f"WorkflowId = '{migration_id}'")).count > 0

        await until(f"{migration_id} is started", look, within=60)

    async def approve(self, status: MigrationStatus) -> None:
        """Approve what the evidence says."""
        payload = {"approver": APPROVER, "comment": "go", "evidenceHash": status.evidence_hash}
        await (await self.migrations()).decide(status.migration_id, "approve", payload)

    async def wrong_lines(self, application: str, ending: Ending, *, tests: int = 1, cutovers: int = 1) -> list[Line]:
        """What the systems say, once the last callback is here, that is not as it should be."""
        migration_id = f"mig-{application}"

        async def heard() -> bool:
            return await asyncio.to_thread(self.systems.heard_the_end, migration_id, application)

        await until(f"the last callback of {migration_id}", heard, within=30)
        await notes_are_written(await self.client(), migration_id, within=30)
        lines = await asyncio.to_thread(
            report, self.systems, application, migration_id, ending, tests=tests, cutovers=cutovers
        )
        return [line for line in lines if not line.right]

    async def row(self, migration_id: str) -> dict[str, Any]:
        """The read model's row, as DynamoDB has it, with plain values."""
        dynamodb = self.systems.aws("dynamodb")
        key = {"pk": {"S": f"migration#{migration_id}"}}
        reply = await asyncio.to_thread(dynamodb.get_item, TableName=STATE_TABLE, Key=key)
        return {name: next(iter(value.values())) for name, value in reply["Item"].items()}

    async def application(self, name: str) -> Any:
        """An application's own account of who served it, and of its writes."""
        return await asyncio.to_thread(self.systems.application, name)


_NOWHERE = {"aws": "http://127.0.0.1:1", "region": "eu-central-1", "temporal": "127.0.0.1:1"}
"""For the start, when there is no address yet."""


def _tag(entry: dict[str, Any], name: str) -> str | None:
    value = entry["detail"].get("tags", {}).get(f"migrator:{name}")
    return value if value is None else str(value)


def mark_of(launch: dict[str, Any]) -> str:
    """The mark that a launch carries."""
    return _tag(launch, "mark") or ""
