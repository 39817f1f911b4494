"""What vCenter says of a machine that MGN, or a snapshot, has trouble with: planted and read through SOAP."""

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr
from pyVmomi import vim

from adapters.vcenter import VCenter
from adapters.vsphere_session import Session
from localcloud.faults import FaultPlan
from localcloud.ledger import Ledger
from localcloud.vcenter import PASSWORD, USERNAME, VCenterSimulator
from localcloud.world import SourceMachine, build_world
from migration.settings import Connection

MACHINES = build_world(249, applications=12).machines
GIB = 1024**3


class DataCentre:
    """A vCenter, and somebody who changes its machines."""

    def __init__(self, simulator: VCenterSimulator) -> None:
        connection = Connection(url=simulator.url, username=USERNAME, password=SecretStr(PASSWORD))
        self.vcenter = VCenter(connection)
        self._session = Session(connection, timedelta(seconds=30))

    def reconfigure(self, machine: SourceMachine, **changes: Any) -> None:
        """Change a machine's configuration, and wait for the end of it."""
        vm = self._machine(machine)
        task = self._session.run(lambda _: vm.ReconfigVM_Task(vim.vm.ConfigSpec(**changes)))
        deadline = time.monotonic() + 10
        while task.info.state in ("queued", "running"):
            assert time.monotonic() < deadline, "the task does not end"
            time.sleep(0.01)
        assert task.info.state == "success", task.info.error

    def add(self, machine: SourceMachine, *devices: Any) -> None:
        """Put devices into a machine."""
        self.reconfigure(machine, deviceChange=[_device("add", device) for device in devices])

    def edit(self, machine: SourceMachine, kind: Any, change: Any) -> None:
        """Change the first device of this kind."""
        device = next(one for one in self._machine(machine).config.hardware.device if isinstance(one, kind))
        change(device)
        self.reconfigure(machine, deviceChange=[_device("edit", device)])

    def bus(self, machine: SourceMachine) -> int:
        """The key of a machine's SCSI controller."""
        devices = self._machine(machine).config.hardware.device
        return int(next(one.key for one in devices if isinstance(one, vim.vm.device.VirtualSCSIController)))

    def _machine(self, machine: SourceMachine) -> Any:
        return self._session.run(lambda content: content.searchIndex.FindByUuid(None, machine.uuid, True, True))

    def close(self) -> None:
        self.vcenter.close()
        self._session.close()


def _device(operation: str, device: Any) -> Any:
    spec = vim.vm.device.VirtualDeviceSpec(operation=operation, device=device)
    if operation == "add" and isinstance(device, vim.vm.device.VirtualDisk):
        spec.fileOperation = vim.vm.device.VirtualDeviceSpec.FileOperation.create
    return spec


@pytest.fixture(scope="module")
def centre() -> Iterator[DataCentre]:
    simulator = VCenterSimulator(MACHINES, Ledger(), FaultPlan(), on_change=lambda *_: None)
    simulator.start()
    centre = DataCentre(simulator)
    yield centre
    centre.close()
    simulator.stop()


@pytest.fixture(scope="module")
def unused() -> Iterator[SourceMachine]:
    return iter(MACHINES)


@pytest.fixture
def machine(unused: Iterator[SourceMachine]) -> SourceMachine:
    """A machine that no other test touches."""
    return next(unused)


def disk(centre: DataCentre, machine: SourceMachine, number: int, backing: Any) -> Any:
    backing.fileName = f"[LocalDS_0] {machine.name}/more{number}.vmdk"
    return vim.vm.device.VirtualDisk(
        key=-number, controllerKey=centre.bus(machine), unitNumber=number, capacityInKB=GIB // 1024, backing=backing
    )


def flat(**facts: Any) -> Any:
    return vim.vm.device.VirtualDisk.FlatVer2BackingInfo(**({"diskMode": "persistent"} | facts))


def test_a_seeded_machine_has_nothing_that_troubles_anybody(centre: DataCentre, machine: SourceMachine) -> None:
    found = centre.vcenter.find(machine.name)
    assert found.guest_id == "ubuntu64Guest"
    assert [(one.raw_mapped, one.independent, one.shared) for one in found.disks] == [(False, False, False)]
    assert (found.passthrough, found.has_tpm, found.encrypted, found.consolidation_needed) == ((), False, False, False)


def test_another_system_is_read_by_vcenters_name_for_it(centre: DataCentre, machine: SourceMachine) -> None:
    centre.reconfigure(machine, guestId="freebsd13_64Guest")
    assert centre.vcenter.find(machine.name).guest_id == "freebsd13_64Guest"


def test_every_disk_is_read(centre: DataCentre, machine: SourceMachine) -> None:
    centre.add(machine, *(disk(centre, machine, number, flat()) for number in range(1, 6)))
    assert [one.size_bytes for one in centre.vcenter.find(machine.name).disks] == [10 * GIB, *([GIB] * 5)]


def test_an_independent_disk_is_known(centre: DataCentre, machine: SourceMachine) -> None:
    centre.add(machine, disk(centre, machine, 1, flat(diskMode="independent_persistent")))
    assert [one.independent for one in centre.vcenter.find(machine.name).disks] == [False, True]


def test_a_disk_that_many_may_write_is_shared(centre: DataCentre, machine: SourceMachine) -> None:
    centre.add(machine, disk(centre, machine, 1, flat(sharing="sharingMultiWriter")))
    assert [one.shared for one in centre.vcenter.find(machine.name).disks] == [False, True]


def test_every_disk_of_a_shared_bus_is_shared(centre: DataCentre, machine: SourceMachine) -> None:
    def share(bus: Any) -> None:
        bus.sharedBus = "physicalSharing"

    centre.edit(machine, vim.vm.device.VirtualSCSIController, share)
    assert [one.shared for one in centre.vcenter.find(machine.name).disks] == [True]


def test_a_raw_device_mapping_is_known(centre: DataCentre, machine: SourceMachine) -> None:
    mapping = vim.vm.device.VirtualDisk.RawDiskMappingVer1BackingInfo(
        deviceName="vml.0200000000", compatibilityMode="physicalMode", diskMode="independent_persistent"
    )
    centre.add(machine, disk(centre, machine, 1, mapping))
    found = centre.vcenter.find(machine.name).disks
    assert [(one.raw_mapped, one.independent) for one in found] == [(False, False), (True, True)]


def test_devices_of_the_host_are_named(centre: DataCentre, machine: SourceMachine) -> None:
    centre.add(machine, vim.vm.device.VirtualPCIPassthrough(key=-1))
    assert len(centre.vcenter.find(machine.name).passthrough) == 1


def test_a_tpm_is_known(centre: DataCentre, machine: SourceMachine) -> None:
    """A client of API version 6.5 is shown it without its type, which came with 6.7."""
    centre.add(
        machine, vim.vm.device.VirtualDevice(key=-1, deviceInfo=vim.Description(label="Virtual TPM", summary=""))
    )
    assert centre.vcenter.find(machine.name).has_tpm


def test_snapshots_are_named(centre: DataCentre, machine: SourceMachine) -> None:
    centre.vcenter.create_snapshot(machine.name, "before-upgrade", "by hand")
    assert centre.vcenter.find(machine.name).snapshots == ("before-upgrade",)
