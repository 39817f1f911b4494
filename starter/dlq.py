"""`migrator dlq`: what was refused, and sending it back."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from adapters.aws import AwsSessions
from adapters.dead_letters import DeadLetter, DeadLetterQueue
from adapters.sqs import CORRELATION_ID, TRACEPARENT
from migration.errors import NotFound, ValidationError
from migration.settings import Settings
from starter import ingress, view
from starter.incoming import Incoming
from starter.moments import span
from starter.terminal import Output, OutputOption, answered, run_sync

app = typer.Typer(name="dlq", help="Look at refused requests, and send them back.", no_args_is_help=True)

NOBODY_REFUSED = "received too often; SQS itself took it off the request queue"

MessageId = Annotated[str, typer.Argument(metavar="MESSAGE-ID", help="of the refused message or of its dead letter")]


@app.command(name="list")
def list_letters(output: OutputOption = Output.TEXT) -> None:
    """List the refused requests, oldest first."""
    letters = run_sync(_letters, output)
    if output is Output.JSON:
        answered({"deadLetters": [_brief(letter) for letter in letters]}, "", output)
    elif letters:
        view.console().print(_table(letters, datetime.now(UTC)))
    else:
        typer.echo("no dead letters")


@app.command()
def show(message_id: MessageId, output: OutputOption = Output.TEXT) -> None:
    """Print everything about a refused request: why, and its body as it came."""
    letters = run_sync(lambda: _chosen(_letters(), [message_id]), output)
    answered({"deadLetters": [_whole(letter) for letter in letters]}, "\n\n".join(map(_page, letters)), output)


@app.command()
def redrive(
    message_ids: Annotated[list[str] | None, typer.Argument(metavar="[MESSAGE-ID]...", help="which")] = None,
    everything: Annotated[bool, typer.Option("--all", help="every dead letter there is now")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Send refused requests back to the request queue; each leaves the dead-letter queue once it is there."""
    sent = run_sync(lambda: _redriven(message_ids or [], everything=everything), output)
    answered({"redriven": sent}, "\n".join(f"{one['messageId']} sent back as {one['sentAs']}" for one in sent), output)


def _redriven(message_ids: Sequence[str], *, everything: bool) -> list[dict[str, str]]:
    if everything == bool(message_ids):
        raise ValidationError("name the messages to send back, or say --all")
    queue = _queue()
    with queue.all() as letters:
        chosen = letters if everything else _chosen(letters, message_ids)
        return [{"messageId": letter.id, "sentAs": queue.send_back(letter)} for letter in chosen]


def _chosen(letters: Sequence[DeadLetter], message_ids: Sequence[str]) -> list[DeadLetter]:
    """The letters of these messages; one that was refused twice has two."""
    missing = [one for one in message_ids if not any(letter.goes_by(one) for letter in letters)]
    if missing:
        raise NotFound(f"no dead letter of {', '.join(missing)}")
    return [letter for letter in letters if any(letter.goes_by(one) for one in message_ids)]


def _letters() -> Sequence[DeadLetter]:
    with _queue().all() as letters:
        return letters


def _queue() -> DeadLetterQueue:
    settings = Settings()
    requests, dead_letters = ingress.queue_urls(settings)
    return DeadLetterQueue(AwsSessions(settings.state_region), dead_letters, requests)


# --- shown -----------------------------------------------------------------------------------------------------


def _brief(letter: DeadLetter) -> dict[str, Any]:
    return {
        "messageId": letter.id,
        "migrationId": Incoming(letter.message).migration_id,
        "errorType": letter.error_type,
        "reason": letter.reasons[0] if letter.reasons else None,
        "since": letter.sent.isoformat(),
    }


def _whole(letter: DeadLetter) -> dict[str, Any]:
    message = letter.message
    return {
        **_brief(letter),
        "deadLetterId": message.id,
        "correlationId": message.attributes.get(CORRELATION_ID),
        "traceparent": message.attributes.get(TRACEPARENT),
        "reasons": list(letter.reasons),
        "body": message.body,
    }


def _table(letters: Sequence[DeadLetter], now: datetime) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("message", "migration", "error", "age"):
        table.add_column(column, no_wrap=True)
    table.add_column("first reason")
    for letter in letters:
        said = _brief(letter)
        reason = said["reason"] or NOBODY_REFUSED
        cells = (letter.id, said["migrationId"] or "-", letter.error_type or "-", span(now - letter.sent), reason)
        table.add_row(*(Text(_plain(cell)) for cell in cells))
    return table


def _page(letter: DeadLetter) -> str:
    whole = _whole(letter)
    reasons, body = whole.pop("reasons"), whole.pop("body")
    lines = [f"{name:14}{value}" for name, value in whole.items() if value is not None and name != "reason"]
    listed = [f"  {reason}" for reason in reasons or [NOBODY_REFUSED]]
    return _plain("\n".join([*lines, "reasons", *listed, "body", body]))


def _plain(text: str) -> str:
    """The text with everything escaped that could do something to a terminal."""
    return "".join(one if one.isprintable() or one in "\n\t" else f"\\u{ord(one):04x}" for one in text)
