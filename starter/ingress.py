"""The SQS ingress: a message becomes a migration, or lands in the dead-letter queue with the reasons.

A message is deleted only after its migration is durable in Temporal; a repeat starts nothing new.
"""

import asyncio
import signal
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import structlog
from pydantic import TypeAdapter
from pydantic import ValidationError as PydanticValidationError

from adapters.aws import AwsSessions
from adapters.sqs import Message, RequestQueue
from migration.correlation import new_correlation_id
from migration.errors import Conflict, MigrationError, PrerequisiteError, Unavailable
from migration.formats import CorrelationId, MigrationId
from migration.json_text import read_json
from migration.parsing import RequestErrors
from migration.settings import Settings
from starter.client import Migrations, connect

logger = structlog.get_logger("ingress")

BATCH = 10
LONG_POLL = timedelta(seconds=20)
PAUSE_AFTER_TROUBLE = timedelta(seconds=2)


def request_queue(settings: Settings) -> RequestQueue:
    """The queues of the settings.

    Raises:
        PrerequisiteError: The settings name none.
    """
    if settings.request_queue_url is None or settings.dead_letter_queue_url is None:
        raise PrerequisiteError(
            "the settings name no queues",
            action="set MIGRATOR_REQUEST_QUEUE_URL and MIGRATOR_DEAD_LETTER_QUEUE_URL",
        )
    return RequestQueue(AwsSessions(settings.state_region), settings.request_queue_url, settings.dead_letter_queue_url)


def submit(settings: Settings, text: str) -> str:
    """Send a request document as it is; returns the message's id."""
    return request_queue(settings).send(text, {})


async def serve(settings: Settings) -> None:
    """Take messages until SIGINT or SIGTERM; what is under way is finished first."""
    queue = request_queue(settings)
    ingress = Ingress(Migrations(await connect(), settings.task_queue), queue)
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    await ingress.run(stop)


class Ingress:
    """Turns messages into migrations."""

    def __init__(self, migrations: Migrations, queue: RequestQueue) -> None:
        """Take from this queue."""
        self._migrations = migrations
        self._queue = queue
        # Of its own: the loop waits for its default executor at its end, and a long poll takes its time.
        self._receiver = ThreadPoolExecutor(max_workers=1, thread_name_prefix="receive")

    async def run(self, stop: asyncio.Event) -> None:
        """Take batches until asked to stop."""
        logger.info("ingress started")
        stopping = asyncio.create_task(stop.wait())
        while not stop.is_set():
            receiving = asyncio.get_running_loop().run_in_executor(self._receiver, self._receive)
            under_way: set[asyncio.Future[Any]] = {receiving, stopping}
            await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
            if not receiving.done():
                break  # nothing was handed to us: a message that arrives now becomes visible again by itself
            try:
                messages = receiving.result()
            except Unavailable as error:
                logger.warning("the queue does not answer", reason=str(error))
                await asyncio.sleep(PAUSE_AFTER_TROUBLE.total_seconds())
                continue
            await asyncio.gather(*(self.take(message) for message in messages))
        stopping.cancel()
        logger.info("ingress stopped")

    def _receive(self) -> Sequence[Message]:
        return self._queue.receive(BATCH, int(LONG_POLL.total_seconds()))

    async def take(self, message: Message) -> None:
        """Take one message to its end; trouble of ours leaves it in the queue."""
        with structlog.contextvars.bound_contextvars(message_id=message.id, **_identity(message.body)):
            try:
                await self._start(message)
            except Unavailable as error:
                logger.warning("not started yet, the message stays in the queue", reason=str(error))
            except Exception:
                logger.exception("not started, the message stays in the queue")

    async def _start(self, message: Message) -> None:
        try:
            result = await self._migrations.start(message.body)
        except RequestErrors as errors:
            await self._refuse(message, [str(error) for error in errors.errors])
            return
        except Conflict as conflict:
            await self._refuse(message, [str(conflict)])
            return
        except MigrationError as error:
            raise Unavailable(str(error)) from error
        await asyncio.to_thread(self._queue.delete, message)
        logger.info("request taken", outcome=result.outcome, run_id=result.run_id)

    async def _refuse(self, message: Message, reasons: list[str]) -> None:
        """Into the dead-letter queue first, out of this one second: a crash between repeats, it loses nothing."""
        said = _identity(message.body)
        await asyncio.to_thread(
            self._queue.send_to_dead_letter, message, reasons, correlation_id=said.get("correlation_id")
        )
        await asyncio.to_thread(self._queue.delete, message)
        logger.warning("request refused", reasons=reasons)


def _identity(body: str) -> dict[str, str]:
    """The ids to log a message under; a message that has neither gets a new correlation id.

    Whatever the body is: the ids become part of log lines and message attributes.
    """
    document, _ = read_json(body)
    said = document if isinstance(document, dict) else {}
    ids = {key: said[name] for key, (name, kind) in _IDS.items() if _is(kind, said.get(name))}
    return {"correlation_id": ids.get("migration_id") or new_correlation_id(), **ids}


_IDS: dict[str, tuple[str, TypeAdapter[str]]] = {
    "migration_id": ("migrationId", TypeAdapter(MigrationId)),
    "correlation_id": ("correlationId", TypeAdapter(CorrelationId)),
}


def _is(kind: TypeAdapter[str], value: object) -> bool:
    try:
        kind.validate_python(value)
    except PydanticValidationError:
        return False
    return True
