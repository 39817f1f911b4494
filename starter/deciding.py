"""The commands by which people decide about a migration, and make the keys that they sign with."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from migration.settings import environment_secret
from migration.signatures import Algorithm
from migration.steps import Step
from starter import changes, signing, terminal
from starter.terminal import Id, Output, OutputOption, answered, run, run_sync

app = typer.Typer()

As = Annotated[str, typer.Option("--as", metavar="WHO", help="who decides")]
Comment = Annotated[str | None, typer.Option(help="a word about it, kept with the decision")]
Key = Annotated[Path | None, typer.Option("--key", metavar="FILE", help="sign the decision with this private key")]
Reason = Annotated[str, typer.Option(help="why; kept with the decision")]
StepOption = Annotated[Step | None, typer.Option(help="the failed step that is meant")]
UndoOption = Annotated[str | None, typer.Option(help="the undo that is meant")]


class Approved(StrEnum):
    """What an approval is of."""

    CUTOVER = "cutover"
    DELETE = "delete"


@app.command()
def approve(
    migration_id: Id,
    who: As,
    comment: Comment = None,
    evidence: Annotated[str | None, typer.Option(help="the evidence hash that was looked at")] = None,
    what: Annotated[Approved, typer.Option("--for", help="the cutover, or deleting the source")] = Approved.CUTOVER,
    key: Key = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Approve the cutover, or afterwards the deletion of the source."""
    meant = {"for": what.value} if what is Approved.DELETE else {}
    _decide("approve", migration_id, output, key, approver=who, comment=comment, evidenceHash=evidence, **meant)


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
def retry(  # noqa: PLR0913, PLR0917  a command has an option for each thing that can be said
    migration_id: Id,
    who: As,
    comment: Comment = None,
    step: StepOption = None,
    undo: UndoOption = None,
    change: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE,…", help="with another setting, as in server=web-01,instanceType=m5.large"),
    ] = None,
    server: Annotated[str | None, typer.Option(help="change it for this server only")] = None,
    instance_type: Annotated[str | None, typer.Option(help="with another instance type")] = None,
    subnet: Annotated[str | None, typer.Option(help="with another subnet")] = None,
    max_lag: Annotated[str | None, typer.Option(help="with another lag threshold, as in PT5M")] = None,
    health_url: Annotated[str | None, typer.Option(help="with another health check URL")] = None,
    expect_status: Annotated[int | None, typer.Option(help="with another expected HTTP status")] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Try the failed step, or the undo that is left, again; a step with a changed setting where that helps."""
    settings = {
        "server": server,
        "instanceType": instance_type,
        "subnetId": subnet,
        "maxLag": max_lag,
        "healthCheck.url": health_url,
        "healthCheck.expectStatus": expect_status,
    }
    changed = run_sync(lambda: changes.read(change or (), settings), output)
    _decide("retry", migration_id, output, by=who, comment=comment, step=step, undo=undo, change=changed)


@app.command()
def skip(
    migration_id: Id,
    who: As,
    reason: Reason,
    step: StepOption = None,
    undo: UndoOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Leave the failed step, or the undo that is left, to somebody's hands."""
    _decide("skip", migration_id, output, by=who, reason=reason, step=step, undo=undo)


@app.command()
def pause(migration_id: Id, who: As, comment: Comment = None, output: OutputOption = Output.TEXT) -> None:
    """Stand still before the next step, as soon as somebody serves the application."""
    _decide("pause", migration_id, output, by=who, comment=comment)


@app.command()
def resume(migration_id: Id, who: As, comment: Comment = None, output: OutputOption = Output.TEXT) -> None:
    """Go on after a pause."""
    _decide("resume", migration_id, output, by=who, comment=comment)


@app.command()
def keep_source(migration_id: Id, who: As, comment: Comment = None, output: OutputOption = Output.TEXT) -> None:
    """Do not retire the source, whatever the request says."""
    _decide("keepSource", migration_id, output, by=who, comment=comment)


@app.command()
def acknowledge(
    migration_id: Id,
    who: As,
    code: Annotated[list[str] | None, typer.Option(help="CODE or CODE/SUBJECT; all when not given")] = None,
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
    made = run_sync(lambda: signing.make_key(who, out, algorithm, secret), output)
    answer = {"file": str(made.file), "keyId": made.key_id, "publicKey": made.public_key, "settings": made.settings}
    answered(
        answer, f"{made.public_key}\n# for the settings file that MIGRATOR_SETTINGS names\n{made.settings}", output
    )


def _decide(name: str, migration_id: str, output: Output, key: Path | None = None, **fields: Any) -> None:
    payload = {field: value for field, value in fields.items() if value is not None}

    async def go() -> dict[str, Any]:
        signer = signing.open_key(payload["approver"], key, terminal.hidden) if key else None
        migrations = await terminal.migrations()
        if signer:
            payload["jws"] = await signing.signature(migrations, migration_id, signer, name, payload)
        return await migrations.decide(migration_id, name, payload)

    answer = run(go, output)
    answered(answer, f"{migration_id}: {answer['message']}", output)
