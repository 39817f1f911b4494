"""`migrator list` and `migrator get`: from the read model alone, so that neither Temporal nor a worker need answer."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.table import Table

from migration.errors import NotFound, ValidationError
from migration.ports import RowPage, RowsWanted
from migration.settings import Settings
from migration.status import ENDED, MigrationStatus, Phase
from starter import terminal, view
from starter.lookup import stored_rows, stored_status
from starter.moments import ago, span
from starter.terminal import Id, Output, OutputOption

app = typer.Typer()

MOST = 1000

_GROUPS: Mapping[str, frozenset[Phase]] = {"running": frozenset(Phase) - ENDED, "ended": ENDED}
_COLUMNS = ("migration", "application", "wave", "env", "phase", "served by", "awaits", "updated")


@app.command(name="list")
def list_migrations(
    wave: Annotated[str | None, typer.Option(metavar="WAVE", help="of this wave alone")] = None,
    status: Annotated[
        list[str] | None, typer.Option(metavar="STATUS", help="running, ended, or a phase; may be repeated")
    ] = None,
    of: Annotated[str | None, typer.Option("--app", metavar="NAME", help="of this application alone")] = None,
    phase: Annotated[
        list[str] | None, typer.Option(metavar="PHASE", help="in this phase, such as SOAKING; may be repeated")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=MOST, help="how many at a time")] = 50,
    page: Annotated[str | None, typer.Option(metavar="NEXT", help="what the page before said comes next")] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """List migrations from the read model: where they stand, who serves, who is awaited."""

    def look() -> RowPage:
        statuses = _statuses(status or (), phase or ())
        wanted = RowsWanted(wave_id=wave, app_name=of, statuses=statuses, limit=limit, after=page)
        return stored_rows(Settings(), wanted)

    found: RowPage = terminal.run_sync(look, output)
    if output is Output.JSON:
        typer.echo(view.as_json({"migrations": list(found.rows), "next": found.next}))
        return
    if not found.rows:
        typer.echo("the read model has no such migration")
        return
    view.console().print(table(found.rows, datetime.now(UTC)))
    if found.next:
        typer.echo(f"more: the same with --page {found.next}")


@app.command()
def get(migration_id: Id, output: OutputOption = Output.TEXT) -> None:
    """Show a migration as it was last saved in the read model, with the age of that."""

    def look() -> MigrationStatus:
        stored = stored_status(Settings(), migration_id)
        if stored is None:
            raise NotFound(f"the read model has no {migration_id}")
        return stored

    found: MigrationStatus = terminal.run_sync(look, output)
    age = datetime.now(UTC) - found.updated
    if output is Output.JSON:
        read: dict[str, Any] = {"readModel": {"ageSeconds": age.total_seconds()}}
        typer.echo(view.as_json(found.model_dump(mode="json") | read))
        return
    typer.echo(f"from the read model, {span(age)} old", err=True)
    view.console().print(view.screen(found, []))


def table(rows: Sequence[Mapping[str, str]], now: datetime) -> Table:
    """Rows for people."""
    shown = Table(box=None, pad_edge=False)
    for column in _COLUMNS:
        shown.add_column(column, overflow="fold", no_wrap=column in ("migration", "phase"))
    for row in rows:
        names = ("migrationId", "appName", "waveId", "environment", "status", "servedBy", "awaiting")
        updated = ago(datetime.fromisoformat(row["updatedAt"]), now)
        shown.add_row(*(row.get(name, "") for name in names), updated)
    return shown


def _statuses(status: Sequence[str], phase: Sequence[str]) -> tuple[Phase, ...]:
    """What both options leave, in the order of the phases; nothing when neither is given, which means all.

    Raises:
        ValidationError: One is no status or phase, or they leave none.
    """
    given = [_meant(status, _GROUPS, "--status")] if status else []
    given += [_meant(phase, {}, "--phase")] if phase else []
    left = frozenset(Phase).intersection(*given)
    if not left:
        raise ValidationError("no phase is both of --status and of --phase")
    return tuple(one for one in Phase if one in left) if given else ()


def _meant(words: Sequence[str], groups: Mapping[str, frozenset[Phase]], option: str) -> frozenset[Phase]:
    known = {**groups, **{phase.lower(): frozenset({phase}) for phase in Phase}}
    if unknown := [word for word in words if word.lower() not in known]:
        names = ", ".join([*groups, *Phase])
        raise ValidationError(f"{option}: {', '.join(unknown)} is none of {names}")
    return frozenset().union(*(known[word.lower()] for word in words))
