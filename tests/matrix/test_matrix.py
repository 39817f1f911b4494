"""The failure matrix: whatever happens at whatever step, the systems end as the design promises."""

import pytest

from tests.matrix.cells import CELLS, Cell
from tests.matrix.matrix import Matrix

pytestmark = [pytest.mark.local, pytest.mark.timeout(7200)]


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_whatever_happens_the_systems_end_as_promised(matrix: Matrix, cell: Cell) -> None:
    if cell in matrix.not_applicable:
        pytest.skip(f"not applicable: {matrix.not_applicable[cell]}")
    assert matrix.verdicts[cell].problems == []
