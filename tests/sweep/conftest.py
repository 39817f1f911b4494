"""`pytest tests/sweep`: every activity and every mutating call of a migration, and each way it can go wrong."""

from collections.abc import Iterable, Iterator
from statistics import median

import pytest

from tests.sweep.cases import FAULTS, OVERTAKEN, STALLED, UNRECORDED
from tests.sweep.checker import Outcome
from tests.sweep.sweep import LANES, Sweep

_OUTCOMES = pytest.StashKey[list[Outcome]]()
_COLUMNS = (*FAULTS, UNRECORDED, STALLED, OVERTAKEN)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("sweep")
    group.addoption("--at", default="", help="only points whose words have this in them, such as StartCutover")
    group.addoption("--lanes", type=int, default=LANES, help=f"how many migrations at a time ({LANES})")


@pytest.fixture(scope="module")
def sweep(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sweep]:
    """The sweep of this module, with clouds of its own; its table is printed at the end."""
    swept = Sweep(lambda: tmp_path_factory.mktemp("sweep"), lanes=request.config.getoption("--lanes"))
    yield swept
    swept.close()
    request.config.stash.setdefault(_OUTCOMES, []).extend(swept.all_outcomes)


@pytest.fixture
def swept(request: pytest.FixtureRequest) -> list[Outcome]:
    """Where outcomes are put that are to be in the table."""
    return request.config.stash.setdefault(_OUTCOMES, [])


@pytest.fixture
def at(request: pytest.FixtureRequest) -> str:
    """What the option --at says."""
    return str(request.config.getoption("--at"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """One line for each activity and each call, one column for each fault; then times and totals."""
    outcomes = config.stash.get(_OUTCOMES, [])
    if not outcomes:
        return
    terminalreporter.section("points swept")
    for line in [*_table(outcomes), "", *_downtimes(outcomes), "", *_totals(outcomes)]:
        terminalreporter.write_line(line)


def _table(outcomes: Iterable[Outcome]) -> Iterator[str]:
    rows: dict[tuple[str, str], dict[str, list[bool]]] = {}
    for outcome in outcomes:
        for point in outcome.case.points:
            row = rows.setdefault((outcome.case.ending.name, str(point)), {})
            row.setdefault(str(outcome.case.fault), []).append(not outcome.problems)
    yield f"{'ending':<18}{'point':<42}" + "".join(f"{fault:<14}" for fault in _COLUMNS)
    for (ending, where), row in rows.items():
        yield f"{ending:<18}{where:<42}" + "".join(f"{_cell(row.get(fault, [])):<14}" for fault in _COLUMNS)


def _cell(passed: list[bool]) -> str:
    return "-" if not passed else "passed" if all(passed) else "FAILED"


def _downtimes(outcomes: Iterable[Outcome]) -> Iterator[str]:
    """From the first source asked to stop until clients are led to the target, or the source is on again."""
    by_ending: dict[str, list[float]] = {}
    for outcome in outcomes:
        if outcome.downtime is not None:
            by_ending.setdefault(outcome.case.ending.name, []).append(outcome.downtime)
    for ending, seconds in by_ending.items():
        yield (
            f"downtime, {ending}: min {min(seconds):.1f} s, median {median(seconds):.1f} s, max {max(seconds):.1f} s"
            f" in {len(seconds)} runs"
        )


def _totals(outcomes: list[Outcome]) -> Iterator[str]:
    faulty = [outcome for outcome in outcomes if outcome.case.fault]
    failed = [outcome for outcome in outcomes if outcome.problems]
    met = sum(len(outcome.case.points) for outcome in faulty)
    missed = sum(len(outcome.case.points) for outcome in failed)
    mean = sum(outcome.seconds for outcome in outcomes) / len(outcomes)
    yield f"{met} points swept, {met - missed} passed, {missed} failed, in {len(outcomes)} runs of {mean:.0f} s each"
    for outcome in failed:
        yield f"FAILED {outcome.case} ({outcome.names.application})"
        yield from (f"    {problem}" for problem in outcome.problems)
