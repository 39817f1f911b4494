"""`migrator callbacks`: what of a migration's callbacks has arrived, waits or was given up, and its replay."""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from temporalio.client import Client, WorkflowExecution, WorkflowExecutionStatus, WorkflowQueryFailedError
from temporalio.service import RPCError

from migration.errors import Conflict, NotFound, Unavailable, ValidationError
from migration.models import Model
from migration.settings import Settings
from starter.client import Migrations, connect
from starter.moments import moment
from starter.terminal import Id, Output, OutputOption, answered, run
from workflows.callbacks import CallbackStatus, callbacks_id

app = typer.Typer()

_RUNNING = WorkflowExecutionStatus.RUNNING
_ID = re.compile(r"[A-Za-z0-9._:/-]+")


class Generation(Model):
    """The callbacks of one generation of a migration."""

    generation: int
    running: bool
    status: CallbackStatus

    @property
    def dead(self) -> frozenset[str]:
        """The webhook-ids of its dead letters."""
        return frozenset(letter.message.id for letter in self.status.dead)


class Callbacks:
    """The callbacks of migrations, seen from outside."""

    def __init__(self, client: Client, task_queue: str) -> None:
        """Ask this server."""
        self._client = client
        self._migrations = Migrations(client, task_queue)

    async def generations(self, migration_id: str) -> list[Generation]:
        """What the callbacks of each generation say of themselves, also of those that have ended.

        Raises:
            NotFound: There are none.
            Unavailable: Temporal does not answer, or no worker.
        """
        try:
            found = [await self._asked(*one) for one in sorted((await self._runs(migration_id)).items())]
        except (RPCError, WorkflowQueryFailedError) as error:
            raise Unavailable(f"no worker answers for the callbacks of {migration_id}: {error}") from error
        if not found:
            raise NotFound(f"there are no callbacks of {migration_id}")
        return found

    async def replay(self, migration_id: str, messages: Sequence[str]) -> list[str]:
        """Send these dead letters again, or all; gives the webhook-ids that were queued.

        Raises:
            NotFound: There are no callbacks of this migration.
            Conflict: One of the messages is no dead letter.
            Unavailable: Temporal does not answer, or no worker.
        """
        alive = [one for one in await self.generations(migration_id) if one.running]
        known = frozenset[str]().union(*(one.dead for one in alive))
        if unknown := [message for message in messages if message not in known]:
            raise Conflict(f"{migration_id} has no dead letter {', '.join(unknown)}")
        queued: list[str] = []
        for one in alive:
            chosen = [message for message in messages if message in one.dead]
            if chosen or not messages:
                asked = {"messages": chosen} if chosen else {}
                answer = await self._migrations.decide(callbacks_id(migration_id, one.generation), "replay", asked)
                queued += answer["queued"]
        return queued

    async def _runs(self, migration_id: str) -> dict[int, WorkflowExecution]:
        """The newest run of each generation."""
        if not _ID.fullmatch(migration_id):
            return {}
        first = callbacks_id(migration_id)
        query = f"WorkflowType = 'CallbackWorkflow' AND (WorkflowId = '{first}' OR WorkflowId STARTS_WITH '{first}/')"
        found: dict[int, WorkflowExecution] = {}
        async for one in self._client.list_workflows(query):
            number = one.id.removeprefix(first).removeprefix("/") or "1"
            if number.isdecimal() and (int(number) not in found or one.start_time > found[int(number)].start_time):
                found[int(number)] = one
        return found

    async def _asked(self, generation: int, newest: WorkflowExecution) -> Generation:
        handle = self._client.get_workflow_handle(newest.id)
        status: CallbackStatus = await handle.query("status", result_type=CallbackStatus)
        return Generation(generation=generation, running=newest.status is _RUNNING, status=status)


@app.command(name="callbacks")
def callbacks(
    migration_id: Id,
    messages: Annotated[
        list[str] | None, typer.Argument(metavar="[MESSAGE_ID]...", help="to replay only these")
    ] = None,
    replay: Annotated[bool, typer.Option("--replay", help="send dead letters again, and what waits at once")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show what of a migration's callbacks has arrived, waits or was given up; of all its generations."""

    async def go() -> tuple[list[str], list[Generation]]:
        if messages and not replay:
            raise ValidationError("message ids are for --replay")
        settings = Settings()
        calls = Callbacks(await connect(settings), settings.task_queue)
        queued = await calls.replay(migration_id, messages or ()) if replay else []
        return queued, await calls.generations(migration_id)

    queued, found = run(go, output)
    answer: dict[str, Any] = {"migrationId": migration_id} | ({"replayed": queued} if replay else {})
    answer["generations"] = [one.model_dump(mode="json") for one in found]
    lines = [f"queued again: {', '.join(queued) or 'nothing'}"] if replay else []
    now = datetime.now(UTC)
    answered(answer, "\n".join([*lines, *(line for one in found for line in shown(one, now))]), output)


def shown(one: Generation, now: datetime) -> Iterator[str]:
    """A generation for people: what came of its messages, what waits and why, and each dead letter."""
    status = one.status
    state = "" if one.running else ", ended"
    dead = f"{len(status.dead)} dead letter{'' if len(status.dead) == 1 else 's'}"
    yield f"generation {one.generation}{state}: {status.delivered} delivered, {status.queued} queued, {dead}"
    if status.gone:
        yield f"  GONE     the endpoint is not called again before a replay: {status.gone}"
    if status.trying:
        tried = f"tried {status.trying.tries} times, again {moment(status.trying.again, now)}"
        yield f"  WAITING  {status.trying.message_id}  {tried}: {status.trying.error}"
    if status.unreadable:
        yield f"  LOST     {status.unreadable} signals carried no readable message"
    for letter in status.dead:
        yield f"  DEAD     {letter.message.id}  {letter.message.type}  {moment(letter.at, now)}: {letter.error}"
