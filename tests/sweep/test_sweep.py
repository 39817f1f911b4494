"""Whatever goes wrong once at whatever call: the migration ends as it would have, and did nothing twice."""

from typing import Any

import pytest

from tests.sweep.cases import AFTER_SWITCH, FAULTS, FORWARD, UNHEALTHY, Case, Ending, Fault
from tests.sweep.sweep import Sweep, cases_of

pytestmark = [pytest.mark.local, pytest.mark.timeout(7200)]

ENDINGS: dict[str, tuple[Ending, str | None]] = {
    "forward": (FORWARD, None),
    "unhealthy": (UNHEALTHY, "StartCutover"),
    "after-switch": (AFTER_SWITCH, "StartCutover"),
}
"""What is swept: an ending, and the operation after which its own points begin."""


@pytest.mark.parametrize("ending", list(ENDINGS))
def test_nothing_goes_wrong_where_no_fault_is_planned(sweep: Sweep, ending: str) -> None:
    assert sweep.reference(ENDINGS[ending][0]).problems == []


@pytest.mark.parametrize("ending", list(ENDINGS))
def test_looks_that_fail_change_neither_the_end_nor_the_effects(sweep: Sweep, ending: str, at: str) -> None:
    swept, _ = ENDINGS[ending]
    found = tuple(point for point in sweep.looks(swept) if at in str(point))
    (outcome,) = sweep.run([Case(swept, "throttled", found, may_miss=True)])
    assert outcome.problems == []


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("ending", list(ENDINGS))
def test_a_fault_at_any_call_changes_neither_the_end_nor_the_effects(
    sweep: Sweep, ending: str, fault: Fault, at: str
) -> None:
    swept, since = ENDINGS[ending]
    found = [point for point in sweep.points(swept, since) if at in str(point)]
    outcomes = sweep.run(cases_of(swept, found, [fault]))
    problems: dict[str, Any] = {str(outcome.case): outcome.problems for outcome in outcomes if outcome.problems}
    assert problems == {}
