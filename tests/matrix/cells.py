"""The cells of the failure matrix: every step, every fault, every choice of a request; and what each promises."""

from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import product

from migration.request import FailureAction, RollbackTo
from migration.status import Phase
from migration.steps import STEPS, Step


class Fault(StrEnum):
    """What goes wrong, or is asked for, while a step is at one of its calls."""

    FAILS_BEFORE = "fails-before"
    FAILS_AFTER = "fails-after"
    HANGS = "hangs"
    CANCEL = "cancel"
    CANCEL_LATE = "cancel-late"
    REJECT = "reject"
    ROLLBACK = "rollback"
    KILLED = "killed"
    STOPPED = "stopped"


MEANING = {
    Fault.FAILS_BEFORE: "a call is refused for good, before its effect",
    Fault.FAILS_AFTER: "a call is refused for good, after its effect",
    Fault.HANGS: "a call hangs for good",
    Fault.CANCEL: "Temporal cancel while the step is between two attempts",
    Fault.CANCEL_LATE: "Temporal cancel while a call is under way that then succeeds",
    Fault.REJECT: "the update `reject`",
    Fault.ROLLBACK: "the update `rollback` while the step is between two attempts",
    Fault.KILLED: "the worker is killed after a call's effect",
    Fault.STOPPED: "the worker stands still at a call, another takes over, and then it goes on",
}

FAILURES = (Fault.FAILS_BEFORE, Fault.FAILS_AFTER, Fault.HANGS)
SURVIVED = frozenset({Fault.KILLED, Fault.STOPPED})
OPTIONS = tuple(product(FailureAction, RollbackTo))
"""What a request may say: onFailure.action and rollback.to."""

_GATE, _PIVOT = STEPS.index(Step.APPROVE), STEPS.index(Step.FINALIZE)


@dataclass(frozen=True)
class Cell:
    """One run of the matrix."""

    step: Step
    fault: Fault
    action: FailureAction
    depth: RollbackTo

    def __str__(self) -> str:
        """Its four coordinates."""
        return f"{self.step}-{self.fault}-{self.action}-{self.depth}"

    @property
    def place(self) -> int:
        """Which of the options it is: cells of one step and fault take different calls of the step."""
        return OPTIONS.index((self.action, self.depth))

    @property
    def past_the_gate(self) -> bool:
        """Whether a rollback to `ready` leads back to the gate; before it there is nothing to be ready for."""
        return STEPS.index(self.step) >= _GATE

    @property
    def past_the_pivot(self) -> bool:
        """Whether the migration only goes forward."""
        return STEPS.index(self.step) >= _PIVOT


CELLS = tuple(Cell(step, fault, action, depth) for step, fault, (action, depth) in product(STEPS, Fault, OPTIONS))


@dataclass(frozen=True)
class Promise:
    """How a cell has to end.

    Attributes:
        ends: The last phase.
        gate: The migration stands at the gate again before, ready for another cutover, and is then abandoned.
        asked: A person is asked what to do about the failure.
        repaired: The fault is taken back then, and the answer is `retry`; else the answer is `rollback`.
        or_completes: It may complete instead, unasked: a look has found the effect of a call that answered otherwise.
    """

    ends: Phase
    gate: bool = False
    asked: bool = False
    repaired: bool = False
    or_completes: bool = False

    def __str__(self) -> str:
        """The way and the end."""
        way = ["the gate again"] * self.gate + ["a repair and a retry"] * self.repaired
        return f"{self.ends}{f' after {way[0]}' if way else ''}"


def promise(cell: Cell) -> Promise:
    """What the design promises for this cell."""
    if cell.fault in FAILURES:
        return _failure(cell)
    if cell.fault in SURVIVED or cell.past_the_pivot:
        return Promise(Phase.COMPLETED)
    if cell.fault in (Fault.CANCEL, Fault.CANCEL_LATE):
        return Promise(Phase.CANCELLED)
    return _undone(cell, Phase.REJECTED if cell.fault is Fault.REJECT else Phase.ROLLED_BACK)


def _failure(cell: Cell) -> Promise:
    if cell.step is Step.VALIDATE:
        return Promise(Phase.FAILED)
    found = cell.fault is Fault.FAILS_AFTER
    if cell.past_the_pivot:
        # A call that hangs there is waited for without end: nobody is asked, and it goes on when the call does.
        asked = cell.fault is not Fault.HANGS
        return Promise(Phase.COMPLETED, asked=asked, repaired=asked, or_completes=found)
    asked = cell.action is FailureAction.PAUSE
    # Both answers at both depths: a repair and a retry for one half of the faults, a rollback for the other.
    if asked and (FAILURES.index(cell.fault) + (cell.depth is RollbackTo.START)) % 2 == 1:
        return Promise(Phase.COMPLETED, asked=True, repaired=True, or_completes=found)
    return replace(_undone(cell, Phase.ROLLED_BACK), asked=asked, or_completes=found)


def _undone(cell: Cell, ends: Phase) -> Promise:
    if cell.depth is RollbackTo.READY and cell.past_the_gate:
        return Promise(Phase.CANCELLED, gate=True)
    return Promise(ends)
