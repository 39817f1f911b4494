"""The pivot, and how records leave the service, over a strict MGN in memory."""

from datetime import timedelta

import pytest

from activities.mgn import ApplicationMigration, RemoveRecords, SourceServers
from migration.marks import MIGRATION_TAG, Mark
from migration.ports import Where
from migration.steps import Step
from tests.fakes.ec2 import PopulatedCloud
from tests.fakes.environment import Attempts
from tests.fakes.mgn import FakeReplication

WHERE = Where(account_id="123456789012", region="eu-central-1")
PREPARE = Mark(migration_id="mig-a", generation=1, step=Step.PREPARE, entry=1, correlation_id="mig-a")


@pytest.fixture
def mgn() -> FakeReplication:
    return FakeReplication()


@pytest.fixture
def activities(mgn: FakeReplication) -> ApplicationMigration:
    cloud = PopulatedCloud()
    return ApplicationMigration(
        lambda _: mgn, lambda _: cloud, timedelta(minutes=2), timedelta(minutes=1), timedelta(seconds=20)
    )


def servers(*ids: str) -> SourceServers:
    return SourceServers(where=WHERE, source_server_ids=ids)


def test_the_pivot_finalizes_each_record_once(mgn: FakeReplication, activities: ApplicationMigration) -> None:
    mgn.add("s-1", "CUTTING_OVER")
    mgn.add("s-2", "CUTTING_OVER")
    mgn.lose_reply("finalize_cutover")
    environment = Attempts()
    assert environment.error(activities.finalize_cutover, servers("s-1", "s-2")).type == "Unavailable"
    environment.attempt(activities.finalize_cutover, servers("s-1", "s-2"))
    assert mgn.effects == [("finalize_cutover", "s-1"), ("finalize_cutover", "s-2")]


def test_no_record_is_finalized_while_one_of_them_cannot_be(
    mgn: FakeReplication, activities: ApplicationMigration
) -> None:
    mgn.add("s-1", "CUTTING_OVER")
    mgn.add("s-2", "READY_FOR_CUTOVER")
    error = Attempts().error(activities.finalize_cutover, servers("s-1", "s-2"))
    assert (error.type, error.non_retryable) == ("CutoverError", True)
    assert "s-2 READY_FOR_CUTOVER" in error.message
    assert not mgn.effects


def test_records_with_another_migrations_tag_stay_in_service(
    mgn: FakeReplication, activities: ApplicationMigration
) -> None:
    mgn.add("s-1", tags={MIGRATION_TAG: "mig-a"})
    mgn.add("s-2", tags={MIGRATION_TAG: "mig-other"})
    mgn.add("s-3")
    request = RemoveRecords(where=WHERE, mark=PREPARE, user_provided_ids=("vc:s-1", "vc:s-2", "vc:s-3", "vc:none"))
    Attempts().attempt(activities.remove_records, request)
    taken_out = {server for _, server in mgn.effects}
    assert taken_out == {"s-1", "s-3"}, "one whose agent was just installed carries no tag yet"


def test_a_record_that_was_disconnected_by_a_lost_call_is_still_archived(
    mgn: FakeReplication, activities: ApplicationMigration
) -> None:
    mgn.add("s-1", tags={MIGRATION_TAG: "mig-a"})
    mgn.lose_reply("disconnect")
    request = RemoveRecords(where=WHERE, mark=PREPARE, user_provided_ids=("vc:s-1",))
    environment = Attempts()
    environment.error(activities.remove_records, request)
    environment.attempt(activities.remove_records, request)
    assert mgn.effects == [("disconnect", "s-1"), ("archive", "s-1")]


def test_archiving_is_done_once_and_tolerates_records_that_are_gone(
    mgn: FakeReplication, activities: ApplicationMigration
) -> None:
    mgn.add("s-1", "CUTOVER")
    for _ in range(2):
        Attempts().attempt(activities.archive, servers("s-1", "s-gone"))
    assert mgn.effects == [("archive", "s-1")]
