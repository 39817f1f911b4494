"""Standing still: for a person after a failure, who may change a setting; and for an operator, where that is safe."""

from datetime import timedelta
from typing import Any

import pytest

from migration.changes import Changed
from migration.messages import Message, MessageType
from migration.status import MigrationStatus, Phase, Side
from migration.steps import Step
from tests.workflows.migration_requests import APPROVER
from tests.workflows.stage import Migration, Stage, until
from tests.workflows.worlds import World

PAUSE: dict[str, Any] = {"onFailure": {"action": "pause"}}
STEPS = list(Step)
TEST_SUBNET, OTHER_SUBNET = "subnet-00000001", "subnet-0f0f0f0f"
TARGET: dict[str, Any] = {
    "type": "aws-mgn",
    "accountId": "123456789012",
    "region": "eu-central-1",
    "subnetId": "subnet-0a1b2c3d",
    "securityGroupIds": ["sg-0a1b2c3d"],
    "instanceType": "m5.large",
    "test": {"subnetId": TEST_SUBNET, "securityGroupIds": ["sg-00000001"]},
}

# Where each step is made to fail, and which call of that activity does.
FAILS = {
    Step.PREPARE: ("install_agents", 1),
    Step.REPLICATE: ("await_replication", 1),
    Step.TEST: ("await_job", 1),
    Step.CUTOVER: ("start_cutover", 1),
    Step.VERIFY: ("await_health", 2),
    Step.SWITCH: ("record_move", 1),
}


async def paused(stage: Stage, step: Step, **parts: Any) -> Migration:
    """A migration whose step has failed and that asks what to do."""
    world = World()
    if step is Step.SOAK:
        world.unhealthy_watches = 1
    else:
        name, call = FAILS[step]
        world.fail(name, call=call)
    migration = await stage.start(world, **(PAUSE | {"target": TARGET} | parts))
    if STEPS.index(step) > STEPS.index(Step.APPROVE):
        await migration.approve()
    await migration.stands(Phase.AWAITING_DECISION, "failure")
    return migration


async def events(migration: Migration) -> list[Message]:
    """What a bus would have been told so far."""
    found: list[Message] = (await migration.handle.query("carried", result_type=dict)).get("events", [])
    return [Message.model_validate(event) for event in found]


def callbacks(migration: Migration) -> list[Message]:
    """What the requester's endpoint has been told so far."""
    return [Message.model_validate_json(request.body) for request in migration.world.delivered]


# --- what is asked -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [*FAILS, Step.SOAK])
async def test_a_paused_step_says_what_failed_why_and_what_may_be_decided(stage: Stage, step: Step) -> None:
    migration = await paused(stage, step)
    status = await migration.status()
    why = "503" if step is Step.SOAK else f"{FAILS[step][0]} failed"
    awaiting = status.awaiting
    assert awaiting is not None
    assert awaiting.step is step
    assert awaiting.message.startswith(f"{step} failed: ")
    assert why in awaiting.message
    extra = {Step.VERIFY: ("skip",), Step.SOAK: ("commit",)}.get(step, ())
    assert set(awaiting.choices) == {"retry", "rollback", "abandon", *extra}
    assert awaiting.until is None
    line = next(line for line in status.steps if line.step is step)
    assert line.failure is not None
    assert why in line.failure.message
    assert status.undo, "what a rollback would do now is shown"


async def test_the_deadline_of_a_decision_is_shown_and_leads_back_to_the_gate(stage: Stage) -> None:
    migration = await paused(stage, Step.CUTOVER, onFailure={"action": "pause", "deadline": "PT3S"})
    status = await migration.status()
    assert status.awaiting is not None
    assert status.awaiting.until is not None
    assert status.served_by is Side.NOBODY
    again = await at_the_gate_again(migration)
    assert again.served_by is Side.SOURCE
    assert migration.world.acted("retire_sources", "remove_records") == []


async def test_a_retry_or_skip_of_another_step_than_the_one_that_waits_is_refused(stage: Stage) -> None:
    migration = await paused(stage, Step.VERIFY)
    refused = await migration.refuses("retry", step="cutover")
    assert refused == "cutover is not the step that waits for it; verify is"
    refused = await migration.refuses("skip", step="cutover", reason="no need")
    assert refused == "cutover is not the step that waits for it; verify is"
    await migration.decide("retry", step="verify")
    assert (await migration.ends()).status is Phase.COMPLETED


async def test_a_pending_decision_is_called_to_mind_by_callback_and_event(stage: Stage) -> None:
    reminding = {"action": "pause", "remindEvery": "PT1S"}
    migration = await paused(
        stage, Step.PREPARE, onFailure=reminding, callbackUrl="https://hooks.example.com/migrations"
    )

    def reminders() -> list[Message]:
        return [message for message in callbacks(migration) if message.type is MessageType.DECISION_REMINDER]

    await until(lambda: len(reminders()) > 1, "two reminders are sent")
    assert {message.data["status"] for message in reminders()} == {Phase.AWAITING_DECISION}
    assert reminders()[0].data["awaiting"]["step"] == Step.PREPARE
    assert [event.type for event in await events(migration)].count(MessageType.DECISION_REMINDER) > 1


async def test_an_approval_that_does_not_come_is_called_to_mind(stage: Stage) -> None:
    migration = await stage.start_light(onFailure={"action": "pause", "remindEvery": "PT1S"})
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")

    async def is_reminded() -> bool:
        return MessageType.DECISION_REMINDER in {event.type for event in await events(migration)}

    await until(is_reminded, "a reminder")
    await migration.decide("approve", APPROVER)
    assert (await migration.ends()).status is Phase.COMPLETED


# --- a changed setting -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("step", "call"), [(Step.TEST, 2), (Step.CUTOVER, 3)])
async def test_the_next_launch_is_made_with_the_changed_settings(stage: Stage, step: Step, call: int) -> None:
    migration = await paused(stage, step)
    change = {"instanceType": "m5.xlarge", "subnetId": OTHER_SUBNET}
    if step is Step.CUTOVER:
        change["server"] = "billing-web-01"
    answer = await migration.decide("retry", change=change)
    assert answer.message == "trying again, with another instanceType, subnetId"
    await migration.is_reached("set_launch_targets", call)
    before, after = migration.world.asked("set_launch_targets")[call - 2 : call]
    (was,), (launched,) = (launch.servers for launch in (before, after))
    assert was.target.instance_type == "m5.large"
    assert (launched.target.instance_type, launched.target.subnet_id) == ("m5.xlarge", OTHER_SUBNET)
    assert was.target.security_group_ids == launched.target.security_group_ids


async def test_another_test_subnet_does_not_move_production(stage: Stage) -> None:
    migration = await paused(stage, Step.TEST)
    await migration.decide("retry", change={"subnetId": OTHER_SUBNET})
    await migration.approve()
    await migration.ends()
    subnets = [launch.servers[0].target.subnet_id for launch in migration.world.asked("set_launch_targets")]
    assert subnets == [TEST_SUBNET, OTHER_SUBNET, TARGET["subnetId"]]


@pytest.mark.parametrize("step", [Step.TEST, Step.VERIFY])
async def test_the_next_health_check_is_the_changed_one(stage: Stage, step: Step) -> None:
    world = World()
    world.fail("await_health", call=1 if step is Step.TEST else 2)
    migration = await stage.start(world, **PAUSE)
    if step is Step.VERIFY:
        await migration.approve()
    await migration.stands(Phase.AWAITING_DECISION, "failure")
    new = {"url": "http://{privateIp}:9090/ready", "expectStatus": 204}
    await migration.decide("retry", change={"server": "billing-web-01", "healthCheck": new})
    calls = 2 if step is Step.TEST else 3
    await migration.is_reached("await_health", calls)
    *_, before, after = (request.targets[0] for request in world.asked("await_health")[:calls])
    assert (before.what, before.check.expect_status) == ("http://10.2.0.11:8080/health", 200)
    assert (after.what, after.check.expect_status) == ("http://10.2.0.11:9090/ready", 204)
    assert after.check.within == before.check.within


async def test_the_soak_watches_the_changed_health_check(stage: Stage) -> None:
    migration = await paused(stage, Step.SOAK)
    await migration.decide("retry", change={"healthCheck": {"expectStatus": 204}})
    await migration.ends()
    watched = [request.targets[0].check.expect_status for request in migration.world.asked("watch_health")]
    assert watched == [200, 204]


async def test_the_lag_gate_and_the_watch_at_the_gate_use_the_changed_lag(stage: Stage) -> None:
    migration = await paused(stage, Step.REPLICATE)
    await migration.decide("retry", change={"maxLag": "PT42M"})
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    await migration.is_reached("watch_replication")
    world, changed = migration.world, timedelta(minutes=42)
    assert [request.max_lag for request in world.asked("await_replication")] == [timedelta(minutes=5), changed]
    assert world.asked("watch_replication")[0].max_lag == changed


async def test_a_changed_setting_is_carried_over_continue_as_new(stage: Stage) -> None:
    migration = await paused(stage, Step.TEST)
    await migration.decide("retry", change={"instanceType": "m5.xlarge"})
    await migration.approve()
    await migration.ends()
    types = [launch.servers[0].target.instance_type for launch in migration.world.asked("set_launch_targets")]
    assert types == ["m5.large", "m5.xlarge", "m5.xlarge"]
    kept: list[list[Changed]] = [run.changes for run in await migration.carried()]
    assert [len(changes) for changes in kept] == [0, 1, 1, 1]
    assert (kept[-1][0].step, kept[-1][0].change.instance_type) == (Step.TEST, "m5.xlarge")


async def test_a_changed_setting_may_come_as_a_signal(stage: Stage) -> None:
    migration = await paused(stage, Step.CUTOVER)
    await migration.signal("retry", change={"instanceType": "m5.xlarge"})
    await migration.ends()
    assert migration.world.asked("set_launch_targets")[-1].servers[0].target.instance_type == "m5.xlarge"


REFUSED_CHANGES: dict[str, tuple[Step, dict[str, Any], str]] = {
    "nothing helps agents": (Step.PREPARE, {"instanceType": "m5.xlarge"}, "prepare is not helped by another"),
    "a lag does not help a test": (Step.TEST, {"maxLag": "PT1H"}, "settings to change here: healthCheck, instanceType"),
    "a check does not help a launch": (Step.CUTOVER, {"healthCheck": {"expectStatus": 204}}, "settings to change here"),
    "a launch is over in verify": (Step.VERIFY, {"subnetId": OTHER_SUBNET}, "settings to change here: healthCheck"),
    "no type of instance": (Step.TEST, {"instanceType": "large"}, "$.change.instanceType: expected an EC2 instance"),
    "no subnet": (Step.CUTOVER, {"subnetId": "web"}, "$.change.subnetId: expected a subnet id"),
    "no status": (Step.VERIFY, {"healthCheck": {"expectStatus": 7}}, "$.change.healthCheck.expectStatus: "),
    "no such setting": (Step.TEST, {"colour": "blue"}, "$.change.colour"),
    "nothing": (Step.TEST, {}, "at least one of instanceType, subnetId, healthCheck, maxLag"),
    "no such server": (Step.TEST, {"server": "x-99", "instanceType": "m5.xlarge"}, "the request has no server x-99"),
}


@pytest.mark.parametrize("kind", REFUSED_CHANGES)
async def test_a_change_that_cannot_be_is_refused_and_changes_nothing(stage: Stage, kind: str) -> None:
    step, change, words = REFUSED_CHANGES[kind]
    migration = await paused(stage, step)
    assert words in await migration.refuses("retry", change=change)
    status = await migration.status()
    assert (status.phase, status.awaiting and status.awaiting.step) == (Phase.AWAITING_DECISION, step)
    carried = await migration.handle.query("carried", result_type=dict)
    assert carried["changes"] == []


async def test_a_setting_is_changed_only_where_a_step_has_failed(stage: Stage) -> None:
    world = World()
    world.fail("archive")
    migration = await stage.start_light(world)
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    assert "nothing waits for retry" in await migration.refuses("retry", change={"instanceType": "m5.xlarge"})
    await migration.decide("approve", APPROVER)
    await migration.stands(Phase.AWAITING_DECISION, "failure")
    refused = await migration.refuses("retry", change={"instanceType": "m5.xlarge"})
    assert refused == "a setting is changed with the retry of a failed step; none waits for one"


# --- an operator's pause -----------------------------------------------------------------------------------------


async def test_a_paused_migration_does_not_begin_its_cutover_until_somebody_resumes_it(stage: Stage) -> None:
    migration = await stage.start_light()
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    await migration.decide("pause")
    await migration.decide("approve", APPROVER)
    status = await migration.stands(Phase.AWAITING_DECISION, "resume")
    assert status.awaiting is not None
    assert status.awaiting.choices == ("resume", "rollback", "abandon")
    assert (status.paused_by, status.served_by) == ("operator-1@example.com", Side.SOURCE)
    assert migration.world.asked("shut_down_sources") == []
    await migration.decide("resume", "operator-2@example.com")
    assert (await migration.ends()).status is Phase.COMPLETED
    assert (await migration.status()).paused_by is None


async def test_a_pause_outlives_continue_as_new(stage: Stage) -> None:
    world = World()
    testing = world.hold("terminate_targets")
    migration = await stage.start(world)
    await testing.is_reached()
    await migration.decide("pause")
    testing.release()
    await migration.stands(Phase.AWAITING_DECISION, "resume")
    runs = await migration.carried()
    assert [run.renewed for run in runs][-1] == "approve/1"
    assert runs[-1].status.paused_by == "operator-1@example.com"
    await migration.decide("resume")
    await migration.approve()
    assert (await migration.ends()).status is Phase.COMPLETED


@pytest.mark.parametrize("name", ["shut_down_sources", "start_cutover", "protect_targets"])
async def test_nobody_waits_for_a_resume_while_nobody_serves(stage: Stage, name: str) -> None:
    world = World()
    held = world.hold(name)
    migration = await stage.start(world)
    await migration.approve()
    await held.is_reached()
    await migration.decide("pause")
    held.release()
    status = await migration.stands(Phase.AWAITING_DECISION, "resume")
    assert (status.served_by, status.down_since) == (Side.TARGET, None)
    assert world.acted()[-1] == "record_move"
    await migration.decide("resume")
    assert (await migration.ends()).status is Phase.COMPLETED


async def test_after_the_pivot_a_pause_offers_no_way_back(stage: Stage) -> None:
    world = World()
    pivot = world.hold("finalize_cutover")
    migration = await stage.start(world)
    await migration.approve()
    await pivot.is_reached()
    await migration.decide("pause")
    pivot.release()
    status = await migration.stands(Phase.AWAITING_DECISION, "resume")
    assert status.awaiting is not None
    assert status.awaiting.choices == ("resume",)
    assert "archive" not in world.acted()
    await migration.decide("resume")
    assert (await migration.ends()).status is Phase.COMPLETED


async def test_a_paused_migration_can_be_turned_back(stage: Stage) -> None:
    migration = await stage.start_light()
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    await migration.decide("pause")
    await migration.decide("approve", APPROVER)
    await migration.stands(Phase.AWAITING_DECISION, "resume")
    await migration.decide("abandon", reason="not this year")
    assert (await migration.ends()).status is Phase.CANCELLED


async def test_a_rollback_is_not_paused(stage: Stage) -> None:
    world = World()
    world.fail("start_cutover")
    restoring = world.hold("restore_sources")
    world.fail("remove_source_snapshots")
    migration = await stage.start(world)
    await migration.approve()
    await restoring.is_reached()
    assert await migration.refuses("pause") == "pause is refused: the migration is ROLLING_BACK"
    restoring.release()
    await migration.stands(Phase.ROLLBACK_INCOMPLETE, "undo")
    assert await migration.refuses("pause") == "pause is refused: the migration is ROLLBACK_INCOMPLETE"


async def test_a_pause_and_a_resume_have_to_make_a_difference(stage: Stage) -> None:
    migration = await stage.start_light()
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    assert await migration.refuses("resume") == "nothing to resume: the migration is not paused"
    await migration.decide("pause")
    assert await migration.refuses("pause", APPROVER) == "paused already, by operator-1@example.com"


# --- refused decisions -------------------------------------------------------------------------------------------


async def test_each_refused_decision_is_an_event_with_its_reason_and_no_callback(stage: Stage) -> None:
    migration = await stage.start_light(callbackUrl="https://hooks.example.com/migrations")
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    reasons = [
        await migration.refuses("commit"),
        await migration.refuses("approve", "somebody@example.com"),
        await migration.refuses("resume"),
    ]
    refused = [event for event in await events(migration) if event.type is MessageType.DECISION_REFUSED]
    assert len(refused) == len(reasons)
    for event, reason in zip(refused, reasons, strict=True):
        assert reason in event.data["message"]
    records = [record for record in (await migration.status()).decisions if not record.accepted]
    assert [record.message for record in records] == reasons
    await migration.decide("approve", APPROVER)
    await migration.ends()
    assert (await migration.carried())[-1].events[: len(refused)] != []
    kinds = {message.type for message in callbacks(migration)}
    assert MessageType.DECISION_REFUSED not in kinds
    assert MessageType.STATUS_CHANGED in kinds


async def test_refused_signals_are_events_too(stage: Stage) -> None:
    migration = await stage.start_light()
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    await migration.signal("commit")

    async def is_told() -> bool:
        return MessageType.DECISION_REFUSED in {event.type for event in await events(migration)}

    await until(is_told, "the refusal is an event")


async def at_the_gate_again(migration: Migration) -> MigrationStatus:
    def again() -> Any:
        seen = migration.world.seen()
        return seen and next(line for line in seen.steps if line.step is Step.APPROVE).entry > 1

    await until(again, "the gate is entered again")
    return await migration.stands(Phase.AWAITING_APPROVAL, "approve")
