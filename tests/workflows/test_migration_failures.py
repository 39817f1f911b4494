"""A step that fails: what is undone and in which order, or whom the migration waits for."""

from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from migration.findings import Finding, Severity
from migration.status import Phase, Side, StepState
from migration.steps import Step
from tests.workflows.migration_requests import APPROVER
from tests.workflows.runbook import Act, acts_before_the_pivot, acts_of
from tests.workflows.stage import Migration, Stage, until
from tests.workflows.worlds import World

ACTS = acts_before_the_pivot()


def one(name: str, step: Step) -> Act:
    """The act of that name in that step."""
    return next(act for act in ACTS if act.name == name and act.step is step)


UNDONE_TO_START = [act for act in ACTS if act.step is not Step.VALIDATE]
UNDONE_TO_READY = [
    *(one("set_launch_targets", Step.CUTOVER), one("shut_down_sources", Step.CUTOVER), one("await_job", Step.CUTOVER)),
    *(one("protect_targets", Step.SWITCH), one("change_records", Step.SWITCH), one("watch_health", Step.SOAK)),
]
RETRIED = [
    *(one("install_agents", Step.PREPARE), one("await_replication", Step.REPLICATE), one("start_test", Step.TEST)),
    *(one("shut_down_sources", Step.CUTOVER), one("await_health", Step.VERIFY), one("record_move", Step.SWITCH)),
    one("watch_health", Step.SOAK),
]
STEPS = list(Step)


def failing(act: Act) -> World:
    """A world in which this act fails; of a soak, the application."""
    world = World()
    if act.step is Step.SOAK:
        world.unhealthy_watches = 1
    else:
        world.fail(act.name, call=act.call)
    return world


async def approve_if_it_gets_there(migration: Migration, step: Step) -> None:
    if STEPS.index(step) > STEPS.index(Step.APPROVE):
        await migration.approve()


# --- onFailure: rollback -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("act", UNDONE_TO_START, ids=str)
async def test_a_failed_step_is_undone_to_the_start(stage: Stage, act: Act) -> None:
    world = failing(act)
    migration = await stage.start(world, rollback={"to": "start", "afterSwitch": "auto"})
    await approve_if_it_gets_there(migration, act.step)
    result = await migration.ends()
    assert (result.status, result.served_by) == (Phase.ROLLED_BACK, Side.SOURCE)
    assert result.failure is not None
    assert result.failure.message in result.message
    assert world.since(act.name, call=act.call) == act.to_start
    assert [request.status for request in world.asked("finish_claim")] == ["ROLLED_BACK"]
    status = await migration.status()
    assert status.undo == []
    assert all(undone.done for undone in status.undone)
    assert {line.state for line in status.steps} <= {StepState.UNDONE, StepState.PENDING}


@pytest.mark.parametrize("act", UNDONE_TO_READY, ids=str)
async def test_a_failed_cutover_goes_back_to_the_gate(stage: Stage, act: Act) -> None:
    world = failing(act)
    migration = await stage.start(world, rollback={"to": "ready", "afterSwitch": "auto"})
    await approve_if_it_gets_there(migration, act.step)
    await at_the_gate_again(migration)
    assert act.to_ready is not None
    assert world.since(act.name, call=act.call) == [*act.to_ready, "await_replication"]
    status = await migration.status()
    assert (status.served_by, status.approvals, status.divergence_since) == (Side.SOURCE, [], None)
    assert [line.kind for line in status.undo] == ["endTest", "removeReplication"]
    assert world.asked("finish_claim") == []


@pytest.mark.parametrize("name", ["shut_down_sources", "record_move"])
async def test_a_second_cutover_after_a_rollback_to_ready_completes(stage: Stage, name: str) -> None:
    world = World()
    world.fail(name)
    migration = await stage.start(world, rollback={"to": "ready", "afterSwitch": "auto"})
    await migration.approve()
    await at_the_gate_again(migration)
    await migration.decide("approve", APPROVER)
    result = await migration.ends()
    assert (result.status, result.served_by, result.failure) == (Phase.COMPLETED, Side.TARGET, None)
    status = await migration.status()
    entries = {line.step: line.entry for line in status.steps}
    assert (entries[Step.TEST], entries[Step.REPLICATE], entries[Step.APPROVE], entries[Step.CUTOVER]) == (1, 2, 2, 2)
    marks = [str(launch.mark) for launch in world.asked("start_cutover")]
    assert marks[-1] == f"{migration.migration_id}/1/cutover/2"
    assert world.asked("await_job")[-1].job_id in world.launched


async def test_a_rollback_of_a_failed_test_has_no_gate_to_go_back_to(stage: Stage) -> None:
    world = World()
    world.fail("start_test")
    migration = await stage.start(world, rollback={"to": "ready"})
    assert (await migration.ends()).status is Phase.ROLLED_BACK
    assert world.acted()[-1] == "remove_records"


async def test_records_are_marked_ready_again_before_a_second_launch(stage: Stage) -> None:
    world = World()
    world.fail("start_cutover")
    migration = await stage.start(world, rollback={"to": "ready"})
    await migration.approve()
    await at_the_gate_again(migration)
    await migration.decide("approve", APPROVER)
    await migration.ends()
    second = world.acted()[len(world.acted()) - world.acted()[::-1].index("set_launch_targets") :]
    assert second[:3] == ["change_life_cycle", "await_replication", "shut_down_sources"]


# --- validate ----------------------------------------------------------------------------------------------------


async def test_a_critical_finding_fails_the_migration_with_nothing_undone(stage: Stage) -> None:
    findings = [
        Finding(code="SUBNET_MISSING", severity=Severity.CRITICAL, message="subnet-0a1b2c3d does not exist"),
        Finding(code="TOOLS_NOT_RUNNING", severity=Severity.WARNING, message="the guest tools do not run"),
    ]
    migration = await stage.start(World(findings=findings))
    failure = await migration.fails()
    assert (failure.type, failure.message) == ("PrerequisiteError", "subnet-0a1b2c3d does not exist")
    assert migration.world.acted() == ["check_prerequisites"]
    assert [request.status for request in migration.world.asked("finish_claim")] == ["FAILED"]
    seen = migration.world.seen()
    assert seen is not None
    assert [finding.code for finding in seen.findings] == ["SUBNET_MISSING", "TOOLS_NOT_RUNNING"]
    assert seen.phase is Phase.FAILED


async def test_a_refused_claim_fails_the_migration_and_gives_back_only_what_its_own_run_holds(stage: Stage) -> None:
    world = World()
    refusal = ApplicationError(
        "billing-web-01 is being migrated by mig-other",
        {"action": "Wait for it."},
        type="PrerequisiteError",
        non_retryable=True,
    )
    world.fail("claim_migration", refusal)
    migration = await stage.start(world)
    failure = await migration.fails()
    assert (failure.type, failure.message) == ("PrerequisiteError", "billing-web-01 is being migrated by mig-other")
    assert failure.details[0] == {"action": "Wait for it."}
    assert world.acted() == []
    (given_back,) = world.asked("finish_claim")
    assert (given_back.generation, given_back.first_run_id) == (0, migration.handle.first_execution_run_id)


async def test_a_refused_check_fails_the_migration_even_where_failures_pause(stage: Stage) -> None:
    world = World()
    world.fail("check_prerequisites")
    migration = await stage.start(world, onFailure={"action": "pause"})
    assert (await migration.fails()).message == "check_prerequisites failed"


# --- onFailure: pause --------------------------------------------------------------------------------------------

PAUSE = {"onFailure": {"action": "pause"}}


@pytest.mark.parametrize("act", RETRIED, ids=str)
async def test_a_paused_step_is_entered_again_on_retry(stage: Stage, act: Act) -> None:
    world = failing(act)
    migration = await stage.start(world, **PAUSE)
    await approve_if_it_gets_there(migration, act.step)
    status = await migration.stands(Phase.AWAITING_DECISION, "failure")
    assert status.awaiting is not None
    assert status.awaiting.message.startswith(f"{act.step} failed: ")
    assert ("skip" in status.awaiting.choices) is (act.step is Step.VERIFY)
    assert world.since(act.name, call=act.call) == []
    await migration.decide("retry")
    await entered_again(migration, act.step)
    if act.step is not Step.SOAK:
        await migration.is_reached(act.name, act.call + 1)


async def test_a_migration_that_was_retried_completes_without_a_failure(stage: Stage) -> None:
    world = World()
    world.fail("start_cutover")
    migration = await stage.start(world, **PAUSE)
    await migration.approve()
    await migration.stands(Phase.AWAITING_DECISION, "failure")
    await migration.decide("retry")
    result = await migration.ends()
    assert (result.status, result.served_by, result.failure) == (Phase.COMPLETED, Side.TARGET, None)


async def test_a_cutover_retried_with_its_source_off_does_not_wait_for_its_replication(stage: Stage) -> None:
    world = World()
    world.fail("start_cutover")
    migration = await stage.start(world, **PAUSE)
    await migration.approve()
    await migration.stands(Phase.AWAITING_DECISION, "failure")
    await migration.decide("retry")
    await migration.ends()
    again = ["set_launch_targets", "change_life_cycle", "shut_down_sources", "snapshot_sources", "start_cutover"]
    assert world.since("start_cutover")[: len(again)] == again


async def test_a_failed_verification_may_be_skipped_with_a_reason(stage: Stage) -> None:
    world = World()
    world.fail("await_health", call=2)
    migration = await stage.start(world, **PAUSE)
    await migration.approve()
    await migration.stands(Phase.AWAITING_DECISION, "failure")
    assert "$.reason" in await migration.refuses("skip")
    await migration.decide("skip", reason="looked at it myself")
    result = await migration.ends()
    assert (result.status, result.served_by) == (Phase.COMPLETED, Side.TARGET)
    states = {line.step: line.state for line in (await migration.status()).steps}
    assert states[Step.VERIFY] is StepState.SKIPPED


async def test_a_step_that_others_build_on_is_not_skipped(stage: Stage) -> None:
    world = World()
    world.fail("install_agents")
    migration = await stage.start_light(world, **PAUSE)
    await migration.stands(Phase.AWAITING_DECISION, "failure")
    refused = await migration.refuses("skip", reason="who needs agents")
    assert refused == "nothing waits for skip: the migration is AWAITING_DECISION"


async def test_a_paused_step_is_rolled_back_when_a_person_says_so(stage: Stage) -> None:
    world = World()
    world.fail("await_job", call=2)
    migration = await stage.start(world, **PAUSE)
    await migration.approve()
    await migration.stands(Phase.AWAITING_DECISION, "failure")
    await migration.decide("rollback", by=APPROVER, to="start", comment="enough for today")
    result = await migration.ends()
    assert (result.status, result.message) == (*(Phase.ROLLED_BACK, f"rollback by {APPROVER}: enough for today"),)
    assert world.since("await_job", call=2) == one("await_job", Step.CUTOVER).to_start


async def test_a_paused_step_rolls_back_when_its_deadline_passes(stage: Stage) -> None:
    world = World()
    world.fail("configure_replication")
    migration = await stage.start_light(world, onFailure={"action": "pause", "deadline": "PT1S"})
    status = await migration.stands(Phase.AWAITING_DECISION, "failure")
    assert status.awaiting is not None
    assert status.awaiting.until is not None
    result = await migration.ends()
    assert (result.status, result.message) == (*(Phase.ROLLED_BACK, "prepare failed: configure_replication failed"),)
    assert world.since("configure_replication") == ["remove_records"]


async def test_a_transient_failure_is_tried_again_by_itself(stage: Stage) -> None:
    world = World()
    world.fail("install_agents", ApplicationError("throttled", type="Unavailable"))
    migration = await stage.start_light(world, steps=["validate", "prepare"], migrationType="test")

    def works_from_now_on() -> bool:
        if world.attempts["install_agents"]:
            world.repair("install_agents")
        return bool(world.attempts["install_agents"])

    await until(works_from_now_on, "the first attempt")
    await migration.ends()
    assert world.acted() == acts_of([Step.VALIDATE, Step.PREPARE])
    assert world.attempts["install_agents"] > 1


async def at_the_gate_again(migration: Migration) -> None:
    await entered_again(migration, Step.APPROVE)
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")


async def entered_again(migration: Migration, step: Step) -> None:
    def again() -> Any:
        seen = migration.world.seen()
        return seen and next(line for line in seen.steps if line.step is step).entry > 1

    await until(again, f"{step} is entered again")
