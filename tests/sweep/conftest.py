"""`pytest tests/sweep`: every mutating call of a migration, and each way in which it can go wrong."""

from collections.abc import Iterator

import pytest

from tests.sweep.cases import FAULTS
from tests.sweep.sweep import LANES, Sweep

_SWEEP = pytest.StashKey[Sweep]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("sweep")
    group.addoption("--at", default="", help="only points whose words have this in them, such as StartCutover")
    group.addoption("--lanes", type=int, default=LANES, help=f"how many migrations at a time ({LANES})")


@pytest.fixture(scope="session")
def sweep(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sweep]:
    """The sweep of this session; its table is printed at the end."""
    swept = Sweep(lambda: tmp_path_factory.mktemp("sweep"), lanes=request.config.getoption("--lanes"))
    request.config.stash[_SWEEP] = swept
    yield swept
    swept.close()


@pytest.fixture
def at(request: pytest.FixtureRequest) -> str:
    """What the option --at says."""
    return str(request.config.getoption("--at"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """One line for each point, one column for each fault."""
    swept = config.stash.get(_SWEEP, None)
    if swept is None:
        return
    rows: dict[tuple[str, str], dict[str, list[bool]]] = {}
    for outcome in swept.outcomes:
        for point in outcome.case.points:
            row = rows.setdefault((outcome.case.ending.name, str(point)), {})
            row.setdefault(str(outcome.case.fault), []).append(not outcome.problems)
    terminalreporter.section("points swept")
    terminalreporter.write_line(f"{'ending':<18}{'point':<42}" + "".join(f"{fault:<14}" for fault in FAULTS))
    for (ending, where), row in rows.items():
        cells = "".join(f"{_cell(row.get(fault, [])):<14}" for fault in FAULTS)
        terminalreporter.write_line(f"{ending:<18}{where:<42}{cells}")
    failed = [outcome for outcome in swept.outcomes if outcome.problems]
    met = sum(len(outcome.case.points) for outcome in swept.outcomes)
    terminalreporter.write_line(
        f"{met} faults in {len(swept.outcomes)} runs: {len(swept.outcomes) - len(failed)} passed, {len(failed)} failed"
    )
    for outcome in failed:
        terminalreporter.write_line(f"FAILED {outcome.case} ({outcome.names.application})")
        for problem in outcome.problems:
            terminalreporter.write_line(f"    {problem}")


def _cell(passed: list[bool]) -> str:
    return "-" if not passed else "passed" if all(passed) else "FAILED"
