"""Every bad payload gets its error at every door, and nothing but the refusal happens."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowFailureError
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError
from typer.testing import CliRunner

from starter.cli import app
from tests.corpus_cases import BadCase, bad_cases
from tests.e2e.local_cloud import TASK_QUEUE, LocalCloud, paths_of, until

REFUSAL = [
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED,
    EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED,
    EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED,
    EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED,
    EventType.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED,
]
SAMPLE = (
    *("account-newline.json", "approver-twice.json", "array.txt", "duplicate-key-deep.txt", "empty-object.json"),
    *("full-with-many-errors.json", "null.txt", "number.txt", "servers-as-an-object.json", "too-many-servers.json"),
)
AT_ONCE = 10
IN_A_BATCH = 10
BYTES_IN_A_BATCH = 200_000

_SQS_TAKES = re.compile("[\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]+")
"""https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html"""

each_bad = pytest.mark.parametrize("case", bad_cases(), ids=lambda case: case.name)


@each_bad
@pytest.mark.parametrize("command", ["validate", "start"])
def test_the_cli_names_every_path_before_it_connects(
    command: str, case: BadCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
    file = tmp_path / case.name
    file.write_bytes(case.text)
    ran = CliRunner().invoke(app, [command, str(file), "--output", "json"])
    assert ran.exit_code == 2
    assert {error["path"] for error in json.loads(ran.output)["errors"]} == set(case.paths)


async def test_every_message_ends_as_a_dead_letter_with_its_reasons(quiet_cloud: LocalCloud) -> None:
    before = await _traces(quiet_cloud)
    sent: dict[str, BadCase] = {}
    for batch in _batches(case for case in bad_cases() if _sqs_takes(case.text)):
        ids = await quiet_cloud.send(*(case.text.decode() for case in batch))
        sent |= dict(zip(ids, batch, strict=True))
    letters = {message_id: await quiet_cloud.dead_letter(message_id) for message_id in sent}
    wrong = {case.name: letters[i].reasons for i, case in sent.items() if letters[i].paths != set(case.paths)}
    assert wrong == {}
    assert {case.name for case in bad_cases()} - {case.name for case in sent.values()} == {
        "empty.txt",
        "not-utf8.txt",
        "raw-control-character.txt",
    }
    # A message is deleted after its letter is written.
    await until("the request queue is empty", quiet_cloud.request_queue_is_empty, within=60)
    assert await _traces(quiet_cloud) == before


def _sqs_takes(text: bytes) -> bool:
    try:
        return _SQS_TAKES.fullmatch(text.decode()) is not None
    except UnicodeDecodeError:
        return False


def _batches(cases: Any) -> list[list[BadCase]]:
    batches: list[list[BadCase]] = [[]]
    for case in cases:
        size = sum(len(each.text) for each in batches[-1])
        if len(batches[-1]) == IN_A_BATCH or size + len(case.text) > BYTES_IN_A_BATCH:
            batches.append([])
        batches[-1].append(case)
    return batches


async def test_every_workflow_start_fails_before_any_activity(quiet_cloud: LocalCloud) -> None:
    before = await _traces(quiet_cloud, workflows=False)
    turns = asyncio.Semaphore(AT_ONCE)
    refused = await asyncio.gather(*(_refusal(quiet_cloud, case, turns) for case in bad_cases()))
    assert {name: paths for name, paths in refused if paths} == {}
    assert await _traces(quiet_cloud, workflows=False) == before


async def _refusal(cloud: LocalCloud, case: BadCase, turns: asyncio.Semaphore) -> tuple[str, set[str]]:
    """A case's name, and the paths by which its refusal differs from what is expected."""
    payload = RawValue(Payload(metadata={"encoding": b"json/plain"}, data=case.text))
    client = await cloud.client()
    async with turns:
        handle = await client.start_workflow("MigrationWorkflow", payload, id=f"bad/{case.name}", task_queue=TASK_QUEUE)
        with pytest.raises(WorkflowFailureError) as failed:
            await handle.result()
        happened = [event.event_type async for event in handle.fetch_history_events()]
    failure = failed.value.cause
    assert isinstance(failure, ApplicationError)
    assert (failure.type, failure.non_retryable) == ("ValidationError", True)
    assert happened == REFUSAL
    return case.name, paths_of(failure.details[0]["errors"]) ^ set(case.paths)


@pytest.mark.parametrize("name", SAMPLE)
async def test_the_temporal_cli_starts_a_workflow_that_fails_with_every_path(
    quiet_cloud: LocalCloud, name: str, tmp_path: Path
) -> None:
    (case,) = (case for case in bad_cases() if case.name == name)
    (tmp_path / name).write_bytes(case.text)
    this = ("--workflow-id", f"plain/{name}")
    where = ("--type", "MigrationWorkflow", "--task-queue", TASK_QUEUE)
    begun = await quiet_cloud.temporal("workflow", "start", *where, *this, "--input-file", str(tmp_path / name))
    assert begun.code == 0
    ended = await quiet_cloud.temporal("workflow", "result", *this, "-o", "json")
    assert ended.json["status"] == "FAILED"
    failure = ended.json["closeEvent"]["workflowExecutionFailedEventAttributes"]["failure"]["applicationFailureInfo"]
    assert failure["type"] == "ValidationError"
    assert paths_of(failure["details"][0]["errors"]) == set(case.paths)


async def _traces(cloud: LocalCloud, *, workflows: bool = True) -> tuple[int, int]:
    """How much has ever happened: calls that changed something outside the queues, and migrations."""
    services = ("mgn", "ec2", "route53", "dynamodb", "ssm", "vcenter", "servicenow", "callback", "application")
    ledgers = await asyncio.gather(*(cloud.ledger(service) for service in services))
    migrations = "WorkflowType = 'MigrationWorkflow'"
    begun = (await (await cloud.client()).count_workflows(migrations)).count if workflows else 0
    return sum(map(len, ledgers)), begun
