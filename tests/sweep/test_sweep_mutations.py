"""The sweep has teeth: it fails for every look that is switched off. Run by `MUTATE=1`, which takes some minutes."""

import asyncio
import os
from pathlib import Path

import pytest

from tests.sweep.cases import Case
from tests.sweep.checker import compare
from tests.sweep.mutations import MUTATIONS
from tests.sweep.site import site

pytestmark = [
    pytest.mark.local,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not os.environ.get("MUTATE"), reason="MUTATE=1 asks for it"),
]


async def test_a_look_that_is_left_out_is_found_out_by_its_fault_and_by_nothing_else(tmp_path: Path) -> None:
    names = list(MUTATIONS)
    async with site(tmp_path, applications=2 * len(names), lanes=0, mutations=names) as place:
        undisturbed = await asyncio.gather(*(place.run(Case(MUTATIONS[n].case.ending), n) for n in names))
        disturbed = await asyncio.gather(*(place.run(MUTATIONS[n].case, n) for n in names))
    for outcome, reference in zip(disturbed, undisturbed, strict=True):
        outcome.problems += compare(outcome, reference)
    assert {name: outcome.problems for name, outcome in zip(names, undisturbed, strict=True) if outcome.problems} == {}
    assert [name for name, outcome in zip(names, disturbed, strict=True) if not outcome.problems] == []
