"""Runs cases, some at a time, on clouds that are replaced when their applications are used up."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from itertools import groupby
from pathlib import Path

from tests.sweep.cases import (
    FAULTS,
    FORWARD,
    Case,
    Ending,
    Fault,
    Point,
    activity_points,
    looks,
    points,
    since_parting,
    spread,
)
from tests.sweep.checker import Outcome, compare
from tests.sweep.site import Site, site
from tests.together import together

LANES = 6
APPLICATIONS = 96

_TOGETHER = frozenset({"dynamodb", "callback", "events", "cmf", "change"})
"""Services whose points are met in one run: they are records of what happens, not what happens."""


class Sweep:
    """Outcomes of cases, each compared with the fault-free run of its ending."""

    def __init__(
        self, new_directory: Callable[[], Path], *, lanes: int = LANES, applications: int = APPLICATIONS
    ) -> None:
        """Nothing runs yet. `new_directory` gives a state directory for each cloud."""
        self.outcomes: list[Outcome] = []
        self._new_directory = new_directory
        self._lanes, self._applications = lanes, applications
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        self._site: Site | None = None
        self._servers = 0
        self._left = 0
        self._references: dict[str, Outcome] = {}

    @property
    def all_outcomes(self) -> list[Outcome]:
        """Those of the fault-free runs, too."""
        return [*self._references.values(), *self.outcomes]

    def close(self) -> None:
        """Stop the cloud."""
        self._runner.run(self._stack.aclose())
        self._runner.close()

    def reference(self, ending: Ending) -> Outcome:
        """The fault-free run of an ending."""
        if ending.name not in self._references:
            (outcome,) = self._runner.run(self._run([Case(ending)]))
            self._references[ending.name] = outcome
        return self._references[ending.name]

    def points(self, ending: Ending) -> list[Point]:
        """The calls of an ending, those of the records included, from where it leaves the way forward."""
        return spread(self._own(ending, lambda reference: points(reference.entries, reference.names)))

    def activities(self, ending: Ending) -> list[Point]:
        """The activities of an ending, by its own history, from where it leaves the way forward."""
        return spread(self._own(ending, lambda reference: activity_points(reference.activities)))

    def _own(self, ending: Ending, found: Callable[[Outcome], list[Point]]) -> list[Point]:
        own = found(self.reference(ending))
        whole = ending is FORWARD or len(ending.tiers) > 1
        return own if whole else since_parting(own, found(self.reference(FORWARD)))

    def looks(self, ending: Ending) -> list[Point]:
        """The points at which an ending only looks: its reference has no neighbours."""
        reference = self.reference(ending)
        return looks(reference.calls, points(reference.entries, reference.names), reference.names)

    def run(self, cases: Sequence[Case]) -> list[Outcome]:
        """Run the cases and compare each with its reference."""
        for ending in {case.ending.name: case.ending for case in cases}.values():
            self.reference(ending)
        outcomes = self._runner.run(self._run(cases))
        for outcome in outcomes:
            outcome.problems += compare(outcome, self.reference(outcome.case.ending))
        self.outcomes += outcomes
        return outcomes

    async def _run(self, cases: Sequence[Case]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        while len(outcomes) < len(cases):
            left = cases[len(outcomes) :]
            servers, alike = next(groupby(left, key=lambda case: len(case.ending.tiers)))
            place = await self._place(servers)
            batch = list(alike)[: self._left]
            self._left -= len(batch)
            outcomes += await together(place.run(case) for case in batch)
        return outcomes

    async def _place(self, servers: int) -> Site:
        if self._site is None or not self._left or servers != self._servers:
            await self._stack.aclose()
            place = site(self._new_directory(), applications=self._applications, lanes=self._lanes, servers=servers)
            self._site, self._left = await self._stack.enter_async_context(place), self._applications
            self._servers = servers
        return self._site


def cases_of(
    ending: Ending, found: Iterable[Point], faults: Iterable[Fault] = FAULTS, *, together: int = 1
) -> list[Case]:
    """One case for each fault at each point; the points of the records together.

    Args:
        ending: Of each case.
        found: The points.
        faults: What goes wrong.
        together: At how many points, far from each other, it goes wrong in one run.
    """
    known = list(found)
    alone = [point for point in known if point.service not in _TOGETHER]
    records = tuple(point for point in known if point.service in _TOGETHER)
    apart = -(-len(alone) // together)
    groups = [*(tuple(alone[place::apart]) for place in range(apart)), *((records,) if records else ())]
    return [Case(ending, fault, group) for fault in faults for group in groups]


def problems(outcomes: Iterable[Outcome]) -> dict[str, list[str]]:
    """What is wrong, by case."""
    return {str(outcome.case): outcome.problems for outcome in outcomes if outcome.problems}
