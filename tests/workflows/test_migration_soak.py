"""The soak watches what leads users to the target, too: a record that somebody else changes is a failing soak."""

from typing import Any

from migration.messages import MessageType
from migration.status import MigrationStatus, Phase, Side
from migration.steps import Step
from tests.workflows.migration_requests import a_health_check, a_record
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


async def test_checks_go_by_address_before_the_switch_and_through_dns_after_it(stage: Stage) -> None:
    command = {"type": "ssm", "server": "billing-web-01", "command": "true", "during": ["verify", "soak"]}
    port = {"type": "tcp", "server": "billing-web-01", "port": 5432, "during": ["test", "verify"]}
    migration = await soaking(stage, healthChecks=[a_health_check("billing-web-01"), port, command])
    (verified,), (watched,) = migration.world.asked("await_health"), migration.world.asked("watch_health")
    (instance,) = [server.instance_id for server in (await migration.status()).servers]
    assert [target.what for target in verified.targets] == [
        "http://10.2.0.11:8080/health",
        "tcp 10.2.0.11:5432",
        f"ssm {instance}: true",
    ]
    assert [target.what for target in watched.targets] == [
        "http://billing.example.internal:8080/health",
        f"ssm {instance}: true",
    ]
    assert watched.targets[0].name.addresses == ("10.2.0.11",)
    assert (str(verified.mark), str(watched.mark)) == (
        f"{migration.migration_id}/1/verify/1",
        f"{migration.migration_id}/1/soak/1",
    )


async def test_a_server_that_no_record_leads_to_is_watched_by_its_address(stage: Stage) -> None:
    elsewhere = {**a_record("billing-web-01"), "to": {"address": "10.9.0.1"}}
    migration = await soaking(stage, dns=[elsewhere])
    (watched,) = migration.world.asked("watch_health")
    assert [target.what for target in watched.targets] == ["http://10.2.0.11:8080/health"]


async def test_what_the_watch_found_last_is_in_the_status(stage: Stage) -> None:
    world = World()
    world.unhealthy_watches = 1
    migration = await stage.start_light(world, **CHECKED)
    await migration.approve()
    status = await migration.stands(Phase.AWAITING_DECISION, "failure")
    (found,) = status.checks
    assert (found.check, found.healthy, found.found) == (
        "http://billing.example.internal:8080/health",
        False,
        "HTTP 503",
    )


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
