"""The sweep has teeth: it fails for every activity that acts without looking. Run by `MUTATE=1`."""

import os
from collections.abc import Sequence

import pytest

from tests.sweep.cases import AFTER_SWITCH, FORWARD, UNHEALTHY, Case
from tests.sweep.checker import Outcome, compare
from tests.sweep.mutations import HARMLESS, MUTATIONS
from tests.sweep.site import site
from tests.together import together

pytestmark = [
    pytest.mark.local,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not os.environ.get("MUTATE"), reason="MUTATE=1 asks for it"),
]

TOGETHER = 6
NAMES = list(MUTATIONS)
ENDINGS = (FORWARD, UNHEALTHY, AFTER_SWITCH)


async def test_each_activity_that_acts_has_a_mutation_or_a_reason(tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.mktemp("undisturbed")
    async with site(directory, applications=len(ENDINGS), lanes=len(ENDINGS)) as place:
        outcomes = await together(place.run(Case(ending)) for ending in ENDINGS)
    acting = {told.activity for outcome in outcomes for told in outcome.told if told.acts}
    assert acting
    assert [f"no mutation for {name}" for name in sorted(acting - MUTATIONS.keys() - HARMLESS.keys())] == []


@pytest.mark.parametrize("first", range(0, len(NAMES), TOGETHER))
async def test_an_activity_that_acts_without_looking_is_found_out_when_its_worker_dies_and_only_then(
    tmp_path_factory: pytest.TempPathFactory, at: str, first: int
) -> None:
    names = [name for name in NAMES[first : first + TOGETHER] if at in name]
    directory = tmp_path_factory.mktemp("mutations")
    async with site(directory, applications=2 * len(names) or 1, lanes=0, mutations=names) as place:
        undisturbed = await together(place.run(Case(MUTATIONS[n].ending), n) for n in names)
        disturbed = await together(place.run(MUTATIONS[n].case(n), n) for n in names)
    for outcome, reference in zip(disturbed, undisturbed, strict=True):
        outcome.problems += compare(outcome, reference)
    assert _problems(names, undisturbed) == {}
    assert [name for name in names if name not in _problems(names, disturbed)] == []
    # A worker that never died would be found out for that alone.
    assert [[told.activity for told in outcome.told if told.event == "obeyed"] for outcome in disturbed] == [
        [name] for name in names
    ]


def _problems(names: Sequence[str], outcomes: Sequence[Outcome]) -> dict[str, list[str]]:
    return {name: outcome.problems for name, outcome in zip(names, outcomes, strict=True) if outcome.problems}
