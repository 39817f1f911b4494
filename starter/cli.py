"""`migrator`: start migrations, decide, look.

Exit codes: 0 done, 1 failed, 2 bad input, 3 not found or not allowed now.
"""

import asyncio
import logging
import os
import sys
from contextlib import suppress
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

from adapters import tracing
from migration.errors import MigrationError
from migration.parsing import parse_request
from migration.request import request_hash
from migration.schema import request_schema
from migration.settings import Settings
from migration.status import MigrationStatus, Phase
from migration.telemetry import configure_logging
from starter import callbacks, deciding, dlq, ingress, listing, reconcile, terminal, view
from starter.alive import alive
from starter.client import Started, StartResult
from starter.doctor import command as doctor
from starter.lookup import stored_status
from starter.plan import plan
from starter.reconcile import Reconciled
from starter.reconcile import table as reconciled
from starter.setup_namespace import setup_namespace
from starter.terminal import FAILED, NOT_NOW, Id, Output, OutputOption, answered, read, run, run_sync
from starter.watch import follow

# Where no logging is set up, the SDK's warnings (it retries) are nothing for the person at the terminal.
logging.getLogger("temporalio").addHandler(logging.NullHandler())

app = typer.Typer(
    name="migrator",
    help="Moves applications from data centres into AWS, durably.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

File = Annotated[str, typer.Argument(metavar="FILE|-", help="a migration request as JSON; - reads standard input")]


# --- requests --------------------------------------------------------------------------------------------------


@app.command()
def start(
    file: File,
    again: Annotated[bool, typer.Option(help="another try of one that was rolled back, rejected or cancelled")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Start a migration."""
    text = read(file, output)

    async def go() -> StartResult:
        parse_request(text)  # before anything is connected
        return await (await terminal.migrations()).start(text, again=again)

    result = run(go, output)
    answer = {
        "migrationId": result.migration_id,
        "outcome": result.outcome,
        "runId": result.run_id,
        "correlationId": result.correlation_id,
    }
    answered(answer, f"{result.migration_id}: {result.outcome}", output)
    if result.outcome is Started.ALREADY_ENDED:
        raise typer.Exit(NOT_NOW)


@app.command()
def submit(file: File, output: OutputOption = Output.TEXT) -> None:
    """Send a request through the SQS queue; the ingress starts it."""
    text = read(file, output)
    message_id = run_sync(lambda: ingress.submit(Settings(), text.decode(errors="replace")), output)
    answered({"messageId": message_id}, f"sent as message {message_id}", output)


@app.command()
def validate(file: File, output: OutputOption = Output.TEXT) -> None:
    """Check a request document alone: no network, no settings, no clock."""
    request = run_sync(lambda: parse_request(read(file, output)), output)
    answer = {"valid": True, "migrationId": request.migration_id, "requestHash": request_hash(request)}
    answered(answer, f"{request.migration_id}: valid, hash {request_hash(request)}", output)


@app.command()
def schema() -> None:
    """Print the request's JSON Schema (2020-12)."""
    typer.echo(view.as_json(request_schema()))


# --- looking ---------------------------------------------------------------------------------------------------


@app.command()
def status(
    migration_id: Id,
    evidence: Annotated[bool, typer.Option("--evidence", help="what approvers look at, and its hash")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show where a migration stands; from the read model, with its age, when no worker answers."""
    found, waits, trouble = run(lambda: _looked_up(migration_id), output)
    if evidence:
        shown = run_sync(lambda: view.evidence(found), output)
        answered(shown, f"{view.as_json(shown['evidence'])}\nevidence hash: {shown['evidenceHash']}", output)
    elif output is Output.JSON:
        typer.echo(view.as_json(found.model_dump(mode="json") | view.staleness(found, trouble)))
    if output is Output.JSON:
        return
    if trouble:
        typer.echo(view.stale(found, trouble), err=True)
    if not evidence:
        view.console().print(view.screen(found, waits))


async def _looked_up(migration_id: str) -> tuple[MigrationStatus, list[str], MigrationError | None]:
    try:
        migrations = await terminal.migrations()
        found = await migrations.status(migration_id)
        return found, [] if found.phase.ended else await migrations.pending(migration_id), None
    except MigrationError as error:
        return await asyncio.to_thread(_stored, migration_id, error), [], error


def _stored(migration_id: str, trouble: MigrationError) -> MigrationStatus:
    """The read model's word; without one, or without the read model, the trouble stands."""
    try:
        stored = stored_status(Settings(), migration_id)
    except MigrationError:
        raise trouble from None
    if stored is None:
        raise trouble
    return stored


@app.command()
def watch(
    migration_id: Id,
    until_asked: Annotated[bool, typer.Option("--until-asked", help="end also when a person must act")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Follow a migration until it ends. Exit code 0: completed, or a person is asked; 1: it ended in another way."""
    console = Console(stderr=output is Output.JSON)

    async def go() -> Any:
        return await follow(await terminal.migrations(), migration_id, console, until_asked=until_asked)

    last = run(go, output)
    if output is Output.JSON:
        typer.echo(view.as_json(last.model_dump(mode="json")))
    if last.phase.ended and last.phase is not Phase.COMPLETED:
        raise typer.Exit(FAILED)


app.add_typer(listing.app)
app.add_typer(callbacks.app)
app.command()(plan)
app.add_typer(deciding.app)
app.add_typer(dlq.app)


# --- what was left behind --------------------------------------------------------------------------------------


@app.command(name="reconcile")
def run_reconcile(
    fix: Annotated[bool, typer.Option("--fix", help="do the safe action for each")] = False,
    migration: Annotated[list[str] | None, typer.Option(metavar="ID", help="only this one; may be repeated")] = None,
    forward: Annotated[bool, typer.Option("--continue", help="take over to go on, not to roll back")] = False,
    where: Annotated[
        list[str] | None, typer.Option(metavar="ACCOUNT/REGION[=ROLE_ARN]", help="search this account too")
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Find what terminated or timed-out migrations left. Exit code 0: nothing is, or all is mended; 1: something is."""

    async def go() -> Reconciled:
        also = [reconcile.place(text) for text in where or ()]
        return await reconcile.reconcile(Settings(), fix=fix, forward=forward, only=migration or (), also=also)

    found = run(go, output)
    if output is Output.JSON:
        typer.echo(view.as_json(reconciled.as_dict(found)))
    else:
        view.console().print(reconciled.table(found))
    if not found.clean:
        raise typer.Exit(FAILED)


app.add_typer(doctor.app)
app.command()(alive)
app.command()(setup_namespace)


# --- processes -------------------------------------------------------------------------------------------------


@app.command(name="ingress")
def run_ingress() -> None:
    """Take requests from the SQS queue until interrupted."""
    settings = Settings()
    configure_logging(settings.log_level)
    run(lambda: ingress.serve(settings), Output.TEXT)


_LOCAL = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


@app.command(context_settings=_LOCAL)
def up(context: typer.Context) -> None:
    """Bring the local cloud up: Temporal, AWS, vCenter, DNS, ServiceNow, a worker and the ingress."""
    _local_cloud("up", context.args)


@app.command(context_settings=_LOCAL)
def demo(context: typer.Context) -> None:
    """Show two migrations on the local cloud: one completes, one rolls back by itself."""
    _local_cloud("demo", context.args)


def _local_cloud(command: str, arguments: list[str]) -> NoReturn:
    """Become the local cloud, which is a program of its own: product code does not know it, signals reach it."""
    os.execv(sys.executable, [sys.executable, "-m", "localcloud", command, *arguments])  # noqa: S606  our own program


def main() -> NoReturn:
    """Run the CLI; a closed pipe is no error.

    The process ends without Python's own clean-up, in which a thread of the Temporal SDK that still runs would abort
    it (https://github.com/temporalio/sdk-python/issues/300).
    """
    code: object = 0
    try:
        app()
        sys.stdout.flush()
    except SystemExit as ended:
        code = ended.code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    for stream in (sys.stdout, sys.stderr):
        with suppress(BrokenPipeError):
            stream.flush()
    tracing.close()
    os._exit(code if isinstance(code, int) else FAILED if code else 0)


if __name__ == "__main__":
    main()
