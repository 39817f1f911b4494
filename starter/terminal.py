"""What all commands have in common: how a migration is named, how an answer is shown, how a command ends."""

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from migration.errors import Conflict, MigrationError, NotFound, ValidationError
from migration.parsing import RequestErrors
from migration.settings import Settings
from starter import view
from starter.client import Migrations, connect

FAILED, BAD_INPUT, NOT_NOW = 1, 2, 3


class Output(StrEnum):
    """For people, or for programs."""

    TEXT = "text"
    JSON = "json"


OutputOption = Annotated[Output, typer.Option("--output", "-o", help="text, or json for programs")]
Id = Annotated[str, typer.Argument(metavar="ID", help="the migrationId")]


async def migrations() -> Migrations:
    """The migrations of the Temporal server and task queue that the settings name."""
    settings = Settings()
    return Migrations(await connect(settings), settings.task_queue)


def hidden(question: str) -> str:
    """What somebody types unseen, never in the middle of an answer for programs."""
    return str(typer.prompt(question, hide_input=True, err=True))


def read(file: str, output: Output) -> bytes:
    """The content of a file, or of standard input for `-`."""
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        fail(f"cannot read {file}: {error.strerror}", BAD_INPUT, output)


def answered(answer: dict[str, Any], text: str, output: Output) -> None:
    """Show an answer to a person or to a program."""
    typer.echo(view.as_json(answer) if output is Output.JSON else text)


def run(go: Callable[[], Coroutine[Any, Any, Any]], output: Output) -> Any:
    """Run a coroutine, and turn the errors people can act on into words and an exit code."""
    return run_sync(lambda: asyncio.run(go()), output)


def run_sync(call: Callable[[], Any], output: Output) -> Any:
    """The same for a plain call."""
    try:
        return call()
    except RequestErrors as errors:
        listed = [{"path": e.path, "expected": e.expected, "found": e.found} for e in errors.errors]
        fail(str(errors), BAD_INPUT, output, listed)
    except ValidationError as error:
        fail(str(error), BAD_INPUT, output, action=error.action)
    except (NotFound, Conflict) as error:
        fail(str(error), NOT_NOW, output, action=error.action)
    except MigrationError as error:
        fail(str(error), FAILED, output, action=error.action)


def fail(
    message: str,
    code: int,
    output: Output,
    errors: list[dict[str, str]] | None = None,
    *,
    action: str | None = None,
) -> NoReturn:
    """Say what is wrong and what can be done about it, and end."""
    if output is Output.JSON:
        also = {"errors": errors, "action": action}
        typer.echo(json.dumps({"error": message, **{name: one for name, one in also.items() if one}}, indent=2))
    else:
        typer.echo("\n".join(filter(None, (message, action))), err=True)
    raise typer.Exit(code)
