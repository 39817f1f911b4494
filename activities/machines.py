"""Source machines switched off and on, plugged in and out: only what the hypervisor says afterwards counts."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from activities.running import Attempt, in_words, now, remembered
from migration.errors import NotFound
from migration.marks import Mark
from migration.models import Model
from migration.ports import PowerState, SourceHypervisor, SourceMachine

RETIRE_WITHIN = timedelta(minutes=5)
"""How long a guest that somebody has switched on again gets to shut down when its machine is retired."""


class ShutdownAsked(Model):
    """When each guest was asked to shut down: its time runs on over attempts, and none is asked twice."""

    at: Mapping[str, datetime] = {}


def snapshot_name(mark: Mark) -> str:
    """Name the mark's snapshot without slashes, which vSphere would store as %2f and not find again."""
    return f"migrator-{mark}".replace("/", "_")


def find_if_any(hypervisor: SourceHypervisor, vm: str) -> SourceMachine | None:
    """Read a machine that may be gone."""
    try:
        return hypervisor.find(vm)
    except NotFound:
        return None


class Machines:
    """Some machines of one hypervisor, during one attempt."""

    def __init__(self, hypervisor: SourceHypervisor, attempt: Attempt, vms: Sequence[str], poll: timedelta) -> None:
        """Remember which, and how often to look."""
        self._hypervisor = hypervisor
        self._attempt = attempt
        self._vms = tuple(vms)
        self._poll = poll

    def switch_off(self, within: timedelta, *, ask: bool = True) -> None:
        """Ask the guests to shut down where tools run, cut the power where they do not or time is over; wait.

        Args:
            within: How long a guest may take that was asked.
            ask: False: the power is cut at once.
        """
        asked = dict(remembered(ShutdownAsked).at)
        for machine in self._not(PowerState.OFF):
            if machine.vm not in asked:
                self._end(machine, ask=ask)
                asked[machine.vm] = now()
                self._attempt.remember(ShutdownAsked(at=asked))
        deadlines = {vm: at + within for vm, at in asked.items()}
        self._attempt.until(lambda: self._still_on(deadlines), self._poll)

    def _end(self, machine: SourceMachine, *, ask: bool) -> None:
        self._attempt.before_call()
        if ask and machine.tools_running and machine.power is PowerState.ON:
            self._hypervisor.shut_down_guest(machine.vm)
        else:
            self._hypervisor.power_off(machine.vm)

    def _still_on(self, deadlines: Mapping[str, datetime]) -> str | None:
        late = [machine.vm for machine in self._not(PowerState.OFF) if now() >= deadlines.get(machine.vm, now())]
        for vm in late:
            self._attempt.before_call()
            self._hypervisor.power_off(vm)
        return self._words(self._not(PowerState.OFF), "off")

    def switch_on(self) -> None:
        """Switch on what is not on, and wait for it."""
        for machine in self._not(PowerState.ON):
            self._attempt.before_call()
            self._hypervisor.power_on(machine.vm)
        self._attempt.until(lambda: self._words(self._not(PowerState.ON), "on"), self._poll)

    def unplug(self) -> None:
        """Take every network card off the network, and wait for it."""
        for machine in self._find():
            self._cable(machine, [card.mac for card in machine.nics if card.connected], connected=False)
        self._attempt.until(self._plugged, self._poll)

    def _plugged(self) -> str | None:
        still = [machine for machine in self._find() if any(card.connected for card in machine.nics)]
        return self._words(still, "off the network")

    def plug(self, macs: Sequence[str]) -> None:
        """Put these network cards back on the network, and wait for it."""
        for machine in self._find():
            self._cable(machine, self._unplugged(machine, macs), connected=True)
        self._attempt.until(
            lambda: self._words([m for m in self._find() if self._unplugged(m, macs)], "on the network"), self._poll
        )

    def _cable(self, machine: SourceMachine, macs: Sequence[str], *, connected: bool) -> None:
        if macs:
            self._attempt.before_call()
            self._hypervisor.connect_nics(machine.vm, macs, connected=connected)

    @staticmethod
    def _unplugged(machine: SourceMachine, macs: Sequence[str]) -> list[str]:
        return [card.mac for card in machine.nics if card.mac in macs and not card.connected]

    def _find(self) -> list[SourceMachine]:
        return [self._hypervisor.find(vm) for vm in self._vms]

    def _not(self, power: PowerState) -> list[SourceMachine]:
        return [machine for machine in self._find() if machine.power is not power]

    @staticmethod
    def _words(machines: Sequence[SourceMachine], awaited: str) -> str | None:
        return f"not {awaited} yet: {in_words([m.vm for m in machines])}" if machines else None
