"""`migrator`: start migrations, decide, look.

Exit codes: 0 done, 1 failed, 2 bad input, 3 not found or not allowed now.
"""

import asyncio
import json
import logging
import os
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

from migration.errors import Conflict, MigrationError, NotFound, ValidationError
from migration.parsing import RequestErrors, parse_request
from migration.request import request_hash
from migration.schema import request_schema
from migration.settings import Settings, environment_secret
from migration.signatures import Algorithm
from migration.status import MigrationStatus, Phase
from migration.telemetry import configure_logging
from starter import ingress, reconcile, signing, view
from starter.client import Migrations, Started, StartResult, connect
from starter.lookup import stored_status
from starter.reconcile import Reconciled
from starter.reconcile import table as reconciled
from starter.watch import follow

FAILED, BAD_INPUT, NOT_NOW = 1, 2, 3

# Where no logging is set up, the SDK's warnings (it retries) are nothing for the person at the terminal.
logging.getLogger("temporalio").addHandler(logging.NullHandler())

app = typer.Typer(
    name="migrator",
    help="Moves applications from data centres into AWS, durably.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class Output(StrEnum):
    """For people, or for programs."""

    TEXT = "text"
    JSON = "json"


OutputOption = Annotated[Output, typer.Option("--output", "-o", help="text, or json for programs")]
File = Annotated[str, typer.Argument(metavar="FILE|-", help="a migration request as JSON; - reads standard input")]
Id = Annotated[str, typer.Argument(metavar="ID", help="the migrationId")]
As = Annotated[str, typer.Option("--as", metavar="WHO", help="who decides")]
Comment = Annotated[str | None, typer.Option(help="a word about it, kept with the decision")]
Key = Annotated[Path | None, typer.Option("--key", metavar="FILE", help="sign the decision with this private key")]
Reason = Annotated[str, typer.Option(help="why; kept with the decision")]


# --- requests --------------------------------------------------------------------------------------------------


@app.command()
def start(
    file: File,
    again: Annotated[bool, typer.Option(help="another try of one that was rolled back, rejected or cancelled")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Start a migration."""
    text = _read(file, output)

    async def go() -> StartResult:
        parse_request(text)  # before anything is connected
        return await (await _migrations()).start(text, again=again)

    result = _run(go, output)
    answer = {
        "migrationId": result.migration_id,
        "outcome": result.outcome,
        "runId": result.run_id,
        "correlationId": result.correlation_id,
    }
    _print(answer, f"{result.migration_id}: {result.outcome}", output)
    if result.outcome is Started.ALREADY_ENDED:
        raise typer.Exit(NOT_NOW)


@app.command()
def submit(file: File, output: OutputOption = Output.TEXT) -> None:
    """Send a request through the SQS queue; the ingress starts it."""
    text = _read(file, output)
    message_id = _run_sync(lambda: ingress.submit(Settings(), text.decode(errors="replace")), output)
    _print({"messageId": message_id}, f"sent as message {message_id}", output)


@app.command()
def validate(file: File, output: OutputOption = Output.TEXT) -> None:
    """Check a request document alone: no network, no settings, no clock."""
    request = _run_sync(lambda: parse_request(_read(file, output)), output)
    answer = {"valid": True, "migrationId": request.migration_id, "requestHash": request_hash(request)}
    _print(answer, f"{request.migration_id}: valid, hash {request_hash(request)}", output)


@app.command()
def schema() -> None:
    """Print the request's JSON Schema (2020-12)."""
    typer.echo(view.as_json(request_schema()))


# --- looking ---------------------------------------------------------------------------------------------------


@app.command()
def status(migration_id: Id, output: OutputOption = Output.TEXT) -> None:
    """Show where a migration stands; from the read model, with its age, when no worker answers."""

    async def go() -> tuple[MigrationStatus, list[str], MigrationError | None]:
        try:
            migrations = await _migrations()
            found = await migrations.status(migration_id)
            return found, [] if found.phase.ended else await migrations.pending(migration_id), None
        except MigrationError as error:
            return await asyncio.to_thread(_stored, migration_id, error), [], error

    found, waits, trouble = _run(go, output)
    if output is Output.JSON:
        typer.echo(view.as_json(found.model_dump(mode="json") | view.staleness(found, trouble)))
        return
    if trouble:
        typer.echo(view.stale(found, trouble), err=True)
    view.console().print(view.screen(found, waits))


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
def watch(migration_id: Id, output: OutputOption = Output.TEXT) -> None:
    """Follow a migration until it ends. Exit code 0: completed; 1: it ended in another way."""
    console = Console(stderr=output is Output.JSON)

    async def go() -> Any:
        return await follow(await _migrations(), migration_id, console)

    last = _run(go, output)
    if output is Output.JSON:
        typer.echo(view.as_json(last.model_dump(mode="json")))
    if last.phase is not Phase.COMPLETED:
        raise typer.Exit(FAILED)


# --- deciding --------------------------------------------------------------------------------------------------


@app.command()
def approve(
    migration_id: Id,
    who: As,
    comment: Comment = None,
    evidence: Annotated[str | None, typer.Option(help="the evidence hash that was looked at")] = None,
    key: Key = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Approve the cutover."""
    _decide("approve", migration_id, output, key, approver=who, comment=comment, evidenceHash=evidence)


@app.command()
def reject(
    migration_id: Id,
    who: As,
    comment: Comment = None,
    to: Annotated[str | None, typer.Option(help="start (everything undone) or ready (back to replicating)")] = None,
    key: Key = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Reject the cutover."""
    _decide("reject", migration_id, output, key, approver=who, comment=comment, to=to)


@app.command()
def rollback(
    migration_id: Id,
    who: As,
    comment: Comment = None,
    to: Annotated[str | None, typer.Option(help="ready or start; the request's choice when not given")] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Undo, before the point of no return."""
    _decide("rollback", migration_id, output, by=who, comment=comment, to=to)


@app.command()
def abandon(migration_id: Id, who: As, reason: Reason, output: OutputOption = Output.TEXT) -> None:
    """Give up: everything is undone."""
    _decide("abandon", migration_id, output, by=who, reason=reason)


@app.command()
def retry(
    migration_id: Id,
    who: As,
    comment: Comment = None,
    undo: Annotated[str | None, typer.Option(help="the undo that is meant")] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Try the failed step, or the undo that is left, again."""
    _decide("retry", migration_id, output, by=who, comment=comment, undo=undo)


@app.command()
def skip(
    migration_id: Id,
    who: As,
    reason: Reason,
    undo: Annotated[str | None, typer.Option(help="the undo that is meant")] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Leave the failed step, or the undo that is left, to somebody's hands."""
    _decide("skip", migration_id, output, by=who, reason=reason, undo=undo)


@app.command()
def acknowledge(
    migration_id: Id,
    who: As,
    code: Annotated[list[str] | None, typer.Option(help="a finding's code; all when not given")] = None,
    comment: Comment = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Acknowledge warnings."""
    _decide("acknowledge", migration_id, output, by=who, codes=code or None, comment=comment)


@app.command()
def reschedule(
    migration_id: Id,
    who: As,
    not_before: Annotated[str, typer.Option(help="RFC 3339, with an offset")],
    not_after: Annotated[str, typer.Option(help="RFC 3339, with an offset")],
    comment: Comment = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Move the cutover window."""
    _decide("reschedule", migration_id, output, by=who, notBefore=not_before, notAfter=not_after, comment=comment)


@app.command()
def commit(migration_id: Id, who: As, comment: Comment = None, output: OutputOption = Output.TEXT) -> None:
    """End the soak: go on to the point of no return."""
    _decide("commit", migration_id, output, by=who, comment=comment)


@app.command()
def keygen(
    who: As,
    out: Annotated[Path, typer.Option(metavar="FILE", help="where the private key goes; never overwritten")],
    algorithm: Annotated[Algorithm, typer.Option(help="how it signs")] = Algorithm.EDDSA,
    passphrase: Annotated[
        bool,
        typer.Option("--passphrase", help=f"encrypt it; asks for the passphrase unless {signing.PASSPHRASE} has it"),
    ] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Make a key to sign approvals with, and print what the worker's settings need of it."""
    secret = environment_secret(signing.PASSPHRASE) if passphrase else None
    if passphrase and not secret:
        secret = typer.prompt("Passphrase", hide_input=True, confirmation_prompt=True, err=True)
    made = _run_sync(lambda: signing.make_key(who, out, algorithm, secret), output)
    answer = {"file": str(made.file), "keyId": made.key_id, "publicKey": made.public_key, "settings": made.settings}
    _print(answer, f"{made.public_key}\n# for the settings file that MIGRATOR_SETTINGS names\n{made.settings}", output)


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

    found = _run(go, output)
    if output is Output.JSON:
        typer.echo(view.as_json(reconciled.as_dict(found)))
    else:
        Console().print(reconciled.table(found))
    if not found.clean:
        raise typer.Exit(FAILED)


# --- processes -------------------------------------------------------------------------------------------------


@app.command(name="ingress")
def run_ingress() -> None:
    """Take requests from the SQS queue until interrupted."""
    settings = Settings()
    configure_logging(settings.log_level)
    _run(lambda: ingress.serve(settings), Output.TEXT)


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


# --- helpers ---------------------------------------------------------------------------------------------------


async def _migrations() -> Migrations:
    return Migrations(await connect(), Settings().task_queue)


def _decide(name: str, migration_id: str, output: Output, key: Path | None = None, **fields: Any) -> None:
    payload = {field: value for field, value in fields.items() if value is not None}

    async def go() -> dict[str, Any]:
        signer = signing.open_key(payload["approver"], key, _hidden) if key else None
        migrations = await _migrations()
        if signer:
            payload["jws"] = await signing.signature(migrations, migration_id, signer, name, payload)
        return await migrations.decide(migration_id, name, payload)

    answer = _run(go, output)
    _print(answer, f"{migration_id}: {answer['message']}", output)


def _hidden(question: str) -> str:
    """What somebody types unseen, never in the middle of an answer for programs."""
    return str(typer.prompt(question, hide_input=True, err=True))


def _read(file: str, output: Output) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        _fail(f"cannot read {file}: {error.strerror}", BAD_INPUT, output)


def _print(answer: dict[str, Any], text: str, output: Output) -> None:
    typer.echo(view.as_json(answer) if output is Output.JSON else text)


def _run(go: Callable[[], Coroutine[Any, Any, Any]], output: Output) -> Any:
    return _run_sync(lambda: asyncio.run(go()), output)


def _run_sync(call: Callable[[], Any], output: Output) -> Any:
    """Call, and turn the errors people can act on into words and an exit code."""
    try:
        return call()
    except RequestErrors as errors:
        listed = [{"path": e.path, "expected": e.expected, "found": e.found} for e in errors.errors]
        _fail(str(errors), BAD_INPUT, output, listed)
    except ValidationError as error:
        _fail(str(error), BAD_INPUT, output)
    except (NotFound, Conflict) as error:
        _fail(str(error), NOT_NOW, output)
    except MigrationError as error:
        _fail(str(error), FAILED, output)


def _fail(message: str, code: int, output: Output, errors: list[dict[str, str]] | None = None) -> NoReturn:
    if output is Output.JSON:
        typer.echo(json.dumps({"error": message, **({"errors": errors} if errors else {})}, indent=2))
    else:
        typer.echo(message, err=True)
    raise typer.Exit(code)


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
    os._exit(code if isinstance(code, int) else FAILED if code else 0)


if __name__ == "__main__":
    main()
