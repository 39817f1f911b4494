"""A spread of the failure matrix: six steps, six faults, every choice of a request; `make matrix` has all of them."""

from pathlib import Path

import pytest

from migration.steps import STEPS, Step
from tests.matrix.calls import victim_of
from tests.matrix.cells import OPTIONS, Cell, Fault
from tests.matrix.ground import ground
from tests.matrix.matrix import play, reference
from tests.together import together

pytestmark = [pytest.mark.local, pytest.mark.timeout(500)]

FAULTS = (Fault.KILLED, Fault.REJECT, Fault.FAILS_AFTER, Fault.FAILS_BEFORE, Fault.CANCEL_LATE, Fault.ROLLBACK)
STEPS_MET = STEPS[STEPS.index(Step.TEST) : STEPS.index(Step.FINALIZE)]
SPREAD = tuple(
    Cell(step, fault, *OPTIONS[place % len(OPTIONS)])
    for place, (step, fault) in enumerate(zip(STEPS_MET, FAULTS, strict=True))
)


async def test_six_faults_in_six_steps_end_as_promised(tmp_path: Path) -> None:
    async with ground(tmp_path, applications=len(SPREAD) + 1, patient=len(SPREAD), impatient=0) as place:
        calls = await reference(place)
        verdicts = await together(play(place, cell, victim_of(cell, calls[cell.step])) for cell in SPREAD)
    assert {str(verdict.cell): verdict.problems for verdict in verdicts if verdict.problems} == {}
