"""`docs/steps.md`: states and steps, from the code of the workflow and from its recorded histories."""

import ast
import base64
import inspect
import json
from collections.abc import Iterator, Mapping
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

from migration.status import ENDED, PHASE_OF_STEP, Phase
from migration.steps import LAST_STEPS, STEPS, Step
from tools.pages.markdown import GENERATED, code, table
from workflows.migration import MigrationWorkflow
from workflows.saga import Undo, UndoRecord
from workflows.story import SAFE_TO_SKIP

ROOT = Path(__file__).resolve().parents[2]
HISTORIES = ROOT / "tests" / "histories"

PIVOT = Step.FINALIZE
TELLS = frozenset({"save_state", "put_events", "finish_claim"})
"""Activities that a migration runs beside its steps: they say what becomes of it."""

REVERSIBLE = tuple(PHASE_OF_STEP[step] for step in STEPS[: STEPS.index(PIVOT)])
ONLY_FORWARD = tuple(PHASE_OF_STEP[step] for step in STEPS[STEPS.index(PIVOT) :])
TURNED_BACK = (Phase.ROLLED_BACK, Phase.REJECTED, Phase.CANCELLED)

_ABOUT = f"""\
# Steps and states

{GENERATED.format(source="`workflows/`, `migration/steps.py` and `migration/status.py`")}

## States

The status of a migration, which is also its search attribute `MigrationPhase`. A test compares the arrows with every
recorded history. What a person does in each: the [runbook](RUNBOOK.md).
"""

_AROUND = """
Not drawn: `pause` holds a migration before its next step (AWAITING_DECISION), as long as somebody serves the
application; and a step that is not asked for, or done already, is passed over. A rollback to `ready` goes back to
REPLICATING and, when replication is small and stable again, to the gate.
"""


class _Group(StrEnum):
    """States that share their arrows."""

    REVERSIBLE = "reversible"
    ONLY_FORWARD = "onlyForward"


Arrow = tuple[StrEnum | None, StrEnum | None]
"""From a state, or from the beginning, to a state, or to the end."""


def document() -> str:
    """The whole page."""
    return "\n".join([_ABOUT, *_diagram(), _AROUND, *_steps(), *_undos(), *_size()]) + "\n"


# --- states ------------------------------------------------------------------------------------------------------


def arrows() -> dict[Arrow, str]:
    """Every change of the status that is drawn, with its reason."""
    forward: dict[Arrow, str] = {(PHASE_OF_STEP[one], PHASE_OF_STEP[next_]): "" for one, next_ in pairwise(STEPS)}
    ends: dict[Arrow, str] = {(PHASE_OF_STEP[last], Phase.COMPLETED): "last step asked for" for last in LAST_STEPS}
    ends[PHASE_OF_STEP[STEPS[-1]], Phase.COMPLETED] = ""
    return {
        (None, Phase.VALIDATING): "",
        **forward,
        **ends,
        (Phase.VALIDATING, Phase.FAILED): "refused, nothing touched",
        (Phase.REPLICATING, Phase.AWAITING_APPROVAL): "tested already",
        (Phase.AWAITING_APPROVAL, Phase.TESTING): "the test is too old",
        (_Group.REVERSIBLE, Phase.AWAITING_DECISION): "a person must act",
        (Phase.AWAITING_DECISION, _Group.REVERSIBLE): "decided",
        (_Group.REVERSIBLE, Phase.ROLLING_BACK): "failure, decision, cancel, window over",
        (Phase.AWAITING_DECISION, Phase.ROLLING_BACK): "rollback, abandon, deadline",
        (Phase.ROLLING_BACK, Phase.ROLLBACK_INCOMPLETE): "an undo failed",
        (Phase.ROLLBACK_INCOMPLETE, Phase.ROLLING_BACK): "retry, skip",
        (Phase.ROLLING_BACK, Phase.REPLICATING): "to ready",
        **{(Phase.ROLLING_BACK, end): "to start" for end in TURNED_BACK},
        (_Group.ONLY_FORWARD, Phase.AWAITING_DECISION): "refused work, a deletion",
        (Phase.AWAITING_DECISION, _Group.ONLY_FORWARD): "retry, skip, approve",
        **{(end, None): "" for end in Phase if end in ENDED},
    }


def changes() -> set[tuple[Phase, Phase]]:
    """The same, state by state: what the arrows of a group mean for each of its states."""
    found: set[tuple[Phase, Phase]] = set()
    for before, after in arrows():
        found |= {(one, other) for one in _members(before) for other in _members(after)}
    return found


def _members(state: StrEnum | None) -> tuple[Phase, ...]:
    if isinstance(state, _Group):
        return REVERSIBLE if state is _Group.REVERSIBLE else ONLY_FORWARD
    return (state,) if isinstance(state, Phase) else ()


def _diagram() -> Iterator[str]:
    yield "```mermaid\nstateDiagram-v2"
    groups = {_Group.REVERSIBLE: REVERSIBLE, _Group.ONLY_FORWARD: ONLY_FORWARD}
    names = {_Group.REVERSIBLE: "can be undone", _Group.ONLY_FORWARD: "past the point of no return"}
    drawn = arrows()
    for group, members in groups.items():
        inner = {arrow for arrow in drawn if arrow[0] in members and arrow[1] in members}
        yield f'  state "{names[group]}" as {group} {{'
        yield from (f"    {_arrow(one, drawn[one])}" for one in drawn if one in inner)
        yield "  }"
        drawn = {arrow: why for arrow, why in drawn.items() if arrow not in inner}
    yield from (f"  {_arrow(one, why)}" for one, why in drawn.items())
    yield "```"


def _arrow(arrow: Arrow, why: str) -> str:
    before, after = (state or "[*]" for state in arrow)
    return f"{before} --> {after}" + (f": {why}" if why else "")


# --- steps -------------------------------------------------------------------------------------------------------


def _steps() -> Iterator[str]:
    undos, calls = registered(), activities()
    head = ["step", "status", "does", "activities", "its undo"]
    yield "## Steps\n"
    rows = (
        (
            code(step),
            code(PHASE_OF_STEP[step]),
            _does(step),
            ", ".join(map(code, calls.get(PHASE_OF_STEP[step], ()))),
            "only forward" if PHASE_OF_STEP[step] in ONLY_FORWARD else ", ".join(map(code, undos.get(step, ()))),
        )
        for step in STEPS
    )
    yield from table(head, rows)
    skipped = ", ".join(code(step) for step in STEPS if step in SAFE_TO_SKIP)
    yield f"\n`steps` of a request may end at {', '.join(map(code, LAST_STEPS))}. A failed step may be skipped only"
    yield f"where that is safe: {skipped}. Activities are those of the recorded histories; `save_state` and"
    yield "`put_events` run beside every step.\n"


def _does(step: Step) -> str:
    return (inspect.getdoc(getattr(MigrationWorkflow, f"_{step}")) or "").partition("\n\n")[0]


def activities() -> dict[str, list[str]]:
    """Status to the activities that were run in it, in the order in which they first came."""
    found: dict[str, list[str]] = {}
    for events in histories("*"):
        phase = ""
        for event in events:
            phase = phase_of(event) or phase
            name = event.get("activityTaskScheduledEventAttributes", {}).get("activityType", {}).get("name")
            if name and name not in TELLS and name not in found.setdefault(phase, []):
                found[phase].append(name)
    return found


def histories(pattern: str) -> Iterator[list[dict[str, Any]]]:
    """The events of each recorded history with such a name."""
    for path in sorted(HISTORIES.glob(f"{pattern}.json")):
        yield json.loads(path.read_text(encoding="utf-8"))["events"]


def phase_of(event: Mapping[str, Any]) -> str | None:
    """The status that an event brings, or a run begins with."""
    holders = ("workflowExecutionStartedEventAttributes", "upsertWorkflowSearchAttributesEventAttributes")
    for holder in holders:
        fields = event.get(holder, {}).get("searchAttributes", {}).get("indexedFields", {})
        if "MigrationPhase" in fields:
            return str(json.loads(base64.b64decode(fields["MigrationPhase"]["data"])))
    return None


def _size() -> Iterator[str]:
    runs = list(histories("happy-path-[0-9]"))
    began = sum("activityTaskScheduledEventAttributes" in event for events in runs for event in events)
    yield "\n## Size\n"
    yield f"A migration of one server that goes all the way has, as it is recorded, {began} activities and"
    yield f"{sum(map(len, runs))} events of history in {len(runs)} runs, however long it waits."


# --- the way back ------------------------------------------------------------------------------------------------


def _undos() -> Iterator[str]:
    yield "## The way back\n"
    yield "In this order, newest first within a rank. An undo is registered before its step acts; that there is nothing"
    yield "to undo is no failure. When the fence fails, nothing else is done until a person has acted.\n"
    by_step = registered()
    kinds = sorted(_kinds(), key=lambda kind: kind.rank)
    rows = (
        (
            kind.rank.name.lower().replace("_", " "),
            code(_kind(kind)),
            ", ".join(code(step) for step, names in by_step.items() if _kind(kind) in names),
            inspect.getdoc(kind) or "",
            kind.where,
            kind.who,
        )
        for kind in kinds
    )
    yield from table(["rank", "undo", "of", "does", "by hand: where", "by hand: who"], rows)


def _kinds() -> list[type[UndoRecord]]:
    return list(get_args(get_args(Undo)[0]))


def _kind(kind: type[UndoRecord]) -> str:
    return str(kind.model_fields["kind"].default)


def registered() -> dict[Step, list[str]]:
    """Step to the undos that it registers, as the workflow's code says."""
    names = {kind.__name__: _kind(kind) for kind in _kinds()}
    found: dict[Step, list[str]] = {step: [] for step in STEPS}
    for path in sorted((ROOT / "workflows").glob("*.py")):
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                for name, step in _registers(function, names):
                    found[step] += [name] if name not in found[step] else []
    return found


def _registers(function: ast.AST, names: Mapping[str, str]) -> Iterator[tuple[str, Step]]:
    """What a function makes of those classes, each with the step that it names: itself, or by a local name."""
    local = dict(_local_steps(function))
    for call in ast.walk(function):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in names:
            given = next((one.value for one in call.keywords if one.arg == "step"), None)
            step = local.get(given.id) if isinstance(given, ast.Name) else _step(given)
            if step is not None:
                yield names[call.func.id], step


def _local_steps(function: ast.AST) -> Iterator[tuple[str, Step]]:
    for one in ast.walk(function):
        if isinstance(one, ast.Assign) and isinstance(one.targets[0], ast.Tuple) and isinstance(one.value, ast.Tuple):
            for target, value in zip(one.targets[0].elts, one.value.elts, strict=True):
                if isinstance(target, ast.Name) and (step := _step(value)) is not None:
                    yield target.id, step


def _step(value: ast.AST | None) -> Step | None:
    """`Step.X` in code."""
    named = isinstance(value, ast.Attribute) and isinstance(value.value, ast.Name) and value.value.id == "Step"
    return Step[value.attr] if named and isinstance(value, ast.Attribute) else None
