"""The source side: the hypervisor, and commands inside a machine."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Protocol

from migration.models import Model
from migration.ports.target import Where


class PowerState(StrEnum):
    """A virtual machine's power, as the hypervisor says."""

    ON = "poweredOn"
    OFF = "poweredOff"
    SUSPENDED = "suspended"


class NetworkCard(Model):
    """A virtual network card: its device key, address on the wire, and whether its cable is in."""

    key: int
    mac: str
    connected: bool


class MachineDisk(Model):
    """A virtual disk and its capacity in bytes.

    Attributes:
        raw_mapped: It is a raw device mapping to a LUN.
        independent: Snapshots leave it out.
        shared: Other machines may write to it too.
    """

    label: str
    size_bytes: int
    raw_mapped: bool = False
    independent: bool = False
    shared: bool = False


class SourceMachine(Model):
    """What the hypervisor knows of one source machine.

    Attributes:
        guest_os: The guest's system in words, and `guest_id` the hypervisor's own name for it.
        passthrough: Labels of the devices that belong to its host.
    """

    vm: str
    id: str
    uuid: str
    power: PowerState
    guest_os: str | None = None
    guest_id: str | None = None
    tools_running: bool = False
    addresses: tuple[str, ...] = ()
    nics: tuple[NetworkCard, ...] = ()
    snapshots: tuple[str, ...] = ()
    disks: tuple[MachineDisk, ...] = ()
    passthrough: tuple[str, ...] = ()
    has_tpm: bool = False
    encrypted: bool = False
    consolidation_needed: bool = False


class SourceHypervisor(Protocol):
    """Power, network and snapshots of the source machines (vCenter)."""

    def find(self, vm: str) -> SourceMachine:
        """Read a machine by its name. Raises `NotFound`, or `Conflict` when two machines share the name."""

    def shut_down_guest(self, vm: str) -> None:
        """Ask the guest to shut down; returns at once. Nothing happens when it is off already."""

    def power_off(self, vm: str) -> None:
        """Cut the power. Nothing happens when it is off already."""

    def power_on(self, vm: str) -> None:
        """Switch the machine on. Nothing happens when it runs already."""

    def connect_nics(self, vm: str, macs: Sequence[str], *, connected: bool) -> None:
        """Plug the network cards with these MAC addresses in or out; cards already so are left alone."""

    def create_snapshot(self, vm: str, name: str, description: str) -> str:
        """Take a snapshot without memory, or find the one of that name; returns its id."""

    def remove_snapshot(self, vm: str, name: str) -> None:
        """Remove the snapshot of that name, if there is one, without its children."""

    def delete(self, vm: str, uuid: str) -> None:
        """Delete a machine that is off, and its disks. Nothing happens when it is gone already.

        Raises `Conflict` when the machine of that name has another uuid, or bears another name, or is not off.
        """


class ManagedInstance(Model):
    """A machine that Systems Manager can command."""

    id: str
    name: str
    online: bool
    platform: str | None = None


class CommandResult(Model):
    """The end of one remote command: its id, exit code, and what it wrote (truncated by the service)."""

    command_id: str
    exit_code: int
    output: str = ""
    error: str = ""


class CommandLook(Model):
    """A command so far: its status in the service's own words, and whether it has ended, and well."""

    status: str
    ended: bool
    succeeded: bool
    exit_code: int = -1
    output: str = ""
    error: str = ""


class RemoteCommands(Protocol):
    """Commands inside a machine (SSM Run Command)."""

    def find(self, *, instance_id: str | None, name: str) -> ManagedInstance:
        """Find a managed instance by its id or else by its computer name. Raises `NotFound`."""

    def run(self, instance_id: str, lines: Sequence[str], *, os: str, comment: str, within: timedelta) -> CommandResult:
        """Run shell (linux) or PowerShell (windows) lines and wait for their end, at most `within`."""

    def find_command(self, instance_id: str, comment: str) -> str | None:
        """The id of the command that was sent there with this comment, whatever has become of it."""

    def send(
        self,
        instance_id: str,
        document: str,
        parameters: Mapping[str, Sequence[str]],
        *,
        comment: str,
        within: timedelta,
    ) -> str:
        """Send a document and return the command's id, without waiting for its end.

        A machine that it has not reached `within` that time never gets it.

        Raises `Unavailable` when the machine takes no commands now.
        """

    def look_at(self, command_id: str, instance_id: str) -> CommandLook:
        """What has become of a command so far."""

    def stop(self, command_id: str, instance_id: str) -> None:
        """Ask for a command to be ended; it may have ended already, or go on all the same."""


Hypervisors = Callable[[str], SourceHypervisor]
Commands = Callable[[Where], RemoteCommands]
