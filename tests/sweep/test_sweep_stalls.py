"""A worker that stands still before a call, and goes on when everything was undone, lets nothing land any more."""

import asyncio

import pytest

from tests.sweep.cases import FORWARD, Case
from tests.sweep.checker import Outcome
from tests.sweep.site import site
from tests.sweep.stalls import StalledRun, cases_of_stalls
from tests.sweep.sweep import LANES, problems

pytestmark = [pytest.mark.local, pytest.mark.timeout(1800)]


async def test_an_act_that_went_on_after_its_undo_has_no_effect(
    tmp_path_factory: pytest.TempPathFactory, at: str, swept: list[Outcome]
) -> None:
    async with site(tmp_path_factory.mktemp("stalls"), applications=40, lanes=LANES // 2, stalls=True) as place:
        reference = await place.run(Case(FORWARD))
        cases = [case for case in cases_of_stalls(reference) if at in str(case)]
        outcomes = await asyncio.gather(*(place.run(case, play=StalledRun) for case in cases))
    swept += [reference, *outcomes]
    assert problems([reference, *outcomes]) == {}
