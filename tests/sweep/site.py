"""Where a sweep takes place: one local cloud, some lanes, and one fresh application for every run."""

import asyncio
import contextlib
import json
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from temporalio.client import (
    Client,
    RPCTimeoutOrCancelledError,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowUpdateFailedError,
)
from temporalio.common import SearchAttributeKey
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError

from activities.cmf import FactoryWaveKey, wave_workflow_id
from localcloud.documents import CMF
from localcloud.faults import FaultPlan, Rule
from localcloud.ledger import Entry
from localcloud.report import Systems
from localcloud.supervisor import Supervisor, request_for
from migration.status import MigrationStatus
from starter.client import Migrations
from tests.sweep.cases import Call, Case, Names
from tests.sweep.checker import Outcome, entries_of, judge
from tests.sweep.histories import scheduled_activities
from tests.sweep.lanes import ORDERS, Lane
from tests.sweep.orders import Orders
from tests.ticket_notes import notes_are_written
from workflows.callbacks import callbacks_id

CLOCK_FACTOR = 600.0
ENDS_WITHIN = 480.0
"""Seconds. A run whose looks all fail twice takes half of it."""

_PHASE = SearchAttributeKey.for_keyword("MigrationPhase")
_AWAITING = SearchAttributeKey.for_bool("AwaitingDecision")
"""At the gate: before that, the evidence is still gathered and no approval counts."""
_LOOK = 0.25
_CALLBACKS_WITHIN = 60.0
_ASKS = frozenset({"AWAITING_DECISION", "ROLLBACK_INCOMPLETE"})
_APPROVAL = {"approver": "approver-1@example.com", "comment": "go"}
_ROLLBACK = {"by": "approver-1@example.com", "to": "start", "comment": "as planned"}


class WatchedPlan(FaultPlan):
    """A fault plan that remembers every call that it was asked about."""

    def __init__(self) -> None:
        """Plan nothing, remember nothing."""
        super().__init__()
        self.calls: list[Call] = []

    def take(self, *, service: str, operation: str, targets: Sequence[str]) -> Rule | None:
        """Remember the call, and let the plan act on it."""
        self.calls.append((service, operation, tuple(targets)))
        return super().take(service=service, operation=operation, targets=targets)


class Site:
    """A running cloud with lanes."""

    def __init__(self, cloud: Supervisor, lanes: Sequence[Lane], client: Client, calls: Sequence[Call]) -> None:
        """Keep the parts; `calls` are those that the fault plan sees."""
        self.cloud = cloud
        self.client = client
        self.calls = calls
        self.systems = Systems(cloud.local)
        self._lanes: defaultdict[str, asyncio.Queue[Lane]] = defaultdict(asyncio.Queue)
        for lane in lanes:
            self._lanes[lane.mutation].put_nowait(lane)
        self._applications: Iterator[str] = iter(cloud.local["dns_names"])
        self._victims: dict[str, Lane] = {}
        self._machines = len(cloud.local["vms"]) // len(cloud.local["dns_names"])
        self.orders = Orders(cloud.state_dir / ORDERS)
        cloud.faults.killer = self._kill

    async def run(self, case: Case, mutation: str = "", *, play: "type[Run] | None" = None) -> Outcome:
        """Run one case with a fresh application on the next free lane, and judge it by itself."""
        lanes = self._lanes[mutation]
        lane = await lanes.get()
        try:
            return await (play or Run)(self, lane, case, self._next_names()).play()
        finally:
            lanes.put_nowait(lane)

    def expect(self, rules: Sequence[Rule], lane: Lane) -> list[str]:
        """Plan these faults, whose kills are meant for this lane; returns their ids."""
        self._victims |= {rule.target: lane for rule in rules if rule.target}
        return [self.cloud.faults.add(rule) for rule in rules]

    def _kill(self, rule: Rule) -> None:
        self._victims[rule.target or ""].kill()

    def _next_names(self) -> Names:
        application = next(self._applications)
        dns_name = self.cloud.local["dns_names"][application]
        return Names(application, f"mig-{application}", dns_name, self._machines)


class Run:
    """One migration under one case."""

    def __init__(self, site: Site, lane: Lane, case: Case, names: Names) -> None:
        self._site, self._lane, self._case, self._names = site, lane, case, names
        self._migrations = Migrations(site.client, lane.task_queue)
        self._outcome = Outcome(case, names)
        self._planned: list[str] = []
        self._asked_for: set[str] = set()
        self._refused: Counter[str] = Counter()

    @property
    def _workflows(self) -> tuple[str, str, str]:
        return self._names.migration_id, callbacks_id(self._names.migration_id), self._wave

    @property
    def _wave(self) -> str:
        """The workflow of its wave in Cloud Migration Factory."""
        wave_id = self._site.cloud.local["cmf_waves"][self._names.application]
        return wave_workflow_id(FactoryWaveKey(connection=CMF, wave_id=wave_id))

    @property
    def _handle(self) -> WorkflowHandle[Any, Any]:
        return self._site.client.get_workflow_handle(self._names.migration_id)

    async def play(self) -> Outcome:
        """Start it, follow it to its end, and judge it."""
        began, outcome, site = time.monotonic(), self._outcome, self._site
        self._planned, kills = site.expect(self._case.rules(self._names), self._lane), self._lane.kills
        calls = len(site.calls)
        for workflow in self._workflows:
            site.orders.give(workflow, self._case.orders())
        async with self._kept_alive():
            await self._migrations.start(json.dumps(self._request()))
            ended = await self._follow()
            outcome.seconds = time.monotonic() - began
            if ended:
                await self._callbacks_leave()
                await self._notes_leave()
        outcome.calls = tuple(site.calls[calls:])
        outcome.told = [told for workflow in self._workflows for told in site.orders.told(workflow)]
        self._take_back()
        if (killed := self._lane.kills - kills) != self._case.kills:
            outcome.problems.append(f"the worker was killed {killed} times, not {self._case.kills}")
        if ended:
            await self._read_histories()
            await asyncio.to_thread(self._judge)
        return outcome

    @asynccontextmanager
    async def _kept_alive(self) -> AsyncIterator[None]:
        """Let the lane start its worker again whenever it has killed itself."""

        async def keep() -> None:
            while True:
                await asyncio.to_thread(self._lane.keep_alive)
                await asyncio.sleep(_LOOK)

        keeping = asyncio.create_task(keep())
        try:
            yield
        finally:
            keeping.cancel()
            await asyncio.wait([keeping])
            await asyncio.to_thread(self._lane.keep_alive)

    async def _read_histories(self) -> None:
        outcome = self._outcome
        obeyed = [told for told in outcome.told if told.event == "obeyed"]
        if len(obeyed) != len(self._case.orders()):
            outcome.problems.append(f"never met: of {self._case} only {[told.activity for told in obeyed]}")
        with contextlib.suppress(RPCError, TimeoutError):
            outcome.status = await asyncio.wait_for(self._handle.query("status", result_type=dict), 30)
        if self._case.fault is None:
            outcome.activities = [
                name for workflow in self._workflows for name in await scheduled_activities(self._site.client, workflow)
            ]

    @property
    def _lasting(self) -> int:
        """How many of the planned faults are the ending's own."""
        return len(self._case.ending.faults(self._names))

    def _take_back(self) -> None:
        """Take the faults back before the systems are read; each but those of the ending is to have been met."""
        left = self._site.cloud.faults.rules()
        wanted = self._planned[self._lasting :]
        unmet = [left[rule_id] for rule_id in wanted if rule_id in left and not self._case.may_miss]
        self._outcome.problems += [f"never met: {rule}" for rule in unmet]
        self._mend(self._planned)

    def _mend(self, planned: Sequence[str]) -> None:
        for rule_id in planned:
            self._site.cloud.faults.remove(rule_id)

    def _request(self) -> dict[str, Any]:
        names = self._names
        own = {"migrationId": names.migration_id, "waveId": names.wave}
        request = request_for(self._site.cloud.local, names.application, **{**own, **self._case.ending.overrides})
        for check in request["healthChecks"]:
            check["within"] = "PT3S" if self._lasting else "PT30S"
        for server, tier in zip(request["source"]["servers"], self._case.ending.tiers, strict=True):
            server["tier"] = tier
        return request

    def _judge(self) -> None:
        self._outcome.entries = self._entries()
        self._outcome.problems += judge(self._outcome, self._site.systems)

    def _entries(self) -> list[Entry]:
        return entries_of(self._site.cloud.ledger.entries(), self._names)

    # --- following -----------------------------------------------------------------------------------------------

    async def _follow(self) -> bool:
        """Decide what is to be decided until it has ended; false when it does not end by itself."""
        deadline = time.monotonic() + ENDS_WITHIN
        while time.monotonic() < deadline:
            described = await self._handle.describe()
            if described.status is not WorkflowExecutionStatus.RUNNING:
                await self._ended()
                return True
            phase = str(described.typed_search_attributes.get(_PHASE))
            if phase in _ASKS:
                break
            if phase != "AWAITING_APPROVAL" or described.typed_search_attributes.get(_AWAITING):
                await self._decide(phase)
            await asyncio.sleep(_LOOK)
        await self._give_up()
        return False

    async def _decide(self, phase: str) -> None:
        decision = {"AWAITING_APPROVAL": ("approve", _APPROVAL)}
        if self._case.ending.rolls_back_in:
            decision[self._case.ending.rolls_back_in] = ("rollback", _ROLLBACK)
        if phase not in decision:
            return
        # With no worker there is no answer; the next look sends the same decision again, which is taken once.
        with contextlib.suppress(RPCError, RPCTimeoutOrCancelledError, TimeoutError):
            moment = await asyncio.wait_for(self._moment(phase), 10)
            if moment in self._asked_for:
                return
            if self._asked_for and self._case.ending.approves_again:
                self._mend(self._planned[: self._lasting])
            name, payload = decision[phase]
            sent_as = f"{name}, {moment}, {self._refused[moment]}"
            try:
                await asyncio.wait_for(self._handle.execute_update(name, payload, id=sent_as), 10)
            except WorkflowUpdateFailedError:
                self._refused[moment] += 1
            else:
                self._asked_for.add(moment)

    async def _moment(self, phase: str) -> str:
        """The phase, and where it may come again also how often it was entered."""
        if not self._case.ending.approves_again:
            return phase
        status: MigrationStatus = await self._handle.query("status", result_type=MigrationStatus)
        return f"{phase} {next(step.entry for step in status.steps if step.step == 'approve')}"

    async def _ended(self) -> None:
        ending = self._case.ending
        try:
            result = await self._handle.result()
        except WorkflowFailureError as failure:
            self._outcome.problems.append(f"failed: {failure.cause}")
            return
        said = (result["status"], result["servedBy"])
        if said != (ending.status, ending.served_by):
            self._outcome.problems.append(f"ended {said}: {result['message']}")

    async def _give_up(self) -> None:
        said = "no answer"
        with contextlib.suppress(RPCError, TimeoutError):
            query = self._handle.query("status", result_type=MigrationStatus)
            status: MigrationStatus = await asyncio.wait_for(query, 30)
            pending = await self._migrations.pending(self._names.migration_id)
            said = f"{status.phase}: {status.message} {pending}"
        self._outcome.problems.append(f"does not end: {said}")
        await self._handle.terminate("given up by the sweep")

    async def _notes_leave(self) -> None:
        """Every note is written, however long the worker stood still that was to write it."""
        try:
            await notes_are_written(self._site.client, self._names.migration_id, within=_CALLBACKS_WITHIN)
        except TimeoutError:
            self._outcome.problems.append(f"its ticket was not told within {_CALLBACKS_WITHIN:.0f} s")
        except WorkflowFailureError as error:
            self._outcome.problems.append(f"its ticket was not told: {error.cause}")

    async def _callbacks_leave(self) -> None:
        """Wait for what goes on when it has ended: its callbacks, and what its wave is told."""
        for workflow in self._workflows[1:]:
            handle = self._site.client.get_workflow_handle(workflow)
            try:
                await asyncio.wait_for(handle.result(), _CALLBACKS_WITHIN)
            except TimeoutError:
                self._outcome.problems.append(f"{workflow} did not end within {_CALLBACKS_WITHIN:.0f} s")
            except RPCError as error:
                self._outcome.problems.append(f"{workflow}: {error}")


@asynccontextmanager
async def site(
    state_dir: Path,
    *,
    applications: int,
    lanes: int,
    mutations: Sequence[str] = (),
    servers: int = 1,
    stalls: bool = False,
) -> AsyncIterator[Site]:
    """Bring a cloud up for so many runs, with so many of them at a time, and a lane for each mutation.

    Args:
        state_dir: Of the cloud.
        applications: How many runs there will be, each with a fresh application.
        lanes: How many at a time.
        mutations: Names of looks that a worker leaves out, with one lane each.
        servers: How many machines each application has.
        stalls: Each lane has two workers.
    """
    cloud = Supervisor(state_dir, applications=applications, servers=servers, clock_factor=CLOCK_FACTOR)
    cloud.faults = watched = WatchedPlan()
    with ExitStack() as running:
        await asyncio.to_thread(running.enter_context, cloud)
        wanted = enumerate([*[""] * lanes, *mutations], start=1)
        started = [running.enter_context(Lane(cloud, number, mutation, stalls=stalls)) for number, mutation in wanted]
        for lane in started:
            await asyncio.to_thread(lane.wait_for_start)
        client = await Client.connect(cloud.local["temporal"], data_converter=pydantic_data_converter)
        yield Site(cloud, started, client, watched.calls)
