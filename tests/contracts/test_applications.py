import socket
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

import httpx
import pytest

from localcloud.applications import Applications, Instance
from localcloud.faults import FaultPlan, Rule
from localcloud.ledger import Ledger
from localcloud.serving import WRITES_PER_SECOND
from localcloud.world import SourceMachine, World, build_world, reserve_network


class Cloud:
    """A world whose clock, DNS and EC2 the test turns by hand; the HTTP is real."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.time = 1_800_000_000.0
        self.dns = {a.dns_name: tuple(server.address for server in a.servers) for a in world.applications}
        self.ec2: dict[str, Instance] = {}
        self.ledger = Ledger()
        self.faults = FaultPlan()
        self.applications = Applications(
            world,
            self.ledger,
            self.faults,
            names=lambda: self.dns,
            instances=self._instances,
            now=lambda: self.time,
        )
        for machine in world.machines:
            self.applications.agent_installed(f"id-{machine.name}", machine.name)

    def _instances(self, ids: Collection[str]) -> Mapping[str, Instance]:
        return {key: value for key, value in self.ec2.items() if key in ids}

    def power(self, machine: SourceMachine, on: bool) -> None:
        self.applications.source_changed(machine.name, on, True, self.time)

    def launch(self, machine: SourceMachine, subnet: str, host: int, data_as_of: float) -> str:
        instance_id = f"i-{host:017x}"
        cidr = self.world.subnet_cidr(subnet)
        self.ec2[instance_id] = Instance(cidr.replace(".0/24", f".{host}"), cidr, running=True)
        kind = "test" if subnet == "test" else "cutover"
        self.applications.launched("s-1", f"id-{machine.name}", instance_id, kind, data_as_of)
        return instance_id

    def stop_instance(self, instance_id: str) -> None:
        self.ec2[instance_id] = replace(self.ec2[instance_id], running=False)
        self.applications.refresh()

    def point_dns(self, name: str, *addresses: str) -> None:
        self.dns[name] = addresses
        self.applications.refresh()

    def report(self, application: str = "billing") -> dict:  # type: ignore[type-arg]  # JSON
        return self.applications.report()[application]  # type: ignore[no-any-return]  # JSON


@pytest.fixture
def network() -> Iterator[int]:
    number, holder = reserve_network()
    yield number
    holder.close()


@pytest.fixture
def cloud(network: int) -> Iterator[Cloud]:
    cloud = Cloud(build_world(network, applications=2))
    cloud.applications.start()
    yield cloud
    cloud.applications.stop()


@pytest.fixture
def billing(cloud: Cloud) -> SourceMachine:
    return cloud.world.applications[0].servers[0]


def get(address: str, path: str) -> httpx.Response:
    return httpx.get(f"http://{address}:8080{path}", timeout=2)


def refuses(address: str) -> bool:
    with socket.socket() as client:
        client.settimeout(2)
        return client.connect_ex((address, 8080)) != 0


def cut_over(cloud: Cloud, machine: SourceMachine, host: int = 10) -> str:
    """Ten seconds after the source's last write, its instance serves."""
    cloud.power(machine, False)
    cloud.time += 10
    instance_id = cloud.launch(machine, "production", host, cloud.time)
    cloud.point_dns("billing.example.internal", cloud.ec2[instance_id].address)
    return instance_id


def test_every_source_machine_tells_its_health_and_place(cloud: Cloud) -> None:
    for machine in cloud.world.machines:
        reply = get(machine.address, "/health")
        assert reply.status_code == 200
        assert reply.json() == {
            "status": "ok",
            "application": machine.application,
            "server": machine.name,
            "side": "source",
            "address": machine.address,
        }
        assert get(machine.address, "/admin").status_code == 404


def test_a_source_counts_writes_while_it_is_up_and_dns_names_it(cloud: Cloud, billing: SourceMachine) -> None:
    cloud.time += 7
    assert get(billing.address, "/counter").json() == {
        "writes": 7 * WRITES_PER_SECOND,
        "side": "source",
        "address": billing.address,
    }
    cloud.point_dns("billing.example.internal", "127.0.0.1")
    cloud.time += 5
    assert get(billing.address, "/counter").json()["writes"] == 7 * WRITES_PER_SECOND


@pytest.mark.parametrize(("powered", "connected"), [(False, True), (True, False)])
def test_a_source_without_power_or_network_does_not_listen(
    cloud: Cloud, billing: SourceMachine, powered: bool, connected: bool
) -> None:
    cloud.applications.source_changed(billing.name, powered, connected, cloud.time)
    assert refuses(billing.address)
    assert cloud.applications.managed()[billing.managed_instance_id] == (billing, False)
    cloud.power(billing, True)
    assert get(billing.address, "/health").status_code == 200


def test_a_launched_instance_begins_with_the_sources_writes_as_of_its_data(
    cloud: Cloud, billing: SourceMachine
) -> None:
    cloud.time += 20
    instance_id = cloud.launch(billing, "production", 10, cloud.time - 5)
    reply = get(cloud.ec2[instance_id].address, "/counter").json()
    assert reply == {"writes": 15 * WRITES_PER_SECOND, "side": "target", "address": cloud.ec2[instance_id].address}


def test_after_the_switch_the_target_counts_on_and_nothing_is_lost(cloud: Cloud, billing: SourceMachine) -> None:
    cloud.time += 20
    instance_id = cut_over(cloud, billing)
    cloud.time += 4
    assert get(cloud.ec2[instance_id].address, "/counter").json()["writes"] == 24 * WRITES_PER_SECOND
    report = cloud.report()
    assert report["servers"][0]["servedBy"] == "target"
    assert report["servers"][0]["lostWrites"] == 0
    assert report["overlaps"] == []
    assert report["downtimeSeconds"] == 10
    assert cloud.report("shop")["downtimeSeconds"] == 0


def test_writes_after_the_copied_moment_are_lost_and_two_sides_at_once_are_seen(
    cloud: Cloud, billing: SourceMachine
) -> None:
    cloud.time += 20
    instance_id = cloud.launch(billing, "production", 10, cloud.time - 2)
    cloud.time += 3
    cloud.point_dns("billing.example.internal", cloud.ec2[instance_id].address)
    cloud.time += 1
    cloud.power(billing, False)
    cloud.time += 1
    report = cloud.report()
    assert report["servers"][0]["lostWrites"] == 5 * WRITES_PER_SECOND
    [overlap] = report["overlaps"]
    assert overlap == {"from": "2027-01-15T08:00:20.000+00:00", "to": "2027-01-15T08:00:24.000+00:00"}


def test_an_instance_in_the_test_network_is_no_side(cloud: Cloud, billing: SourceMachine) -> None:
    cloud.time += 20
    instance_id = cloud.launch(billing, "test", 10, cloud.time)
    address = cloud.ec2[instance_id].address
    assert get(address, "/health").json()["side"] == "target"
    cloud.point_dns("billing.example.internal", address)
    cloud.time += 5
    report = cloud.report()
    assert report["overlaps"] == []
    assert report["servers"][0]["servedBy"] is None
    assert report["downtimeSeconds"] == 5
    assert get(address, "/counter").json()["writes"] == 20 * WRITES_PER_SECOND


def test_after_a_rollback_the_targets_own_writes_are_lost(cloud: Cloud, billing: SourceMachine) -> None:
    cloud.time += 20
    instance_id = cut_over(cloud, billing)
    cloud.time += 3
    cloud.stop_instance(instance_id)
    assert refuses(cloud.ec2[instance_id].address)
    cloud.power(billing, True)
    cloud.point_dns("billing.example.internal", billing.address)
    cloud.time += 1
    report = cloud.report()
    assert report["servers"][0]["servedBy"] == "source"
    assert report["servers"][0]["lostWrites"] == 3 * WRITES_PER_SECOND
    assert report["overlaps"] == []
    assert get(billing.address, "/counter").json()["writes"] == 21 * WRITES_PER_SECOND


def test_a_terminated_instance_neither_listens_nor_serves(cloud: Cloud, billing: SourceMachine) -> None:
    instance_id = cloud.launch(billing, "test", 10, cloud.time)
    address = cloud.ec2.pop(instance_id).address
    cloud.applications.terminated(instance_id)
    assert refuses(address)
    operations = [(entry.operation, entry.targets[0]) for entry in cloud.ledger.entries(target="billing-web-01")]
    assert operations == [("launched", instance_id), ("terminated", instance_id)]


def test_an_instance_is_never_healthy_when_the_fault_plan_says_so_for_its_kind_of_launch(
    cloud: Cloud, billing: SourceMachine
) -> None:
    cloud.faults.add(Rule("application", "health", "neverHealthy", target="billing-web-01/cutover"))
    cutover = cloud.launch(billing, "production", 11, cloud.time)
    tested = cloud.launch(billing, "test", 12, cloud.time)
    assert get(cloud.ec2[tested].address, "/health").status_code == 200
    reply = get(cloud.ec2[cutover].address, "/health")
    assert (reply.status_code, reply.json()["status"]) == (503, "failing")
    assert get(billing.address, "/health").status_code == 200


def test_power_history_tells_when_the_machine_behind_an_agent_was_reachable(
    cloud: Cloud, billing: SourceMachine
) -> None:
    start = cloud.time
    cloud.applications.source_changed(billing.name, False, False, start + 5)
    cloud.applications.source_changed(billing.name, True, False, start + 6)
    cloud.applications.source_changed(billing.name, True, True, start + 7)
    history = cloud.applications.power_history(f"id-{billing.name}")
    assert history == [(start, True), (start + 5, False), (start + 7, True)]
    assert cloud.applications.power_history("id-of-nobody") == []


def test_a_planned_launch_failure_names_its_reason(cloud: Cloud) -> None:
    cloud.faults.add(Rule("mgn", "launch", "refuse", target="shop-web-01/test", times=1, message="no capacity"))
    assert cloud.applications.launch_fault("id-billing-web-01", "test") is None
    assert cloud.applications.launch_fault("id-shop-web-01", "cutover") is None
    assert cloud.applications.launch_fault("id-shop-web-01", "test") == "no capacity"
    assert cloud.applications.launch_fault("id-shop-web-01", "test") is None


def test_an_application_of_several_servers_is_down_while_one_of_its_addresses_does_not_answer(network: int) -> None:
    cloud = Cloud(build_world(network, applications=1, servers=3))
    cloud.applications.start()
    try:
        first, second, third = cloud.world.machines
        cloud.time += 10
        cloud.power(second, False)
        cloud.time += 2
        cloud.power(second, True)
        cloud.time += 1
        report = cloud.report()
        assert report["dns"]["answer"] == [first.address, second.address, third.address]
        assert report["downtimeSeconds"] == 2
        assert [get(server.address, "/counter").json()["writes"] for server in (first, second)] == [130, 110]
    finally:
        cloud.applications.stop()


def test_a_machine_whose_address_is_in_use_stops_the_start_with_its_address(network: int) -> None:
    cloud = Cloud(build_world(network, applications=1))
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind((cloud.world.machines[0].address, 8080))
        taken.listen()
        with pytest.raises(OSError, match=cloud.world.machines[0].address):
            cloud.applications.start()


def test_two_worlds_never_get_the_same_network(network: int) -> None:
    other, holder = reserve_network()
    holder.close()
    assert other != network


def test_a_world_is_the_same_every_time_and_its_machines_are_distinct() -> None:
    world = build_world(77, applications=14, servers=20)
    assert world == build_world(77, applications=14, servers=20)
    assert [application.name for application in world.applications][11:] == ["reports", "app-13", "app-14"]
    for attribute in ("name", "address", "mac", "managed_instance_id", "uuid"):
        assert len({getattr(machine, attribute) for machine in world.machines}) == 280
    assert world.machines[21].name == "shop-web-02"
    assert all(machine.address.startswith("127.77.1") for machine in world.machines)
