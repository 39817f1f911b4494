"""Plain Temporal clients: the `temporal` CLI starts, asks and decides, and knows nothing of Python."""

import json
import uuid
from dataclasses import dataclass

from localcloud.report import Line
from migration.status import MigrationStatus, Phase
from tests.e2e.local_cloud import APPROVER, TASK_QUEUE, LocalCloud, Ran, paths_of, until
from tests.e2e.stories import Stories, story

MIGRATION = "mig-search"
THIS = ("--workflow-id", MIGRATION)
_BUSY = ("context deadline exceeded", "Timeout", "unavailable")
"""What the CLI says of a server that has not answered it in time."""


@dataclass(frozen=True)
class PlainClient:
    """What the CLI answered."""

    queried: Ran
    other_body: Ran
    bad_signal: Ran
    refused_update: Ran
    misshapen_update: Ran
    gate: MigrationStatus
    approval: Ran
    late_update: Ran
    wrong: list[Line]
    second_start: Ran


@story
async def is_served_by_a_plain_client(cloud: LocalCloud) -> PlainClient:
    request = cloud.request("search", approval={"minimum": 2})
    begun = await _start(cloud, MIGRATION, "--input-file", cloud.written(request))
    assert begun.code == 0
    await cloud.at_the_gate(MIGRATION)
    queried = await cloud.ask("query", *THIS, "--type", "status", "-o", "json")
    other_body = await cloud.migrator("start", cloud.written(request | {"grace": "PT9S"}, "other"))
    bad_signal = await _signal(cloud, {"approver": 5})
    refused_update = await _update(cloud, "approve", {"approver": "stranger@example.com"})
    misshapen_update = await _update(cloud, "reschedule", {"by": APPROVER, "notBefore": "tomorrow"})
    await _signal(cloud, {"approver": APPROVER, "comment": "ok"})
    gate = await cloud.at_the_gate(MIGRATION)
    approval = await _update(cloud, "approve", {"approver": "approver-2@example.com"})
    await cloud.reaches(MIGRATION, Phase.COMPLETED)
    late_update = await _update(cloud, "rollback", {"by": APPROVER})
    wrong = await cloud.wrong_lines("search", "target")
    second_start = await _start(cloud, MIGRATION, "--input-file", cloud.written(request))
    return PlainClient(
        queried=queried,
        other_body=other_body,
        bad_signal=bad_signal,
        refused_update=refused_update,
        misshapen_update=misshapen_update,
        gate=gate,
        approval=approval,
        late_update=late_update,
        wrong=wrong,
        second_start=second_start,
    )


async def _start(cloud: LocalCloud, workflow_id: str, *words: str) -> Ran:
    where = ("--type", "MigrationWorkflow", "--task-queue", TASK_QUEUE, "--workflow-id", workflow_id)
    return await cloud.temporal("workflow", "start", *where, *words, "-o", "json")


async def _signal(cloud: LocalCloud, decision: object) -> Ran:
    """Send a signal; one that a busy server did not take is sent again, by hand as it were."""

    async def sent() -> Ran | None:
        words = ("--name", "approve", "--input", json.dumps(decision))
        ran = await cloud.temporal("workflow", "signal", *THIS, *words)
        return ran if ran.code == 0 else None

    return await until(f"the signal {decision} is sent", sent, within=60)


async def _update(cloud: LocalCloud, name: str, decision: object) -> Ran:
    """Send an update; one that a busy server gave back is sent again as the same one."""
    sent_as = str(uuid.uuid4())

    async def answered() -> Ran | None:
        words = ("--name", name, "--input", json.dumps(decision), "--update-id", sent_as, "-o", "json")
        ran = await cloud.temporal("workflow", "update", "execute", *THIS, *words)
        return None if any(word in ran.err for word in _BUSY) else ran

    return await until(f"the update {decision} is answered", answered, within=60)


async def _failure(cloud: LocalCloud, workflow_id: str) -> tuple[str, list[str]]:
    """The type of a failed workflow's failure, and the errors in its details."""
    ended = await cloud.temporal("workflow", "result", "--workflow-id", workflow_id, "-o", "json")
    assert ended.json["status"] == "FAILED"
    failure = ended.json["closeEvent"]["workflowExecutionFailedEventAttributes"]["failure"]["applicationFailureInfo"]
    return failure["type"], failure["details"][0]["errors"]


async def test_a_migration_started_and_approved_by_the_temporal_cli_completes(stories: Stories) -> None:
    told = await stories.told(is_served_by_a_plain_client)
    (status,) = told.queried.json["queryResult"]
    assert (status["phase"], status["migrationId"]) == ("AWAITING_APPROVAL", MIGRATION)
    assert told.approval.json["result"] == {
        "accepted": True,
        "message": "approval 2 of 2",
        "phase": "AWAITING_APPROVAL",
    }
    assert told.wrong == []


async def test_a_bad_signal_is_kept_as_refused_and_a_good_one_counts(stories: Stories) -> None:
    told = await stories.told(is_served_by_a_plain_client)
    assert told.bad_signal.code == 0
    kept = [(record.name, record.accepted, record.by) for record in told.gate.decisions]
    assert kept == [
        ("approve", False, None),
        ("approve", False, "stranger@example.com"),
        ("approve", True, APPROVER),
    ]
    assert told.gate.decisions[0].message.startswith("$.approver: expected")
    assert [approval.approver for approval in told.gate.approvals] == [APPROVER]


async def test_a_refused_update_tells_the_caller_why(stories: Stories) -> None:
    told = await stories.told(is_served_by_a_plain_client)
    assert told.refused_update.code == 1
    assert "stranger@example.com is not an approver" in told.refused_update.err
    assert told.misshapen_update.code == 1
    assert "$.notBefore: expected" in told.misshapen_update.err
    assert "$.notAfter: expected" in told.misshapen_update.err
    assert told.late_update.code == 1


async def test_a_migration_of_a_plain_client_is_recognised_by_its_request(stories: Stories) -> None:
    told = await stories.told(is_served_by_a_plain_client)
    assert told.other_body.code == 3
    assert "is the id of a migration with another request" in told.other_body.err


async def test_a_second_start_of_a_completed_id_fails_and_changes_nothing(cloud: LocalCloud, stories: Stories) -> None:
    told = await stories.told(is_served_by_a_plain_client)
    assert told.second_start.code == 0
    ended = await cloud.temporal("workflow", "result", *THIS, "-o", "json")
    assert ended.json["status"] == "FAILED"
    assert "has ended as COMPLETED" in json.dumps(ended.json["closeEvent"])
    row = await cloud.row(MIGRATION)
    assert (row["status"], json.loads(row["document"])["generation"]) == ("COMPLETED", 1)


async def test_a_bad_request_fails_with_all_paths(cloud: LocalCloud) -> None:
    request = json.dumps(cloud.request("forum") | {"appName": "", "environment": "production", "extra": 1})
    await _start(cloud, "mig-forum", "--input", request)
    kind, errors = await _failure(cloud, "mig-forum")
    assert kind == "ValidationError"
    assert paths_of(errors) == {"$.appName", "$.environment", "$.extra"}


async def test_a_workflow_id_that_is_not_the_migration_id_is_refused(cloud: LocalCloud) -> None:
    await _start(cloud, "mig-other", "--input", json.dumps(cloud.request("forum")))
    assert await _failure(cloud, "mig-other") == (
        "ValidationError",
        ['$.migrationId: expected the workflow id, "mig-other", found "mig-forum"'],
    )


async def test_a_start_without_input_or_with_two_fails(cloud: LocalCloud) -> None:
    await _start(cloud, "mig-empty")
    assert await _failure(cloud, "mig-empty") == (
        "ValidationError",
        ["$: expected one input, the migration request, found 0 inputs"],
    )
    await _start(cloud, "mig-two", "--input", "{}", "--input", "{}")
    assert (await _failure(cloud, "mig-two"))[1] == ["$: expected one input, the migration request, found 2 inputs"]
