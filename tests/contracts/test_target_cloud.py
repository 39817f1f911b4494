"""What any target cloud does with launched instances: EC2 behind its adapter, and the one in memory."""

from collections.abc import Iterator
from itertools import count
from typing import Any, Protocol

import pytest

from adapters.ec2 import Ec2
from migration.ports import TargetCloud
from tests.contracts.aws_cloud import Cloud, local_aws
from tests.fakes.ec2 import FakeCloud

MISSING = "i-0123456789abcdef0"
MARK = {"migrator:migration-id": "mig-1", "migrator:mark": "mig-1/1/switch/1"}


class World(Protocol):
    """A target cloud, and what others do in the account."""

    cloud: TargetCloud

    def launch(self) -> str:
        """One more instance that runs."""

    def terminate(self, instance_id: str) -> None:
        """Somebody terminates it."""


class InTheLocalCloud:
    def __init__(self, cloud: Cloud) -> None:
        self.cloud: TargetCloud = Ec2(cloud.sessions, cloud.where)
        self._client: Any = cloud.sessions.client("ec2", where=cloud.where)
        self._subnet_id = cloud.aws.seeded.subnets["production"]

    def launch(self) -> str:
        made = self._client.run_instances(ImageId="ami-12c6146b", MinCount=1, MaxCount=1, SubnetId=self._subnet_id)
        return str(made["Instances"][0]["InstanceId"])

    def terminate(self, instance_id: str) -> None:
        self._client.terminate_instances(InstanceIds=[instance_id])


class InMemory:
    def __init__(self) -> None:
        self._fake = FakeCloud()
        self.cloud: TargetCloud = self._fake
        self._numbers = count(1)

    def launch(self) -> str:
        instance_id = f"i-{next(self._numbers)}"
        self._fake.add(instance_id)
        return instance_id

    def terminate(self, instance_id: str) -> None:
        self._fake.edit(instance_id, state="terminated")


@pytest.fixture(scope="module", params=["EC2", "in memory"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    if request.param == "in memory":
        yield InMemory()
        return
    with local_aws() as cloud:
        yield InTheLocalCloud(cloud)


@pytest.fixture
def one(world: World) -> str:
    return world.launch()


def state(world: World, instance_id: str) -> str:
    return world.cloud.instances([instance_id])[instance_id].state


def test_the_account_is_the_credentials_own(world: World) -> None:
    assert world.cloud.caller() == "123456789012"


def test_an_instance_that_runs_is_told_with_its_address_and_one_that_never_was_is_left_out(
    world: World, one: str
) -> None:
    found = world.cloud.instances([one, MISSING])
    assert found.keys() == {one}
    assert (found[one].state, found[one].status_checks) == ("running", "ok")
    assert found[one].private_ip is not None
    assert world.cloud.instances([]) == {}


def test_what_runs_is_stopped_and_what_is_gone_is_left_alone(world: World, one: str) -> None:
    gone = world.launch()
    world.terminate(gone)
    world.cloud.stop([one, gone, MISSING])
    world.cloud.stop([one])
    assert state(world, one) == "stopped"
    assert state(world, gone) == "terminated"


def test_protection_goes_on_and_off_and_is_asked_of_what_is_there_alone(world: World, one: str) -> None:
    assert world.cloud.protected([one, MISSING]) == {one: False}
    for _ in range(2):
        world.cloud.protect(one, on=True)
    assert world.cloud.protected([one]) == {one: True}
    world.cloud.protect(one, on=False)
    assert world.cloud.protected([one]) == {one: False}


def test_protection_of_what_is_gone_is_neither_set_nor_told(world: World, one: str) -> None:
    world.terminate(one)
    for instance_id in (one, MISSING):
        world.cloud.protect(instance_id, on=True)
    assert world.cloud.protected([one, MISSING]) == {}


def test_a_snapshot_set_is_found_again_by_its_tags_and_belongs_to_one_instance(world: World, one: str) -> None:
    taken = world.cloud.snapshot(one, MARK)
    assert taken
    assert world.cloud.snapshot(one, dict(reversed(MARK.items()))) == taken
    assert world.cloud.snapshots_completed(taken)
    others = world.cloud.snapshot(world.launch(), MARK)
    again = world.cloud.snapshot(one, MARK | {"migrator:mark": "mig-1/1/switch/2"})
    assert not set(taken) & {*others, *again}
