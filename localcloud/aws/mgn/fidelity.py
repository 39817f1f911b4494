"""How true the local MGN is: what it answers in each state, who says so, and what nobody says. `docs/mgn-fidelity.md`.

All of it is read from the tables that the backend itself goes by.
"""

from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

from moto.core.utils import camelcase_to_underscores, method_names_from_class

from .lifecycle import GONE, STATES, TRANSITIONS, Transition, answer
from .responses import MGNResponse
from .switches import SOURCES, Switches, positions
from .validation import operation, service_model

Difference = tuple[str, str, str, str, str, str]
"""Switch, position, operation, state, the default's answer, the position's answer."""

_UNCOVERED = (
    ("the words of errors, but for that of a server which a job works on", "words of our own", "clients match codes"),
    ("how many calls a second the service takes", "no throttling but by the fault plan", "every call may be throttled"),
    (
        "which error comes first when a request is wrong in two ways",
        "its form, the permission, the account, a job on the server, the state",
        "a client gets one of them",
    ),
    (
        "how long things take on other disks than one of 8 GiB with Linux",
        "in proportion to the disk, scaled by `factor`",
        "`Durations` are settings",
    ),
)
"""What no source says and no switch covers: what, how it is here, and what follows for a client."""


def differences() -> Iterator[Difference]:
    """Every cell of the matrix that some position of one switch changes."""
    for switch in fields(Switches):
        for position in list(positions(switch))[1:]:
            chosen: dict[str, Any] = {switch.name: position}
            other = Switches(**chosen)
            for name in TRANSITIONS:
                for state in STATES:
                    usual, then = answer(name, state, Switches()), answer(name, state, other)
                    if usual != then:
                        yield switch.name, position, name, state, usual, then


def not_offered() -> list[str]:
    """The operations of the service model that the local MGN refuses as unknown."""
    offered = method_names_from_class(MGNResponse)
    return [name for name in service_model().operation_names if camelcase_to_underscores(name) not in offered]


def document() -> str:
    """The whole page as Markdown."""
    parts = (_introduction(), _matrix(), _conditions(), _switched(), _unknown(), _not_offered())
    return "\n".join(line for part in parts for line in part) + "\n"


def _introduction() -> Iterator[str]:
    yield from (
        "# Fidelity of the local MGN",
        "",
        "What the local MGN answers to each operation in each lifecycle state, who says that AWS Application Migration",
        "Service does the same, and what nobody says. This page is made from the tables that the backend goes by:",
        "`make generated`; the contract tests walk every cell of it.",
        "",
    )
    yield from _table(["source", ""], SOURCES.items())


def _matrix() -> Iterator[str]:
    yield from (
        "",
        "## Operations by lifecycle state",
        "",
        "`→ STATE` is accepted and leads there, where the condition below holds too; `409` is a ConflictException,",
        "`400` a ValidationException. No source names the error of a wrong state: its tag says who says that it is",
        "refused. All switches are in their default positions. PENDING_INSTALLATION comes from imports, which are not",
        "offered here.",
        "",
    )
    rows = ([f"`{name}`", *(_cell(each, state) for state in STATES)] for name, each in TRANSITIONS.items())
    yield from _table(["operation", *STATES], rows)


def _cell(transition: Transition, state: str) -> str:
    answered = answer(transition.operation, state, Switches())
    return f"{_answered(transition.operation, answered)} [{transition.sources_of(state)}]"


def _answered(name: str, answered: str) -> str:
    statuses = {shape.name: shape.metadata["error"]["httpStatusCode"] for shape in _errors(name)}
    if answered in statuses:
        return f"`{statuses[answered]}`"
    return answered if answered == GONE else f"→ {answered}"


def _errors(name: str) -> Sequence[Any]:
    return operation(name.partition(" ")[0]).error_shapes


def _conditions() -> Iterator[str]:
    yield from ("", "## What must hold besides the state", "")
    rows = ([f"`{name}`", each.condition or "nothing"] for name, each in TRANSITIONS.items())
    yield from _table(["operation", "condition"], rows)


def _switched() -> Iterator[str]:
    yield from (
        "",
        "## Cells that a switch changes",
        "",
        "The switches, and who stands behind their positions: [mgn-switches.md](mgn-switches.md).",
        "",
    )
    grouped: dict[tuple[str, ...], list[str]] = {}
    for switch, position, name, state, usual, then in differences():
        cells = _answered(name, usual), _answered(name, then)
        grouped.setdefault((f"`{switch}: {position}`", f"`{name}`", *cells), []).append(state)
    rows = ([switch, name, ", ".join(states), *cells] for (switch, name, *cells), states in grouped.items())
    yield from _table(["switch", "operation", "states", "by default", "then"], rows)


def _unknown() -> Iterator[str]:
    yield from ("", "## What is unknown", "", "Covered by a switch; a client has to live with every position:", "")
    rows = (
        [each.metadata["asks"], f"`{each.name}`", *_positions(positions(each).values())] for each in fields(Switches)
    )
    yield from _table(["question", "switch", "default", "otherwise"], rows)
    yield from ("", "Of single operations; without a switch, the matrix has the one reading that is taken:", "")
    opened = (
        [f"`{name}`", each.open, f"`{each.switch}`" if each.switch else "none"]
        for name, each in TRANSITIONS.items()
        if each.open
    )
    yield from _table(["operation", "unknown", "switch"], opened)
    yield from ("", "Not covered:", "")
    yield from _table(["unknown", "here", "so"], _UNCOVERED)


def _positions(meanings: Any) -> tuple[str, str]:
    default, *others = meanings
    return default, "; ".join(others)


def _not_offered() -> Iterator[str]:
    yield from (
        "",
        "## Operations that are not offered",
        "",
        "Each answers a ValidationException with the reason `unknownOperation`:",
        "",
        ", ".join(f"`{name}`" for name in not_offered()) + ".",
    )


def _table(head: Sequence[str], rows: Any) -> Iterator[str]:
    yield _row(head)
    yield "|" + "---|" * len(head)
    yield from (_row(cells) for cells in rows)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
