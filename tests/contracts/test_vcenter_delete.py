"""A source that is retired for good: the machine that was migrated is deleted, and never another one."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from pydantic import SecretStr
from pyVmomi import vim

from adapters.vcenter import VCenter
from localcloud.faults import FaultPlan, Rule
from localcloud.ledger import Ledger
from localcloud.vcenter import PASSWORD, USERNAME, VCenterSimulator
from localcloud.world import build_world
from migration.errors import Conflict, NotFound, PrerequisiteError, Unavailable
from migration.ports import SourceHypervisor
from migration.settings import Connection
from tests.fakes.vcenter import FakeHypervisor

MACHINES = build_world(250, applications=8, servers=2).machines


class RealSite:
    """Govmomi's vCenter: a machine of its own for each test."""

    def __init__(self, vcenter: VCenter, faults: FaultPlan, ledger: Ledger, told: list[tuple[str, bool, bool]]) -> None:
        self.hypervisor: SourceHypervisor = vcenter
        self.vcenter = vcenter
        self.faults = faults
        self.ledger = ledger
        self.told = told
        self._unused = iter(MACHINES)

    def machine(self) -> tuple[str, str]:
        """The name and uuid of a running machine."""
        machine = next(self._unused)
        return machine.name, machine.uuid

    def rename(self, vm: str, name: str) -> None:
        """Give a machine another name."""
        reference = self.vcenter._look(vm).reference  # the adapter renames nothing
        self.vcenter._finish(vm, self.vcenter._session.run(lambda _: reference.Rename_Task(name)))

    def make_another(self, vm: str, beside: str) -> None:
        """Make a machine of that name, as an operator would."""
        session = self.vcenter._session
        found = self.vcenter._look(beside).reference
        spec = vim.vm.ConfigSpec(name=vm, guestId="otherGuest", files=vim.vm.FileInfo(vmPathName="[LocalDS_0]"))
        self.vcenter._finish(vm, session.run(lambda _: found.parent.CreateVM_Task(spec, found.resourcePool)))

    def lose_reply(self) -> None:
        """Lose the next reply of a deletion."""
        self.faults.add(Rule("vcenter", "Destroy_Task", "replyLost", times=1))

    def deletions(self, vm: str) -> int:
        """How often this machine was deleted."""
        return len(self.ledger.entries(service="vcenter", operation="Destroy_Task", target=vm))


class FakeSite:
    """The hypervisor in memory."""

    def __init__(self) -> None:
        self.fake = FakeHypervisor()
        self.hypervisor: SourceHypervisor = self.fake

    def machine(self) -> tuple[str, str]:
        """The name and uuid of a running machine."""
        return "web", self.fake.add("web").uuid

    def rename(self, vm: str, name: str) -> None:
        """Give a machine another name."""
        self.fake.machines[name] = self.fake.machines.pop(vm).model_copy(update={"vm": name})

    def make_another(self, vm: str, beside: str) -> None:
        """Make a machine of that name, as an operator would."""
        self.fake.add(vm, uuid=f"another-beside-{beside}", power="poweredOff")

    def lose_reply(self) -> None:
        """Lose the next reply of a deletion."""
        self.fake.lose_reply("delete")

    def deletions(self, vm: str) -> int:
        """How often this machine was deleted."""
        return self.fake.effects.count(("delete", vm))


Site = RealSite | FakeSite


@pytest.fixture(scope="module")
def real() -> Iterator[RealSite]:
    ledger, faults = Ledger(), FaultPlan()
    told: list[tuple[str, bool, bool]] = []
    simulator = VCenterSimulator(MACHINES, ledger, faults, on_change=lambda *change: told.append(change[:3]))
    simulator.start()
    connection = Connection(url=simulator.url, username=USERNAME, password=SecretStr(PASSWORD))
    with closing(VCenter(connection)) as vcenter:
        yield RealSite(vcenter, faults, ledger, told)
    simulator.stop()


@pytest.fixture(params=["real", "fake"])
def site(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue("real") if request.param == "real" else FakeSite()


def gone(site: Site, vm: str) -> bool:
    try:
        site.hypervisor.find(vm)
    except NotFound:
        return True
    return False


def test_a_machine_that_is_off_is_deleted_once(site: Site) -> None:
    vm, uuid = site.machine()
    site.hypervisor.power_off(vm)

    site.hypervisor.delete(vm, uuid)
    site.hypervisor.delete(vm, uuid)

    assert gone(site, vm)
    assert site.deletions(vm) == 1


def test_a_running_machine_is_not_deleted(site: Site) -> None:
    vm, uuid = site.machine()

    with pytest.raises(Conflict) as caught:
        site.hypervisor.delete(vm, uuid)

    assert caught.value.action
    assert (gone(site, vm), site.deletions(vm)) == (False, 0)


def test_another_machine_of_that_name_is_not_deleted(site: Site) -> None:
    vm, _ = site.machine()
    site.hypervisor.power_off(vm)

    with pytest.raises(Conflict) as caught:
        site.hypervisor.delete(vm, "5017a3f0-0000-0000-0000-000000000000")

    assert caught.value.action
    assert (gone(site, vm), site.deletions(vm)) == (False, 0)


def test_a_machine_that_was_renamed_is_not_taken_for_gone(site: Site) -> None:
    vm, uuid = site.machine()
    site.hypervisor.power_off(vm)
    site.rename(vm, f"{vm}-old")

    with pytest.raises(Conflict) as caught:
        site.hypervisor.delete(vm, uuid)

    assert caught.value.action
    assert not gone(site, f"{vm}-old")


def test_a_machine_made_after_the_deletion_stays(site: Site) -> None:
    vm, uuid = site.machine()
    neighbour, _ = site.machine() if isinstance(site, RealSite) else ("neighbour", "")
    site.hypervisor.power_off(vm)
    site.hypervisor.delete(vm, uuid)
    site.make_another(vm, beside=neighbour)

    with pytest.raises(Conflict):
        site.hypervisor.delete(vm, uuid)

    assert (gone(site, vm), site.deletions(vm)) == (False, 1)


def test_a_machine_with_a_snapshot_is_deleted_whole(site: Site) -> None:
    vm, uuid = site.machine()
    site.hypervisor.power_off(vm)
    site.hypervisor.create_snapshot(vm, "before-upgrade", "")

    site.hypervisor.delete(vm, uuid)

    assert gone(site, vm)


def test_a_deletion_whose_reply_was_lost_is_seen_and_not_repeated(real: RealSite) -> None:
    vm, uuid = real.machine()
    real.hypervisor.power_off(vm)
    real.lose_reply()

    real.hypervisor.delete(vm, uuid)

    assert real.faults.rules() == {}
    assert (gone(real, vm), real.deletions(vm)) == (True, 1)


@pytest.mark.parametrize(
    ("code", "error"), [(None, Unavailable), ("InvalidPowerState", Conflict), ("NoPermission", PrerequisiteError)]
)
def test_a_refused_deletion_is_told_in_our_words_and_can_be_repeated(
    real: RealSite, code: str | None, error: type[Exception]
) -> None:
    vm, uuid = real.machine()
    real.hypervisor.power_off(vm)
    real.faults.add(Rule("vcenter", "Destroy_Task", "refuse", target=vm, times=1, code=code))

    with pytest.raises(error, match=f"{vm}: vCenter answered"):
        real.hypervisor.delete(vm, uuid)
    assert (gone(real, vm), real.deletions(vm)) == (False, 0)

    real.hypervisor.delete(vm, uuid)
    assert gone(real, vm)


def test_the_application_hears_that_its_machine_is_off_and_off_the_network(real: RealSite) -> None:
    vm, uuid = real.machine()
    real.hypervisor.power_off(vm)
    heard = len(real.told)

    real.hypervisor.delete(vm, uuid)

    assert set(real.told[heard:]) == {(vm, False, False)}
