"""A hypervisor in memory."""

from collections.abc import Sequence
from typing import Any

from migration.errors import Conflict, NotFound
from migration.ports import NetworkCard, PowerState, SourceMachine
from tests.fakes.calls import Faulty


class FakeHypervisor(Faulty):
    """Machines by name. A guest shuts down at once, or never."""

    def __init__(self, *, guests_obey: bool = True) -> None:
        """Start empty."""
        super().__init__()
        self.machines: dict[str, SourceMachine] = {}
        self.guests_obey = guests_obey

    def add(self, vm: str, **fields: Any) -> SourceMachine:
        """Put a machine in: by default one that runs, with tools and one network card."""
        usual: dict[str, Any] = {
            "id": f"vm-{vm}",
            "uuid": f"uuid-{vm}",
            "power": PowerState.ON,
            "tools_running": True,
            "addresses": ("10.1.0.11",),
            "nics": (NetworkCard(key=4000, mac="00:50:56:00:00:01", connected=True),),
        }
        self.machines[vm] = SourceMachine(vm=vm, **(usual | fields))
        return self.machines[vm]

    def edit(self, vm: str, **fields: Any) -> None:
        """Change a machine behind everybody's back."""
        self.machines[vm] = self.machines[vm].model_copy(update=fields)

    def find(self, vm: str) -> SourceMachine:
        self.look("find")
        if vm not in self.machines:
            raise NotFound(f"no machine {vm}")
        return self.machines[vm]

    def shut_down_guest(self, vm: str) -> None:
        if self.find(vm).power is PowerState.ON:
            with self.effect("shut_down_guest", vm):
                if self.guests_obey:
                    self.edit(vm, power=PowerState.OFF, tools_running=False)

    def power_off(self, vm: str) -> None:
        if self.find(vm).power is not PowerState.OFF:
            with self.effect("power_off", vm):
                self.edit(vm, power=PowerState.OFF, tools_running=False)

    def power_on(self, vm: str) -> None:
        if self.find(vm).power is not PowerState.ON:
            with self.effect("power_on", vm):
                self.edit(vm, power=PowerState.ON, tools_running=True)

    def connect_nics(self, vm: str, macs: Sequence[str], *, connected: bool) -> None:
        nics = self.find(vm).nics
        after = tuple(card.model_copy(update={"connected": connected}) if card.mac in macs else card for card in nics)
        if after != nics:
            with self.effect("connect_nics", vm, tuple(macs), connected):
                self.edit(vm, nics=after)

    def create_snapshot(self, vm: str, name: str, description: str) -> str:
        machine = self.find(vm)
        if name not in machine.snapshots:
            with self.effect("create_snapshot", vm, name):
                self.edit(vm, snapshots=(*machine.snapshots, name))
        return f"snapshot-{name}"

    def remove_snapshot(self, vm: str, name: str) -> None:
        machine = self.find(vm)
        if name in machine.snapshots:
            with self.effect("remove_snapshot", vm, name):
                self.edit(vm, snapshots=tuple(one for one in machine.snapshots if one != name))

    def delete(self, vm: str, uuid: str) -> None:
        self.look("find")
        machine = self.machines.get(vm)
        if machine is None and all(other.uuid != uuid for other in self.machines.values()):
            return
        if machine is None or machine.uuid != uuid or machine.power is not PowerState.OFF:
            raise Conflict(f"{vm} is another machine, or has another name, or is on", action="Look at it")
        with self.effect("delete", vm):
            del self.machines[vm]
