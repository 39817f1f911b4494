"""The soak watches what leads users to the target, too: a record that somebody else changes is a failing soak."""

from typing import Any

from migration.messages import MessageType
from migration.status import MigrationStatus, Phase, Side
from migration.steps import Step
from tests.workflows.migration_requests import a_health_check
from tests.workflows.stage import Migration, Stage, until
from tests.workflows.worlds import World

ELSEWHERE = "billing.example.internal: 192.0.2.1:53 says 192.0.2.99"
LONG: dict[str, Any] = {"soak": {"for": "PT1H", "end": "commit"}}
CHECKED: dict[str, Any] = {"healthChecks": [a_health_check("billing-web-01")]}


async def soaking(stage: Stage, **parts: Any) -> Migration:
    """A migration in a long soak."""
    migration = await stage.start_light(**(LONG | CHECKED | parts))
    await migration.approve()
    await migration.is_reached("watch_records")
    await migration.is_reached("watch_health")
    return migration


async def misled(stage: Stage, **parts: Any) -> tuple[Migration, MigrationStatus]:
    """The same, where somebody changes the record, and the migration asks what to do."""
    migration = await soaking(stage, **parts)
    migration.world.wrong_names = ELSEWHERE
    return migration, await migration.stands(Phase.AWAITING_DECISION, "failure")


async def test_the_records_are_watched_as_the_switch_has_left_them(stage: Stage) -> None:
    migration = await soaking(stage)
    (watched,) = migration.world.asked("watch_records")
    (switched,) = migration.world.asked("change_records")
    assert watched.changes == switched.changes
    assert watched.until == migration.world.asked("watch_health")[0].until
    status = await migration.status()
    assert (status.phase, status.served_by) == (Phase.SOAKING, Side.TARGET)


async def test_a_record_that_somebody_changed_is_a_persons_decision(stage: Stage) -> None:
    migration, status = await misled(stage)
    assert status.awaiting is not None
    assert status.awaiting.step is Step.SOAK
    assert status.awaiting.message == f"soak failed: DNS does not lead to the target any more: {ELSEWHERE}"
    assert status.awaiting.choices == ("retry", "rollback", "abandon", "commit")
    assert status.served_by is Side.TARGET
    assert migration.world.asked("restore_records") == []


async def test_a_record_that_was_put_right_is_watched_on_after_a_retry(stage: Stage) -> None:
    migration, _ = await misled(stage)
    migration.world.wrong_names = None
    await migration.decide("retry")
    await migration.is_reached("watch_records", 2)
    await migration.decide("commit")
    assert (await migration.ends()).served_by is Side.TARGET


async def test_a_record_that_somebody_changed_rolls_back_where_the_request_says_so(stage: Stage) -> None:
    migration = await soaking(stage, rollback={"to": "start", "afterSwitch": "auto"})
    migration.world.wrong_names = ELSEWHERE
    result = await migration.ends()
    assert (result.status, result.served_by) == (Phase.ROLLED_BACK, Side.SOURCE)
    assert ELSEWHERE in result.message
    assert len(result.preserved) == 1, "what the target wrote is kept"
    assert len(migration.world.asked("restore_records")) == 1


async def test_records_are_watched_while_a_commit_is_waited_for(stage: Stage) -> None:
    migration = await stage.start_light(**CHECKED, soak={"for": "PT0S", "end": "wait"})
    await migration.approve()
    await migration.stands(Phase.SOAKING, "commit")
    await migration.is_reached("watch_records", 2)
    migration.world.wrong_names = ELSEWHERE
    status = await migration.stands(Phase.AWAITING_DECISION, "failure")
    assert status.awaiting is not None
    assert ELSEWHERE in status.awaiting.message
    await migration.decide("commit", comment="that is our own load balancer")
    assert (await migration.ends()).status is Phase.COMPLETED


async def test_a_commit_that_does_not_come_is_called_to_mind(stage: Stage) -> None:
    soak, reminders_come = {"for": "PT0S", "end": "wait"}, {"remindEvery": "PT1S"}
    migration = await stage.start_light(soak=soak, onFailure=reminders_come)
    await migration.approve()
    await migration.stands(Phase.SOAKING, "commit")

    async def is_reminded() -> bool:
        carried = await migration.handle.query("carried", result_type=dict)
        reminders = [event for event in carried["events"] if event["type"] == MessageType.DECISION_REMINDER]
        return any(event["data"]["awaiting"]["what"] == "commit" for event in reminders)

    await until(is_reminded, "a reminder")
    await migration.decide("commit")
    assert (await migration.ends()).status is Phase.COMPLETED


async def test_without_records_there_are_none_to_watch(stage: Stage) -> None:
    migration = await stage.start_light(World(), dns=[])
    await migration.approve()
    assert (await migration.ends()).status is Phase.COMPLETED
    assert migration.world.asked("watch_records") == []
