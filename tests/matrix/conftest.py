"""`pytest tests/matrix`: options that choose cells, and the table at the end."""

from contextlib import nullcontext

import pytest

from migration.steps import STEPS
from tests.matrix.cells import MEANING, OPTIONS, Cell, Fault
from tests.matrix.matrix import IMPATIENT_LANES, PATIENT_LANES, Matrix
from tests.matrix.play import Verdict

_MATRIX = pytest.StashKey[Matrix]()
_PASSED, _FAILED, _NOT_APPLICABLE, _NOT_PLAYED = "p", "F", "-", " "


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("matrix")
    group.addoption("--step", action="append", default=[], choices=list(map(str, STEPS)), help="only this step")
    group.addoption("--fault", action="append", default=[], choices=list(map(str, Fault)), help="only this fault")
    group.addoption("--option", action="append", default=[], help="only this pair, such as rollback-ready")
    group.addoption("--patient-lanes", type=int, default=PATIENT_LANES, help=f"how many at a time ({PATIENT_LANES})")
    group.addoption("--impatient-lanes", type=int, default=IMPATIENT_LANES, help="how many for calls that hang")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the cells that the options do not name."""
    wanted = {name: set(config.getoption(f"--{name}", default=())) for name in ("step", "fault", "option")}
    left_out = [item for item in items if (cell := _cell(item)) and not _is_wanted(cell, wanted)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


def _is_wanted(cell: Cell, wanted: dict[str, set[str]]) -> bool:
    own = {"step": cell.step, "fault": cell.fault, "option": f"{cell.action}-{cell.depth}"}
    return all(not names or own[kind] in names for kind, names in wanted.items())


def _cell(item: pytest.Item) -> Cell | None:
    callspec = getattr(item, "callspec", None)
    cell = callspec.params.get("cell") if callspec else None
    return cell if isinstance(cell, Cell) else None


@pytest.fixture(scope="session")
def matrix(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Matrix:
    """All chosen cells, played together before the first of them is looked at."""
    writer = request.config.get_terminal_writer()
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def tell(verdict: Verdict) -> None:
        state = "FAILED" if verdict.problems else "passed"
        with capture.global_and_fixture_disabled() if capture else nullcontext():
            writer.line(f"{state} {verdict.seconds:5.0f} s  {verdict.cell} {verdict.where} ({verdict.application})")
            writer.flush()

    lanes = (request.config.getoption("--patient-lanes"), request.config.getoption("--impatient-lanes"))
    played = Matrix(lambda: tmp_path_factory.mktemp("matrix"), tell, lanes)
    request.config.stash[_MATRIX] = played
    played.play([cell for item in request.session.items if (cell := _cell(item))])
    return played


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Steps by faults; in each cell one letter for each pair of options."""
    played = config.stash.get(_MATRIX, None)
    if played is None:
        return
    terminalreporter.section("failure matrix")
    line = terminalreporter.write_line
    line(f"{'':<14}" + "".join(f"{fault:<14}" for fault in Fault))
    for step in STEPS:
        cells = ("".join(_letter(played, Cell(step, fault, *pair)) for pair in OPTIONS) for fault in Fault)
        line(f"{step:<14}" + "".join(f"{letters:<14}" for letters in cells))
    line("")
    line("each cell: " + ", ".join(f"{action} to {depth}" for action, depth in OPTIONS))
    line(f"{_PASSED} passed, {_FAILED} FAILED, {_NOT_APPLICABLE} not applicable, blank: not played")
    for fault, meaning in MEANING.items():
        line(f"  {fault:<14}{meaning}")
    _reasons(terminalreporter, played)
    _totals(terminalreporter, played)


def _letter(played: Matrix, cell: Cell) -> str:
    if cell in played.not_applicable:
        return _NOT_APPLICABLE
    if cell not in played.verdicts:
        return _NOT_PLAYED
    return _FAILED if played.verdicts[cell].problems else _PASSED


def _reasons(terminalreporter: pytest.TerminalReporter, played: Matrix) -> None:
    reasons: dict[str, list[str]] = {}
    for cell, reason in played.not_applicable.items():
        where = reasons.setdefault(reason, [])
        if (name := f"{cell.step} x {cell.fault}") not in where:
            where.append(name)
    for reason, where in reasons.items():
        terminalreporter.write_line(f"not applicable: {reason}: {', '.join(sorted(where))}")


def _totals(terminalreporter: pytest.TerminalReporter, played: Matrix) -> None:
    failed = [verdict for verdict in played.verdicts.values() if verdict.problems]
    for verdict in failed:
        terminalreporter.write_line(
            f"FAILED {verdict.cell} at {verdict.where}, promised {verdict.promised} ({verdict.application})"
        )
        for words in (*verdict.told, *(f"! {problem}" for problem in verdict.problems)):
            terminalreporter.write_line(f"    {words}")
    passed, absent = len(played.verdicts) - len(failed), len(played.not_applicable)
    seconds = sorted(verdict.seconds for verdict in played.verdicts.values())
    if seconds:
        terminalreporter.write_line(f"seconds a cell: {seconds[0]:.0f} to {seconds[-1]:.0f}, {sum(seconds):.0f} in all")
    terminalreporter.write_line(
        f"{len(played.verdicts)} cells: {passed} passed, {len(failed)} failed; {absent} not applicable"
    )
