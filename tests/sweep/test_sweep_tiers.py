"""Three servers in two tiers: a lost reply or a killed worker at any call changes neither the end nor the effects."""

import pytest

from tests.sweep.cases import TIERS, Fault
from tests.sweep.sweep import Sweep, cases_of, problems

pytestmark = [pytest.mark.local, pytest.mark.timeout(7200)]


def test_nothing_goes_wrong_with_three_servers_where_no_fault_is_planned(sweep: Sweep) -> None:
    assert sweep.reference(TIERS).problems == []


@pytest.mark.parametrize("fault", ["reply lost", "killed after"])
def test_a_fault_at_any_call_for_three_servers_changes_neither_the_end_nor_the_effects(
    sweep: Sweep, fault: Fault, at: str
) -> None:
    found = [point for point in sweep.points(TIERS) if at in str(point)]
    assert problems(sweep.run(cases_of(TIERS, found, [fault], together=4))) == {}
