"""A worker that stands still before a call, and goes on when everything was undone, lets nothing land any more."""

from collections.abc import Callable

import pytest

from tests.sweep.cases import FORWARD, Case
from tests.sweep.checker import Outcome, compare
from tests.sweep.site import Run, site
from tests.sweep.stalls import OvertakenRun, StalledRun, cases_of_overtaken, cases_of_stalls
from tests.sweep.sweep import LANES, problems
from tests.together import together

pytestmark = [pytest.mark.local, pytest.mark.timeout(1800)]


@pytest.mark.parametrize(
    ("cases_of", "play"),
    [(cases_of_stalls, StalledRun), (cases_of_overtaken, OvertakenRun)],
    ids=["undone meanwhile", "overtaken"],
)
async def test_an_act_that_stood_still_and_went_on_has_no_effect_of_its_own(
    tmp_path_factory: pytest.TempPathFactory,
    at: str,
    swept: list[Outcome],
    cases_of: Callable[[Outcome], list[Case]],
    play: type[Run],
) -> None:
    async with site(tmp_path_factory.mktemp("stalls"), applications=40, lanes=LANES // 2, stalls=True) as place:
        reference = await place.run(Case(FORWARD))
        cases = [case for case in cases_of(reference) if at in str(case)]
        outcomes = await together(place.run(case, play=play) for case in cases)
    for outcome in outcomes:
        if outcome.case.ending is FORWARD:
            outcome.problems += compare(outcome, reference)
    swept += [reference, *outcomes]
    assert problems([reference, *outcomes]) == {}
