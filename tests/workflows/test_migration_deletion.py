"""The end of the source: a deletion takes a second approval, and anybody may keep the source until it begins."""

from typing import Any

import pytest

from migration.messages import Message, MessageType
from migration.status import MigrationStatus, Phase, Side
from tests.workflows.migration_requests import APPROVER, OTHER_APPROVER, REQUESTER
from tests.workflows.stage import Migration, Stage, until
from tests.workflows.worlds import World

DELETE: dict[str, Any] = {"sourceAfter": "delete"}
FOR_DELETE = {"for": "delete"}
RETIRING = ("retire_sources", "delete_sources", "retire_items", "remove_source_snapshots")


async def asked_about_deletion(stage: Stage, **parts: Any) -> tuple[Migration, MigrationStatus]:
    """A migration that is past its grace period and asks whether the source may be deleted."""
    migration = await stage.start_light(**(DELETE | parts))
    await migration.approve()
    return migration, await migration.stands(Phase.AWAITING_DECISION, "delete")


def retired(migration: Migration) -> list[str]:
    return migration.world.acted(*RETIRING)


# --- the second approval -----------------------------------------------------------------------------------------


async def test_a_source_is_deleted_only_after_a_second_approval(stage: Stage) -> None:
    migration, status = await asked_about_deletion(stage)
    assert status.awaiting is not None
    assert status.awaiting.who == (APPROVER, OTHER_APPROVER)
    assert status.awaiting.choices == ("approve", "keepSource")
    assert status.awaiting.message == "1 approval(s) of deleting the source"
    assert (status.past_point_of_no_return, status.served_by) == (True, Side.TARGET)
    assert retired(migration) == []
    await migration.decide("approve", APPROVER, comment="let it go", **FOR_DELETE)
    assert (await migration.ends()).status is Phase.COMPLETED
    assert retired(migration) == ["remove_source_snapshots", "delete_sources"]
    (approval,) = (await migration.status()).deletion_approvals
    assert (approval.approver, approval.comment) == (APPROVER, "let it go")


async def test_the_approval_of_the_cutover_is_none_of_the_deletion(stage: Stage) -> None:
    migration, status = await asked_about_deletion(stage)
    assert [approval.approver for approval in status.approvals] == [APPROVER]
    assert status.deletion_approvals == []
    refused = await migration.refuses("approve", OTHER_APPROVER)
    assert "AWAITING_APPROVAL" in refused
    assert retired(migration) == []


async def test_a_deletion_has_the_quorum_of_the_cutover(stage: Stage) -> None:
    rules = {"approvers": [APPROVER, OTHER_APPROVER, REQUESTER], "minimum": 2}
    migration = await stage.start_light(approval=rules, **DELETE)
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    for who in (APPROVER, OTHER_APPROVER):
        await migration.decide("approve", who)
    await migration.stands(Phase.AWAITING_DECISION, "delete")
    stranger = await migration.refuses("approve", "somebody@example.com", **FOR_DELETE)
    assert stranger.startswith("somebody@example.com is not an approver")
    own = await migration.refuses("approve", REQUESTER, **FOR_DELETE)
    assert "another person has to approve it" in own
    first = await migration.decide("approve", APPROVER, **FOR_DELETE)
    assert first.message == "approval 1 of 2 of deleting the source"
    twice = await migration.refuses("approve", APPROVER.upper(), **FOR_DELETE)
    assert twice == f"{APPROVER.upper()} has approved the deletion already"
    assert retired(migration) == []
    await migration.decide("approve", OTHER_APPROVER, **FOR_DELETE)
    assert (await migration.ends()).status is Phase.COMPLETED
    assert retired(migration)[-1] == "delete_sources"


async def test_a_deletion_is_not_approved_before_it_is_asked_for(stage: Stage) -> None:
    migration = await stage.start_light(**DELETE)
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    refused = await migration.refuses("approve", APPROVER, **FOR_DELETE)
    assert refused == "no source waits for an approval of its deletion: the migration is AWAITING_APPROVAL"


async def test_a_deletion_that_waits_is_not_turned_back_and_not_rejected(stage: Stage) -> None:
    migration, _ = await asked_about_deletion(stage)
    assert "point of no return" in await migration.refuses("rollback")
    assert "point of no return" in await migration.refuses("abandon", reason="too late")
    assert "AWAITING_APPROVAL" in await migration.refuses("reject", APPROVER)


async def test_a_deletion_that_waits_is_called_to_mind(stage: Stage) -> None:
    migration, _ = await asked_about_deletion(stage, onFailure={"remindEvery": "PT1S"})

    async def is_reminded() -> bool:
        carried = await migration.handle.query("carried", result_type=dict)
        events = [Message.model_validate(event) for event in carried["events"]]
        reminders = [event for event in events if event.type is MessageType.DECISION_REMINDER]
        return any(reminder.data["awaiting"]["what"] == "delete" for reminder in reminders)

    await until(is_reminded, "a reminder")
    await migration.decide("keepSource")
    await migration.ends()


async def test_a_source_that_is_only_switched_off_needs_no_second_approval(stage: Stage) -> None:
    migration = await stage.start_light(sourceAfter="powerOff")
    await migration.approve()
    assert (await migration.ends()).status is Phase.COMPLETED
    assert "retire_sources" in retired(migration)
    assert "delete_sources" not in retired(migration)


# --- keeping the source ------------------------------------------------------------------------------------------


async def is_kept(migration: Migration) -> None:
    """Wait for the end, at which the source stands as the cutover left it."""
    assert (await migration.ends()).status is Phase.COMPLETED
    assert retired(migration) == []
    status = await migration.status()
    assert status.source_kept_by == "operator-1@example.com"
    assert migration.world.acted("archive") == ["archive"]


async def test_keeping_the_source_answers_the_question_of_its_deletion(stage: Stage) -> None:
    migration, _ = await asked_about_deletion(stage)
    assert (await migration.decide("keepSource")).message == "the source is kept as it is"
    await is_kept(migration)


async def test_one_of_two_approvals_does_not_outweigh_who_keeps_the_source(stage: Stage) -> None:
    rules = {"approvers": [APPROVER, OTHER_APPROVER], "minimum": 2}
    migration = await stage.start_light(approval=rules, **DELETE)
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    for who in (APPROVER, OTHER_APPROVER):
        await migration.decide("approve", who)
    await migration.stands(Phase.AWAITING_DECISION, "delete")
    await migration.decide("approve", APPROVER, **FOR_DELETE)
    await migration.decide("keepSource")
    await is_kept(migration)


@pytest.mark.parametrize("after", ["powerOff", "delete"])
async def test_the_source_can_be_kept_before_its_cutover_already(stage: Stage, after: str) -> None:
    migration = await stage.start_light(sourceAfter=after)
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    await migration.decide("keepSource")
    await migration.decide("approve", APPROVER)
    await is_kept(migration)


async def test_keeping_the_source_ends_its_grace_period(stage: Stage) -> None:
    migration = await stage.start_light(grace="P30D")
    await migration.approve()
    await migration.stands(Phase.DECOMMISSIONING)
    await migration.decide("keepSource")
    await is_kept(migration)


@pytest.mark.parametrize("name", ["start_cutover", "finalize_cutover", "archive"])
async def test_the_source_can_be_kept_until_its_retirement_begins(stage: Stage, name: str) -> None:
    world = World()
    held = world.hold(name)
    migration = await stage.start_light(world)
    await migration.approve()
    await held.is_reached()
    await migration.decide("keepSource")
    held.release()
    await is_kept(migration)


async def test_the_source_cannot_be_kept_once_its_retirement_has_begun(stage: Stage) -> None:
    world = World()
    removing = world.hold("remove_source_snapshots")
    migration = await stage.start_light(world)
    await migration.approve()
    await removing.is_reached()
    refused = await migration.refuses("keepSource")
    assert refused == "the source's retirement cannot be stopped any more: the migration is DECOMMISSIONING"
    removing.release()
    await migration.ends()
    assert "retire_sources" in retired(migration)
    assert (await migration.status()).source_kept_by is None


async def test_a_source_that_the_request_keeps_is_left_alone(stage: Stage) -> None:
    migration = await stage.start_light(sourceAfter="keep")
    await migration.approve()
    assert (await migration.ends()).status is Phase.COMPLETED
    assert migration.world.acted("retire_sources", "delete_sources") == []
