"""MGN's post-launch actions: those that must succeed are waited for, and hold the migration when they do not."""

from dataclasses import replace
from datetime import timedelta

import pytest

from activities.post_launch import AwaitPostLaunch, PostLaunchActions
from migration import policies
from migration.ports import PostLaunchAction, Where
from tests.fakes.environment import Attempts
from tests.fakes.mgn import FakeReplication

POLL = timedelta(seconds=20)
WHERE = Where(account_id="123456789012", region="eu-central-1")
CUTOVER = AwaitPostLaunch(where=WHERE, source_server_ids=("s-1",), cutover=True)
TEST = AwaitPostLaunch(where=WHERE, source_server_ids=("s-1",), cutover=False)


def action(status: str, *, must: bool = True, failure: str | None = None) -> PostLaunchAction:
    return PostLaunchAction(source_server_id="s-1", name="patch", must_succeed=must, status=status, failure=failure)


@pytest.fixture
def mgn() -> FakeReplication:
    mgn = FakeReplication()
    mgn.add("s-1", "CUTTING_OVER", cutover_job_id="job-cutover", test_job_id="job-test", hostname="web-01")
    return mgn


@pytest.fixture
def activities(mgn: FakeReplication) -> PostLaunchActions:
    return PostLaunchActions(lambda _: mgn, POLL)


def test_a_launch_without_actions_is_not_waited_for(activities: PostLaunchActions) -> None:
    assert Attempts().attempt(activities.await_post_launch_actions, CUTOVER).actions == ()


@pytest.mark.parametrize("status", ["PENDING", "IN_PROGRESS"])
def test_an_action_that_must_succeed_is_waited_for(
    activities: PostLaunchActions, mgn: FakeReplication, status: str
) -> None:
    environment = Attempts()
    mgn.post_launch["job-cutover"] = [action(status)]
    look = environment.not_yet(activities.await_post_launch_actions, CUTOVER)
    assert (look.message, look.next_retry_delay) == (f"post-launch actions: patch on web-01 ({status})", POLL)
    mgn.post_launch["job-cutover"] = [action("SUCCESS")]
    assert environment.attempt(activities.await_post_launch_actions, CUTOVER).actions == (action("SUCCESS"),)


def test_an_action_that_must_succeed_and_failed_fails_with_its_reason(
    activities: PostLaunchActions, mgn: FakeReplication
) -> None:
    mgn.post_launch["job-cutover"] = [action("SUCCESS"), action("FAILED", failure="exit status 7")]
    error = Attempts().error(activities.await_post_launch_actions, CUTOVER)
    assert (error.type, error.non_retryable) == ("VerificationError", True)
    assert error.message == "post-launch actions that must succeed have failed: patch on web-01 (FAILED: exit status 7)"


@pytest.mark.parametrize("status", ["FAILED", "IN_PROGRESS"])
def test_any_other_action_is_told_and_not_waited_for(
    activities: PostLaunchActions, mgn: FakeReplication, status: str
) -> None:
    mgn.post_launch["job-cutover"] = [action(status, must=False)]
    found = Attempts().attempt(activities.await_post_launch_actions, CUTOVER)
    assert found.actions == (action(status, must=False),)


def test_an_action_that_runs_on_and_on_is_given_up(activities: PostLaunchActions, mgn: FakeReplication) -> None:
    mgn.post_launch["job-cutover"] = [action("IN_PROGRESS")]
    environment = Attempts()
    earlier = environment.info.scheduled_time - policies.POST_LAUNCH_WITHIN
    environment.info = replace(environment.info, scheduled_time=earlier)
    error = environment.error(activities.await_post_launch_actions, CUTOVER)
    assert error.type == "VerificationError"
    assert "did not within 1:00:00: patch on web-01 (IN_PROGRESS)" in error.message


def test_the_test_launch_and_the_cutover_have_actions_of_their_own(
    activities: PostLaunchActions, mgn: FakeReplication
) -> None:
    mgn.post_launch["job-test"] = [action("FAILED")]
    assert Attempts().attempt(activities.await_post_launch_actions, CUTOVER).actions == ()
    assert Attempts().error(activities.await_post_launch_actions, TEST).type == "VerificationError"


def test_other_servers_of_a_job_are_no_business_of_ours(activities: PostLaunchActions, mgn: FakeReplication) -> None:
    mgn.post_launch["job-cutover"] = [action("FAILED").model_copy(update={"source_server_id": "s-2"})]
    assert Attempts().attempt(activities.await_post_launch_actions, CUTOVER).actions == ()
