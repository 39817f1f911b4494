"""`migrator status`: one screen that says where a migration is, who acts by when, and what a rollback would do."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from migration.errors import Conflict
from migration.findings import Finding, Severity
from migration.hooks import HookOutcome, HookResult
from migration.request import HookTime, HookType
from migration.request import Side as HookSide
from migration.status import (
    Acknowledgement,
    Approval,
    Awaiting,
    DecisionRecord,
    Failure,
    LeftUndone,
    MigrationStatus,
    Phase,
    Preserved,
    ServerProgress,
    Side,
    StepProgress,
    StepState,
    UndoLine,
    UndoResult,
    Window,
)
from migration.steps import Step
from starter import view

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
FIRST, SECOND = "approver-1@example.com", "approver-2@example.com"
EVIDENCE = "ab" * 32
LINES = 24

STACK = [
    ("restoreInventory", Step.SWITCH, "put the CMDB items back"),
    ("restoreNames", Step.SWITCH, "put the DNS records back"),
    ("unprotectTarget", Step.SWITCH, "lift the termination protection"),
    ("fenceTarget", Step.CUTOVER, "stop the launched instances"),
    ("restoreSource", Step.CUTOVER, "bring the source servers back"),
    ("awaitSourceHealth", Step.CUTOVER, "see the application healthy on the source"),
    ("endCutover", Step.CUTOVER, "end the cutover launch and its instances"),
    ("removeSnapshots", Step.CUTOVER, "remove the source snapshots"),
    ("restoreNames", Step.APPROVE, "put the DNS records' time to live back"),
    ("endTest", Step.TEST, "end the test and terminate its instances"),
    ("removeReplication", Step.PREPARE, "take the servers out of replication"),
]
"""Everything that a migration in its soak would undo, newest first, as its status has it."""


@pytest.fixture(autouse=True)
def in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def at(step: Step, state: StepState = StepState.RUNNING, *, entry: int = 1) -> list[StepProgress]:
    """The timeline of a migration that has come to this step."""
    order = list(Step)
    here = order.index(step)
    begun = NOW - timedelta(minutes=5)
    return [
        *(StepProgress(step=done, state=StepState.DONE, entry=1) for done in order[:here]),
        StepProgress(step=step, state=state, entry=entry, started=begun),
        *(StepProgress(step=later) for later in order[here + 1 :]),
    ]


def undo(*steps: Step) -> list[UndoLine]:
    return [UndoLine(kind=kind, step=step, what=what) for kind, step, what in STACK if step in steps]


def server(name: str = "billing-web-01", lag: float | None = 0.0, **fields: Any) -> ServerProgress:
    usual = {"life_cycle": "READY_FOR_CUTOVER", "replication_state": "CONTINUOUS"}
    return ServerProgress(name=name, lag=None if lag is None else timedelta(seconds=lag), **(usual | fields))


def migration(phase: Phase, **fields: Any) -> MigrationStatus:
    usual: dict[str, Any] = {
        "migration_id": "mig-billing-20261123",
        "app_name": "billing",
        "environment": "production",
        "correlation_id": "mig-billing-20261123",
        "requested_by": "requester@example.com",
        "generation": 1,
        "phase": phase,
        "message": "something has changed",
        "started": NOW - timedelta(hours=3),
        "updated": NOW,
        "servers": [server()],
    }
    return MigrationStatus(**(usual | fields))


def refused(name: str, message: str, *, minutes: int = 1) -> DecisionRecord:
    at = NOW - timedelta(minutes=minutes)
    return DecisionRecord(name=name, at=at, accepted=False, message=message, by=SECOND)


def shown(status: MigrationStatus, waits: list[str] | None = None) -> list[str]:
    """The screen's lines at 100 columns."""
    console = Console(width=view.WIDTH)
    with console.capture() as captured:
        console.print(view.screen(status, waits or [], NOW))
    lines = captured.get().splitlines()
    assert all(len(line) <= view.WIDTH for line in lines)
    return [line.rstrip() for line in lines]


def text(status: MigrationStatus, waits: list[str] | None = None) -> str:
    """The screen as one line, however it is broken."""
    return " ".join(" ".join(shown(status, waits)).split())


def row(label: str, status: MigrationStatus) -> str:
    """The words of one label, over as many lines as they take."""
    lines = shown(status)
    first = next(number for number, line in enumerate(lines) if line.startswith(f"{label} "))
    rest = lines[first + 1 :]
    more = next((n for n, line in enumerate(rest) if not line.startswith(" ")), len(rest))
    return " ".join(" ".join([lines[first].removeprefix(label), *rest[:more]]).split())


def gate(**fields: Any) -> MigrationStatus:
    window = Window(
        not_before=NOW + timedelta(hours=6),
        not_after=NOW + timedelta(hours=10),
        latest_start=NOW + timedelta(hours=9, minutes=20),
        latest_turn_back=NOW + timedelta(hours=9, minutes=40),
    )
    awaiting = Awaiting(
        what="approve",
        message="2 approval(s) of the cutover",
        who=(FIRST, SECOND),
        choices=("approve", "reject", "rollback", "abandon", "reschedule"),
        until=window.latest_start,
    )
    usual: dict[str, Any] = {
        "message": "waiting for approval of the cutover",
        "steps": at(Step.APPROVE),
        "awaiting": awaiting,
        "window": window,
        "evidence": {"generation": 1},
        "evidence_hash": EVIDENCE,
        "approvals": [Approval(approver=FIRST, at=NOW - timedelta(minutes=20), evidence_hash=EVIDENCE)],
        "undo": undo(Step.APPROVE, Step.TEST, Step.PREPARE),
    }
    return migration(Phase.AWAITING_APPROVAL, **(usual | fields))


def soaking(phase: Phase = Phase.SOAKING, **fields: Any) -> MigrationStatus:
    usual: dict[str, Any] = {
        "served_by": Side.TARGET,
        "steps": at(Step.SOAK),
        "downtime": timedelta(minutes=11, seconds=20),
        "divergence_since": NOW - timedelta(minutes=40),
        "servers": [server(instance_id="i-0123456789abcdef0", address="10.2.0.11", source_off=True)],
        "undo": undo(*Step),
    }
    return migration(phase, **(usual | fields))


# --- where it is -----------------------------------------------------------------------------------------------


def test_the_steps_are_named_by_what_became_of_them() -> None:
    status = migration(Phase.TESTING, steps=at(Step.TEST, entry=2))
    assert row("steps", status) == (
        "done validate, prepare, replicate; running test (began 5 min ago, entry 2); "
        "to come approve, cutover, verify, switch, soak, finalize, decommission"
    )


def test_a_migration_that_waits_for_nobody_says_so_and_what_it_waits_for() -> None:
    status = migration(Phase.REPLICATING, steps=at(Step.REPLICATE), message="replicate started")
    assert row("must act", status) == "nobody: it goes on by itself"
    assert "waits for billing-web-01: lag 5 min" in text(status, ["billing-web-01: lag 5 min"])


def test_downtime_is_counted_up_to_now_while_nobody_serves() -> None:
    status = migration(
        Phase.CUTTING_OVER,
        steps=at(Step.CUTOVER),
        served_by=Side.NOBODY,
        down_since=NOW - timedelta(minutes=4),
        downtime=timedelta(minutes=2),
    )
    assert row("serves", status) == "nobody serves; downtime so far 6 min"


def test_a_later_try_is_told_from_the_first() -> None:
    assert ", try 2 " in text(migration(Phase.VALIDATING, generation=2, steps=at(Step.VALIDATE)))
    assert ", try" not in text(migration(Phase.VALIDATING, steps=at(Step.VALIDATE)))


# --- who acts --------------------------------------------------------------------------------------------------


def test_at_the_gate_the_approvers_their_deadline_and_their_commands_are_named() -> None:
    screen = row("must act", gate())
    assert screen.startswith(f"{FIRST}, {SECOND}, by 21:20 UTC (in 9 h 20 min) migrator status ")
    assert [line.strip() for line in shown(gate()) if line.strip().startswith("migrator ")] == [
        "migrator status mig-billing-20261123 --evidence",
        "migrator approve mig-billing-20261123 --as WHO",
        "migrator reject mig-billing-20261123 --as WHO",
        "migrator rollback mig-billing-20261123 --as WHO",
        "migrator abandon mig-billing-20261123 --as WHO --reason WHY",
        "migrator reschedule mig-billing-20261123 --as WHO --not-before TIME --not-after TIME",
    ]


def test_at_the_gate_the_window_the_approvals_and_the_evidence_are_shown() -> None:
    assert row("window", gate()) == "18:00 UTC (in 6 h) to 22:00 UTC (in 10 h), source off by 21:20 UTC"
    assert row("turn back", gate()).startswith("by 21:40 UTC (in 9 h 40 min) at the latest")
    assert row("approvals", gate()) == f"1 given of 2 approval(s) of the cutover: {FIRST} 20 min ago"
    assert row("evidence", gate()) == EVIDENCE


def test_an_approval_that_has_lapsed_is_told_with_its_reason() -> None:
    lapsed = refused("approve", f"the approvals of {SECOND} have lapsed: lag is 12 min")
    status = gate(approvals=[], decisions=[lapsed])
    assert row("approvals", status) == "0 given of 2 approval(s) of the cutover"
    assert row("not taken", status).startswith(f"approve by {SECOND} 1 min ago: the approvals of")


def test_only_the_last_three_refused_decisions_are_shown() -> None:
    decisions = [refused("approve", f"reason {number}", minutes=9 - number) for number in range(5)]
    decisions.append(DecisionRecord(name="approve", at=NOW, accepted=True, message="approval 1 of 2", by=FIRST))
    lines = [line for line in shown(gate(decisions=decisions)) if " ago: reason " in line]
    assert [line[-8:] for line in lines] == ["reason 2", "reason 3", "reason 4"]


def test_a_failed_step_says_why_how_to_mend_it_and_what_can_be_decided() -> None:
    why = "billing-web-01: the launch failed: InsufficientInstanceCapacity"
    status = migration(
        Phase.AWAITING_DECISION,
        steps=at(Step.TEST, StepState.FAILED),
        message=f"test failed: {why}",
        failure=Failure(type="MigrationExecutionError", message=why, action="Choose another instance type"),
        awaiting=Awaiting(
            what="failure",
            step=Step.TEST,
            message=f"test failed: {why}",
            choices=("retry", "skip", "rollback", "abandon"),
            until=NOW + timedelta(days=2),
        ),
        undo=undo(Step.TEST, Step.PREPARE),
    )
    assert row("failed", status) == f"{why} to mend it: Choose another instance type"
    assert text(status).count(why) == 1
    assert row("must act", status).startswith("an operator, by 25 Nov 12:00 UTC (in 2 d) migrator retry mig-")
    assert "migrator skip mig-billing-20261123 --as WHO --reason WHY" in text(status)


def test_warnings_that_are_not_acknowledged_are_named() -> None:
    findings = [
        Finding(code="ADDRESS_DIFFERS", severity=Severity.WARNING, message="the address differs"),
        Finding(code="TOOLS_NOT_RUNNING", severity=Severity.WARNING, message="no guest tools"),
    ]
    status = migration(
        Phase.AWAITING_DECISION,
        steps=at(Step.VALIDATE, StepState.DONE),
        findings=findings,
        acknowledged=[Acknowledgement(code="TOOLS_NOT_RUNNING", message="no guest tools", by=FIRST, at=NOW)],
        awaiting=Awaiting(what="acknowledge", message="warnings", choices=("acknowledge", "abandon")),
    )
    assert row("warning", status) == "ADDRESS_DIFFERS: the address differs"


def test_a_pause_that_has_not_begun_yet_is_announced() -> None:
    status = migration(Phase.REPLICATING, steps=at(Step.REPLICATE), paused_by=FIRST)
    assert row("paused", status) == f"by {FIRST}, from the next step on; migrator resume mig-billing-20261123"


def test_the_second_approval_of_a_deletion_has_its_own_command_and_count() -> None:
    status = migration(
        Phase.AWAITING_DECISION,
        steps=at(Step.DECOMMISSION),
        served_by=Side.TARGET,
        past_point_of_no_return=True,
        approvals=[Approval(approver=FIRST, at=NOW), Approval(approver=SECOND, at=NOW)],
        deletion_approvals=[Approval(approver=FIRST, at=NOW)],
        awaiting=Awaiting(
            what="delete",
            message="2 approval(s) of deleting the source",
            who=(FIRST, SECOND),
            choices=("approve", "keepSource"),
        ),
    )
    assert row("approvals", status) == f"1 given of 2 approval(s) of deleting the source: {FIRST} 0 s ago"
    assert "migrator approve mig-billing-20261123 --as WHO --for delete" in text(status)
    assert "migrator keep-source mig-billing-20261123 --as WHO" in text(status)


def test_a_source_that_somebody_keeps_is_said_to_be_kept() -> None:
    status = migration(Phase.DECOMMISSIONING, steps=at(Step.DECOMMISSION), source_kept_by=FIRST)
    assert row("source", status) == f"kept, as {FIRST} decided"


# --- servers ---------------------------------------------------------------------------------------------------


def test_of_many_servers_those_behind_come_first_and_the_rest_is_counted() -> None:
    servers = [server(f"web-{number:03}", lag=number) for number in range(199)]
    servers.append(server("db-001", lag=None, replication_state="STALLED"))
    status = migration(Phase.REPLICATING, steps=at(Step.REPLICATE), servers=servers)
    assert row("servers", status) == (
        "db-001: READY_FOR_CUTOVER, STALLED web-198: READY_FOR_CUTOVER, CONTINUOUS, lag 3 min 18 s "
        "web-197: READY_FOR_CUTOVER, CONTINUOUS, lag 3 min 17 s and 197 more, lag at most 3 min 16 s"
    )


# --- the way back ----------------------------------------------------------------------------------------------


def test_a_rollback_is_told_in_the_order_in_which_it_would_be_done() -> None:
    assert row("rollback", soaking()) == (
        "would: 1. stop the launched instances 2. bring the source servers back "
        "3. see the application healthy on the source 4. put the DNS records back "
        "5. put the DNS records' time to live back 6. lift the termination protection "
        "7. end the cutover launch and its instances 8. end the test and terminate its instances* "
        "9. put the CMDB items back 10. remove the source snapshots 11. take the servers out of replication* "
        "(* only with --to start)"
    )


def test_before_the_gate_every_rollback_goes_all_the_way() -> None:
    status = migration(Phase.TESTING, steps=at(Step.TEST), undo=undo(Step.TEST, Step.PREPARE))
    assert row("rollback", status) == (
        "would: 1. end the test and terminate its instances 2. take the servers out of replication"
    )


def test_a_soak_says_that_the_target_takes_writes_which_the_source_lacks() -> None:
    assert row("serves", soaking()) == (
        "target serves; downtime 11 min 20 s; for 40 min with writes that the source lacks"
    )


def test_past_the_point_of_no_return_there_is_no_rollback() -> None:
    status = migration(Phase.FINALIZING, steps=at(Step.FINALIZE), past_point_of_no_return=True, served_by=Side.TARGET)
    assert row("rollback", status) == "is not possible any more: it only goes forward"


def incomplete(left: int = 1) -> MigrationStatus:
    undone = [
        UndoResult(kind="fenceTarget", what="stop the launched instances", done=True, at=NOW),
        UndoResult(kind="restoreNames", what="put the DNS records back", done=False, at=NOW, error="refused"),
    ]
    names = LeftUndone(
        kind="restoreNames",
        step=Step.SWITCH,
        what="put the DNS records back",
        error="billing.example.com A is 10.9.9.9",
        resources=("billing.example.com A 10.1.0.11",),
        where="the DNS zones of these records",
        who="who may change the zone",
    )
    kept = Preserved(
        since=NOW - timedelta(hours=1),
        until=NOW,
        instance_ids=("i-0123456789abcdef0",),
        snapshot_ids=("snap-0123456789abcdef0",),
        keep_until=NOW + timedelta(days=7),
    )
    return migration(
        Phase.ROLLBACK_INCOMPLETE,
        steps=at(Step.SOAK, StepState.FAILED),
        failure=Failure(type="VerificationError", message="the application is not healthy on the target"),
        message="could not put the DNS records back",
        undone=undone,
        left=[names] * left,
        undo=undo(Step.SWITCH)[1:2],
        preserved=[kept],
        awaiting=Awaiting(
            what="undo",
            message="could not put the DNS records back",
            who=("who may change the zone",),
            choices=("retry", "skip"),
        ),
    )


def test_what_is_left_undone_is_told_with_where_it_is_and_who_acts() -> None:
    status = incomplete()
    assert row("LEFT", status) == (
        "restoreNames: put the DNS records back: billing.example.com A is 10.9.9.9; "
        "billing.example.com A 10.1.0.11, in the DNS zones of these records; who may change the zone acts"
    )
    assert row("undone", status) == "stop the launched instances"
    assert "migrator retry mig-billing-20261123 --as WHO" in text(status)
    assert "--undo" not in text(status)


def test_with_several_undos_left_the_commands_say_how_one_is_meant_and_the_rest_is_counted() -> None:
    status = incomplete(left=5)
    assert "migrator skip mig-billing-20261123 --as WHO --reason WHY [--undo KIND]" in text(status)
    assert "and 3 more: restoreNames, restoreNames, restoreNames" in text(status)


def test_a_rollback_under_way_says_what_it_still_has_to_do() -> None:
    status = incomplete().model_copy(update={"phase": Phase.ROLLING_BACK, "left": [], "awaiting": None})
    assert row("goes back", status) == "has to: 1. put the DNS records back"


def test_a_preserved_target_is_named_with_the_day_until_which_it_is_kept() -> None:
    assert row("preserved", incomplete()) == (
        "until 30 Nov 12:00 UTC (in 7 d): i-0123456789abcdef0, snap-0123456789abcdef0"
    )


def test_an_ended_migration_says_how_and_asks_for_nothing() -> None:
    status = migration(
        Phase.ROLLED_BACK,
        steps=at(Step.TEST, StepState.FAILED),
        failure=Failure(type="VerificationError", message="not healthy in the test network"),
        undone=[UndoResult(kind="endTest", what="end the test and terminate its instances", done=True, at=NOW)],
    )
    assert row("must act", status) == "nobody: it has ended"
    assert row("failed", status) == "not healthy in the test network"
    assert row("undone", status) == "end the test and terminate its instances"
    assert "rollback" not in text(status).casefold().replace("rolled_back", "")


# --- one screen ------------------------------------------------------------------------------------------------


def crowded() -> list[MigrationStatus]:
    """The fullest screen of each kind, with the longest words."""
    long = "a reason of many words that goes on and on " * 12
    decisions = [refused("approve", long) for _ in range(50)]
    failure = Failure(type="MigrationExecutionError", message=long, action=long)
    question = Awaiting(
        what="failure", step=Step.SOAK, message=long, choices=("retry", "rollback", "abandon", "commit"), until=NOW
    )
    return [
        gate(decisions=decisions, message=long, undo=undo(Step.APPROVE, Step.TEST, Step.PREPARE)),
        soaking(decisions=decisions, message=long),
        soaking(
            Phase.AWAITING_DECISION,
            steps=at(Step.SOAK, StepState.FAILED),
            message=long,
            decisions=decisions,
            failure=failure,
            awaiting=question,
            preserved=incomplete().preserved,
        ),
        incomplete().model_copy(update={"decisions": decisions, "failure": failure}),
        incomplete(left=9).model_copy(update={"decisions": decisions, "failure": failure}),
    ]


@pytest.mark.parametrize("status", crowded(), ids=lambda status: f"{status.phase}-{len(status.left)}")
def test_everything_about_one_server_fits_on_one_screen(status: MigrationStatus) -> None:
    assert len(shown(status, ["a reason to wait " * 20] * 5)) <= LINES


@pytest.mark.parametrize("phase", list(Phase))
def test_every_phase_has_a_screen(phase: Phase) -> None:
    lines = shown(migration(phase, steps=at(Step.CUTOVER)))
    assert f" {phase} " in lines[0]
    assert len(lines) <= LINES


# --- evidence --------------------------------------------------------------------------------------------------


def test_the_evidence_is_shown_with_its_hash() -> None:
    assert view.evidence(gate()) == {"evidence": {"generation": 1}, "evidenceHash": EVIDENCE}


def test_before_there_is_evidence_that_is_said() -> None:
    with pytest.raises(Conflict, match="mig-billing-20261123 has no evidence yet; it is TESTING"):
        view.evidence(migration(Phase.TESTING))


def a_result(place: HookTime, outcome: HookOutcome) -> HookResult:
    return HookResult(
        key=f"mig/1/cutover/1/{place}",
        ref="AWS-RunShellScript",
        type=HookType.SSM,
        place=place,
        on=HookSide.SOURCE,
        server="billing-web-01",
        step=Step.CUTOVER,
        outcome=outcome,
        when=NOW,
    )


def test_hooks_are_named_with_how_they_ended_and_failed_ones_come_first() -> None:
    results = [
        a_result(HookTime.BEFORE_QUIESCE, HookOutcome.FAILED),
        *(a_result(place, HookOutcome.SUCCEEDED) for place in (HookTime.AFTER_LAUNCH, HookTime.BEFORE_SWITCH)),
        a_result(HookTime.AFTER_SWITCH, HookOutcome.SUCCEEDED),
    ]
    named = "AWS-RunShellScript at"
    assert row("hooks", migration(Phase.SOAKING, hooks=results)).startswith(f"{named} beforeQuiesce failed; {named} ")
    assert row("hooks", migration(Phase.SOAKING, hooks=results[1:2])) == f"{named} afterLaunch succeeded"
    assert not any(line.startswith("hooks") for line in shown(migration(Phase.SOAKING)))
