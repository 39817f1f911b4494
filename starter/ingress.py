"""The SQS ingress: a message becomes a migration, or lands in the dead-letter queue with the reasons.

A message is deleted only after its migration is durable in Temporal; a repeat starts nothing new.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import structlog
from temporalio.common import MetricMeter

from adapters import tracing
from adapters.aws import AwsSessions
from adapters.aws_observed import observed
from adapters.eventbridge import EventBridge
from adapters.sqs import Message, RequestQueue
from migration import metrics
from migration.errors import Conflict, MigrationError, PrerequisiteError, Unavailable
from migration.metrics import By
from migration.parsing import RequestErrors
from migration.settings import Settings
from starter.calls import CallCounter
from starter.client import Migrations, connect
from starter.incoming import Incoming
from starter.refusals import Refusals
from starter.runtime import meter_of

logger = structlog.get_logger("ingress")

BATCH = 10
LONG_POLL = timedelta(seconds=2)
LAST_POLL = timedelta(seconds=3)
"""Short, since a consumer that is to stop waits for its last poll: what came with it is put back at once."""

SHORTEST_HIDING = timedelta(seconds=3)
"""For how long a message is hidden at least while it is worked on; the queue's own setting may be longer."""

PAUSE_AFTER_TROUBLE = timedelta(seconds=2)
LONGEST_PAUSE = timedelta(minutes=2)
_PAUSE_GROWS = 4


def queue_urls(settings: Settings) -> tuple[str, str]:
    """The queue of requests and that of dead letters.

    Raises:
        PrerequisiteError: The settings name none.
    """
    if settings.request_queue_url is None or settings.dead_letter_queue_url is None:
        raise PrerequisiteError(
            "the settings name no queues",
            action="set MIGRATOR_REQUEST_QUEUE_URL and MIGRATOR_DEAD_LETTER_QUEUE_URL",
        )
    return settings.request_queue_url, settings.dead_letter_queue_url


def submit(settings: Settings, text: str) -> str:
    """Send a request document as it is; returns the message's id."""
    return RequestQueue(AwsSessions(settings.state_region), *queue_urls(settings)).send(text, {})


async def serve(settings: Settings) -> None:
    """Take messages until SIGINT or SIGTERM; what is under way is finished first."""
    urls = queue_urls(settings)
    client = await connect(settings, metrics_address=settings.metrics_address)
    meter = meter_of(client)
    metrics.begin(meter, By.INGRESS)
    observe = observed(CallCounter(meter)) if settings.metrics_address else None
    sessions = AwsSessions(settings.state_region, on_client=observe)
    queue = RequestQueue(sessions, *urls)
    bus = EventBridge(sessions, settings.event_bus) if settings.event_bus else None
    refusals = Refusals(queue, bus, client, settings.task_queue)
    ingress = Ingress(Migrations(client, settings.task_queue), queue, refusals, settings.ingress_consumers, meter)
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    # A call that waits, to a bus that is slow say, is not to hold up those about other messages.
    loop.set_default_executor(ThreadPoolExecutor(settings.ingress_consumers * BATCH * 2, "call"))
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    await ingress.run(stop)


class Ingress:
    """Turns messages into migrations."""

    def __init__(
        self,
        migrations: Migrations,
        queue: RequestQueue,
        refusals: Refusals,
        consumers: int = 1,
        meter: MetricMeter = MetricMeter.noop,
    ) -> None:
        """Take from this queue, with so many consumers side by side, and count what became of messages."""
        self._migrations = migrations
        self._queue = queue
        self._refusals = refusals
        self._consumers = consumers
        self._meter = meter
        self._hidden_for: timedelta | None = None
        # Of its own: the loop waits for its default executor at its end, and a long poll takes its time.
        self._receiver = ThreadPoolExecutor(max_workers=consumers, thread_name_prefix="receive")

    async def run(self, stop: asyncio.Event) -> None:
        """Take batches until asked to stop."""
        logger.info("ingress started", consumers=self._consumers)
        await asyncio.gather(*(self._consume(stop) for _ in range(self._consumers)))
        logger.info("ingress stopped")

    async def _consume(self, stop: asyncio.Event) -> None:
        """Take a batch, settle all of it, and so on; trouble with Temporal is waited out with nothing in hand."""
        while not stop.is_set():
            messages = await self._received(stop)
            if stop.is_set():
                await asyncio.gather(*(self._put_back(message, timedelta(0)) for message in messages))
            elif not all(await asyncio.gather(*(self.take(message) for message in messages))):
                await self._until_temporal_answers(stop)

    async def _received(self, stop: asyncio.Event) -> Sequence[Message]:
        """The next messages. One who is to stop waits for its last poll, but not for a queue that does not answer."""
        receiving = asyncio.get_running_loop().run_in_executor(self._receiver, self._receive)
        stopping = asyncio.create_task(stop.wait())
        under_way: set[asyncio.Future[Any]] = {receiving, stopping}
        await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        try:
            return await asyncio.wait_for(receiving, LAST_POLL.total_seconds())
        except TimeoutError:
            return ()
        except Unavailable as error:
            logger.warning("the queue does not answer", reason=str(error))
            await _stopped(stop, PAUSE_AFTER_TROUBLE)
            return ()

    def _receive(self) -> Sequence[Message]:
        if self._hidden_for is None:
            self._hidden_for = max(self._queue.hidden_for(), SHORTEST_HIDING)
        return self._queue.receive(BATCH, int(LONG_POLL.total_seconds()))

    async def _until_temporal_answers(self, stop: asyncio.Event) -> None:
        """Each reception counts against a message: none is taken from the queue that can only be put back."""
        while not stop.is_set() and not await self._migrations.can_be_reached():
            await _stopped(stop, PAUSE_AFTER_TROUBLE)

    async def take(self, message: Message) -> bool:
        """Settle one message, and say whether it is; trouble of ours puts it back, to come again after a while."""
        incoming = Incoming(message)
        ids = {"message_id": message.id, "correlation_id": incoming.correlation_id}
        if incoming.migration_id:
            ids["migration_id"] = incoming.migration_id
        with structlog.contextvars.bound_contextvars(**ids):
            try:
                with tracing.taken_from_queue(message.id, incoming.origin.traceparent):
                    async with self._kept_hidden(message):
                        result = await self._settle(incoming)
            except Unavailable as error:
                logger.warning("not settled, the message comes again", reason=str(error))
            except Exception:
                logger.exception("not settled, the message comes again")
            else:
                metrics.MESSAGES.add(self._meter, result=result)
                return True
            metrics.MESSAGES.add(self._meter, result="back")
            await self._put_back(message, _pause(message))
        return False

    async def _settle(self, incoming: Incoming) -> str:
        """Say what became of it, as it is counted."""
        envelope = incoming.envelope
        if envelope.news is not None:
            logger.info("no request, ignored", what=envelope.news)
            result = "ignored"
        elif envelope.errors:
            result = await self._refuse(incoming, [str(error) for error in envelope.errors], "ValidationError")
        else:
            result = await self._start(incoming)
        await asyncio.to_thread(self._queue.delete, incoming.message)
        return result

    async def _start(self, incoming: Incoming) -> str:
        envelope = incoming.envelope
        try:
            result = await self._migrations.start(envelope.request, origin=incoming.origin)
        except RequestErrors as refused:
            reasons = [str(error) for error in envelope.placed(refused.errors)]
            return await self._refuse(incoming, reasons, "ValidationError")
        except Conflict as conflict:
            return await self._refuse(incoming, [str(conflict)], "Conflict")
        except MigrationError as error:
            raise Unavailable(str(error)) from error
        logger.info("request taken", outcome=result.outcome, run_id=result.run_id)
        return "accepted"

    async def _refuse(self, incoming: Incoming, reasons: list[str], error_type: str) -> str:
        await self._refusals.refuse(incoming, reasons, error_type)
        logger.warning("request refused", reasons=reasons)
        return "refused"

    @asynccontextmanager
    async def _kept_hidden(self, message: Message) -> AsyncIterator[None]:
        """Hide a message from other consumers for as long as this takes."""
        keeping = asyncio.create_task(self._keep_hidden(message))
        try:
            yield
        finally:
            keeping.cancel()

    async def _keep_hidden(self, message: Message) -> None:
        hidden_for = self._hidden_for or SHORTEST_HIDING
        while True:
            await asyncio.sleep(hidden_for.total_seconds() / 3)
            try:
                await asyncio.to_thread(self._queue.extend, message, hidden_for)
            except MigrationError as error:
                logger.warning("the message may come again before it is settled", reason=str(error))

    async def _put_back(self, message: Message, after: timedelta) -> None:
        """Let a message be seen again after so long; one that cannot be put back is seen again by itself."""
        try:
            await asyncio.to_thread(self._queue.extend, message, after)
        except MigrationError as error:
            logger.warning("the message stays hidden for its time", message_id=message.id, reason=str(error))


def _pause(message: Message) -> timedelta:
    """How long a message rests after trouble: longer each time, so that an outage does not use its receptions up."""
    grown: int = _PAUSE_GROWS ** min(message.receive_count - 1, 8)
    return min(PAUSE_AFTER_TROUBLE * grown, LONGEST_PAUSE)


async def _stopped(stop: asyncio.Event, pause: timedelta) -> None:
    """Wait until asked to stop, or for so long."""
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), pause.total_seconds())
