"""The source machines: in the hypervisor, running, and such that MGN can take them over."""

from collections.abc import Iterator

from activities.checks.guests import check_system
from migration.errors import Conflict, NotFound
from migration.findings import Finding, FindingCode
from migration.findings.catalogue import MOST_ATTACHMENTS, MOST_DISKS, finding
from migration.ports import MachineDisk, PowerState, SourceHypervisor, SourceMachine
from migration.request import MigrationRequest, Server, SourceSnapshot, VolumeType

_TIB = 1024**4
_LARGEST = {VolumeType.GP3: 16 * _TIB, VolumeType.GP2: 16 * _TIB, VolumeType.STANDARD: _TIB}
"""Bytes of an EBS volume of each type (EBS user guide, "Amazon EBS volume types")."""


def find_machines(
    request: MigrationRequest, hypervisor: SourceHypervisor, found: dict[str, SourceMachine]
) -> Iterator[Finding]:
    """Look every machine up, and put those that exist into `found`, by server name."""
    for index, server in enumerate(request.servers):
        path = f"$.source.servers[{index}]"
        try:
            machine = hypervisor.find(server.vm or server.name)
        except (NotFound, Conflict) as missing:
            yield finding(FindingCode.MACHINE_MISSING, str(missing), subject=server.name, path=f"{path}.vm")
            continue
        if twin := next((name for name, other in found.items() if other.uuid == machine.uuid), None):
            message = f"{server.name} and {twin} are both the machine {machine.vm}"
            yield finding(FindingCode.MACHINE_NAMED_TWICE, message, subject=server.name, path=f"{path}.vm")
        found[server.name] = machine
        yield from _state(server, machine, path)
        yield from check_system(server, machine, path)
        yield from _disks(server, machine, path)
        if request.source_snapshot is not SourceSnapshot.NONE:
            yield from _left_out_of_snapshots(server, machine)
        yield from _devices(server, machine)


def _state(server: Server, machine: SourceMachine, path: str) -> Iterator[Finding]:
    if machine.power is not PowerState.ON:
        message = f"{machine.vm} is {machine.power}, so it cannot replicate"
        yield finding(FindingCode.MACHINE_POWERED_OFF, message, subject=server.name, path=f"{path}.vm")
        return
    yield from _address(server, machine, path)
    if machine.snapshots:
        message = f"{machine.vm} already has {len(machine.snapshots)} snapshots, which slow its disks down"
        yield finding(FindingCode.MACHINE_HAS_SNAPSHOTS, message, subject=server.name)
    if machine.consolidation_needed:
        message = f"the disks of {machine.vm} wait for a consolidation"
        yield finding(FindingCode.CONSOLIDATION_NEEDED, message, subject=server.name)


def _address(server: Server, machine: SourceMachine, path: str) -> Iterator[Finding]:
    if not machine.tools_running:
        message = f"no guest tools run in {machine.vm}: at the cutover its power is cut instead of a shutdown"
        yield finding(FindingCode.TOOLS_NOT_RUNNING, message, subject=server.name)
    elif not machine.addresses:
        message = f"{machine.vm} reports no address, the request says {server.address}"
        yield finding(FindingCode.ADDRESS_MISSING, message, subject=server.name, path=f"{path}.address")
    elif server.address not in machine.addresses:
        message = f"{machine.vm} has {', '.join(machine.addresses)}, the request says {server.address}"
        yield finding(FindingCode.ADDRESS_DIFFERS, message, subject=server.name, path=f"{path}.address")


def _disks(server: Server, machine: SourceMachine, path: str) -> Iterator[Finding]:
    count = len(machine.disks)
    if count > MOST_DISKS:
        message = f"{machine.vm} has {count} disks, MGN replicates {MOST_DISKS} of a server"
        yield finding(FindingCode.DISKS_TOO_MANY, message, subject=server.name, path=f"{path}.vm")
    elif count >= MOST_ATTACHMENTS:
        message = f"{machine.vm} has {count} disks, most instance types attach {MOST_ATTACHMENTS - 1} volumes"
        yield finding(FindingCode.DISKS_MANY, message, subject=server.name, path=f"{path}.launch.instanceType")
    volume_type = server.launch.volume_type
    for disk in machine.disks:
        if disk.size_bytes > _LARGEST[volume_type]:
            message = (
                f"{disk.label} of {machine.vm} has {disk.size_bytes / _TIB:.1f} TiB, "
                f"a {volume_type} volume {_LARGEST[volume_type] // _TIB} TiB at most"
            )
            yield finding(FindingCode.DISK_TOO_LARGE, message, subject=server.name, path=f"{path}.launch.volumeType")
    if shared := _labels(disk for disk in machine.disks if disk.shared):
        message = f"{machine.vm} may share disks with other machines: {shared}"
        yield finding(FindingCode.DISK_SHARED, message, subject=server.name)


def _left_out_of_snapshots(server: Server, machine: SourceMachine) -> Iterator[Finding]:
    if raw := _labels(disk for disk in machine.disks if disk.raw_mapped):
        message = f"{machine.vm} has raw device mappings: {raw}"
        yield finding(FindingCode.DISK_RAW_MAPPED, message, subject=server.name, path="$.sourceSnapshot")
    if independent := _labels(disk for disk in machine.disks if disk.independent):
        message = f"{machine.vm} has independent disks: {independent}"
        yield finding(FindingCode.DISK_INDEPENDENT, message, subject=server.name, path="$.sourceSnapshot")


def _devices(server: Server, machine: SourceMachine) -> Iterator[Finding]:
    if machine.passthrough:
        message = f"{machine.vm} uses devices of its host: {', '.join(machine.passthrough)}"
        yield finding(FindingCode.PASSTHROUGH_DEVICE, message, subject=server.name)
    if machine.has_tpm:
        yield finding(FindingCode.VIRTUAL_TPM, f"{machine.vm} has a virtual TPM", subject=server.name)
    if machine.encrypted:
        yield finding(FindingCode.MACHINE_ENCRYPTED, f"vCenter encrypts {machine.vm}", subject=server.name)


def _labels(disks: Iterator[MachineDisk]) -> str:
    return ", ".join(disk.label for disk in disks)
