"""How a migration looks on a terminal: a live table where there is one, plain lines otherwise."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from migration.status import MigrationStatus, Phase, StepState

_COLOURS = {
    StepState.PENDING: "dim",
    StepState.RUNNING: "yellow",
    StepState.DONE: "green",
    StepState.SKIPPED: "dim",
    StepState.FAILED: "red",
    StepState.UNDONE: "magenta",
}


def as_json(value: Any) -> str:
    """The machine's form of any answer."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def table(status: MigrationStatus, waits: list[str]) -> RenderableType:
    """The whole state, for people."""
    steps = Table(title=headline(status), title_justify="left", expand=False)
    for column in ("step", "state", "entry", "started", "took"):
        steps.add_column(column)
    for line in status.steps:
        took = line.ended - line.started if line.ended and line.started else None
        steps.add_row(
            line.step,
            Text(line.state, style=_COLOURS[line.state]),
            str(line.entry or ""),
            _clock(line.started),
            _seconds(took),
        )
    return Group(steps, *(Text(note) for note in notes(status, waits)))


def stale(status: MigrationStatus, why: Exception) -> str:
    """One line for a status that nobody could be asked for: where it is from, and how old it is."""
    return f"from the read model, {_seconds(_age(status))} old: {why}"


def staleness(status: MigrationStatus, why: Exception | None) -> dict[str, Any]:
    """The same for programs; nothing for a status that is the migration's own word."""
    return {"readModel": {"ageSeconds": _age(status).total_seconds(), "reason": str(why)}} if why else {}


def _age(status: MigrationStatus) -> timedelta:
    return datetime.now(UTC) - status.updated


def headline(status: MigrationStatus) -> str:
    """One line: which migration, where it stands, who serves."""
    return f"{status.migration_id} · {status.phase} · served by {status.served_by} · {status.message}"


def notes(status: MigrationStatus, waits: list[str]) -> Iterator[str]:
    """What a person has to know besides the steps."""
    if status.awaiting:
        who = ", ".join(status.awaiting.who) or "an operator"
        until = f" until {status.awaiting.until:%Y-%m-%d %H:%M %Z}" if status.awaiting.until else ""
        yield f"waits for {who}{until}: {status.awaiting.message} ({', '.join(status.awaiting.choices)})"
    if status.evidence_hash and status.phase is Phase.AWAITING_APPROVAL:
        yield f"evidence {status.evidence_hash}"
    yield from (f"… {wait}" for wait in waits)
    if status.failure:
        action = f" ({status.failure.action})" if status.failure.action else ""
        yield f"failed: {status.failure.message}{action}"
    for server in status.servers:
        lag = f", lag {_seconds(server.lag)}" if server.lag is not None else ""
        instance = f", {server.instance_id} at {server.address}" if server.instance_id else ""
        yield f"{server.name}: {server.life_cycle or 'not registered'}{lag}{instance}"
    yield from (f"a rollback would: {line.what}" for line in status.undo)
    for result in status.undone:
        yield f"{'undone' if result.done else 'NOT undone'}: {result.what}" + (
            f": {result.error}" if result.error else ""
        )
    if status.downtime:
        yield f"downtime {_seconds(status.downtime)}"


def _clock(moment: datetime | None) -> str:
    return moment.astimezone().strftime("%H:%M:%S") if moment else ""


def _seconds(span: timedelta | None) -> str:
    return "" if span is None else f"{span.total_seconds():.1f} s"
