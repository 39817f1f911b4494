"""A sample of the sweep: every call of a migration and of its rollback is dealt to one of the ways to go wrong.

`make sweep` has every call and every fault, each in a run of its own.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pytest

from tests.sweep.cases import (
    FAULTS,
    FORWARD,
    UNHEALTHY,
    UNRECORDED,
    Case,
    Ending,
    Fault,
    Point,
    activity_points,
    points,
    since_parting,
    spread,
)
from tests.sweep.checker import Outcome, compare
from tests.sweep.site import Site, site
from tests.together import together

pytestmark = [pytest.mark.local, pytest.mark.timeout(600)]

KINDS: tuple[Fault, ...] = (*FAULTS, UNRECORDED)
ENDINGS = {"forward": FORWARD, "rollback": UNHEALTHY}
LANES = 7
MOST_KILLS = 2
"""In one run: each costs some seconds."""

_RECORDS = frozenset({"dynamodb", "events"})
"""How often rows are written, and events put, depends on how fast that is: only the first of each is a sure point."""


@dataclass(frozen=True)
class Sample:
    """The undisturbed runs, and a disturbed one for each ending and fault."""

    undisturbed: Mapping[str, Outcome]
    disturbed: Mapping[tuple[str, Fault], Outcome]


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return asyncio.run(_taken(tmp_path_factory))


async def _taken(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    runs = len(ENDINGS) * (1 + len(KINDS))
    async with site(tmp_path_factory.mktemp("sample"), applications=runs, lanes=LANES) as place:
        undisturbed = dict(zip(ENDINGS, await _run(place, [Case(ending) for ending in ENDINGS.values()]), strict=True))
        cases = {(name, kind): _case(undisturbed, name, kind) for name in ENDINGS for kind in KINDS}
        disturbed = dict(zip(cases, await _run(place, list(cases.values())), strict=True))
    for (name, _), outcome in disturbed.items():
        outcome.problems += compare(outcome, undisturbed[name])
    return Sample(undisturbed, disturbed)


async def _run(place: Site, cases: Sequence[Case]) -> list[Outcome]:
    return await together(place.run(case) for case in cases)


def _case(undisturbed: Mapping[str, Outcome], name: str, kind: Fault) -> Case:
    """What this fault is dealt of this ending: of a rollback only what is its own."""
    found = {each: _points(outcome, kind) for each, outcome in undisturbed.items()}
    ending: Ending = ENDINGS[name]
    own = found[name] if ending is FORWARD else since_parting(found[name], found["forward"])
    return Case(ending, kind, _dealt(own, kind))


def _points(outcome: Outcome, kind: Fault) -> list[Point]:
    if kind == UNRECORDED:
        return spread(activity_points(outcome.activities))
    return spread(
        [one for one in points(outcome.entries, outcome.names) if one.service not in _RECORDS or one.nth == 1]
    )


def _dealt(found: Sequence[Point], kind: Fault) -> tuple[Point, ...]:
    """Every sixth call or so, each fault beginning at another: so a new call is met without being listed."""
    share = found[KINDS.index(kind) % len(found) :: len(FAULTS)]
    if Case(FORWARD, kind, tuple(share)).kills:
        share = share[:: -(-len(share) // MOST_KILLS)]
    return tuple(share)


@pytest.mark.parametrize("ending", list(ENDINGS))
def test_nothing_goes_wrong_where_no_fault_is_planned(sample: Sample, ending: str) -> None:
    assert sample.undisturbed[ending].problems == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ending", list(ENDINGS))
def test_a_fault_at_some_calls_changes_neither_the_end_nor_the_effects(
    sample: Sample, ending: str, kind: Fault
) -> None:
    outcome = sample.disturbed[ending, kind]
    assert outcome.case.points
    assert outcome.problems == []
