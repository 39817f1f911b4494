"""Whatever goes wrong once at whatever call or activity: the migration ends as it would have, and did nothing twice."""

import pytest

from tests.sweep.cases import (
    AFTER_SWITCH,
    AGAIN,
    FAULTS,
    FORWARD,
    UNHEALTHY,
    UNRECORDED,
    Case,
    Fault,
)
from tests.sweep.sweep import Sweep, cases_of, problems

pytestmark = [pytest.mark.local, pytest.mark.timeout(7200)]

ENDINGS = {"forward": FORWARD, "unhealthy": UNHEALTHY, "after-switch": AFTER_SWITCH, "again": AGAIN}

FEWER: tuple[Fault, ...] = ("reply lost", "killed after")
"""What goes wrong where the calls are those of another ending, in other circumstances."""

MILD: frozenset[Fault] = frozenset({"refused", "failed after", "throttled"})
"""What a way back meets at several calls of one run: each alone is met on the way forward."""

SWEPT = [(name, fault) for name, ending in ENDINGS.items() for fault in (FEWER if ending is AGAIN else FAULTS)]


@pytest.mark.parametrize("ending", list(ENDINGS))
def test_nothing_goes_wrong_where_no_fault_is_planned(sweep: Sweep, ending: str) -> None:
    assert sweep.reference(ENDINGS[ending]).problems == []


@pytest.mark.parametrize("ending", list(ENDINGS))
def test_a_worker_killed_before_it_has_recorded_an_activity_changes_neither_the_end_nor_the_effects(
    sweep: Sweep, ending: str, at: str
) -> None:
    swept = ENDINGS[ending]
    found = [point for point in sweep.activities(swept) if at in str(point)]
    assert problems(sweep.run([Case(swept, UNRECORDED, (point,)) for point in found])) == {}


@pytest.mark.parametrize("ending", list(ENDINGS))
def test_looks_that_fail_change_neither_the_end_nor_the_effects(sweep: Sweep, ending: str, at: str) -> None:
    swept = ENDINGS[ending]
    found = tuple(point for point in sweep.looks(swept) if at in str(point))
    (outcome,) = sweep.run([Case(swept, "throttled", found, may_miss=True)])
    assert outcome.problems == []


@pytest.mark.parametrize(("ending", "fault"), SWEPT)
def test_a_fault_at_any_call_changes_neither_the_end_nor_the_effects(
    sweep: Sweep, ending: str, fault: Fault, at: str
) -> None:
    swept = ENDINGS[ending]
    found = [point for point in sweep.points(swept) if at in str(point)]
    together = 4 if fault in MILD and swept is not FORWARD else 1
    assert problems(sweep.run(cases_of(swept, found, [fault], together=together))) == {}
