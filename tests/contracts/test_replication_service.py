"""What any replication service does in each lifecycle state: MGN behind its adapter, and the one in memory."""

from collections.abc import Callable, Iterator
from itertools import count
from typing import Protocol

import pytest

from adapters.mgn import Mgn
from localcloud.aws.mgn.lifecycle import outcomes
from localcloud.aws.mgn.switches import Switches
from migration.errors import Conflict, MigrationError, NotFound, Unavailable
from migration.ports import ReplicationService
from tests.contracts.aws_cloud import Cloud, local_aws
from tests.fakes.mgn import FakeReplication

SYNCED = 60 * 60
LAUNCHED = 15 * 60
STATES = ("NOT_READY", "READY_FOR_TEST", "TESTING", "READY_FOR_CUTOVER", "CUTTING_OVER", "CUTOVER", "DISCONNECTED")
MARK = {"migrator:mark": "mig-1/1/test/1"}
_numbers = count(1)

Act = Callable[[ReplicationService, str], object]
ACTS: dict[str, Act] = {
    "StartTest": lambda service, one: service.start_test([one], MARK),
    "StartCutover": lambda service, one: service.start_cutover([one], MARK),
    "TerminateTargetInstances": lambda service, one: service.terminate_target_instances([one], MARK),
    "ChangeServerLifeCycleState to READY_FOR_TEST": lambda service, one: service.change_life_cycle_state(
        one, "READY_FOR_TEST"
    ),
    "ChangeServerLifeCycleState to READY_FOR_CUTOVER": lambda service, one: service.change_life_cycle_state(
        one, "READY_FOR_CUTOVER"
    ),
    "FinalizeCutover": lambda service, one: service.finalize_cutover(one),
    "DisconnectFromService": lambda service, one: service.disconnect(one),
    "MarkAsArchived": lambda service, one: service.archive(one),
}
SETS = {
    "ChangeServerLifeCycleState to READY_FOR_TEST": {"READY_FOR_TEST"},
    "ChangeServerLifeCycleState to READY_FOR_CUTOVER": {"READY_FOR_CUTOVER"},
    "FinalizeCutover": {"CUTOVER"},
    "DisconnectFromService": {"CUTOVER", "DISCONNECTED"},
}
"""Where the port promises that what is there already is no error."""


class World(Protocol):
    """A replication service, and what happens around it."""

    service: ReplicationService

    def register(self) -> str:
        """A machine whose agent was installed just now."""

    def sync(self, one: str) -> None:
        """Its copy becomes whole."""

    def end_jobs(self) -> None:
        """Every job ends with success."""


class InTheLocalCloud:
    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self.service: ReplicationService = Mgn(cloud.sessions, cloud.where)

    def register(self) -> str:
        name = f"web-{next(_numbers)}"
        return self._cloud.register(name, f"vcenter-1:{name}")

    def sync(self, one: str) -> None:
        self._cloud.wait(SYNCED)

    def end_jobs(self) -> None:
        self._cloud.wait(LAUNCHED)


class InMemory:
    def __init__(self) -> None:
        self._fake = FakeReplication()
        self.service: ReplicationService = self._fake

    def register(self) -> str:
        number = next(_numbers)
        self._fake.add(f"s-{number}", "NOT_READY", replication_state="INITIAL_SYNC", lag=None)
        return f"s-{number}"

    def sync(self, one: str) -> None:
        self._fake.add(one)

    def end_jobs(self) -> None:
        for job in self._fake.jobs():
            if job.status != "COMPLETED":
                self._fake.end_job(job.job_id)


@pytest.fixture(scope="module", params=["MGN", "in memory"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    if request.param == "in memory":
        yield InMemory()
        return
    with local_aws() as cloud:
        yield InTheLocalCloud(cloud)


def in_state(world: World, state: str) -> str:
    """A record that has come to that state by the usual way, with its jobs ended."""
    one = world.register()
    if state == "NOT_READY":
        return one
    world.sync(one)
    ways = {
        "READY_FOR_TEST": (),
        "TESTING": ("StartTest",),
        "READY_FOR_CUTOVER": ("StartTest", "ChangeServerLifeCycleState to READY_FOR_CUTOVER"),
        "DISCONNECTED": ("DisconnectFromService",),
    }
    ways["CUTTING_OVER"] = (*ways["READY_FOR_CUTOVER"], "StartCutover")
    ways["CUTOVER"] = (*ways["CUTTING_OVER"], "FinalizeCutover")
    for step in ways[state]:
        ACTS[step](world.service, one)
        world.end_jobs()
    assert life_cycle(world, one) == state
    return one


def life_cycle(world: World, one: str) -> str:
    return world.service.servers([one])[one].life_cycle


def expected(operation: str, state: str, *, launched: bool) -> str | None:
    """The state that follows by MGN's own table, or None for a refusal."""
    if state in SETS.get(operation, ()):
        return state
    if operation == "TerminateTargetInstances" and not launched:
        return None
    return outcomes(operation, Switches()).get(state)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("operation", ACTS)
def test_an_act_has_its_effect_or_is_a_conflict_as_mgns_table_says(world: World, operation: str, state: str) -> None:
    one = in_state(world, state)
    launched = world.service.servers([one])[one].instance_id is not None
    if after := expected(operation, state, launched=launched):
        ACTS[operation](world.service, one)
        assert life_cycle(world, one) == after
        return
    with pytest.raises(Conflict):
        ACTS[operation](world.service, one)
    assert life_cycle(world, one) == state


@pytest.mark.parametrize(
    "operation",
    [
        "StartTest",
        "TerminateTargetInstances",
        "ChangeServerLifeCycleState to READY_FOR_CUTOVER",
        "FinalizeCutover",
        "DisconnectFromService",
    ],
)
def test_a_record_that_a_job_works_on_is_busy_whatever_its_state(world: World, operation: str) -> None:
    one = in_state(world, "CUTTING_OVER")
    world.service.change_life_cycle_state(one, "READY_FOR_CUTOVER")
    world.service.start_cutover([one], MARK)
    with pytest.raises(Unavailable):
        ACTS[operation](world.service, one)
    world.end_jobs()


def test_a_job_is_told_with_its_servers_and_tags_until_it_ends(world: World) -> None:
    one = in_state(world, "READY_FOR_TEST")
    started = world.service.start_test([one], MARK)
    assert (started.kind, started.tags["migrator:mark"]) == ("LAUNCH", MARK["migrator:mark"])
    assert [(server.source_server_id, server.launch_status) for server in started.servers] == [(one, "PENDING")]
    world.end_jobs()
    (ended,) = world.service.jobs(job_ids=[started.job_id])
    record = world.service.servers([one])[one]
    assert (ended.status, [server.launch_status for server in ended.servers]) == ("COMPLETED", ["LAUNCHED"])
    assert ended.servers[0].instance_id == record.instance_id
    assert record.test_job_id == started.job_id


def test_a_clean_up_leaves_a_record_without_an_instance(world: World) -> None:
    one = in_state(world, "READY_FOR_CUTOVER")
    job = world.service.terminate_target_instances([one], MARK)
    world.end_jobs()
    (ended,) = world.service.jobs(job_ids=[job.job_id])
    assert (ended.kind, ended.servers[0].launch_status) == ("TERMINATE", "TERMINATED")
    assert world.service.servers([one])[one].instance_id is None


def test_a_record_out_of_service_has_no_lag_and_is_archived_once(world: World) -> None:
    one = in_state(world, "DISCONNECTED")
    world.service.archive(one)
    world.service.archive(one)
    record = world.service.servers([one])[one]
    assert (record.archived, record.lag, record.replication_state) == (True, None, "DISCONNECTED")


@pytest.mark.parametrize("operation", ["FinalizeCutover", "DisconnectFromService", "MarkAsArchived"])
def test_a_record_that_is_not_there_is_not_found(world: World, operation: str) -> None:
    with pytest.raises(NotFound):
        ACTS[operation](world.service, "s-" + "0" * 17)


def test_a_launch_of_a_record_that_is_not_there_is_an_error_that_no_retry_helps(world: World) -> None:
    with pytest.raises(MigrationError) as caught:
        world.service.start_test(["s-" + "0" * 17], MARK)
    assert not caught.value.retryable
