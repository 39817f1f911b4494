"""The applications: every source machine and launched instance answers HTTP, and counts its clients' writes.

Clients follow DNS. At each instant the application's name answers some addresses; a side takes writes while it is
up and its address is among them. So the counters show writes that were lost, and spans show two sides at once.
"""

import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from localcloud.faults import FaultPlan, outages
from localcloud.ledger import Ledger
from localcloud.listeners import Listeners
from localcloud.serving import Serving, Side, Span, without
from localcloud.world import SourceMachine, World

OK, NOT_FOUND, UNAVAILABLE = 200, 404, 503


@dataclass(frozen=True)
class Instance:
    """What EC2 says of an instance."""

    address: str
    subnet_cidr: str
    running: bool


Instances = Callable[[Collection[str]], Mapping[str, Instance]]
Names = Callable[[], Mapping[str, tuple[str, ...]]]


class Applications:
    """All applications of a world, and what becomes of their clients' writes.

    It is also what the local MGN knows of the machines behind its agents: see `power_history`, `launched`,
    `terminated` and `launch_fault`.
    """

    def __init__(
        self,
        world: World,
        ledger: Ledger,
        faults: FaultPlan,
        *,
        names: Names,
        instances: Instances,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Begin with every source machine up.

        Args:
            world: The machines.
            ledger: Gets one entry for each instance launched or terminated.
            faults: Says which instances never become healthy.
            names: The addresses that DNS answers now, by name without final dot.
            instances: What EC2 says now of these instances; ids it does not know are left out.
            now: Unix time in seconds.
        """
        self._ledger = ledger
        self._faults = faults
        self._names = names
        self._instances = instances
        self._now = now
        self._production = world.subnet_cidr("production")
        self._machines = {machine.name: machine for machine in world.machines}
        began = now()
        self._serving = {application.name: Serving(application, began) for application in world.applications}
        self._agents: dict[str, str] = {}
        self._lock = threading.RLock()
        self._listeners = Listeners(self._answer)

    def start(self) -> None:
        """Let every machine that is up answer.

        Raises:
            OSError: An address is in use or cannot be had on this machine.
        """
        self._listeners.start()
        if missing := self.refresh():
            self._listeners.stop()
            raise OSError(f"cannot listen on port 8080 of {', '.join(sorted(missing))}")

    def stop(self) -> None:
        """Let nothing answer any more."""
        self._listeners.stop()

    # --- what changes them ---------------------------------------------------------------------------------------

    def source_changed(self, machine_name: str, powered: bool, connected: bool, at: float) -> None:
        """A source machine's power or network cable changed at this unix time."""
        machine = self._machines[machine_name]
        with self._lock:
            serving = self._serving[machine.application]
            serving.change(serving.sources[machine_name], powered and connected, at)
            serving.settle(serving.answer, at)
        self._listen()

    def refresh(self) -> set[str]:
        """Look at DNS and EC2 again; returns the addresses that should listen and cannot."""
        with self._lock:
            names, at = self._names(), self._now()
            targets = [side for serving in self._serving.values() for side in serving.targets.values()]
            seen = self._instances([str(side.instance_id) for side in targets]) if targets else {}
            for serving in self._serving.values():
                for instance_id, side in serving.targets.items():
                    serving.change(side, instance_id in seen and seen[instance_id].running, at)
                serving.settle(names.get(serving.application.dns_name, ()), at)
        return self._listen()

    def agent_installed(self, user_provided_id: str, machine_name: str) -> None:
        """The MGN agent of this id runs on this machine."""
        with self._lock:
            self._agents[user_provided_id] = machine_name

    # --- what the local MGN asks and tells -----------------------------------------------------------------------

    def power_history(self, user_provided_id: str) -> list[tuple[float, bool]]:
        """When the machine with this agent was reachable: (unix time, online) in order; unknown agents always are.

        A planned outage keeps MGN from seeing the agent; the machine itself serves on.
        """
        with self._lock:
            name = self._agents.get(user_provided_id)
            if name is None:
                return []
            up = self._serving[self._machines[name].application].sources[name].up
        spells = self._faults.spells(service="mgn", operation="replication", targets=[user_provided_id, name])
        return without(up.changes(), outages(spells, self._now()))

    def launched(
        self, source_server_id: str, user_provided_id: str, instance_id: str, kind: str, data_as_of: float
    ) -> None:
        """An instance was launched with the machine's data as of this unix time; `kind` is `test` or `cutover`."""
        with self._lock:
            name = self._agents.get(user_provided_id)
            seen = self._instances([instance_id]).get(instance_id)
            if name is None or seen is None:
                return
            machine = self._machines[name]
            production = seen.subnet_cidr == self._production
            side = Side(machine, "target", seen.address, production, instance_id, kind)
            self._serving[machine.application].launched(side, min(data_as_of, self._now()))
        self._ledger.record(
            service="application",
            operation="launched",
            targets=[instance_id, source_server_id, user_provided_id, name],
            detail={"kind": kind, "address": seen.address, "production": production},
        )
        self.refresh()

    def terminated(self, instance_id: str) -> None:
        """A launched instance was terminated."""
        self._ledger.record(
            service="application", operation="terminated", targets=[instance_id, *self.aliases(instance_id)]
        )
        self.refresh()

    def launch_fault(self, user_provided_id: str, kind: str) -> str | None:
        """Why this launch is planned to fail, or None: a `launchFailed` of service `mgn`, operation `launch`."""
        return self.launch_trouble("launch", user_provided_id, kind)

    def launch_trouble(self, part: str, user_provided_id: str, kind: str, *also: str) -> str | None:
        """Why this part of a launch is planned to fail, or None; `part` is the operation of the rule, of service `mgn`.

        A rule's target is the machine's name or `name/kind`, its user-provided id, or one of `also`.
        """
        names = self.aliases(user_provided_id)
        targets = [user_provided_id, *names, *(f"{name}/{kind}" for name in names), *also]
        rule = self._faults.take(service="mgn", operation=part, targets=targets)
        return (rule.message or rule.code or f"the {part} failed") if rule else None

    # --- what can be asked ---------------------------------------------------------------------------------------

    def managed(self) -> dict[str, tuple[SourceMachine, bool]]:
        """The machines that Systems Manager manages, by managed instance id, and whether each is in contact.

        A launched instance has its machine's agent: while it runs it is managed under its own id, at its own address.
        """
        with self._lock:
            sources = [side for serving in self._serving.values() for side in serving.sources.values()]
            targets = [side for serving in self._serving.values() for side in serving.targets.values() if side.up.on]
            launched = [
                replace(side.server, managed_instance_id=str(side.instance_id), address=side.address)
                for side in targets
            ]
            return {side.server.managed_instance_id: (side.server, side.up.on) for side in sources} | {
                machine.managed_instance_id: (machine, True) for machine in launched
            }

    def aliases(self, target: str) -> tuple[str, ...]:
        """The server's name behind a user-provided id or the id of a launched instance."""
        with self._lock:
            if target in self._agents:
                return (self._agents[target],)
            launched = (serving.targets.get(target) for serving in self._serving.values())
            return tuple(side.server.name for side in launched if side)

    def report(self) -> dict[str, Any]:
        """Per application: what DNS answers, its servers' sides and writes, overlaps, and seconds of downtime."""
        with self._lock:
            now = self._now()
            return {name: _describe(serving, now) for name, serving in self._serving.items()}

    # --- what answers --------------------------------------------------------------------------------------------

    def _listen(self) -> set[str]:
        return self._listeners.listen_on(self._addresses_up)

    def _addresses_up(self) -> list[str]:
        with self._lock:
            return [side.address for serving in self._serving.values() for side in serving.sides() if side.up.on]

    def _answer(self, address: str, path: str) -> tuple[int, dict[str, Any]]:
        with self._lock:
            side = self._side_at(address)
            if side is None or path not in ("/health", "/counter"):
                return NOT_FOUND, {"error": "nothing here"}
            place = {"side": side.side, "address": address}
            if path == "/counter":
                return OK, {"writes": side.writes(self._now()), **place}
        place |= {"application": side.server.application, "server": side.server.name}
        return (UNAVAILABLE, {"status": "failing", **place}) if self._failing(side) else (OK, {"status": "ok", **place})

    def _side_at(self, address: str) -> Side | None:
        sides = (side for serving in self._serving.values() for side in serving.sides())
        return next((side for side in sides if side.address == address and side.up.on), None)

    def _failing(self, side: Side) -> bool:
        if side.side == "source":
            return False
        name = side.server.name
        targets = [name, f"{name}/{side.kind}", str(side.instance_id), side.server.application]
        rule = self._faults.take(service="application", operation="health", targets=targets)
        return rule is not None and rule.action == "neverHealthy"


def _describe(serving: Serving, now: float) -> dict[str, Any]:
    return {
        "dns": {"name": serving.application.dns_name, "answer": list(serving.answer)},
        "servers": [_describe_server(serving, server.name, now) for server in serving.application.servers],
        "servingLog": [
            {"server": side.server.name, "side": side.side, "address": side.address, **_times(span, now)}
            for side in serving.sides()
            for span in side.able(now)
        ],
        "overlaps": [_times(span, now) for span in serving.overlaps(now)],
        "downtimeSeconds": round(serving.downtime(now), 3),
    }


def _describe_server(serving: Serving, name: str, now: float) -> dict[str, Any]:
    holder = serving.holder(name, now)
    return {
        "name": name,
        "servedBy": holder.side if holder and holder.serving.on else None,
        "lostWrites": serving.lost_writes(name, now),
        "sides": [_describe_side(side, now) for side in serving.sides() if side.server.name == name],
    }


def _describe_side(side: Side, now: float) -> dict[str, Any]:
    return {
        "side": side.side,
        "address": side.address,
        "instanceId": side.instance_id,
        "kind": side.kind,
        "production": side.production,
        "up": side.up.on,
        "serving": side.serving.on,
        "writes": side.writes(now),
    }


def _times(span: Span, now: float) -> dict[str, str | None]:
    start, stop = (datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds") for moment in span)
    return {"from": start, "to": None if span[1] >= now else stop}
