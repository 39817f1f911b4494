"""CallbackWorkflow: one per migration; ordered, signed, retried delivery that can never hold the migration."""

from contextlib import suppress
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from activities.callbacks import Callbacks, DeliverCallback
    from migration import policies
    from migration.canonical import canonical_json
    from migration.messages import Message
    from migration.models import Model
    from migration.ports import Delivery


class DeadLetter(Model):
    """A message that was given up, and why."""

    message: Message
    at: datetime
    error: str


class OpenCallbacks(Model):
    """Whom to call, and what an earlier run left to do."""

    migration_id: str
    url: str
    secret: str | None = None
    queue: tuple[Message, ...] = ()
    dead: tuple[DeadLetter, ...] = ()
    delivered: int = 0
    ended: bool = False
    gone: str | None = None


class CallbackStatus(Model):
    """What the query `status` answers."""

    queued: int
    delivered: int
    dead: tuple[DeadLetter, ...]


def callbacks_id(migration_id: str, generation: int = 1) -> str:
    """The workflow id; the slash keeps it apart from every migration id.

    A later generation may have another endpoint, while the earlier one's dead letters are still kept.
    """
    return f"callbacks/{migration_id}" if generation == 1 else f"callbacks/{migration_id}/{generation}"


@workflow.defn
class CallbackWorkflow:
    """Delivers one migration's messages in order."""

    def __init__(self) -> None:
        """Start empty; signals may arrive before `run`."""
        self._queue: list[Message] = []
        self._dead: list[DeadLetter] = []
        self._delivered = 0
        self._ended = False
        self._gone: str | None = None

    @workflow.run
    async def run(self, opened: OpenCallbacks) -> None:
        """Deliver until the migration has ended, the queue is empty and no dead letter is worth keeping."""
        self._queue[:0] = opened.queue
        self._dead, self._delivered = list(opened.dead), opened.delivered
        self._ended, self._gone = self._ended or opened.ended, opened.gone
        while True:
            await self._until_there_is_work()
            if not self._queue:
                return
            await self._deliver_first(opened)
            if workflow.info().is_continue_as_new_suggested():
                self._continue(opened)

    @workflow.signal(description="Queue a message")
    def deliver(self, message: Message) -> None:
        """Queue a message; a repeated hand-over of the same one is dropped."""
        if all(message.id != waiting.id for waiting in self._queue):
            self._queue.append(message)

    @workflow.signal(description="The migration has ended: no message follows")
    def close(self) -> None:
        """Remember that nothing follows."""
        self._ended = True

    @workflow.query(description="Queued and delivered messages, and dead letters")
    def status(self) -> CallbackStatus:
        """Answer with counts and dead letters."""
        return CallbackStatus(queued=len(self._queue), delivered=self._delivered, dead=tuple(self._dead))

    async def _until_there_is_work(self) -> None:
        """Wait for a message; without one, until the migration has ended and the dead letters are old."""
        await workflow.wait_condition(lambda: bool(self._queue) or self._ended)
        keep = self._keep_until() - workflow.now()
        if self._queue or keep <= timedelta(0):
            return
        with suppress(TimeoutError):
            await workflow.wait_condition(lambda: bool(self._queue), timeout=keep, timeout_summary="dead letters kept")

    def _keep_until(self) -> datetime:
        newest = max((letter.at for letter in self._dead), default=None)
        return newest + policies.CALLBACK_KEEP_DEAD_LETTERS if newest else workflow.now()

    async def _deliver_first(self, opened: OpenCallbacks) -> None:
        """Deliver the message at the head, or give it up; order is kept meanwhile."""
        message = self._queue[0]
        error = self._gone or await self._deliver(opened, message)
        if error is None:
            self._delivered += 1
        else:
            self._dead.append(DeadLetter(message=message, at=workflow.now(), error=error))
        self._queue.remove(message)

    async def _deliver(self, opened: OpenCallbacks, message: Message) -> str | None:
        """Try for a day; returns why it was given up, None when it was delivered.

        An endpoint that says it is gone is not called again, for this message or a later one (Standard Webhooks 1.0).
        """
        first_try, tries = workflow.now(), 0
        while True:
            delivery = await self._try(opened, message)
            tries += 1
            if delivery.outcome == "delivered":
                return None
            error = delivery.error or delivery.outcome
            if delivery.outcome == "gone":
                self._gone = error
            if self._gone or workflow.now() - first_try > policies.CALLBACK_GIVE_UP_AFTER:
                return error
            await workflow.sleep(self._pause(delivery, tries), summary=f"retry {tries}: {error}"[:200])

    async def _try(self, opened: OpenCallbacks, message: Message) -> Delivery:
        body = canonical_json(message.model_dump(mode="json", by_alias=True))
        try:
            return await workflow.execute_activity_method(
                Callbacks.deliver_callback,
                DeliverCallback(url=opened.url, secret=opened.secret, message_id=message.id, body=body),
                summary=f"{message.type} {message.data.get('status', '')}",
                **policies.DELIVER,
            )
        except FailureError as error:
            return Delivery(outcome="retry", error=str(error.__cause__ or error))

    def _pause(self, delivery: Delivery, tries: int) -> timedelta:
        """What the receiver asked for, or twice as long each time with jitter, up to an hour."""
        if delivery.retry_after is not None:
            return min(delivery.retry_after, policies.CALLBACK_LONGEST_BACKOFF)
        doublings: int = 2 ** min(tries - 1, 16)
        longest = min(policies.CALLBACK_FIRST_BACKOFF * doublings, policies.CALLBACK_LONGEST_BACKOFF)
        return longest * (0.5 + workflow.random().random() / 2)

    def _continue(self, opened: OpenCallbacks) -> None:
        workflow.continue_as_new(
            opened.model_copy(
                update={
                    "queue": tuple(self._queue),
                    "dead": tuple(self._dead),
                    "delivered": self._delivered,
                    "ended": self._ended,
                    "gone": self._gone,
                }
            )
        )
