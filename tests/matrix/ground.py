"""Where a matrix is played: a local cloud whose fault plan tells of what it meets, and lanes that can stand still."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from subprocess import Popen

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from localcloud.faults import Rule
from localcloud.process import spawn
from localcloud.report import Systems
from localcloud.supervisor import Supervisor
from tests.matrix.calls import Seen
from tests.matrix.impatient_worker import ACT_BOUND, IMPATIENT
from tests.sweep import lanes as sweep_lanes
from tests.sweep.cases import Names, Point
from tests.sweep.lanes import ROOT, Lane
from tests.sweep.site import CLOCK_FACTOR, WatchedPlan


class MatrixLane(Lane):
    """A lane whose worker can stand still while another takes over its task queue."""

    def __init__(self, cloud: Supervisor, number: int, *, impatient: bool) -> None:
        """Nothing runs yet. `impatient`: acts and calls are given up after seconds."""
        super().__init__(cloud, number)
        self.impatient = impatient
        self.stops = 0
        self._standing: list[Popen[bytes]] = []

    def __exit__(self, *details: object) -> None:
        """Stop all workers."""
        super().__exit__(*details)
        self.clear()

    def stand_still(self) -> None:
        """SIGSTOP the worker, and start another."""
        with self._turn:
            if not self._process:
                return
            os.kill(self._process.pid, signal.SIGSTOP)
            self._standing.append(self._process)
            self.stops += 1
            self._start()

    def go_on(self) -> None:
        """SIGCONT what stands still; it is then one of two workers."""
        for process in self._standing:
            process.send_signal(signal.SIGCONT)

    def clear(self) -> None:
        """Leave one worker."""
        while self._standing:
            process = self._standing.pop()
            process.kill()
            process.wait()

    def _start(self) -> None:
        environment = {
            **self._cloud.environment(),
            **sweep_lanes.HASTE,
            "MIGRATOR_TASK_QUEUE": self.task_queue,
            "PYTHONPATH": str(ROOT),
        }
        if self.impatient:
            environment |= {IMPATIENT: "1", "MIGRATOR_ACT_BOUND": f"PT{ACT_BOUND.seconds}S"}
        command = [sys.executable, "-m", "tests.matrix.impatient_worker"]
        self._process = spawn(command, environment, self._log, cwd=ROOT)


@dataclass
class Trap:
    """A rule for one application, in force from the call on that it is anchored to.

    Attributes:
        met: Told of every call that meets the rule, in the thread of the stand-in: it must not wait.
        strike: Kills or stops the worker, and returns when that is done.
    """

    names: Names
    rule: Rule
    anchor: Point | None
    met: Callable[[], None]
    strike: Callable[[], None]
    rule_id: str | None = None
    passed: int = field(default=0)

    def is_anchor(self, service: str, operation: str, targets: Sequence[str]) -> bool:
        """Whether this call is the one, or one before it, that the rule waits for."""
        anchor = self.anchor
        if anchor is None or (service, operation) != (anchor.service, anchor.operation) or anchor.kind is None:
            return False
        return self.names.by_kind()[anchor.kind] in targets


class MatrixPlan(WatchedPlan):
    """A fault plan that sets traps, and remembers when every call came."""

    def __init__(self) -> None:
        """Plan nothing."""
        super().__init__()
        self.seen: list[Seen] = []
        self._traps: dict[str, Trap] = {}
        self.killer = self._strike

    def set_trap(self, trap: Trap) -> None:
        """Put the rule in force, now or at its anchor."""
        for name in trap.names.by_kind().values():
            self._traps[name] = trap
        if trap.anchor is None:
            trap.rule_id = self.add(trap.rule)

    def lift(self, trap: Trap) -> None:
        """Take the rule back, in force or not yet."""
        for name in trap.names.by_kind().values():
            self._traps.pop(name, None)
        if trap.rule_id:
            self.remove(trap.rule_id)

    def take(self, *, service: str, operation: str, targets: Sequence[str]) -> Rule | None:
        """Remember the call, spring traps, and let the plan act on it."""
        self.seen.append(Seen(datetime.now(UTC), service, operation, tuple(targets)))
        trap = next((self._traps[name] for name in targets if name in self._traps), None)
        if trap and trap.is_anchor(service, operation, targets):
            trap.passed += 1
            if trap.anchor and trap.passed == trap.anchor.nth:
                trap.rule_id = self.add(trap.rule)
        rule = super().take(service=service, operation=operation, targets=targets)
        if rule and trap:
            trap.met()
        return rule

    def _strike(self, rule: Rule) -> None:
        trap = self._traps.get(rule.target or "")
        if trap:
            trap.strike()


class Ground:
    """A running cloud with lanes, some of them impatient."""

    def __init__(self, cloud: Supervisor, plan: MatrixPlan, lanes: Sequence[MatrixLane], client: Client) -> None:
        """Keep the parts."""
        self.cloud, self.plan, self.client = cloud, plan, client
        self.systems = Systems(cloud.local)
        self._lanes: dict[bool, asyncio.Queue[MatrixLane]] = {True: asyncio.Queue(), False: asyncio.Queue()}
        for lane in lanes:
            self._lanes[lane.impatient].put_nowait(lane)
        self._applications: Iterator[str] = iter(cloud.local["dns_names"])

    @asynccontextmanager
    async def lane(self, *, impatient: bool) -> AsyncIterator[MatrixLane]:
        """The next free lane; it has one worker again afterwards."""
        free = self._lanes[impatient]
        lane = await free.get()
        try:
            yield lane
        finally:
            await asyncio.to_thread(lane.clear)
            free.put_nowait(lane)

    def next_names(self) -> Names:
        """A fresh application."""
        application = next(self._applications)
        return Names(application, f"mig-{application}", self.cloud.local["dns_names"][application])


@asynccontextmanager
async def ground(state_dir: Path, *, applications: int, patient: int, impatient: int) -> AsyncIterator[Ground]:
    """Bring a cloud up for so many runs, with so many lanes of each kind."""
    cloud, plan = Supervisor(state_dir, applications=applications, clock_factor=CLOCK_FACTOR), MatrixPlan()
    cloud.faults = plan
    with ExitStack() as running:
        await asyncio.to_thread(running.enter_context, cloud)
        kinds = [*[False] * patient, *[True] * impatient]
        lanes = [MatrixLane(cloud, number, impatient=kind) for number, kind in enumerate(kinds, start=1)]
        for lane in lanes:
            running.enter_context(lane)
        for lane in lanes:
            await asyncio.to_thread(lane.wait_for_start)
        client = await Client.connect(cloud.local["temporal"], data_converter=pydantic_data_converter)
        yield Ground(cloud, plan, lanes, client)
