from dataclasses import replace
from datetime import timedelta

import pytest

from activities.target import Instances, PreserveTargets, Targets, TargetsOf
from migration.marks import MARK_TAG, Mark
from migration.ports import Where
from migration.steps import Step
from tests.fakes.ec2 import FakeCloud
from tests.fakes.environment import Attempts
from tests.fakes.mgn import FakeReplication

WHERE = Where(account_id="123456789012", region="eu-central-1")
MARK = Mark(migration_id="mig-a", generation=1, step=Step.CUTOVER, entry=1, correlation_id="mig-a")


@pytest.fixture
def cloud() -> FakeCloud:
    return FakeCloud()


@pytest.fixture
def mgn() -> FakeReplication:
    return FakeReplication()


@pytest.fixture
def targets(cloud: FakeCloud, mgn: FakeReplication) -> Targets:
    return Targets(lambda _: cloud, lambda _: mgn, timedelta(minutes=2), timedelta(milliseconds=1))


def instances(*ids: str) -> Instances:
    return Instances(where=WHERE, instance_ids=ids)


def fence(*ids: str) -> TargetsOf:
    return TargetsOf(where=WHERE, source_server_ids=ids)


def preserve(*ids: str) -> PreserveTargets:
    return PreserveTargets(where=WHERE, instance_ids=ids, mark=MARK, keep_until="2026-12-07T20:00:00+00:00")


# --- status checks ---------------------------------------------------------------------------------------------


def test_status_checks_are_waited_for_and_answered_with_addresses(cloud: FakeCloud, targets: Targets) -> None:
    cloud.add("i-1", private_ip="10.2.0.1")
    cloud.add("i-2", private_ip="10.2.0.2", status_checks="initializing")
    environment = Attempts()
    assert "i-2" in environment.not_yet(targets.await_status_checks, instances("i-2", "i-1")).message
    cloud.edit("i-2", status_checks="ok")
    found = environment.attempt(targets.await_status_checks, instances("i-2", "i-1"))
    assert [(one.instance_id, one.private_ip) for one in found.instances] == [("i-2", "10.2.0.2"), ("i-1", "10.2.0.1")]


@pytest.mark.parametrize("fields", [{"status_checks": "impaired"}, {"state": "stopped"}, {"state": "terminated"}])
def test_an_instance_that_cannot_pass_is_not_waited_for(
    cloud: FakeCloud, targets: Targets, fields: dict[str, str]
) -> None:
    cloud.add("i-1", **fields)
    error = Attempts().error(targets.await_status_checks, instances("i-1"))
    assert (error.type, error.non_retryable) == ("VerificationError", True)


def test_an_instance_that_is_gone_is_a_failure(targets: Targets) -> None:
    error = Attempts().error(targets.await_status_checks, instances("i-1"))
    assert (error.type, error.message) == ("VerificationError", "EC2's status checks cannot pass: i-1 is gone")


def test_status_checks_that_never_decide_end_after_an_hour(cloud: FakeCloud, targets: Targets) -> None:
    cloud.add("i-1", status_checks="insufficient-data")
    environment = Attempts()
    environment.not_yet(targets.await_status_checks, instances("i-1"))
    earlier = environment.info.scheduled_time - timedelta(hours=1)
    environment.info = replace(environment.info, scheduled_time=earlier)
    assert environment.error(targets.await_status_checks, instances("i-1")).type == "VerificationError"


# --- the fence -------------------------------------------------------------------------------------------------


def test_every_launched_instance_is_stopped_even_a_protected_one(
    cloud: FakeCloud, mgn: FakeReplication, targets: Targets
) -> None:
    mgn.add("s-1", "CUTTING_OVER", instance_id="i-1")
    mgn.add("s-2", "CUTTING_OVER")
    cloud.add_protected("i-1")
    assert Attempts().attempt(targets.fence_targets, fence("s-1", "s-2")).instance_ids == ("i-1",)
    assert cloud.known["i-1"].state == "stopped"


def test_instances_that_only_the_cutover_job_names_are_stopped_too(
    cloud: FakeCloud, mgn: FakeReplication, targets: Targets
) -> None:
    mgn.add("s-1", "READY_FOR_CUTOVER")
    job = mgn.start_cutover(["s-1"], {})
    mgn.end_job(job.job_id)
    instance_id = str(mgn.records["s-1"].instance_id)
    mgn.edit("s-1", instance_id=None)
    cloud.add(instance_id)
    assert Attempts().attempt(targets.fence_targets, fence("s-1")).instance_ids == (instance_id,)


def test_a_launch_that_is_still_running_is_waited_for_because_an_instance_may_yet_appear(
    cloud: FakeCloud, mgn: FakeReplication, targets: Targets
) -> None:
    mgn.add("s-1", "READY_FOR_CUTOVER")
    job = mgn.start_cutover(["s-1"], {})
    environment = Attempts()
    assert environment.error(targets.fence_targets, fence("s-1")).type == "Unavailable"
    mgn.end_job(job.job_id)
    cloud.add(str(mgn.records["s-1"].instance_id))
    assert len(environment.attempt(targets.fence_targets, fence("s-1")).instance_ids) == 1


def test_a_fence_is_not_up_before_ec2_says_stopped(cloud: FakeCloud, mgn: FakeReplication, targets: Targets) -> None:
    mgn.add("s-1", "CUTTING_OVER", instance_id="i-1")
    cloud.add("i-1")
    cloud.stops = False
    environment = Attempts(age=timedelta(minutes=2) - timedelta(milliseconds=50))
    assert "i-1 stopping" in environment.not_yet(targets.fence_targets, fence("s-1")).message
    cloud.stops = True
    environment.age = timedelta(0)
    environment.attempt(targets.fence_targets, fence("s-1"))
    assert cloud.count("stop") == 1


@pytest.mark.parametrize("state", ["terminated", None])
def test_an_instance_that_is_gone_needs_no_fence(
    cloud: FakeCloud, mgn: FakeReplication, targets: Targets, state: str | None
) -> None:
    mgn.add("s-1", "CUTTING_OVER", instance_id="i-1")
    if state:
        cloud.add("i-1", state=state)
    assert Attempts().attempt(targets.fence_targets, fence("s-1")).instance_ids == ()
    assert not cloud.effects


def test_a_record_that_is_gone_is_no_proof_that_nothing_runs(targets: Targets) -> None:
    error = Attempts().error(targets.fence_targets, fence("s-gone"))
    assert (error.type, error.non_retryable) == ("RollbackError", True)


# --- protection and preservation -------------------------------------------------------------------------------


def test_protection_is_switched_on_and_off_once(cloud: FakeCloud, targets: Targets) -> None:
    cloud.add("i-1")
    for act in (targets.protect_targets, targets.protect_targets):
        Attempts().attempt(act, instances("i-1"))
    assert cloud.protected(["i-1"]) == {"i-1": True}
    for _ in range(2):
        Attempts().attempt(targets.unprotect_targets, instances("i-1", "i-gone"))
    assert cloud.effects == [("protect", "i-1", True), ("protect", "i-1", False)]


def test_an_instance_that_is_gone_cannot_be_protected(targets: Targets) -> None:
    error = Attempts().error(targets.protect_targets, instances("i-1"))
    assert (error.type, error.non_retryable) == ("CutoverError", True)


def test_stopped_targets_are_snapshotted_once_and_tagged_with_their_term(cloud: FakeCloud, targets: Targets) -> None:
    cloud.add("i-1", state="stopped")
    cloud.lose_reply("snapshot")
    cloud.lose_reply("tag")
    environment = Attempts()
    environment.error(targets.preserve_targets, preserve("i-1"))
    environment.error(targets.preserve_targets, preserve("i-1"))
    kept = environment.attempt(targets.preserve_targets, preserve("i-1"))
    assert kept.snapshot_ids == ("snap-i-1-root", "snap-i-1-data")
    assert cloud.count("snapshot") == 1
    for kept_thing in ("i-1", "snap-i-1-root", "snap-i-1-data"):
        assert cloud.tags[kept_thing]["migrator:keep-until"].startswith("2026-12-07")
        assert cloud.tags[kept_thing][MARK_TAG] == str(MARK)
    assert cloud.known["i-1"].state == "stopped"


def test_a_later_term_moves_the_tag_and_takes_no_second_snapshot(cloud: FakeCloud, targets: Targets) -> None:
    cloud.add("i-1", state="stopped")
    Attempts().attempt(targets.preserve_targets, preserve("i-1"))
    later = preserve("i-1").model_copy(update={"keep_until": "2026-12-08T20:00:00+00:00"})
    Attempts().attempt(targets.preserve_targets, later)
    assert cloud.count("snapshot") == 1
    assert cloud.tags["snap-i-1-root"]["migrator:keep-until"].startswith("2026-12-08")


def test_snapshots_are_waited_for(cloud: FakeCloud, targets: Targets) -> None:
    cloud.add("i-1", state="stopped")
    cloud.snapshots_end = False
    environment = Attempts(age=timedelta(minutes=2) - timedelta(milliseconds=50))
    awaited = environment.not_yet(targets.preserve_targets, preserve("i-1")).message
    assert awaited == "snapshots: snap-i-1-root, snap-i-1-data"


@pytest.mark.parametrize("state", ["running", "terminated"])
def test_only_stopped_targets_are_preserved(cloud: FakeCloud, targets: Targets, state: str) -> None:
    cloud.add("i-1", state=state)
    error = Attempts().error(targets.preserve_targets, preserve("i-1"))
    assert (error.type, error.non_retryable) == ("RollbackError", True)
    assert not cloud.effects
