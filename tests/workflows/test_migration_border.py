"""What comes in from outside: bad starts fail with every reason, bad decisions are refused, and nothing is dropped."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.client import WithStartWorkflowOperation, WorkflowUpdateFailedError
from temporalio.common import RawValue, WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError

from migration import policies
from migration.decisions import DECISIONS, DecisionAnswer
from migration.status import MigrationResult, Phase
from tests.workflows.migration_requests import APPROVER, a_request, a_window
from tests.workflows.stage import Migration, Stage, as_json, until

NOT_A_REQUEST: dict[str, tuple[list[Any], str]] = {
    "no input": ([], "expected one input, the migration request, found 0 inputs"),
    "two inputs": ([{"migrationId": "x"}, 2], "expected one input, the migration request, found 2 inputs"),
    "null": ([None], "$: expected an object"),
    "a string": (["migrate billing"], "$: expected an object"),
    "a list": ([[1, 2]], "$: expected an object"),
    "not JSON": ([as_json("{migrationId: 1}")], "$"),
    "a duplicate key": ([as_json('{"migrationId": "a", "migrationId": "b"}')], "$.migrationId"),
    "bytes": ([RawValue(Payload(metadata={"encoding": b"binary/plain"}, data=b"\x00"))], "$"),
}


@pytest.mark.parametrize("kind", NOT_A_REQUEST)
async def test_a_start_that_is_no_request_fails_before_any_activity(stage: Stage, kind: str) -> None:
    inputs, words = NOT_A_REQUEST[kind]
    migration = await stage.start_with(f"mig-{uuid.uuid4().hex[:12]}", *inputs)
    failure = await migration.fails()
    assert failure.type == "ValidationError"
    assert words in failure.message
    assert migration.world.calls == []


async def test_a_bad_request_fails_with_the_path_of_everything_that_is_wrong(stage: Stage) -> None:
    migration_id = f"mig-{uuid.uuid4().hex[:12]}"
    request = a_request(migration_id, colour="blue", environment="moon", grace="1 day")
    migration = await stage.start_with(migration_id, request)
    failure = await migration.fails()
    assert failure.type == "ValidationError"
    paths = [line.split(":")[0] for line in failure.details[0]["errors"]]
    assert paths == ["$.colour", "$.environment", "$.grace"]
    assert all(path in failure.message for path in paths)
    assert migration.world.calls == []


async def test_a_request_for_another_workflow_id_fails(stage: Stage) -> None:
    migration_id = f"mig-{uuid.uuid4().hex[:12]}"
    migration = await stage.start_with(migration_id, a_request("mig-somebody-else"))
    failure = await migration.fails()
    assert failure.type == "ValidationError"
    assert "$.migrationId" in failure.message
    assert migration_id in failure.message
    assert migration.world.calls == []


async def test_decisions_sent_with_a_refused_request_do_not_keep_it_from_failing(stage: Stage) -> None:
    migration = await stage.start_with(
        f"mig-{uuid.uuid4().hex[:12]}",
        {"schemaVersion": "0"},
        start_signal="abandon",
        start_signal_args=[{"by": APPROVER, "reason": "changed my mind"}],
    )
    assert (await migration.fails()).type == "ValidationError"


# --- decisions ---------------------------------------------------------------------------------------------------

BAD_ARGUMENTS: dict[str, list[Any]] = {
    "no argument": [],
    "two arguments": [{"by": APPROVER}, {"by": APPROVER}],
    "null": [None],
    "a string": [APPROVER],
    "a list": [[APPROVER]],
    "not JSON": [as_json("{by: me}")],
    "nobody": [{}],
    "a wrong type": [{"by": 7}],
}


async def test_a_signal_that_says_nothing_sensible_is_refused_and_kept(stage: Stage) -> None:
    migration = await at_the_gate(stage)
    for arguments in BAD_ARGUMENTS.values():
        await migration.handle.signal("approve", args=arguments)
    status = await decided(migration, len(BAD_ARGUMENTS))
    assert {(record.name, record.accepted) for record in status.decisions} == {("approve", False)}
    assert all(record.message.startswith("$") for record in status.decisions)
    await migration.decide("approve", APPROVER)
    assert (await migration.ends()).status is Phase.COMPLETED


async def test_an_update_that_says_nothing_sensible_is_refused_at_once_and_the_migration_lives_on(
    stage: Stage,
) -> None:
    migration = await at_the_gate(stage)
    for arguments in BAD_ARGUMENTS.values():
        assert (await migration.refuses_update("approve", *arguments)).startswith("$")
    await migration.decide("approve", APPROVER)
    assert (await migration.ends()).status is Phase.COMPLETED


async def test_every_decision_refuses_no_argument_by_signal_and_by_update(stage: Stage) -> None:
    migration = await at_the_gate(stage)
    for name in DECISIONS:
        await migration.handle.signal(name, args=[])
        assert (await migration.refuses_update(name)).startswith("$")
    status = await decided(migration, len(DECISIONS))
    assert [record.name for record in status.decisions] == list(DECISIONS)


async def test_a_decision_in_the_wrong_phase_is_refused_in_words_and_kept(stage: Stage) -> None:
    migration = await at_the_gate(stage)
    await migration.signal("commit", by="operator-1@example.com", comment="too early")
    refused = await migration.refuses("retry", by="operator-2@example.com")
    status = await decided(migration, 2)
    commit, retry = status.decisions
    assert (commit.name, commit.accepted, commit.by, commit.comment) == (
        *("commit", False, "operator-1@example.com", "too early"),
    )
    assert commit.message == "commit ends a soak; the migration is AWAITING_APPROVAL"
    assert (retry.name, retry.accepted, retry.message) == ("retry", False, refused)
    assert status.phase is Phase.AWAITING_APPROVAL


async def test_the_last_fifty_decisions_are_kept(stage: Stage) -> None:
    migration = await at_the_gate(stage)
    sent = policies.DECISIONS_KEPT + 5
    for number in range(sent):
        await migration.signal("commit", comment=f"number {number}")

    async def all_have_come() -> bool:
        decisions = (await migration.status()).decisions
        return bool(decisions) and decisions[-1].comment == f"number {sent - 1}"

    await until(all_have_come, "all decisions have come")
    comments = [record.comment for record in (await migration.status()).decisions]
    assert comments == [f"number {number}" for number in range(5, sent)]


async def test_a_signal_that_comes_with_the_start_is_heard(stage: Stage) -> None:
    migration_id = f"mig-{uuid.uuid4().hex[:12]}"
    migration = await stage.start_with(
        migration_id,
        a_request(migration_id),
        start_signal="abandon",
        start_signal_args=[{"by": APPROVER, "reason": "started by mistake"}],
    )
    result = await migration.ends()
    assert (result.status, result.message) == (Phase.CANCELLED, f"abandoned by {APPROVER}: started by mistake")
    assert migration.world.acted() == []


async def test_an_update_that_comes_with_the_start_is_answered(stage: Stage) -> None:
    migration_id = f"mig-{uuid.uuid4().hex[:12]}"
    world = stage.world(migration_id)
    world.hold("check_prerequisites")
    start: WithStartWorkflowOperation[Any, MigrationResult] = WithStartWorkflowOperation(
        "MigrationWorkflow",
        a_request(migration_id),
        id=migration_id,
        task_queue=stage.task_queue,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
    )
    answer = await stage.client.execute_update_with_start_workflow(
        "acknowledge", {"by": APPROVER}, start_workflow_operation=start, result_type=DecisionAnswer
    )
    assert answer.accepted
    assert answer.phase == Phase.VALIDATING


async def test_an_update_that_comes_with_a_refused_start_is_answered_with_an_error(stage: Stage) -> None:
    migration_id = f"mig-{uuid.uuid4().hex[:12]}"
    start: WithStartWorkflowOperation[Any, MigrationResult] = WithStartWorkflowOperation(
        "MigrationWorkflow",
        {"migrationId": migration_id},
        id=migration_id,
        task_queue=stage.task_queue,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
    )
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await stage.client.execute_update_with_start_workflow(
            "acknowledge", {"by": APPROVER}, start_workflow_operation=start, result_type=DecisionAnswer
        )
    assert isinstance(refused.value.cause, ApplicationError)


async def test_the_same_update_id_counts_once(stage: Stage) -> None:
    migration = await at_the_gate(stage, approval={"approvers": [APPROVER, "b@example.com"], "minimum": 2})
    update_id = str(uuid.uuid4())
    for _ in range(2):
        await migration.handle.execute_update("approve", {"by": APPROVER}, id=update_id)
    assert len((await migration.status()).approvals) == 1


async def test_a_window_that_is_empty_or_over_is_refused(stage: Stage) -> None:
    migration = await at_the_gate(stage)
    backwards = a_window(timedelta(hours=2), timedelta(hours=1))
    assert "notBefore must be earlier" in await migration.refuses("reschedule", **backwards)
    over = a_window(-timedelta(hours=2), -timedelta(hours=1))
    assert "in the past" in await migration.refuses("reschedule", **over)


async def at_the_gate(stage: Stage, **parts: Any) -> Migration:
    migration = await stage.start_light(**parts)
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    return migration


async def decided(migration: Migration, many: int) -> Any:
    """Wait for so many decisions to be kept."""

    async def status() -> Any:
        found = await migration.status()
        return found if len(found.decisions) >= many else None

    return await until(status, f"{many} decisions are kept")
