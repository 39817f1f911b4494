"""VMware vCenter as the source hypervisor, through the vSphere Web Services API (SOAP, API version 6.5 and later).

Every act is: wait until the machine has no task under way, read, decide, act, read back. So a lost reply, or a
fault that came after the effect, is found out by looking and not by trying again.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from pyVmomi import vim, vmodl

from adapters.vsphere_errors import FAILURES, translated
from adapters.vsphere_session import Session
from migration.errors import Conflict, NotFound, Unavailable
from migration.ports import MachineDisk, NetworkCard, PowerState, SourceMachine
from migration.settings import Connection

CALL_WITHIN = timedelta(seconds=60)
TASK_WITHIN = timedelta(minutes=10)

_FACTS = (
    "name",
    "config.instanceUuid",
    "config.guestFullName",
    "config.guestId",
    "config.hardware.device",
    "config.keyId",
    "guest.guestFullName",
    "guest.guestId",
    "guest.ipAddress",
    "guest.net",
    "guest.toolsRunningStatus",
    "runtime.consolidationNeeded",
    "runtime.powerState",
    "snapshot",
)
_PASSTHROUGH = (
    vim.vm.device.VirtualPCIPassthrough,
    vim.vm.device.VirtualSCSIPassthrough,
    vim.vm.device.VirtualSriovEthernetCard,
    vim.vm.device.VirtualUSB,
)
_RAW_MAPPED = (
    vim.vm.device.VirtualDisk.RawDiskMappingVer1BackingInfo,
    vim.vm.device.VirtualDisk.RawDiskVer2BackingInfo,
)
_SHARED_BUS = frozenset({"virtualSharing", "physicalSharing"})
_UNDER_WAY = frozenset({"queued", "running"})
_FIRST_LOOK, _SLOWEST_LOOK = 0.05, 2.0


class VCenter:
    """The machines of one vCenter. Safe to use from many threads."""

    def __init__(
        self, connection: Connection, *, call_within: timedelta = CALL_WITHIN, task_within: timedelta = TASK_WITHIN
    ) -> None:
        """Keep how to reach it; nothing is called yet.

        Args:
            connection: URL (`https://host[/sdk]`, or http in a laboratory), user, password, CA certificates.
            call_within: How long one SOAP call may take.
            task_within: How long to wait for a task, such as a snapshot that is consolidated.
        """
        self._session = Session(connection, call_within)
        self._task_within = task_within

    def close(self) -> None:
        """Log out and close the connections; a later call logs in again."""
        self._session.close()

    def about(self) -> str:
        """Log in, and read the product's name and the root folder's. Raises as `find` does."""
        with translated("vCenter"):
            product, root = self._session.run(lambda content: (content.about.fullName, content.rootFolder))
            folder = vmodl.query.PropertyCollector.ObjectSpec(obj=root)
            self._session.read([folder], {vim.Folder: ["name"]}, whole=vim.Folder)
            return str(product)

    # --- the port ------------------------------------------------------------------------------------------------

    def find(self, vm: str) -> SourceMachine:
        """Read a machine by its name, as inventories show it.

        Raises:
            NotFound: There is none.
            Conflict: Two machines, in different folders, share the name.
            PrerequisiteError: vCenter refused our user, or its certificate is not trusted.
            Unavailable: vCenter did not answer.
        """
        with translated(vm):
            return self._look(vm).machine

    def shut_down_guest(self, vm: str) -> None:
        """Ask the guest to shut down; returns at once. Nothing happens when it is off already.

        Raises:
            Conflict: The guest tools do not run; retryable, since the next look may find it off or choose otherwise.
        """
        self._bring(vm, _is(PowerState.OFF), lambda found: found.reference.ShutdownGuest(), read_back=False)

    def power_off(self, vm: str) -> None:
        """Cut the power. Nothing happens when it is off already."""
        self._bring(vm, _is(PowerState.OFF), lambda found: found.reference.PowerOffVM_Task())

    def power_on(self, vm: str) -> None:
        """Switch the machine on. Nothing happens when it runs already."""
        self._bring(vm, _is(PowerState.ON), lambda found: found.reference.PowerOnVM_Task())

    def connect_nics(self, vm: str, macs: Sequence[str], *, connected: bool) -> None:
        """Plug the network cards with these MAC addresses in or out; cards already so are left alone.

        On a machine that is off, this is what the card will do at power-on. A card that is gone is unplugged.

        Raises:
            NotFound: A card that is to be connected is gone.
        """
        wanted = frozenset(mac.casefold() for mac in macs)

        def differing(found: "_Found") -> list[Any]:
            return [card for card in found.cards(wanted) if found.is_plugged(card) is not connected]

        def act(found: "_Found") -> Any:
            changes = [_plug(card, found.machine.power, connected=connected) for card in differing(found)]
            return found.reference.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=changes))

        after = self._bring(vm, lambda found: not differing(found), act)
        if connected and (gone := wanted - {card.macAddress.casefold() for card in after.cards(wanted)}):
            raise NotFound(f"{vm} has no network card {', '.join(sorted(gone))}")

    def create_snapshot(self, vm: str, name: str, description: str) -> str:
        """Take a snapshot without memory, or find the one of that name; returns its managed object id."""
        found = self._bring(
            vm,
            lambda found: bool(found.snapshots(name)),
            lambda found: found.reference.CreateSnapshot_Task(name, description, memory=False, quiesce=False),
        )
        return str(found.snapshots(name)[0]._moId)  # noqa: SLF001  pyvmomi's only name for the id

    def remove_snapshot(self, vm: str, name: str) -> None:
        """Remove the snapshot of that name, if there is one, without its children."""
        self._bring(
            vm,
            lambda found: not found.snapshots(name),
            lambda found: found.snapshots(name)[0].RemoveSnapshot_Task(removeChildren=False),
        )

    def delete(self, vm: str, uuid: str) -> None:
        """Delete a machine that is off, and its disks. Nothing happens when it is gone already.

        Args:
            vm: Its name, as inventories show it.
            uuid: Its instance uuid, which tells it from one that somebody has made in its place.

        Raises:
            Conflict: The machine of that name is another one, or ours has another name now, or is not off.
        """
        with translated(vm):
            if (found := self._to_delete(vm, uuid)) is None:
                return
            try:
                self._finish(vm, self._session.run(lambda _: found.reference.Destroy_Task()))
            except FAILURES:
                # As in `_bring`: the reply, or the task, may be gone with the machine.
                if uuid in self._uuids().values():
                    raise
            if uuid in self._uuids().values():
                raise Unavailable(f"{vm}: vCenter reported success, and still shows the machine")

    def snapshots(self, prefix: str) -> tuple[tuple[str, str], ...]:
        """Every snapshot in the inventory whose name begins so: machine and snapshot name, sorted."""
        with translated("the inventory"):
            seen = self._session.read([self._session.everything()], {vim.VirtualMachine: ("name", "snapshot")})
        named = ((_as_shown(facts.get("name", "")), _tree(facts.get("snapshot"))) for facts in seen.values())
        found = ((vm, _as_shown(item.name)) for vm, items in named for item in items)
        return tuple(sorted((vm, name) for vm, name in found if name.startswith(prefix)))

    # --- read, decide, act, read back ----------------------------------------------------------------------------

    def _bring(
        self, vm: str, is_so: Callable[["_Found"], bool], act: Callable[["_Found"], Any], *, read_back: bool = True
    ) -> "_Found":
        with translated(vm):
            found = self._settled(vm)
            if is_so(found):
                return found
            try:
                self._finish(vm, self._session.run(lambda _: act(found)))
            except FAILURES:
                # Neither a fault nor a lost reply says that nothing happened: only a look does.
                after = self._settled(vm)
                if is_so(after):
                    return after
                raise
            if not read_back:
                return found
            after = self._settled(vm)
        if not is_so(after):
            raise Unavailable(f"{vm}: vCenter reported success, and does not show the effect yet")
        return after

    def _to_delete(self, vm: str, uuid: str) -> "_Found | None":
        try:
            found = self._settled(vm)
        except NotFound:
            if uuid not in self._uuids().values():
                return None
            raise Conflict(
                f"{vm} is not in vCenter under this name, and its machine (uuid {uuid}) is under another",
                action="Name it as it was if it may be deleted; else keep the source",
            ) from None
        if found.machine.uuid != uuid:
            raise Conflict(
                f"{vm} is another machine now: its uuid is {found.machine.uuid}, not {uuid}",
                action="Look at what was made under this name; nothing was deleted",
            )
        if found.machine.power is not PowerState.OFF:
            raise Conflict(
                f"{vm} is {found.machine.power}, and is deleted only when powered off",
                action="Find out who switched it on; switch it off if it may be deleted, else keep the source",
            )
        return found

    def _finish(self, vm: str, task: Any | None) -> None:
        if task is None:
            return

        def ended() -> bool:
            (seen,) = self._session.read(
                [_object(task)], {vim.Task: ("info.state", "info.error")}, whole=vim.Task
            ).values()
            if seen["info.state"] == "error":
                raise seen["info.error"]
            return bool(seen["info.state"] == "success")

        self._until(ended, vm)

    def _settled(self, vm: str) -> "_Found":
        latest: list[_Found] = []

        def quiet() -> bool:
            latest[:] = [self._look(vm)]
            return not latest[0].busy

        self._until(quiet, vm)
        return latest[0]

    def _until(self, done: Callable[[], bool], vm: str) -> None:
        deadline, pause = time.monotonic() + self._task_within.total_seconds(), _FIRST_LOOK
        while not done():
            if time.monotonic() >= deadline:
                raise Unavailable(f"{vm}: a task of vCenter still runs after {self._task_within}")
            time.sleep(pause)
            pause = min(pause * 2, _SLOWEST_LOOK)

    # --- reading -------------------------------------------------------------------------------------------------

    def _look(self, vm: str) -> "_Found":
        reference = self._reference(vm)
        seen = self._session.read(
            [_with_tasks(reference)], {vim.VirtualMachine: _FACTS, vim.Task: ("info.state",)}, whole=vim.VirtualMachine
        )
        facts = seen.pop(reference, None)
        if facts is None:
            raise NotFound(f"{vm} has just been removed from vCenter")
        return _Found(vm, reference, facts, busy=any(task.get("info.state") in _UNDER_WAY for task in seen.values()))

    def _uuids(self) -> dict[Any, str]:
        seen = self._session.read(
            [self._session.everything()], {vim.VirtualMachine: ("config.instanceUuid",)}, whole=vim.VirtualMachine
        )
        return {reference: facts.get("config.instanceUuid", "") for reference, facts in seen.items()}

    def _reference(self, vm: str) -> Any:
        """Look the name up in the whole inventory, every time: a name may move to another machine."""
        named = self._session.read([self._session.everything()], {vim.VirtualMachine: ("name",)})
        matches = [reference for reference, facts in named.items() if _as_shown(facts.get("name", "")) == vm]
        if not matches:
            raise NotFound(f"vCenter has no machine named {vm}")
        if len(matches) > 1:
            ids = ", ".join(sorted(match._moId for match in matches))  # noqa: SLF001  pyvmomi's only name for the id
            raise Conflict(f"{len(matches)} machines are named {vm}: {ids}", action="Give each a name of its own")
        return matches[0]


class _Found:
    """A machine as just read: its reference, and what vCenter says of it."""

    def __init__(self, vm: str, reference: Any, facts: Mapping[str, Any], *, busy: bool) -> None:
        self._facts = facts
        self.reference = reference
        self.busy = busy
        self.machine = SourceMachine(
            vm=vm,
            id=str(reference._moId),  # noqa: SLF001  pyvmomi's only name for the id
            uuid=facts.get("config.instanceUuid", ""),
            power=self._power,
            guest_os=facts.get("guest.guestFullName") or facts.get("config.guestFullName"),
            guest_id=facts.get("guest.guestId") or facts.get("config.guestId"),
            tools_running=facts.get("guest.toolsRunningStatus") == "guestToolsRunning",
            addresses=self._addresses(),
            nics=tuple(
                NetworkCard(key=card.key, mac=card.macAddress, connected=self.is_plugged(card))
                for card in self._devices(vim.vm.device.VirtualEthernetCard)
            ),
            snapshots=tuple(_as_shown(item.name) for item in _tree(facts.get("snapshot"))),
            disks=self._disks(),
            passthrough=tuple(_label(device) for device in self._devices(_PASSTHROUGH)),
            has_tpm=any(_is_tpm(device) for device in self._devices(vim.vm.device.VirtualDevice)),
            encrypted=facts.get("config.keyId") is not None,
            consolidation_needed=bool(facts.get("runtime.consolidationNeeded")),
        )

    @property
    def _power(self) -> PowerState:
        return PowerState(str(self._facts["runtime.powerState"]))

    def cards(self, macs: frozenset[str]) -> list[Any]:
        """The network cards with these addresses (in lower case)."""
        return [card for card in self._devices(vim.vm.device.VirtualEthernetCard) if card.macAddress.casefold() in macs]

    def is_plugged(self, card: Any) -> bool:
        """Whether its cable is in; of a machine that is off, whether it will be at power-on."""
        state = card.connectable
        return bool(state and (state.connected if self._power is PowerState.ON else state.startConnected))

    def snapshots(self, name: str) -> list[Any]:
        """The snapshots of that name."""
        return [item.snapshot for item in _tree(self._facts.get("snapshot")) if _as_shown(item.name) == name]

    def _devices(self, kind: Any) -> list[Any]:
        return [device for device in self._facts.get("config.hardware.device", ()) if isinstance(device, kind)]

    def _disks(self) -> tuple[MachineDisk, ...]:
        buses = self._devices(vim.vm.device.VirtualSCSIController)
        shared = {bus.key for bus in buses if str(bus.sharedBus) in _SHARED_BUS}
        return tuple(
            MachineDisk(
                label=disk.deviceInfo.label,
                size_bytes=disk.capacityInKB * 1024,
                raw_mapped=isinstance(disk.backing, _RAW_MAPPED),
                independent="independent" in str(getattr(disk.backing, "diskMode", "")),
                shared=disk.controllerKey in shared
                or str(getattr(disk.backing, "sharing", "")) == "sharingMultiWriter",
            )
            for disk in self._devices(vim.vm.device.VirtualDisk)
        )

    def _addresses(self) -> tuple[str, ...]:
        primary = self._facts.get("guest.ipAddress")
        every = [address for card in self._facts.get("guest.net", ()) for address in card.ipAddress]
        return tuple(dict.fromkeys(address for address in [primary, *every] if address))


def _tree(snapshot: Any) -> list[Any]:
    waiting, items = list(snapshot.rootSnapshotList if snapshot else ()), []
    while waiting:
        item = waiting.pop(0)
        items.append(item)
        waiting.extend(item.childSnapshotList)
    return items


def _is_tpm(device: Any) -> bool:
    """To clients of the API version that we speak, vCenter shows a TPM (of 6.7) as a device with no type of its own."""
    return isinstance(device, vim.vm.device.VirtualTPM) or _label(device) == "Virtual TPM"


def _label(device: Any) -> str:
    return str(device.deviceInfo.label if device.deviceInfo else device.key)


def _is(power: PowerState) -> Callable[[_Found], bool]:
    return lambda found: found.machine.power is power


def _plug(card: Any, power: PowerState, *, connected: bool) -> Any:
    card.connectable.startConnected = connected
    if power is PowerState.ON:
        card.connectable.connected = connected
    return vim.vm.device.VirtualDeviceSpec(operation="edit", device=card)


def _object(reference: Any) -> Any:
    return vmodl.query.PropertyCollector.ObjectSpec(obj=reference)


def _with_tasks(reference: Any) -> Any:
    tasks = vmodl.query.PropertyCollector.TraversalSpec(type=vim.VirtualMachine, path="recentTask", skip=False)
    return vmodl.query.PropertyCollector.ObjectSpec(obj=reference, skip=False, selectSet=[tasks])


def _as_shown(name: str) -> str:
    r"""Undo vCenter's escapes: the API's names have `/`, `\` and `%` as %2f, %5c and %25 (ManagedEntity.name)."""
    for escape, character in (("%2f", "/"), ("%2F", "/"), ("%5c", "\\"), ("%5C", "\\"), ("%25", "%")):
        name = name.replace(escape, character)
    return name
