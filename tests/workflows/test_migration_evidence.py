"""The evidence at the gate: what it says, its hash, and when what was approved on it holds no longer."""

import hashlib
import json
from datetime import timedelta
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from activities.watching import ReplicationChanged
from migration.findings import Finding, Severity
from migration.ports import PostLaunchAction
from migration.status import DecisionRecord, MigrationStatus, Phase, Side, StepState
from migration.steps import Step
from tests.workflows.migration_requests import APPROVER, OTHER_APPROVER, a_window
from tests.workflows.stage import Migration, Stage, until
from tests.workflows.worlds import World

TWO: dict[str, Any] = {"approval": {"approvers": [APPROVER, OTHER_APPROVER], "minimum": 2}}
BEHIND = ReplicationChanged(reason="replication is behind since 20:00:00 UTC: s-1")
REPLACED = ReplicationChanged(reason="replaced in MGN: billing-web-01 is s-9 now, not s-1", replaced=True)
MAX_AGE = "PT10S"
DAY = timedelta(days=1)


async def at_the_gate(stage: Stage, world: World | None = None, **parts: Any) -> tuple[Migration, MigrationStatus]:
    migration = await stage.start_light(world, **parts)
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    return migration, await migration.status()


def hash_of(evidence: dict[str, Any] | None) -> str:
    """The hash as anybody can compute it from what `status` shows: keys sorted, no blanks, UTF-8."""
    text = json.dumps(evidence, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


async def other_evidence(migration: Migration, before: MigrationStatus) -> MigrationStatus:
    """Wait until the gate shows other evidence than before."""

    async def is_shown() -> MigrationStatus | None:
        now = await migration.status()
        asks = now.awaiting is not None and now.awaiting.what == "approve"
        return now if asks and now.evidence_hash not in (None, before.evidence_hash) else None

    status: MigrationStatus = await until(is_shown, "other evidence is shown")
    return status


def lapsed(status: MigrationStatus) -> list[DecisionRecord]:
    return [record for record in status.decisions if "lapsed" in record.message]


# --- what it says ------------------------------------------------------------------------------------------------


async def test_the_evidence_is_what_the_approvers_have_to_know(stage: Stage) -> None:
    finding = Finding(code="TOOLS_NOT_RUNNING", severity=Severity.WARNING, message="überholte Werkzeuge")
    migration = await stage.start(World(findings=[finding]))
    await migration.stands(Phase.AWAITING_DECISION, "acknowledge")
    await migration.decide("acknowledge", APPROVER, comment="power is cut, that is agreed")
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    status = await migration.status()
    evidence = status.evidence
    assert evidence is not None
    (server,), test = evidence["servers"], evidence["test"]
    assert (evidence["migrationId"], evidence["generation"], evidence["entry"]) == (migration.migration_id, 1, 1)
    assert (server["name"], server["replicationState"], server["lag"]) == ("billing-web-01", "CONTINUOUS", "PT0S")
    assert server["observedAt"]
    assert test["jobId"] == migration.world.asked("await_job")[0].job_id
    names = ("server", "kind", "check", "healthy", "found")
    assert [tuple(check[name] for name in names) for check in test["checks"]] == [
        ("billing-web-01", "ec2", "EC2 status checks", True, "2/2"),
        ("billing-web-01", "http", "http://10.2.0.11:8080/health", True, "HTTP 200"),
    ]
    (known,) = evidence["acknowledged"]
    assert evidence["findings"] == [finding.model_dump(mode="json", by_alias=True)]
    assert (known["code"], known["message"]) == ("TOOLS_NOT_RUNNING", "überholte Werkzeuge")
    assert (known["by"], known["comment"]) == (APPROVER, "power is cut, that is agreed")
    assert known["at"]
    assert all(check["at"] for check in test["checks"])
    assert evidence["undo"] == [line.model_dump(mode="json", by_alias=True) for line in status.undo] != []


async def test_what_post_launch_actions_did_is_in_the_evidence(stage: Stage) -> None:
    world, record = World(), "s-00000000000000000"
    world.post_launch = (
        PostLaunchAction(source_server_id=record, name="patch", must_succeed=True, status="SUCCESS"),
        PostLaunchAction(source_server_id=record, name="tell", must_succeed=False, status="FAILED", failure="no proxy"),
    )
    migration = await stage.start(world)
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    status = await migration.status()
    assert status.evidence is not None
    found = [check for check in status.evidence["test"]["checks"] if check["kind"] == "postLaunch"]
    assert [(check["check"], check["healthy"], check["found"]) for check in found] == [
        ("post-launch action patch", True, "SUCCESS"),
        ("post-launch action tell", False, "FAILED: no proxy"),
    ]


async def test_the_hash_of_the_evidence_can_be_computed_by_anybody(stage: Stage) -> None:
    finding = Finding(code="TOOLS_NOT_RUNNING", severity=Severity.WARNING, message="überholte Werkzeuge")
    migration, status = await at_the_gate(stage, World(findings=[finding]), warnings="ignore")
    assert status.evidence_hash == hash_of(status.evidence)
    row = json.loads(migration.world.rows[-1].row["document"])
    assert row["evidenceHash"] == hash_of(row["evidence"]) == status.evidence_hash


async def test_without_a_test_launch_the_evidence_says_why_there_is_none(stage: Stage) -> None:
    _, status = await at_the_gate(stage, test={"mode": "skip", "reason": "tested last week"})
    assert status.evidence is not None
    assert (status.evidence["test"], status.evidence["testReason"]) == (None, "tested last week")


# --- when it changes ---------------------------------------------------------------------------------------------


async def test_approvals_lapse_with_their_reason_when_replication_falls_behind(stage: Stage) -> None:
    migration, before = await at_the_gate(stage, **TWO)
    await migration.decide("approve", APPROVER, evidenceHash=before.evidence_hash)
    migration.world.changed_evidence.append(BEHIND)
    now = await other_evidence(migration, before)
    assert now.approvals == []
    (record,) = lapsed(now)
    assert (record.accepted, record.message) == (*(False, f"the approvals of {APPROVER} have lapsed: {BEHIND.reason}"),)
    assert len(migration.world.asked("await_replication")) == 2, "replication has to come back first"
    assert hash_of(now.evidence) == now.evidence_hash
    entries = {line.step: line.entry for line in now.steps}
    assert (entries[Step.APPROVE], entries[Step.REPLICATE]) == (1, 1)


async def test_approvals_after_a_lapse_count_anew_and_only_on_the_new_evidence(stage: Stage) -> None:
    migration, before = await at_the_gate(stage, **TWO)
    await migration.decide("approve", APPROVER)
    migration.world.changed_evidence.append(BEHIND)
    now = await other_evidence(migration, before)
    refused = await migration.refuses("approve", OTHER_APPROVER, evidenceHash=before.evidence_hash)
    assert refused == f"the evidence has changed since: its hash is {now.evidence_hash} now"
    first = await migration.decide("approve", OTHER_APPROVER, evidenceHash=now.evidence_hash)
    assert first.message == "approval 1 of 2"
    assert migration.world.asked("shut_down_sources") == []
    second = await migration.decide("approve", APPROVER, evidenceHash=now.evidence_hash)
    assert second.message == "approval 2 of 2"
    assert (await migration.ends()).status is Phase.COMPLETED


async def test_approvals_lapse_while_the_window_is_waited_for(stage: Stage) -> None:
    migration, before = await at_the_gate(stage, cutoverWindow=a_window(DAY, 2 * DAY))
    await migration.decide("approve", APPROVER)
    await migration.stands(Phase.AWAITING_APPROVAL, None)
    migration.world.changed_evidence.append(BEHIND)
    now = await other_evidence(migration, before)
    assert (now.approvals, len(lapsed(now))) == ([], 1)
    await migration.decide("reschedule", **a_window(0 * DAY, DAY))
    await migration.decide("approve", APPROVER)
    assert (await migration.ends()).status is Phase.COMPLETED


async def test_approvals_lapse_while_an_operator_pauses(stage: Stage) -> None:
    migration, before = await at_the_gate(stage)
    await migration.decide("pause")
    await migration.decide("approve", APPROVER)
    await migration.stands(Phase.AWAITING_DECISION, "resume")
    migration.world.changed_evidence.append(BEHIND)
    now = await other_evidence(migration, before)
    assert (now.approvals, now.paused_by) == ([], "operator-1@example.com")
    await migration.decide("approve", APPROVER)
    await migration.stands(Phase.AWAITING_DECISION, "resume")
    await migration.decide("resume")
    assert (await migration.ends()).status is Phase.COMPLETED


async def test_nobody_is_told_of_a_lapse_of_approvals_that_nobody_gave(stage: Stage) -> None:
    migration, before = await at_the_gate(stage)
    migration.world.changed_evidence.append(BEHIND)
    now = await other_evidence(migration, before)
    assert lapsed(now) == []
    assert now.decisions[-1].message == f"the evidence has changed: {BEHIND.reason}"


async def test_replication_that_does_not_come_back_fails_the_gate(stage: Stage) -> None:
    world = World()
    error = ApplicationError("far behind", type="SourcePreparationError", non_retryable=True)
    world.fail("await_replication", error, call=2)
    migration, _ = await at_the_gate(stage, world, onFailure={"action": "pause"})
    world.changed_evidence.append(BEHIND)
    status = await migration.stands(Phase.AWAITING_DECISION, "failure")
    assert status.awaiting is not None
    assert (status.awaiting.step, status.served_by) == (Step.APPROVE, Side.SOURCE)
    assert "far behind" in status.awaiting.message


@pytest.mark.parametrize("action", ["pause", "rollback"])
async def test_a_server_that_was_replaced_fails_the_gate(stage: Stage, action: str) -> None:
    migration, _ = await at_the_gate(stage, onFailure={"action": action}, rollback={"to": "start"}, **TWO)
    await migration.decide("approve", APPROVER)
    migration.world.changed_evidence.append(REPLACED)
    if action == "pause":
        asked = await migration.stands(Phase.AWAITING_DECISION, "failure")
        assert asked.awaiting is not None
        assert asked.awaiting.step is Step.APPROVE
        assert asked.awaiting.message == f"approve failed: {REPLACED.reason}"
        assert (asked.approvals, len(lapsed(asked))) == ([], 1)
        await migration.decide("rollback")
    assert (await migration.ends()).status is Phase.ROLLED_BACK
    assert migration.world.asked("shut_down_sources") == []


# --- when the test is too old ------------------------------------------------------------------------------------


async def test_a_test_launch_that_is_too_old_is_made_again_and_its_approvals_lapse(stage: Stage) -> None:
    migration = await stage.start(test={"maxAge": MAX_AGE}, **TWO)
    await migration.approve()
    before = await migration.status()
    now = await other_evidence(migration, before)
    world = migration.world
    first, second = (str(launch.mark) for launch in world.asked("start_test"))
    assert (first, second) == tuple(f"{migration.migration_id}/1/test/{entry}" for entry in (1, 2))
    assert now.approvals == []
    assert lapsed(now)[0].message == f"the approvals of {APPROVER} have lapsed: the test launch is older than 0:00:10"
    assert before.test is not None
    assert now.test is not None
    assert now.test.at > before.test.at
    assert now.test.job_id == world.asked("await_job")[1].job_id != before.test.job_id
    steps = {line.step: line for line in now.steps}
    assert (steps[Step.TEST].entry, steps[Step.TEST].state) == (2, StepState.DONE)
    assert (steps[Step.APPROVE].entry, steps[Step.REPLICATE].entry) == (2, 1)
    states = [change.state for change in world.asked("change_life_cycle")]
    assert states == ["READY_FOR_CUTOVER", "READY_FOR_TEST", "READY_FOR_CUTOVER"]
    refused = await migration.refuses("approve", OTHER_APPROVER, evidenceHash=before.evidence_hash)
    assert "evidence" in refused or "AWAITING_APPROVAL" in refused


async def test_a_rollback_ends_both_test_launches(stage: Stage) -> None:
    migration = await stage.start(test={"maxAge": "PT4S"})
    await migration.is_reached("start_test", 2)
    await migration.decide("abandon", reason="enough tests")
    assert (await migration.ends()).status is Phase.CANCELLED
    assert migration.world.acted()[-1] == "remove_records"
    assert (await migration.status()).undo == []


async def test_a_test_launch_that_was_skipped_does_not_age(stage: Stage) -> None:
    migration, before = await at_the_gate(stage, test={"mode": "skip", "reason": "by hand", "maxAge": "PT0S"})
    await migration.is_reached("watch_replication")
    assert (await migration.status()).evidence_hash == before.evidence_hash
    await migration.decide("approve", APPROVER)
    assert (await migration.ends()).status is Phase.COMPLETED
