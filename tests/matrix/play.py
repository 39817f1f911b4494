"""One cell played: the migration started, the fault met, decisions answered, the promise judged."""

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from temporalio.client import WorkflowExecutionDescription, WorkflowExecutionStatus, WorkflowHandle
from temporalio.common import SearchAttributeKey
from temporalio.service import RPCError

from localcloud.ledger import Entry
from localcloud.supervisor import request_for
from migration.errors import MigrationError, Unavailable
from migration.request import FailureAction
from migration.status import MigrationStatus, Phase, StepState
from migration.steps import Step
from starter.client import Migrations
from tests.matrix import promises
from tests.matrix.calls import Victim, rule_for
from tests.matrix.cells import Cell, Fault, Promise, promise
from tests.matrix.ground import Ground, MatrixLane, Trap
from tests.matrix.photograph import photograph
from tests.matrix.promises import Scene
from tests.sweep.cases import Names, points
from tests.sweep.checker import entries_of

ENDS_WITHIN = 300.0
STANDS_STILL = 8.0
"""Seconds; the sweep's worker misses an attempt that is silent for 3."""

_PHASE = SearchAttributeKey.for_keyword("MigrationPhase")
_LOOK = 0.25
_APPROVER = "approver-1@example.com"
_ANSWERED_WITHIN = 30.0
_MOST_RETRIES = 2
_TAKEN_WITHIN = 15.0
_LOOKS = 5
_DECISIONS = frozenset({Fault.CANCEL, Fault.CANCEL_LATE, Fault.ROLLBACK})
_ENDED_AS = {
    Phase.COMPLETED: WorkflowExecutionStatus.COMPLETED,
    Phase.FAILED: WorkflowExecutionStatus.FAILED,
}


@dataclass
class Verdict:
    """What became of a cell. `told` is its story: what was met, asked and answered, and when."""

    cell: Cell
    promised: Promise
    where: str
    application: str
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)


class Play:
    """One migration under one cell."""

    def __init__(self, ground: Ground, lane: MatrixLane, cell: Cell, victim: Victim | None, names: Names) -> None:
        """Nothing has begun."""
        self._ground, self._lane, self._cell, self._victim, self._names = ground, lane, cell, victim, names
        self._migrations = Migrations(ground.client, lane.task_queue)
        self.verdict = Verdict(cell, promise(cell), str(victim.point) if victim else "", names.application)
        self._trap: Trap | None = None
        self._loop = asyncio.get_running_loop()
        self._meetings = 0
        self._met = asyncio.Event()
        self._began = time.monotonic()
        self._retries, self._answered, self._asks_again_at = 0, "", 0.0
        self._cancelled = 0
        self._asked = self._turned_back = self._judged_gate = False
        self.status: MigrationStatus | None = None

    @property
    def _handle(self) -> WorkflowHandle[Any, Any]:
        return self._ground.client.get_workflow_handle(self._names.migration_id)

    async def run(self) -> Verdict:
        """Play it to its end, and judge it."""
        before = await asyncio.to_thread(photograph, self._ground.systems, self._names)
        self._scene = Scene(self._ground.systems, self._names, before)
        self._began = time.monotonic()
        self._set_trap()
        reaction = asyncio.create_task(self._react())
        await self._migrations.start(json.dumps(self._request()))
        ended = await self._follow()
        self.verdict.seconds = time.monotonic() - self._began
        await self._settle(reaction)
        if ended:
            await self._judge_end()
        else:
            await self._handle.terminate("given up by the matrix")
        return self.verdict

    # --- before --------------------------------------------------------------------------------------------------

    def _request(self) -> dict[str, Any]:
        cell, names = self._cell, self._names
        turned_back = cell.step is Step.SOAK and cell.fault in _DECISIONS
        after_switch = "ask" if cell.action is FailureAction.PAUSE else "auto"
        request = request_for(
            self._ground.cloud.local,
            names.application,
            migrationId=names.migration_id,
            waveId=names.wave,
            replication={"stableObservations": 1, **({"deadline": "PT20S"} if self._lane.impatient else {})},
            soak={"for": "PT60S" if turned_back else "PT0S", "end": "commit"},
            grace="PT0S",
            onFailure={"action": cell.action},
            rollback={"to": cell.depth, "keepTarget": "PT0S", "afterSwitch": after_switch},
        )
        ill = self._victim is not None and self._victim.is_health and cell.fault is Fault.FAILS_BEFORE
        for check in request["healthChecks"]:
            check["within"] = "PT3S" if ill else "PT40S"
        return request

    def _set_trap(self) -> None:
        if self._victim:
            self._trap = Trap(
                names=self._names,
                rule=rule_for(self._cell, self._victim, self._names),
                anchor=self._victim.anchor,
                met=self._meet_from_elsewhere,
                strike=self._strike,
            )
            self._ground.plan.set_trap(self._trap)

    def _meet_from_elsewhere(self) -> None:
        self._loop.call_soon_threadsafe(self._meet)

    # --- the fault -----------------------------------------------------------------------------------------------

    def _meet(self) -> None:
        self._meetings += 1
        self._met.set()
        if self._cell.fault is Fault.HANGS and self._cell.past_the_pivot and self._meetings > 1:
            self._lift()  # it only goes forward, and waits for the call without end

    def _strike(self) -> None:
        if self._cell.fault is Fault.KILLED:
            self._lane.kill()
        else:
            self._lane.stand_still()

    async def _react(self) -> None:
        """Do what the fault wants done at the moment at which the call is seen."""
        await self._met.wait()
        cell = self._cell
        self._tell(f"met {self.verdict.where}")
        if cell.fault in (Fault.CANCEL, Fault.CANCEL_LATE):
            await self._handle.cancel()
            self._cancelled = len(self._ground.cloud.ledger.entries())
            self._tell("cancelled")
        elif cell.fault is Fault.ROLLBACK:
            await self._roll_back()
        elif cell.fault in (Fault.KILLED, Fault.STOPPED):
            await self._struck()
        if cell.fault in _DECISIONS:
            self._lift()

    async def _roll_back(self) -> None:
        refused = await self._decide("rollback", {"by": _APPROVER, "to": self._cell.depth})
        if bool(refused) != self._cell.past_the_pivot:
            self.verdict.problems.append(f"the rollback was {f'refused: {refused}' if refused else 'not refused'}")

    async def _struck(self) -> None:
        if self._victim and self._victim.is_health:  # no call of the worker's own, so that nobody has struck yet
            await asyncio.to_thread(self._strike)
        if self._cell.fault is Fault.STOPPED:
            await asyncio.sleep(STANDS_STILL)
            self._lane.go_on()
            self._tell("the worker that stood still goes on")

    def _lift(self) -> None:
        if self._trap:
            self._ground.plan.lift(self._trap)
            self._trap = None
            self._tell("the fault is taken back")

    async def _settle(self, reaction: asyncio.Task[None]) -> None:
        if not self._meetings:
            reaction.cancel()
            if self._victim:
                self.verdict.problems.append(f"never met: {self._victim.point}")
        with contextlib.suppress(asyncio.CancelledError):
            await reaction
        self._lift()

    # --- following -----------------------------------------------------------------------------------------------

    async def _follow(self) -> bool:
        """Answer what is asked until it has ended; false when it does not end."""
        last = ""
        while time.monotonic() < self._began + ENDS_WITHIN:
            described = await self._described()
            if described.status is not WorkflowExecutionStatus.RUNNING:
                self._tell(f"ended: {described.status and described.status.name}")
                return True
            phase = str(described.typed_search_attributes.get(_PHASE))
            if phase != last:
                self._tell(phase)
                last = phase
            # With no worker there is no answer; the next look asks again.
            with contextlib.suppress(MigrationError, RPCError, TimeoutError):
                await asyncio.wait_for(self._answer(phase), _ANSWERED_WITHIN)
            await asyncio.sleep(_LOOK)
        self.verdict.problems.append(f"does not end; it is {last}: {await self._last_words()}")
        return False

    async def _described(self) -> WorkflowExecutionDescription:
        """What Temporal says of it; a busy server is asked again."""
        for _ in range(_LOOKS - 1):
            with contextlib.suppress(RPCError):
                return await self._handle.describe()
            await asyncio.sleep(_LOOK)
        return await self._handle.describe()

    async def _answer(self, phase: str) -> None:
        match phase:
            case Phase.AWAITING_APPROVAL:
                await self._at_the_gate()
            case Phase.AWAITING_DECISION:
                await self._asked_about_failure()
            case Phase.ROLLBACK_INCOMPLETE:
                self._lift()
                await self._decide("retry", {"by": _APPROVER})
            case Phase.ROLLING_BACK if self._cell.fault is Fault.HANGS:
                self._lift()

    async def _at_the_gate(self) -> None:
        status = await self._migrations.status(self._names.migration_id)
        entry = next(line.entry for line in status.steps if line.step is Step.APPROVE)
        if status.awaiting is None or status.awaiting.what != "approve" or status.evidence_hash is None:
            return
        if entry > 1 and (self._turned_back or not self._retries):
            await self._back_at_the_gate(status)
        elif self._cell.fault is Fault.REJECT:
            await self._decide("reject", {"approver": _APPROVER, "to": self._cell.depth})
        else:
            await self._decide("approve", {"approver": _APPROVER})

    async def _back_at_the_gate(self, status: MigrationStatus) -> None:
        if not self._judged_gate:
            self._judged_gate = True
            await self._judge("at the gate", promises.at_the_gate, status)
        await self._decide("abandon", {"by": _APPROVER, "reason": "seen enough"})

    async def _asked_about_failure(self) -> None:
        status = await self._migrations.status(self._names.migration_id)
        question = ", ".join(f"{line.step} {line.entry}" for line in status.steps if line.state is StepState.FAILED)
        if question == self._answered and time.monotonic() < self._asks_again_at:
            return  # the answer is taken, and the step not entered again yet
        if not self.verdict.promised.asked and not self._asked:
            self.verdict.problems.append(f"a person is asked: {status.message}")
        self._asked = True
        if self.verdict.promised.repaired and self._retries < _MOST_RETRIES:
            self._lift()
            await self._decide("retry", {"by": _APPROVER})
            self._retries += 1
        else:
            self._turned_back = True
            await self._decide("rollback", {"by": _APPROVER, "to": self._cell.depth})
        self._answered, self._asks_again_at = question, time.monotonic() + _TAKEN_WITHIN

    async def _decide(self, name: str, payload: dict[str, Any]) -> str | None:
        """Decide; returns why it was refused."""
        try:
            answer = await self._migrations.decide(self._names.migration_id, name, payload)
        except Unavailable:
            raise
        except MigrationError as refusal:
            self._tell(f"{name} refused: {refusal}")
            return str(refusal)
        self._tell(f"{name}: {answer['message']}")
        return None

    def _tell(self, words: str) -> None:
        self.verdict.told.append(f"{time.monotonic() - self._began:5.1f} s {words}")

    async def _last_words(self) -> str:
        with contextlib.suppress(MigrationError, RPCError, TimeoutError):
            status = await asyncio.wait_for(self._migrations.status(self._names.migration_id), _ANSWERED_WITHIN)
            return f"{status.message} {await self._migrations.pending(self._names.migration_id)}"
        return "no answer"

    # --- judging -------------------------------------------------------------------------------------------------

    async def _judge_end(self) -> None:
        promised, verdict = self.verdict.promised, self.verdict
        described = await self._described()
        status = self.status = await self._status_at_the_end()
        if status is None:
            return
        verdict.told.append(f"{status.phase}, the {status.served_by} serves: {status.message}")
        if described.status is not self._temporal_status(status.phase):
            verdict.problems.append(f"ended {status.phase}, and for Temporal {described.status}")
        unasked = status.phase is Phase.COMPLETED and not self._asked and not self._judged_gate
        if not (unasked and promised.or_completes):
            verdict.problems += self._broken(promised, status)
        back = status.phase is not Phase.COMPLETED
        await self._judge("at the end", promises.at_the_start if back else promises.at_the_end, status)
        entries = entries_of(self._ground.cloud.ledger.entries(), self._names)
        await self._judge("always", lambda scene, told: promises.always(scene, told, entries), status)
        self.verdict.problems += self._too_early(entries)

    def _broken(self, promised: Promise, status: MigrationStatus) -> Iterator[str]:
        """Where the way to the end was not the promised one."""
        if status.phase is not promised.ends:
            yield f"ended {status.phase}, not {promised.ends}: {status.message}"
        if promised.gate and not self._judged_gate:
            yield "it never stood at the gate again"
        if promised.asked and not self._asked:
            yield "nobody was asked about the failure"

    def _too_early(self, entries: Sequence[Entry]) -> Iterator[str]:
        """A call that was to succeed after the cancel, and had its effect before it, proves nothing."""
        victim = self._victim
        if self._cell.fault is not Fault.CANCEL_LATE or victim is None or not victim.acts:
            return
        if victim.point.service == "ssm" and victim.point not in points(entries, self._names):
            return  # a health check, awaited by nobody, of a machine that the rollback has terminated meanwhile
        later = [entry for entry in entries if entry.seq > self._cancelled]
        if not any((one.service, one.operation) == (victim.point.service, victim.point.operation) for one in later):
            yield "the call had its effect before the cancel"

    def _temporal_status(self, phase: Phase) -> WorkflowExecutionStatus:
        if phase is Phase.CANCELLED and self._cell.fault in (Fault.CANCEL, Fault.CANCEL_LATE):
            return WorkflowExecutionStatus.CANCELED
        return _ENDED_AS.get(phase, WorkflowExecutionStatus.COMPLETED)

    async def _status_at_the_end(self) -> MigrationStatus | None:
        error: Exception | None = None
        for _ in range(_LOOKS):
            try:
                return await asyncio.wait_for(self._migrations.status(self._names.migration_id), _ANSWERED_WITHIN)
            except (MigrationError, RPCError, TimeoutError) as failed:
                error = failed
        self.verdict.problems.append(f"no status: {error}")
        return None

    async def _judge(
        self, when: str, judge: Callable[[Scene, MigrationStatus], Iterator[str]], status: MigrationStatus
    ) -> None:
        found = await asyncio.to_thread(lambda: list(judge(self._scene, status)))
        self.verdict.problems += [f"{when}: {problem}" for problem in found]
