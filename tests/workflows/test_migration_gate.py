"""The gate: who may open it, when the cutover may start, and the DNS time to live that is lowered in time."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from migration import policies
from migration.findings import Finding, Severity
from migration.status import MigrationStatus, Phase, Side
from migration.steps import Step
from tests.workflows.migration_requests import APPROVER, OTHER_APPROVER, REQUESTER, a_record, a_window
from tests.workflows.stage import Migration, Stage, until
from tests.workflows.worlds import World

SECOND = timedelta(seconds=1)
TWO_OF_THREE = {"approvers": [APPROVER, OTHER_APPROVER, REQUESTER], "minimum": 2}


async def at_the_gate(stage: Stage, world: World | None = None, **parts: Any) -> Migration:
    migration = await stage.start_light(world, **parts)
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    return migration


async def is_over(moment: datetime) -> None:
    await until(lambda: datetime.now(UTC) > moment, f"it is {moment}")


# --- approvals ---------------------------------------------------------------------------------------------------


async def test_a_quorum_of_two_needs_two_different_approvers(stage: Stage) -> None:
    migration = await at_the_gate(stage, approval=TWO_OF_THREE)
    assert (await migration.decide("approve", APPROVER)).message == "approval 1 of 2"
    assert "has approved already" in await migration.refuses("approve", APPROVER)
    assert "has approved already" in await migration.refuses("approve", APPROVER.upper())
    assert (await migration.status()).phase is Phase.AWAITING_APPROVAL
    assert (await migration.decide("approve", OTHER_APPROVER.title())).message == "approval 2 of 2"
    assert (await migration.ends()).served_by is Side.TARGET


async def test_only_approvers_may_approve_or_reject(stage: Stage) -> None:
    migration = await at_the_gate(stage)
    for name in ("approve", "reject"):
        refused = await migration.refuses(name, "somebody@example.com")
        assert refused == f"somebody@example.com is not an approver; approvers are {APPROVER}, {OTHER_APPROVER}"


async def test_the_requester_may_not_approve_their_own_migration(stage: Stage) -> None:
    migration = await at_the_gate(stage, approval=TWO_OF_THREE)
    assert "another person has to approve it" in await migration.refuses("approve", REQUESTER)
    assert "another person has to approve it" in await migration.refuses("approve", REQUESTER.upper())


async def test_the_requester_may_approve_where_the_request_says_so(stage: Stage) -> None:
    migration = await at_the_gate(stage, approval={"approvers": [REQUESTER], "requesterMayApprove": True})
    await migration.decide("approve", REQUESTER)
    assert (await migration.ends()).status is Phase.COMPLETED


async def test_an_approval_names_the_evidence_that_it_was_given_on(stage: Stage) -> None:
    migration = await at_the_gate(stage)
    status = await migration.status()
    assert status.evidence is not None
    assert {"servers", "test", "findings", "undo", "generation", "entry"} <= status.evidence.keys()
    refused = await migration.refuses("approve", APPROVER, evidenceHash="0" * 64)
    assert refused == f"the evidence has changed since: its hash is {status.evidence_hash} now"
    await migration.decide("approve", APPROVER, evidenceHash=status.evidence_hash, comment="looks good")
    await migration.ends()
    (approval,) = (await migration.status()).approvals
    assert (approval.approver, approval.evidence_hash, approval.comment) == (
        *(APPROVER, status.evidence_hash, "looks good"),
    )


async def test_nobody_approves_before_there_is_evidence(stage: Stage) -> None:
    world = World()
    look = world.hold("observe_replication")
    migration = await stage.start_light(world)
    await look.is_reached()
    assert "evidence" in await migration.refuses("approve", APPROVER)
    look.release()
    await migration.approve()
    assert (await migration.ends()).status is Phase.COMPLETED


async def test_approvals_expire_and_can_be_given_again(stage: Stage) -> None:
    rules = {"approvers": [APPROVER, OTHER_APPROVER], "minimum": 2, "expiresAfter": "PT2S"}
    migration = await at_the_gate(stage, approval=rules)
    await migration.decide("approve", APPROVER)
    await is_over((await migration.status()).approvals[0].at + 2 * SECOND)
    await migration.decide("approve", OTHER_APPROVER)
    assert (await migration.status()).phase is Phase.AWAITING_APPROVAL
    assert migration.world.asked("start_cutover") == []
    assert (await migration.decide("approve", APPROVER)).message == "approval 2 of 2"
    assert (await migration.ends()).status is Phase.COMPLETED


async def test_approvals_that_expire_before_the_window_opens_are_asked_for_again(stage: Stage) -> None:
    migration = await at_the_gate(stage, approval={"approvers": [APPROVER], "expiresAfter": "PT1S"})
    await migration.decide("reschedule", **a_window(2 * SECOND, timedelta(hours=1)))
    await migration.decide("approve", APPROVER)
    await migration.stands(Phase.AWAITING_APPROVAL, None)
    await migration.approve()
    assert (await migration.ends()).status is Phase.COMPLETED
    assert len([d for d in (await migration.status()).decisions if d.name == "approve" and d.accepted]) == 2


async def test_what_is_awaited_and_from_whom_is_shown(stage: Stage) -> None:
    window = a_window(timedelta(0), timedelta(hours=1))
    migration = await at_the_gate(stage, cutoverWindow=window)
    awaiting = (await migration.status()).awaiting
    assert awaiting is not None
    assert awaiting.who == (APPROVER, OTHER_APPROVER)
    assert awaiting.choices == ("approve", "reject", "rollback", "abandon", "reschedule")
    assert awaiting.until == datetime.fromisoformat(window["notAfter"])


async def test_a_reject_undoes_everything(stage: Stage) -> None:
    migration = await stage.start()
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    answer = await migration.decide("reject", APPROVER, to="start", comment="not now")
    assert answer.message == "rejected: everything is undone"
    result = await migration.ends()
    assert (result.status, result.served_by) == (Phase.REJECTED, Side.SOURCE)
    assert result.message == f"rejected by {APPROVER}: not now"
    assert migration.world.acted()[-2:] == ["change_life_cycle", "remove_records"]
    assert [request.status for request in migration.world.asked("finish_claim")] == ["REJECTED"]


async def test_a_reject_to_ready_goes_back_to_replicating_and_asks_again(stage: Stage) -> None:
    migration = await at_the_gate(stage)
    await migration.decide("reject", APPROVER)
    await entered_again(migration, Step.APPROVE)
    assert migration.world.acted("remove_records", "await_replication") == ["await_replication"] * 2
    assert (await migration.status()).approvals == []
    await migration.decide("approve", APPROVER)
    assert (await migration.ends()).status is Phase.COMPLETED


# --- warnings ----------------------------------------------------------------------------------------------------

WARNING = Finding(code="TOOLS_NOT_RUNNING", severity=Severity.WARNING, message="the guest tools do not run")


async def test_warnings_are_acknowledged_before_anything_is_touched(stage: Stage) -> None:
    migration = await stage.start_light(World(findings=[WARNING]))
    await migration.stands(Phase.AWAITING_DECISION, "acknowledge")
    assert migration.world.acted() == ["check_prerequisites"]
    assert "there is no finding COSMIC_RAYS" in await migration.refuses("acknowledge", codes=["COSMIC_RAYS"])
    await migration.decide("acknowledge", codes=["TOOLS_NOT_RUNNING"])
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")


async def test_a_warning_is_acknowledged_for_one_server_or_for_all_of_them(stage: Stage) -> None:
    codes = ("TOOLS_NOT_RUNNING", "TOOLS_NOT_RUNNING", "DISK_SHARED")
    servers = ("billing-web-01", "billing-web-02", "billing-web-02")
    findings = [
        WARNING.model_copy(update={"code": code, "subject": server})
        for code, server in zip(codes, servers, strict=True)
    ]
    migration = await stage.start_light(World(findings=findings))
    status = await migration.stands(Phase.AWAITING_DECISION, "acknowledge")
    assert status.awaiting is not None
    assert "TOOLS_NOT_RUNNING/billing-web-02" in status.awaiting.message
    one = await migration.decide("acknowledge", codes=["TOOLS_NOT_RUNNING/billing-web-01", "DISK_SHARED"])
    assert one.message == "acknowledged: TOOLS_NOT_RUNNING/billing-web-01, DISK_SHARED/billing-web-02"
    assert (await migration.decide("acknowledge", codes=["DISK_SHARED"])).message == "acknowledged: nothing new"
    assert [open_.key for open_ in (await migration.status()).open_warnings] == ["TOOLS_NOT_RUNNING/billing-web-02"]
    await migration.decide("acknowledge")
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")


async def test_warnings_are_ignored_where_the_request_says_so(stage: Stage) -> None:
    await at_the_gate(stage, World(findings=[WARNING]), warnings="ignore")


# --- window ------------------------------------------------------------------------------------------------------


async def test_the_cutover_waits_for_its_window(stage: Stage) -> None:
    migration = await at_the_gate(stage)
    window = a_window(2 * SECOND, timedelta(hours=1))
    await migration.decide("reschedule", **window)
    await migration.decide("approve", APPROVER)
    await migration.ends()
    assert migration.world.moment("shut_down_sources") >= datetime.fromisoformat(window["notBefore"])


async def test_a_window_that_is_moved_earlier_is_not_waited_for(stage: Stage) -> None:
    migration = await at_the_gate(stage, cutoverWindow=a_window(timedelta(days=1), timedelta(days=2)))
    await migration.decide("approve", APPROVER)
    waiting = await migration.stands(Phase.AWAITING_APPROVAL, None)
    assert "waiting until" in waiting.message
    await migration.decide("reschedule", **a_window(timedelta(0), timedelta(hours=1)))
    assert (await migration.ends()).status is Phase.COMPLETED


async def test_a_window_that_has_passed_has_to_be_moved(stage: Stage) -> None:
    migration = await at_the_gate(stage, cutoverWindow=a_window(-timedelta(hours=2), -timedelta(hours=1)))
    await migration.decide("approve", APPROVER)
    status = await migration.stands(Phase.AWAITING_DECISION, "reschedule")
    assert status.awaiting is not None
    assert status.awaiting.choices == ("reschedule", "rollback", "abandon")
    assert migration.world.asked("shut_down_sources") == []
    await migration.decide("reschedule", **a_window(timedelta(0), timedelta(hours=1)))
    assert (await migration.ends()).status is Phase.COMPLETED


async def test_the_source_is_not_stopped_when_it_catches_up_after_the_window(stage: Stage) -> None:
    world = World()
    catching_up = world.hold("await_replication", call=2)
    migration = await at_the_gate(stage, world)
    window = a_window(timedelta(0), 3 * SECOND)
    await migration.decide("reschedule", **window)
    await migration.decide("approve", APPROVER)
    await catching_up.is_reached()
    await is_over(datetime.fromisoformat(window["notAfter"]))
    catching_up.release()
    await entered_again(migration, Step.APPROVE)
    assert world.asked("shut_down_sources") == []


async def test_a_cutover_that_has_begun_has_no_window_to_move(stage: Stage) -> None:
    world = World()
    stopping = world.hold("shut_down_sources")
    migration = await at_the_gate(stage, world)
    await migration.decide("approve", APPROVER)
    await stopping.is_reached()
    assert "the cutover has begun" in await migration.refuses("reschedule", **a_window(SECOND, 2 * SECOND))


# --- DNS time to live --------------------------------------------------------------------------------------------


async def test_the_ttl_is_lowered_and_the_old_one_waited_out_before_the_source_stops(stage: Stage) -> None:
    world = World(old_ttl=2)
    migration = await at_the_gate(stage, world, dns=[a_record("billing-web-01", ttl=1)])
    await migration.decide("approve", APPROVER)
    await migration.ends()
    lowered, switched = world.asked("change_records")
    (change,) = lowered.changes
    assert (change.before.ttl, change.after.ttl, change.after.values) == (2, 1, change.before.values)
    assert str(lowered.mark) == f"{migration.migration_id}/1/approve/1"
    assert switched.changes[0].before == change.after
    waited = world.moment("shut_down_sources") - world.moment("change_records")
    assert waited >= 2 * SECOND + policies.DNS_MARGIN


async def test_the_ttl_is_lowered_so_early_that_the_old_one_runs_out_when_the_window_opens(stage: Stage) -> None:
    world = World(old_ttl=2)
    migration = await at_the_gate(stage, world, dns=[a_record("billing-web-01", ttl=1)])
    window = a_window(7 * SECOND, timedelta(hours=1))
    await migration.decide("reschedule", **window)
    await migration.decide("approve", APPROVER)
    await migration.ends()
    begins = datetime.fromisoformat(window["notBefore"])
    assert world.moment("change_records") >= begins - 2 * SECOND - policies.DNS_MARGIN
    assert world.moment("shut_down_sources") >= begins


async def test_the_ttl_is_left_alone_when_the_window_moves_away(stage: Stage) -> None:
    world = World(old_ttl=2)
    far = a_window(timedelta(days=1), timedelta(days=2))
    migration = await at_the_gate(stage, world, dns=[a_record("billing-web-01", ttl=1)], cutoverWindow=far)
    await migration.decide("approve", APPROVER)
    await migration.stands(Phase.AWAITING_APPROVAL, None)
    await migration.decide("reschedule", **a_window(timedelta(days=3), timedelta(days=4)))

    async def waits_for_the_new_one() -> bool:
        return "waiting until" in (await migration.status()).message

    await until(waits_for_the_new_one, "the new window is waited for")
    assert world.asked("change_records") == []


async def test_a_lowered_ttl_is_put_back_when_the_migration_turns_back(stage: Stage) -> None:
    world = World(old_ttl=3600)
    migration = await at_the_gate(stage, world, dns=[a_record("billing-web-01", ttl=1)])
    await migration.decide("approve", APPROVER)
    await migration.is_reached("change_records")
    await migration.decide("rollback", to="start")
    await migration.ends()
    (restored,) = world.asked("restore_records")
    assert (restored.changes[0].before.ttl, restored.changes[0].after.ttl) == (1, 3600)


@pytest.mark.parametrize("old_ttl", [60, 30])
async def test_a_ttl_that_is_short_enough_is_not_touched(stage: Stage, old_ttl: int) -> None:
    world = World(old_ttl=old_ttl)
    migration = await at_the_gate(stage, world)
    await migration.decide("approve", APPROVER)
    await migration.ends()
    (switched,) = world.asked("change_records")
    assert str(switched.mark) == f"{migration.migration_id}/1/switch/1"


async def entered_again(migration: Migration, step: Step) -> MigrationStatus:
    """Wait until the migration stands at its gate once more."""

    def again() -> bool:
        seen = migration.world.seen()
        return seen is not None and next(line for line in seen.steps if line.step is step).entry > 1

    await until(again, f"{step} is entered again")
    await asyncio.sleep(0)
    return await migration.stands(Phase.AWAITING_APPROVAL, "approve")
