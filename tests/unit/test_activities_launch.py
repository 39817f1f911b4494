"""Launches, clean-ups and lifecycle changes over a strict MGN in memory."""

from datetime import timedelta

import pytest

from activities.mgn import (
    ApplicationMigration,
    AwaitJob,
    ChangeLifeCycle,
    ConfigureReplication,
    Launch,
    ServerLaunch,
    ServerTags,
    SetLaunchTargets,
    SourceServers,
)
from migration.errors import Conflict, Unavailable
from migration.marks import Mark
from migration.ports import JobEvent, LaunchTarget, ReplicationSettings, Where
from migration.steps import Step
from tests.fakes.ec2 import PopulatedCloud
from tests.fakes.environment import Attempts
from tests.fakes.mgn import FakeReplication

WHERE = Where(account_id="123456789012", region="eu-central-1")
POLL = timedelta(seconds=20)
TEST = Mark(migration_id="mig-a", generation=1, step=Step.TEST, entry=1, correlation_id="mig-a")
CUTOVER = TEST.model_copy(update={"step": Step.CUTOVER})
UNDO = CUTOVER.model_copy(update={"part": "undo"})


@pytest.fixture
def mgn() -> FakeReplication:
    return FakeReplication()


@pytest.fixture
def cloud() -> PopulatedCloud:
    return PopulatedCloud()


@pytest.fixture
def activities(mgn: FakeReplication, cloud: PopulatedCloud) -> ApplicationMigration:
    return ApplicationMigration(lambda _: mgn, lambda _: cloud, timedelta(minutes=2), timedelta(minutes=1), POLL)


def launch(mark: Mark, *ids: str) -> Launch:
    return Launch(where=WHERE, mark=mark, source_server_ids=ids)


def job(job_id: str | None, *, fresh_data: bool = False) -> AwaitJob:
    assert job_id
    return AwaitJob(where=WHERE, job_id=job_id, fresh_data=fresh_data)


def change(state: str, *ids: str) -> ChangeLifeCycle:
    return ChangeLifeCycle(where=WHERE, source_server_ids=ids, state=state)


def servers(*ids: str) -> SourceServers:
    return SourceServers(where=WHERE, source_server_ids=ids)


# --- starting --------------------------------------------------------------------------------------------------


def test_a_test_launch_starts_one_job_that_carries_the_mark(
    mgn: FakeReplication, activities: ApplicationMigration
) -> None:
    mgn.add("s-1")
    mgn.add("s-2", "TESTING")
    started = Attempts().attempt(activities.start_test, launch(TEST, "s-1", "s-2"))
    assert started.job_id
    (found,) = mgn.jobs(job_ids=[started.job_id])
    assert found.tags.items() >= TEST.tags().items()
    assert mgn.records["s-1"].life_cycle == "TESTING"


@pytest.mark.parametrize("operation", ["start_test", "start_cutover"])
def test_a_launch_whose_reply_was_lost_is_found_by_its_mark_and_not_repeated(
    mgn: FakeReplication, activities: ApplicationMigration, operation: str
) -> None:
    mgn.add("s-1", "READY_FOR_TEST" if operation == "start_test" else "READY_FOR_CUTOVER")
    mgn.lose_reply(operation)
    mark = TEST if operation == "start_test" else CUTOVER
    started = Attempts().attempt(getattr(activities, operation), launch(mark, "s-1"))
    assert [j.job_id for j in mgn.jobs()] == [started.job_id]
    assert mgn.count(operation) == 1


def test_a_second_attempt_adopts_the_first_ones_job_even_when_it_has_ended_in_failure(
    mgn: FakeReplication, activities: ApplicationMigration
) -> None:
    mgn.add("s-1", "READY_FOR_CUTOVER")
    environment = Attempts()
    first = environment.attempt(activities.start_cutover, launch(CUTOVER, "s-1"))
    mgn.end_job(str(first.job_id), failed={"s-1": "no capacity"})
    assert environment.attempt(activities.start_cutover, launch(CUTOVER, "s-1")) == first
    assert mgn.count("start_cutover") == 1


def test_another_entrys_job_is_not_adopted(mgn: FakeReplication, activities: ApplicationMigration) -> None:
    mgn.add("s-1")
    first = Attempts().attempt(activities.start_test, launch(TEST, "s-1"))
    mgn.end_job(str(first.job_id))
    second = Attempts().attempt(activities.start_test, launch(TEST.model_copy(update={"entry": 2}), "s-1"))
    assert second.job_id != first.job_id


def test_somebody_elses_running_job_on_a_server_is_waited_for(
    mgn: FakeReplication, activities: ApplicationMigration
) -> None:
    mgn.add("s-1")
    mgn.add("s-2")
    mgn.add_job("mgnjob-theirs", "LAUNCH", ["s-2"])
    error = Attempts().error(activities.start_test, launch(TEST, "s-1", "s-2"))
    assert (error.type, error.non_retryable, error.next_retry_delay) == ("Unavailable", False, POLL)
    assert "mgnjob-theirs" in error.message
    assert not mgn.effects


@pytest.mark.parametrize("state", ["READY_FOR_TEST", "TESTING", "CUTTING_OVER", "CUTOVER"])
def test_a_cutover_is_refused_in_any_state_but_ready_for_cutover_and_the_state_is_named(
    mgn: FakeReplication, activities: ApplicationMigration, state: str
) -> None:
    mgn.add("s-1", state)
    error = Attempts().error(activities.start_cutover, launch(CUTOVER, "s-1"))
    assert (error.type, error.non_retryable) == ("MigrationExecutionError", True)
    assert f"s-1 is {state}" in error.message


def test_a_refusal_of_the_call_itself_is_told_as_it_is(mgn: FakeReplication, activities: ApplicationMigration) -> None:
    mgn.add("s-1")
    mgn.refuse("start_test", Conflict("the launch template is gone"))
    error = Attempts().error(activities.start_test, launch(TEST, "s-1"))
    assert (error.type, error.message) == ("MigrationExecutionError", "the launch template is gone")


def test_no_launch_begins_in_an_attempt_that_is_too_old(mgn: FakeReplication, activities: ApplicationMigration) -> None:
    mgn.add("s-1")
    error = Attempts(age=timedelta(minutes=3)).error(activities.start_test, launch(TEST, "s-1"))
    assert (error.type, error.non_retryable) == ("Unavailable", False)
    assert not mgn.effects


# --- waiting for a job -----------------------------------------------------------------------------------------


def test_a_job_is_waited_for_and_success_is_every_server_launched(
    mgn: FakeReplication, activities: ApplicationMigration
) -> None:
    mgn.add("s-1")
    started = Attempts().attempt(activities.start_test, launch(TEST, "s-1"))
    waiting = Attempts()
    assert waiting.not_yet(activities.await_job, job(started.job_id)).next_retry_delay == POLL
    mgn.end_job(str(started.job_id))
    launched = waiting.attempt(activities.await_job, job(started.job_id))
    assert [(s.source_server_id, s.instance_id) for s in launched.servers] == [("s-1", mgn.records["s-1"].instance_id)]


def test_a_completed_job_that_launched_nothing_is_a_failure_with_the_logs_reason(
    mgn: FakeReplication, activities: ApplicationMigration
) -> None:
    mgn.add("s-1")
    mgn.add("s-2")
    started = Attempts().attempt(activities.start_test, launch(TEST, "s-1", "s-2"))
    mgn.end_job(str(started.job_id), failed={"s-2": "InvalidSubnetID.NotFound"})
    error = Attempts().error(activities.await_job, job(started.job_id))
    assert (error.type, error.non_retryable) == ("MigrationExecutionError", True)
    assert "1 of 2 servers: s-2 FAILED (s-2: InvalidSubnetID.NotFound)" in error.message
    assert mgn.records["s-2"].life_cycle == "TESTING"


@pytest.mark.parametrize("event", ["SNAPSHOT_FAIL", "USING_PREVIOUS_SNAPSHOT"])
def test_a_cutover_from_an_older_snapshot_is_a_failure_because_its_data_are_stale(
    mgn: FakeReplication, activities: ApplicationMigration, event: str
) -> None:
    mgn.add("s-1", "READY_FOR_CUTOVER")
    started = Attempts().attempt(activities.start_cutover, launch(CUTOVER, "s-1"))
    mgn.end_job(str(started.job_id))
    mgn.logs[str(started.job_id)].append(JobEvent(event=event, source_server_id="s-1"))
    Attempts().attempt(activities.await_job, job(started.job_id))
    error = Attempts().error(activities.await_job, job(started.job_id, fresh_data=True))
    assert (error.type, error.non_retryable) == ("MigrationExecutionError", True)
    assert f"s-1 {event}" in error.message


def test_a_job_that_is_not_listed_yet_is_looked_for_again_but_not_for_ever(activities: ApplicationMigration) -> None:
    environment = Attempts()
    for _ in range(5):
        environment.not_yet(activities.await_job, job("mgnjob-none"))
    assert environment.error(activities.await_job, job("mgnjob-none")).non_retryable


# --- lifecycle -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "state"),
    [
        ("TESTING", "READY_FOR_TEST"),
        ("READY_FOR_CUTOVER", "READY_FOR_TEST"),
        ("READY_FOR_TEST", "READY_FOR_CUTOVER"),
        ("TESTING", "READY_FOR_CUTOVER"),
        ("CUTTING_OVER", "READY_FOR_CUTOVER"),
    ],
)
def test_records_are_brought_to_a_state_once(
    mgn: FakeReplication, activities: ApplicationMigration, before: str, state: str
) -> None:
    mgn.add("s-1", before)
    mgn.add("s-2", state)
    mgn.lose_reply("change_life_cycle_state")
    environment = Attempts()
    environment.error(activities.change_life_cycle, change(state, "s-1", "s-2"))
    environment.attempt(activities.change_life_cycle, change(state, "s-1", "s-2"))
    assert mgn.records["s-1"].life_cycle == state
    assert mgn.count("change_life_cycle_state") == 1


def test_an_agent_that_is_not_seen_again_yet_is_waited_for(
    mgn: FakeReplication, activities: ApplicationMigration
) -> None:
    mgn.add("s-1", "CUTTING_OVER", lag=None)
    environment = Attempts()
    error = environment.error(activities.change_life_cycle, change("READY_FOR_CUTOVER", "s-1"))
    assert (error.type, error.next_retry_delay) == ("Unavailable", timedelta(minutes=1))
    mgn.edit("s-1", lag=timedelta(minutes=3))
    environment.attempt(activities.change_life_cycle, change("READY_FOR_CUTOVER", "s-1"))
    assert mgn.records["s-1"].life_cycle == "READY_FOR_CUTOVER"


def test_a_running_job_is_waited_out_before_the_state_is_changed(
    mgn: FakeReplication, activities: ApplicationMigration
) -> None:
    mgn.add("s-1", "READY_FOR_CUTOVER")
    started = Attempts().attempt(activities.start_cutover, launch(CUTOVER, "s-1"))
    assert Attempts().error(activities.change_life_cycle, change("READY_FOR_CUTOVER", "s-1")).type == "Unavailable"
    mgn.end_job(str(started.job_id))
    Attempts().attempt(activities.change_life_cycle, change("READY_FOR_CUTOVER", "s-1"))


@pytest.mark.parametrize(("before", "state"), [("CUTOVER", "READY_FOR_CUTOVER"), ("CUTTING_OVER", "READY_FOR_TEST")])
def test_a_change_that_mgn_never_allows_is_refused_by_name(
    mgn: FakeReplication, activities: ApplicationMigration, before: str, state: str
) -> None:
    mgn.add("s-1", before)
    error = Attempts().error(activities.change_life_cycle, change(state, "s-1"))
    assert (error.type, error.non_retryable) == ("MigrationExecutionError", True)
    assert f"s-1 is {before}" in error.message


# --- clean-up --------------------------------------------------------------------------------------------------


def test_only_records_with_an_instance_are_terminated_and_the_clean_up_is_waited_for(
    mgn: FakeReplication, activities: ApplicationMigration
) -> None:
    mgn.add("s-1", "READY_FOR_CUTOVER", instance_id="i-1")
    mgn.add("s-2", "READY_FOR_CUTOVER")
    started = Attempts().attempt(activities.terminate_targets, launch(UNDO, "s-1", "s-2"))
    assert mgn.effects[-1] == ("terminate_target_instances", "s-1")
    waiting = Attempts()
    waiting.not_yet(activities.await_termination, job(started.job_id))
    mgn.end_job(str(started.job_id))
    waiting.attempt(activities.await_termination, job(started.job_id))


def test_without_an_instance_there_is_nothing_to_terminate(
    mgn: FakeReplication, activities: ApplicationMigration
) -> None:
    mgn.add("s-1", "READY_FOR_CUTOVER")
    request = launch(UNDO, "s-1", "s-gone")
    assert Attempts().attempt(activities.terminate_targets, request).job_id is None
    assert not mgn.effects


@pytest.mark.parametrize("ended", [False, True])
def test_a_clean_up_whose_reply_was_lost_is_not_repeated(
    mgn: FakeReplication, activities: ApplicationMigration, ended: bool
) -> None:
    mgn.add("s-1", "READY_FOR_TEST", instance_id="i-1")
    environment = Attempts()
    first = environment.attempt(activities.terminate_targets, launch(UNDO, "s-1"))
    if ended:
        mgn.end_job(str(first.job_id))
    assert environment.attempt(activities.terminate_targets, launch(UNDO, "s-1")) == first
    assert mgn.count("terminate_target_instances") == 1


def test_a_launch_that_is_still_running_is_waited_out_so_that_its_instance_is_not_left_behind(
    mgn: FakeReplication, activities: ApplicationMigration
) -> None:
    mgn.add("s-1", "READY_FOR_CUTOVER")
    mgn.add_job("mgnjob-launch", "LAUNCH", ["s-1"], CUTOVER.tags())
    environment = Attempts()
    assert environment.error(activities.terminate_targets, launch(UNDO, "s-1")).type == "Unavailable"
    mgn.end_job("mgnjob-launch")
    assert environment.attempt(activities.terminate_targets, launch(UNDO, "s-1")).job_id
    assert mgn.count("terminate_target_instances") == 1


def test_the_launchs_own_job_is_never_taken_for_the_clean_up(
    mgn: FakeReplication, activities: ApplicationMigration
) -> None:
    mgn.add("s-1", "READY_FOR_CUTOVER")
    started = Attempts().attempt(activities.start_cutover, launch(CUTOVER, "s-1"))
    mgn.edit("s-1", life_cycle="READY_FOR_CUTOVER")
    environment = Attempts()
    assert environment.error(activities.terminate_targets, launch(CUTOVER, "s-1")).type == "Unavailable"
    mgn.end_job(str(started.job_id))
    assert environment.attempt(activities.terminate_targets, launch(CUTOVER, "s-1")) != started


@pytest.mark.parametrize("state", ["TESTING", "CUTTING_OVER", "CUTOVER"])
def test_instances_are_not_terminated_in_a_state_in_which_mgn_refuses_it(
    mgn: FakeReplication, activities: ApplicationMigration, state: str
) -> None:
    mgn.add("s-1", state, instance_id="i-1")
    error = Attempts().error(activities.terminate_targets, launch(UNDO, "s-1"))
    assert error.non_retryable
    assert f"s-1 is {state}" in error.message


def test_an_instance_that_is_long_terminated_is_not_terminated_again_though_mgn_still_names_it(
    mgn: FakeReplication, cloud: PopulatedCloud, activities: ApplicationMigration
) -> None:
    cloud.add("i-old", state="terminated")
    mgn.add("s-1", "READY_FOR_CUTOVER", instance_id="i-old")
    mgn.add("s-2", "READY_FOR_CUTOVER", instance_id="i-2")
    Attempts().attempt(activities.terminate_targets, launch(UNDO, "s-1", "s-2"))
    assert mgn.effects == [("terminate_target_instances", "s-2")]


def test_preserved_instances_are_spared_by_a_clean_up(mgn: FakeReplication, activities: ApplicationMigration) -> None:
    mgn.add("s-1", "READY_FOR_CUTOVER", instance_id="i-kept")
    mgn.add("s-2", "READY_FOR_CUTOVER", instance_id="i-2")
    request = launch(UNDO, "s-1", "s-2").model_copy(update={"keep": ("i-kept",)})
    started = Attempts().attempt(activities.terminate_targets, request)
    mgn.end_job(str(started.job_id))
    assert mgn.effects == [("terminate_target_instances", "s-2")]
    Attempts().attempt(activities.await_termination, job(started.job_id))
    assert Attempts().attempt(activities.terminate_targets, request) == started
    assert mgn.records["s-1"].instance_id == "i-kept"


@pytest.mark.parametrize("state", ["READY_FOR_CUTOVER", "CUTTING_OVER"])
def test_when_everything_is_preserved_there_is_nothing_to_clean_up(
    mgn: FakeReplication, activities: ApplicationMigration, state: str
) -> None:
    mgn.add("s-1", state, instance_id="i-kept")
    request = launch(UNDO, "s-1").model_copy(update={"keep": ("i-kept",)})
    assert Attempts().attempt(activities.terminate_targets, request).job_id is None
    assert not mgn.effects


def test_a_clean_up_that_left_its_instance_behind_fails_and_a_retry_cleans_up_again(
    mgn: FakeReplication, activities: ApplicationMigration
) -> None:
    mgn.add("s-1", "READY_FOR_CUTOVER", instance_id="i-1")
    started = Attempts().attempt(activities.terminate_targets, launch(UNDO, "s-1"))
    mgn.end_job(str(started.job_id), failed={"s-1": "the instance is protected"})
    waiting = Attempts()
    for _ in range(4):
        waiting.not_yet(activities.await_termination, job(started.job_id))
    error = waiting.error(activities.await_termination, job(started.job_id))
    assert error.non_retryable
    assert "s-1 i-1 (s-1: the instance is protected)" in error.message
    assert Attempts().attempt(activities.terminate_targets, launch(UNDO, "s-1")).job_id != started.job_id


# --- before the first byte -------------------------------------------------------------------------------------


def test_replication_is_configured_before_it_is_started_and_each_only_once(
    mgn: FakeReplication, activities: ApplicationMigration
) -> None:
    mgn.add("s-1", "STOPPED", replication_state="STOPPED", lag=None)
    mgn.refuse("start_replication", Unavailable("throttled"))
    request = ConfigureReplication(
        where=WHERE,
        servers=(ServerTags(source_server_id="s-1", tags={"a": "b"}),),
        settings=ReplicationSettings(staging_subnet_id="subnet-1"),
        application="billing",
        wave="wave-1",
    )
    environment = Attempts()
    environment.error(activities.configure_replication, request)
    environment.attempt(activities.configure_replication, request)
    environment.attempt(activities.configure_replication, request)
    assert [effect[0] for effect in mgn.effects] == ["configure_replication", "tag", "group", "start_replication"]


def test_launch_targets_are_written_under_the_mark(mgn: FakeReplication, activities: ApplicationMigration) -> None:
    mgn.add("s-1")
    target = LaunchTarget(name="web", subnet_id="subnet-1", security_group_ids=("sg-1",))
    server = ServerLaunch(source_server_id="s-1", target=target)
    request = SetLaunchTargets(where=WHERE, mark=CUTOVER, servers=(server,))
    for _ in range(2):
        Attempts().attempt(activities.set_launch_targets, request)
    assert mgn.effects == [("set_launch_target", "s-1", "mig-a/1/cutover/1")]
