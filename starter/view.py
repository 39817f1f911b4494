"""How a migration looks on a terminal: one screen that says where it is, who acts by when, and what a rollback does."""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from textwrap import shorten
from typing import Any, get_args

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from migration.errors import Conflict
from migration.hooks import HookOutcome, HookResult
from migration.status import LeftUndone, MigrationStatus, Phase, Preserved, ServerProgress, StepProgress, StepState
from migration.steps import Step
from starter.moments import ago, clock, moment, span
from workflows.saga import Undo

WIDTH = 100
"""How wide the screen is where there is no terminal to ask."""

_PASSAGE = 2 * (WIDTH - 14)
_ERROR = 60
_SERVERS, _LEFT, _PRESERVED, _REFUSED, _WAITS, _FINDINGS, _IDS, _HOOKS = 3, 2, 2, 3, 2, 3, 4, 3
_COLOURS = {
    StepState.PENDING: "dim",
    StepState.RUNNING: "yellow",
    StepState.DONE: "green",
    StepState.SKIPPED: "dim",
    StepState.FAILED: "red",
    StepState.UNDONE: "magenta",
}
_SAID = {StepState.PENDING: "to come"}
_BACK = frozenset({Phase.ROLLING_BACK, Phase.ROLLBACK_INCOMPLETE})
_RANKS = {kind.model_fields["kind"].default: kind.rank for kind in get_args(get_args(Undo)[0])}
_COUNTED = frozenset({"approve", "delete"})
_BEFORE_THE_GATE = frozenset({Step.VALIDATE, Step.PREPARE, Step.REPLICATE, Step.TEST})
_WITH_REASON = frozenset({"abandon", "skip"})
_COMMANDS = {"keepSource": "keep-source"}

Row = tuple[str, Text]


def as_json(value: Any) -> str:
    """The machine's form of any answer."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def console() -> Console:
    """Standard output, as wide as the terminal, or `WIDTH` columns where it is none."""
    return Console(width=None if sys.stdout.isatty() else WIDTH)


def stale(status: MigrationStatus, why: Exception) -> str:
    """One line for a status that nobody could be asked for: where it is from, and how old it is."""
    return f"from the read model, {span(_age(status))} old: {why}"


def staleness(status: MigrationStatus, why: Exception | None) -> dict[str, Any]:
    """The same for programs; nothing for a status that is the migration's own word."""
    return {"readModel": {"ageSeconds": _age(status).total_seconds(), "reason": str(why)}} if why else {}


def _age(status: MigrationStatus) -> timedelta:
    return datetime.now(UTC) - status.updated


def evidence(status: MigrationStatus) -> dict[str, Any]:
    """What approvers look at, and its hash.

    Raises:
        Conflict: There is none yet.
    """
    if status.evidence is None:
        raise Conflict(f"{status.migration_id} has no evidence yet; it is {status.phase}")
    return {"evidence": status.evidence, "evidenceHash": status.evidence_hash}


def screen(status: MigrationStatus, waits: Sequence[str], now: datetime | None = None) -> RenderableType:
    """The whole state, for people: at most 24 lines of `WIDTH` columns for a migration of one server.

    Args:
        status: What the migration says of itself.
        waits: What its activities wait for, in their words.
        now: The moment to reckon from.
    """
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True, style="bold", width=9)
    grid.add_column()
    before = None
    for label, text in _rows(status, waits, now or datetime.now(UTC)):
        grid.add_row("" if label == before else label, text)
        before = label
    return grid


def _rows(status: MigrationStatus, waits: Sequence[str], now: datetime) -> Iterator[Row]:
    yield from _place(status, now)
    yield "steps", _steps(status.steps, now)
    yield from _trouble(status)
    yield from _duties(status, now)
    yield from _consents(status, now)
    yield from _window(status, now)
    yield from _hooks(status.hooks)
    yield from _servers(status.servers)
    yield from _waits(waits, most=1 if status.awaiting else _WAITS)
    yield from _way_back(status)
    yield from _remains(status, now)
    yield from _not_counted(status, now)


# --- where it is -----------------------------------------------------------------------------------------------


def _place(status: MigrationStatus, now: datetime) -> Iterator[Row]:
    again = f", try {status.generation}" if status.generation > 1 else ""
    yield (
        "migration",
        _line(f"{status.migration_id} · {status.phase} · {status.app_name} ({status.environment}){again}"),
    )
    if status.awaiting is None or status.awaiting.message != status.message:
        yield "now", _line(status.message)
    yield "serves", _line(_serving(status, now))


def _serving(status: MigrationStatus, now: datetime) -> str:
    parts = [f"{status.served_by} serves"]
    down = status.downtime + (now - status.down_since if status.down_since else timedelta(0))
    if down:
        parts.append(f"downtime {'so far ' if status.down_since else ''}{span(down)}")
    if status.divergence_since and not status.past_point_of_no_return:
        parts.append(f"for {span(now - status.divergence_since)} with writes that the source lacks")
    if status.past_point_of_no_return:
        parts.append("past the point of no return")
    return "; ".join(parts)


def _steps(steps: Iterable[StepProgress], now: datetime) -> Text:
    """The steps in their order, those alike and side by side named together."""
    text, before = Text(), None
    for step in steps:
        alike = step.state is before and step.state in (StepState.DONE, StepState.PENDING)
        text.append(", " if alike else "; " if before else "")
        text.append("" if alike else f"{_SAID.get(step.state, step.state)} ", style=_COLOURS[step.state])
        text.append(f"{step.step}{_timing(step, now)}", style=_COLOURS[step.state])
        before = step.state
    return text


def _timing(step: StepProgress, now: datetime) -> str:
    if step.state not in (StepState.RUNNING, StepState.FAILED) or step.started is None:
        return ""
    entry = f", entry {step.entry}" if step.entry > 1 else ""
    return f" (began {ago(step.started, now)}{entry})"


def _trouble(status: MigrationStatus) -> Iterator[Row]:
    failed = any(step.state is StepState.FAILED for step in status.steps)
    if status.failure and (failed or status.phase.ended or status.phase in _BACK):
        yield "failed", _passage(status.failure.message)
        if status.failure.action:
            yield "", _line(f"to mend it: {status.failure.action}")
    if status.awaiting and status.awaiting.what == "acknowledge":
        named = [f"{warning.code}: {warning.message}" for warning in status.open_warnings]
        yield from (("warning", _line(text)) for text in _some(named, _FINDINGS))


# --- who acts --------------------------------------------------------------------------------------------------


def _duties(status: MigrationStatus, now: datetime) -> Iterator[Row]:
    awaiting = status.awaiting
    if status.paused_by and (awaiting is None or awaiting.what != "resume"):
        yield "paused", _line(f"by {status.paused_by}, from the next step on; migrator resume {status.migration_id}")
    if awaiting is None:
        yield "must act", Text("nobody: it has ended" if status.phase.ended else "nobody: it goes on by itself")
        return
    who = ", ".join(_some(awaiting.who, _IDS)) or "an operator"
    by = f"by {moment(awaiting.until, now)}" if awaiting.until else "without a time limit"
    yield "must act", Text(f"{who}, {by}", style="yellow")
    told = status.failure is not None and status.failure.message in awaiting.message
    if not told and awaiting.what not in _COUNTED:
        yield "", _passage(awaiting.message)
    yield from (("", Text(command, style="cyan")) for command in commands(status))


def commands(status: MigrationStatus) -> Iterator[str]:
    """The commands by which the one who must act decides."""
    awaiting = status.awaiting
    if awaiting is None:
        return
    if status.evidence_hash and awaiting.what == "approve":
        yield f"migrator status {status.migration_id} --evidence"
    for choice in awaiting.choices:
        reason = " --reason WHY" if choice in _WITH_REASON else ""
        more = reason + _more(choice, status)
        yield f"migrator {_COMMANDS.get(choice, choice)} {status.migration_id} --as WHO{more}"


def _more(choice: str, status: MigrationStatus) -> str:
    what = status.awaiting.what if status.awaiting else ""
    if choice == "reschedule":
        return " --not-before TIME --not-after TIME"
    if choice == "approve" and what == "delete":
        return " --for delete"
    if choice in ("retry", "skip") and what == "undo" and len(status.left) > 1:
        return " [--undo KIND]"
    return ""


def _consents(status: MigrationStatus, now: datetime) -> Iterator[Row]:
    deciding = status.awaiting is not None and status.awaiting.what in _COUNTED
    deletion = bool(status.deletion_approvals) or (deciding and status.phase is Phase.AWAITING_DECISION)
    given = status.deletion_approvals if deletion else status.approvals
    if given or deciding:
        named = ", ".join(_some([f"{one.approver} {ago(one.at, now)}" for one in given], _IDS))
        needed = f" of {status.awaiting.message}" if deciding and status.awaiting else ""
        yield "approvals", _line(f"{len(given)} given{needed}{f': {named}' if named else ''}")
    if status.evidence_hash and status.phase is Phase.AWAITING_APPROVAL:
        yield "evidence", Text(status.evidence_hash)
    if status.source_kept_by:
        yield "source", _line(f"kept, as {status.source_kept_by} decided")


def _window(status: MigrationStatus, now: datetime) -> Iterator[Row]:
    window = status.window
    if window is None or status.phase.ended or status.divergence_since or status.past_point_of_no_return:
        return
    opens = f"{moment(window.not_before, now)} to {moment(window.not_after, now)}"
    yield "window", _line(f"{opens}, source off by {clock(window.latest_start, now)}")
    yield "turn back", _line(f"by {moment(window.latest_turn_back, now)} at the latest: then it does by itself")


# --- servers ---------------------------------------------------------------------------------------------------


def _servers(servers: Sequence[ServerProgress]) -> Iterator[Row]:
    worst = sorted(servers, key=_worst_first)
    label = "server" if len(servers) == 1 else "servers"
    yield from ((label, _line(_server(server))) for server in worst[:_SERVERS])
    if rest := worst[_SERVERS:]:
        lags = [server.lag for server in rest if server.lag is not None]
        yield label, Text(f"and {len(rest)} more{f', lag at most {span(max(lags))}' if lags else ''}")


def _worst_first(server: ServerProgress) -> tuple[bool, timedelta]:
    """A server without a lag cannot be launched at all: it comes before the one that lags most."""
    return server.lag is not None, -(server.lag or timedelta(0))


def _server(server: ServerProgress) -> str:
    parts = [f"{server.name}: {server.life_cycle or 'not registered'}"]
    if server.replication_state and not server.source_off:
        parts.append(server.replication_state)
    if server.lag is not None:
        parts.append(f"lag {span(server.lag)}")
    if server.source_off:
        parts.append("source off")
    if server.instance_id:
        parts.append(f"{server.instance_id} at {server.address}")
    return ", ".join(parts)


def _hooks(results: Sequence[HookResult]) -> Iterator[Row]:
    """One line: how the latest of them ended, those that failed before the others."""
    if results:
        failed = [result for result in results if result.outcome is HookOutcome.FAILED]
        well = [result for result in results if result not in failed]
        named = [f"{result.ref} at {result.place} {result.outcome}" for result in (*failed[::-1], *well[::-1])]
        yield "hooks", _line("; ".join(_some(named, _HOOKS)))


# --- the way back ----------------------------------------------------------------------------------------------


def _way_back(status: MigrationStatus) -> Iterator[Row]:
    done = [result.what for result in status.undone if result.done]
    if done and (status.phase in _BACK or status.phase.ended):
        yield "undone", Text("; ".join(done))
    if status.phase.ended:
        return
    if status.past_point_of_no_return:
        yield "rollback", Text("is not possible any more: it only goes forward")
    elif status.left:
        return
    elif status.undo:
        going = status.phase in _BACK
        yield ("goes back" if going else "rollback"), Text(("has to: " if going else "would: ") + _numbered(status))
    else:
        yield "rollback", Text("would have nothing to undo")


def _numbered(status: MigrationStatus) -> str:
    """What a rollback does, in its order; once past the gate, some of it only when it goes all the way back."""
    in_order = sorted(status.undo, key=lambda line: _RANKS.get(line.kind, len(_RANKS)))
    gate = status.phase not in _BACK and any(step.step is Step.APPROVE and step.entry for step in status.steps)
    early = [gate and line.step in _BEFORE_THE_GATE for line in in_order]
    words = [f"{n}. {line.what}{'*' * star}" for n, (line, star) in enumerate(zip(in_order, early, strict=True), 1)]
    return " ".join([*words, *(["(* only with --to start)"] if any(early) else [])])


def _remains(status: MigrationStatus, now: datetime) -> Iterator[Row]:
    for left in status.left[:_LEFT]:
        yield "LEFT", Text(shorten(f"{left.kind}: {_left(left)}", _PASSAGE, placeholder=" …"), style="red")
    if len(status.left) > _LEFT:
        yield "LEFT", Text(f"and {len(status.left) - _LEFT} more: {', '.join(u.kind for u in status.left[_LEFT:])}")
    older = len(status.preserved) - _PRESERVED
    for kept in status.preserved[-_PRESERVED:]:
        yield "preserved", _line(_kept(kept, now))
    if older > 0:
        yield "preserved", Text(f"and {older} earlier")


def _left(left: LeftUndone) -> str:
    resources = ", ".join(_some(left.resources, _IDS))
    error = shorten(left.error or "waits for those before it", _ERROR, placeholder=" …")
    return f"{left.what}: {error}; {resources}, in {left.where}; {left.who} acts"


def _kept(kept: Preserved, now: datetime) -> str:
    ids = ", ".join(_some([*kept.instance_ids, *kept.snapshot_ids], _IDS))
    return f"until {moment(kept.keep_until, now)}: {ids}"


def _not_counted(status: MigrationStatus, now: datetime) -> Iterator[Row]:
    refused = [decision for decision in status.decisions if not decision.accepted]
    for decision in refused[-1 if len(status.left) > 1 else -_REFUSED :]:
        by = f" by {decision.by}" if decision.by else ""
        yield "not taken", _line(f"{decision.name}{by} {ago(decision.at, now)}: {decision.message}")


# --- words -----------------------------------------------------------------------------------------------------


def _line(text: str) -> Text:
    """Words that are cut rather than broken: the whole is in the answer for programs."""
    return Text(" ".join(text.split()), no_wrap=True, overflow="ellipsis")


def _passage(text: str) -> Text:
    """Words that may take a few lines, and no more."""
    return Text(shorten(text, _PASSAGE, placeholder=" …"))


def _waits(waits: Sequence[str], most: int) -> Iterator[Row]:
    more = f" (and {len(waits) - most} more)" if len(waits) > most else ""
    for number, wait in enumerate(waits[:most], 1):
        cut = shorten(wait, _PASSAGE // 2 - len(more), placeholder=" …")
        yield "waits for", _line(cut + (more if number == most else ""))


def _some(items: Sequence[str], most: int) -> list[str]:
    return [*items[:most], *([f"and {len(items) - most} more"] if len(items) > most else [])]
