"""What MGN can do to a migration while it runs: it ends as it should, with one side serving and no write lost."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from localcloud.aws.mgn import Durations, MgnSettings
from migration.status import MigrationStatus, Phase, Side, StepState
from migration.steps import Step
from tests.e2e.local_cloud import until
from tests.e2e_mgn.mgn_cloud import Judged, MgnCloud, Story, once_each, play, step_of

pytestmark = [pytest.mark.local, pytest.mark.timeout(400)]

FACTOR = 240.0
STALLS_AFTER = 8.0
HEARTBEAT_TIMEOUT = 30.0
FLAPS, HALF_A_FLAP = 3, 2.0
OBSERVATIONS = 8

PAUSE = {"action": "pause"}


@dataclass(frozen=True)
class Paused:
    """A failure that waited for a person, and how it ended."""

    asked: MigrationStatus
    application: Any
    end: Judged


@dataclass(frozen=True)
class Flapping:
    """When the lag ceased to flap, and how it ended."""

    calm: datetime
    end: Judged


@dataclass(frozen=True)
class Told:
    """Every migration of this module's cloud."""

    test_retried: Story[Paused]
    test_failed: Story[Judged]
    cutover_retried: Story[Paused]
    stale: Story[Judged]
    stalled_once: Story[Judged]
    stalled_for_good: Story[Paused]
    flapping: Story[Flapping]
    delayed: Story[Judged]
    hanging: Story[Judged]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    mgn = MgnSettings(factor=FACTOR, durations=Durations(stall_after=STALLS_AFTER * FACTOR))
    cloud = MgnCloud(tmp_path_factory.mktemp("faults"), mgn, applications=9)
    try:
        yield play(cloud, lambda: _begin(cloud))
    finally:
        cloud.stop()


def _begin(cloud: MgnCloud) -> Told:
    begin = asyncio.create_task
    return Told(
        test_retried=begin(_test_retried(cloud, "billing")),
        test_failed=begin(_test_failed(cloud, "shop")),
        cutover_retried=begin(_cutover_retried(cloud, "crm")),
        stale=begin(_stale(cloud, "stock")),
        stalled_once=begin(_stalled_once(cloud, "orders")),
        stalled_for_good=begin(_stalled_for_good(cloud, "search")),
        flapping=begin(_flapping(cloud, "mail")),
        delayed=begin(_delayed(cloud, "wiki")),
        hanging=begin(_hanging(cloud, "jobs")),
    )


# --- launches that fail ------------------------------------------------------------------------------------------


async def _test_retried(cloud: MgnCloud, application: str) -> Paused:
    await cloud.plan(
        service="mgn", operation="launch", target=f"{application}-web-01/test", action="launchFailed", times=1
    )
    await cloud.begin(application, onFailure=PAUSE)
    asked, serving = await cloud.asks(application), await cloud.application(application)
    await cloud.decide(application, "retry")
    await cloud.pass_the_gate(application)
    return Paused(asked, serving, await cloud.judged(application, Phase.COMPLETED, "target", tests=2))


async def _test_failed(cloud: MgnCloud, application: str) -> Judged:
    await cloud.plan(service="mgn", operation="launch", target=f"{application}-web-01/test", action="launchFailed")
    await cloud.begin(application)
    return await cloud.judged(application, Phase.ROLLED_BACK, "source", cutovers=0)


async def _cutover_retried(cloud: MgnCloud, application: str) -> Paused:
    """A rollback to `ready`, and another approval there."""
    target = f"{application}-web-01/cutover"
    await cloud.plan(service="mgn", operation="conversion", target=target, action="launchFailed", times=1)
    await cloud.begin(application, rollback={"to": "ready"})
    await cloud.pass_the_gate(application)
    gate = await cloud.at_the_gate(f"mig-{application}", entry=2)
    serving = await cloud.application(application)
    await cloud.approve(gate)
    return Paused(gate, serving, await cloud.judged(application, Phase.COMPLETED, "target", cutovers=2))


async def _stale(cloud: MgnCloud, application: str) -> Judged:
    """No snapshot can be taken: for a test the previous one will do, for a cutover it lacks the last writes."""
    await cloud.plan(service="mgn", operation="snapshot", target=f"{application}-web-01", action="launchFailed")
    await cloud.begin(application, rollback={"to": "start"})
    await cloud.pass_the_gate(application)
    return await cloud.judged(application, Phase.ROLLED_BACK, "source")


def test_a_test_launch_that_fails_waits_for_a_person_and_succeeds_when_it_is_tried_again(told: Told) -> None:
    story = told.test_retried.result()
    assert step_of(story.asked, Step.TEST).state is StepState.FAILED
    assert story.asked.awaiting is not None
    assert {"retry", "rollback"} <= set(story.asked.awaiting.choices)
    assert _served_by(story) == {"source"}
    _completed(story.end, "billing", "cutover/1")


def test_a_test_launch_that_fails_is_undone_by_itself(told: Told) -> None:
    _rolled_back(told.test_failed.result(), "MigrationExecutionError")
    assert told.test_failed.result().cutovers == {}


def test_a_cutover_launch_that_fails_leads_back_to_the_source_and_the_next_one_completes(told: Told) -> None:
    story = told.cutover_retried.result()
    assert story.asked.served_by is Side.SOURCE
    assert _served_by(story) == {"source"}
    assert story.application["overlaps"] == []
    _completed(story.end, "crm", "cutover/1", "cutover/2")


def test_a_cutover_from_an_older_snapshot_is_a_failure_and_a_test_from_one_is_not(told: Told) -> None:
    story = told.stale.result()
    _rolled_back(story, "MigrationExecutionError")
    assert story.last.failure is not None
    assert "stale data" in story.last.failure.message
    assert "SNAPSHOT_FAIL" in story.last.failure.message
    assert story.cutovers == once_each("stock", "cutover/1")


# --- replication -------------------------------------------------------------------------------------------------


async def _stalled_once(cloud: MgnCloud, application: str) -> Judged:
    """The agent is out of sight until MGN was asked to try again."""
    server = f"{application}-web-01"
    unseen = await cloud.plan(service="mgn", operation="replication", target=server, action="replicationStalled")
    await cloud.begin(application)

    async def retried() -> bool:
        return any(server in call["targets"] for call in await cloud.ledger("mgn", "RetryDataReplication"))

    await until(f"the replication of {server} is tried again", retried)
    await cloud.take_back(unseen)
    await cloud.pass_the_gate(application)
    return await cloud.judged(application, Phase.COMPLETED, "target")


async def _stalled_for_good(cloud: MgnCloud, application: str) -> Paused:
    server = f"{application}-web-01"
    trouble = await cloud.plan(service="mgn", operation="trouble", target=server, action="replicationStalled")
    await cloud.begin(application, onFailure=PAUSE)
    asked, serving = await cloud.asks(application), await cloud.application(application)
    await cloud.take_back(trouble)
    await cloud.decide(application, "retry")
    await cloud.pass_the_gate(application)
    return Paused(asked, serving, await cloud.judged(application, Phase.COMPLETED, "target"))


async def _flapping(cloud: MgnCloud, application: str) -> Flapping:
    """Between two flaps there is time for fewer good looks in a row than the request asks for."""
    target = f"{application}-web-01"
    flapping = await cloud.plan(
        service="mgn", operation="replication", target=target, action="lagFlaps", seconds=HALF_A_FLAP
    )
    await cloud.begin(application, replication={"maxLag": "PT1M", "stableObservations": OBSERVATIONS})
    await cloud.sees(application, lambda seen: seen.launchable, "a whole copy")
    await asyncio.sleep(FLAPS * 2 * HALF_A_FLAP)
    await cloud.take_back(flapping)
    calm = datetime.now(UTC)
    await cloud.pass_the_gate(application)
    return Flapping(calm, await cloud.judged(application, Phase.COMPLETED, "target"))


def test_a_replication_that_stalls_is_tried_again_once_without_a_person(told: Told) -> None:
    story = told.stalled_once.result()
    assert story.calls["RetryDataReplication"] == 1
    assert step_of(story.last, Step.REPLICATE).entry == 1
    _completed(story, "orders", "cutover/1")


def test_a_replication_that_stays_stalled_is_a_persons_decision_that_names_mgns_error(told: Told) -> None:
    story = told.stalled_for_good.result()
    assert story.asked.awaiting is not None
    assert "SNAPSHOTS_FAILURE" in story.asked.awaiting.message
    assert _served_by(story) == {"source"}
    assert story.end.calls["RetryDataReplication"] == 1
    assert step_of(story.end.last, Step.REPLICATE).entry == 2
    _completed(story.end, "search", "cutover/1")


def test_a_lag_that_flaps_does_not_pass_the_gate_before_it_has_been_calm(told: Told) -> None:
    story = told.flapping.result()
    ended = step_of(story.end.last, Step.REPLICATE).ended
    assert ended is not None
    assert ended > story.calm
    _completed(story.end, "mail", "cutover/1")


# --- calls that take long ----------------------------------------------------------------------------------------


async def _delayed(cloud: MgnCloud, application: str) -> Judged:
    """The snapshot of the source takes longer than an attempt may be silent."""
    server = f"{application}-web-01"
    await cloud.plan(service="mgn", operation="StartTest", target=server, action="delay", seconds=10, times=1)
    await cloud.plan(
        service="vcenter",
        operation="CreateSnapshot_Task",
        target=server,
        action="delay",
        seconds=HEARTBEAT_TIMEOUT + 3,
        times=1,
    )
    await cloud.begin(application)
    await cloud.pass_the_gate(application)
    return await cloud.judged(application, Phase.COMPLETED, "target")


async def _hanging(cloud: MgnCloud, application: str) -> Judged:
    """No answer ever comes: to a call that had its effect, and to one that had none."""
    for operation, when in (("StartTest", "after"), ("StartCutover", "before")):
        server = f"{application}-web-01"
        await cloud.plan(service="mgn", operation=operation, target=server, action="hang", when=when, times=1)
    await cloud.begin(application)
    await cloud.pass_the_gate(application)
    return await cloud.judged(application, Phase.COMPLETED, "target")


def test_a_call_that_takes_longer_than_an_attempt_may_be_silent_is_not_made_twice(told: Told) -> None:
    story = told.delayed.result()
    assert (story.calls["CreateSnapshot_Task"], story.calls["StartTest"]) == (1, 1)
    assert story.last.downtime > timedelta(seconds=HEARTBEAT_TIMEOUT)
    _completed(story, "wiki", "cutover/1")


def test_a_call_that_hangs_is_given_up_and_its_effect_is_found_or_made_once(told: Told) -> None:
    story = told.hanging.result()
    assert (story.calls["StartTest"], story.calls["TerminateTargetInstances"]) == (1, 1)
    _completed(story, "jobs", "cutover/1")


# --- judging -----------------------------------------------------------------------------------------------------


def _completed(judged: Judged, application: str, *marks: str) -> None:
    assert (judged.last.phase, judged.last.served_by) == (Phase.COMPLETED, Side.TARGET)
    assert judged.wrong == []
    assert judged.cutovers == once_each(application, *marks)


def _rolled_back(judged: Judged, failure: str) -> None:
    assert (judged.last.phase, judged.last.served_by) == (Phase.ROLLED_BACK, Side.SOURCE)
    assert judged.wrong == []
    assert [result.kind for result in judged.last.undone if not result.done] == []
    assert judged.last.failure is not None
    assert judged.last.failure.type == failure


def _served_by(story: Paused) -> set[str | None]:
    return {server["servedBy"] for server in story.application["servers"]}
