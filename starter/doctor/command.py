"""`migrator doctor`, the command."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from adapters.permissions import Part
from starter import reconcile, view
from starter.doctor import Line, State, doctor, healthy
from starter.terminal import FAILED, Output, OutputOption, run

app = typer.Typer()
_COLOURS = {State.OK: "green", State.WRONG: "bold red", State.NOT_CONFIGURED: "dim", State.NOT_CHECKED: "yellow"}


@app.command(name="doctor")
def run_doctor(
    where: Annotated[
        list[str] | None, typer.Option(metavar="ACCOUNT/REGION[=ROLE_ARN]", help="a target account; may be repeated")
    ] = None,
    part: Annotated[Part, typer.Option(help="what runs with this AWS identity")] = Part.ALL,
    output: OutputOption = Output.TEXT,
) -> None:
    """Look whether everything that migrations need is there; changes nothing. Exit code 0: nothing is wrong."""

    async def go() -> tuple[Line, ...]:
        return await doctor([reconcile.place(text) for text in where or ()], part)

    lines = run(go, output)
    if output is Output.JSON:
        typer.echo(view.as_json(_as_dict(lines)))
    else:
        view.console().print(_table(lines))
    if not healthy(lines):
        raise typer.Exit(FAILED)


def _table(lines: Sequence[Line]) -> Table:
    shown = Table(expand=False)
    for column in ("check", "state", "what was seen", "what to do"):
        shown.add_column(column, overflow="fold")
    for line in lines:
        verdict = line.verdict
        state = Text(verdict.state, style=_COLOURS[verdict.state])
        shown.add_row(Text(line.what), state, Text(verdict.words), Text(verdict.action))
    return shown


def _as_dict(lines: Sequence[Line]) -> dict[str, Any]:
    return {
        "healthy": healthy(lines),
        "checks": [
            {
                "check": line.what,
                "state": line.verdict.state,
                "words": line.verdict.words,
                "action": line.verdict.action or None,
            }
            for line in lines
        ],
    }
