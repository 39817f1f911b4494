"""Plays cells, some at a time, on clouds that are replaced when their applications are used up."""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from migration.request import FailureAction, RollbackTo
from migration.steps import Step
from tests.matrix.calls import NotApplicable, StepCalls, Victim, calls_of_steps, victim_of
from tests.matrix.cells import CELLS, Cell, Fault
from tests.matrix.ground import Ground, ground
from tests.matrix.play import Play, Verdict
from tests.sweep.checker import entries_of
from tests.together import together

PATIENT_LANES, IMPATIENT_LANES = 6, 2
APPLICATIONS = 96

_UNDISTURBED = Cell(Step.VALIDATE, Fault.KILLED, FailureAction.ROLLBACK, RollbackTo.START)
"""A cell that is promised to complete; with no call to strike at, nothing happens in it."""

Told = Callable[[Verdict], None]


async def reference(place: Ground) -> Mapping[Step, StepCalls]:
    """What each step calls, from a run without a fault.

    Raises:
        AssertionError: That run itself was not as promised.
    """
    names, before = place.next_names(), len(place.plan.seen)
    async with place.lane(impatient=False) as lane:
        undisturbed = Play(place, lane, _UNDISTURBED, None, names)
        verdict = await undisturbed.run()
    if verdict.problems or undisturbed.status is None:
        raise AssertionError("\n".join(["the run without a fault:", *verdict.told, *verdict.problems]))
    entries = entries_of(place.cloud.ledger.entries(), names)
    return calls_of_steps(undisturbed.status, entries, place.plan.seen[before:], names)


async def play(place: Ground, cell: Cell, victim: Victim | None) -> Verdict:
    """Play one cell with a fresh application on the next free lane."""
    async with place.lane(impatient=cell.fault is Fault.HANGS) as lane:
        played = Play(place, lane, cell, victim, place.next_names())
        try:
            return await played.run()
        except Exception as error:  # noqa: BLE001  one cell that breaks is one that failed, and no end of the others
            played.verdict.problems.append(f"the play broke off: {error!r}")
            return played.verdict


class Matrix:
    """The verdicts of the cells that are asked for."""

    def __init__(self, new_directory: Callable[[], Path], tell: Told, lanes: tuple[int, int]) -> None:
        """Nothing has been played.

        Args:
            new_directory: Gives a state directory for each cloud.
            tell: Hears of every verdict at once.
            lanes: How many patient and impatient lanes.
        """
        self.verdicts: dict[Cell, Verdict] = {}
        self.not_applicable: dict[Cell, str] = {}
        self._new_directory, self._tell, self._lanes = new_directory, tell, lanes
        self._calls: Mapping[Step, StepCalls] = {}

    def play(self, cells: Sequence[Cell]) -> None:
        """Play these cells, in an order that gives every lane its work until the end."""
        asyncio.run(self._play(cells))

    async def _play(self, cells: Sequence[Cell]) -> None:
        mixed = list(cells)
        random.Random(len(CELLS)).shuffle(mixed)
        left = mixed
        while left:
            async with AsyncExitStack() as stack:
                patient, impatient = self._lanes
                place = await stack.enter_async_context(
                    ground(self._new_directory(), applications=APPLICATIONS, patient=patient, impatient=impatient)
                )
                self._calls = self._calls or await reference(place)
                batch, left = left[: APPLICATIONS - 1], left[APPLICATIONS - 1 :]
                await together(self._play_one(place, cell) for cell in batch)

    async def _play_one(self, place: Ground, cell: Cell) -> None:
        try:
            victim = victim_of(cell, self._calls[cell.step])
        except NotApplicable as reason:
            self.not_applicable[cell] = str(reason)
            return
        self.verdicts[cell] = await play(place, cell, victim)
        self._tell(self.verdicts[cell])
