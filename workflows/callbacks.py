"""CallbackWorkflow: one per migration; ordered, signed, retried delivery that can never hold the migration."""

from contextlib import suppress
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError, FailureError

with workflow.unsafe.imports_passed_through():
    from pydantic import ValidationError

    from activities.callbacks import Callbacks, DeliverCallback
    from migration import metrics, policies
    from migration.callbacks import (
        CallbackStatus,
        DeadLetter,
        OpenCallbacks,
        Replay,
        Replayed,
        Trying,
        callbacks_id,
    )
    from migration.canonical import canonical_json
    from migration.messages import Message
    from migration.parsing import RequestErrors, parse_model
    from migration.ports import Delivery
    from workflows.border import NOTHING, json_text, read_input

_WORDS = 200


__all__ = [
    "CallbackStatus",
    "CallbackWorkflow",
    "DeadLetter",
    "OpenCallbacks",
    "Replay",
    "Replayed",
    "Trying",
    "callbacks_id",
]


@workflow.defn
class CallbackWorkflow:
    """Delivers one migration's messages in order. Its input is an `OpenCallbacks`."""

    def __init__(self) -> None:
        """Start empty; signals and updates may arrive before `run`."""
        self._queue: list[Message] = []
        self._dead: list[DeadLetter] = []
        self._trying: Trying | None = None
        self._delivered = 0
        self._unreadable = 0
        self._begun = False
        self._ended = False
        self._hurried = False
        self._gone: str | None = None

    @workflow.run
    async def run(self, payload: RawValue) -> None:
        """Deliver until the migration has ended, the queue is empty and no dead letter is worth keeping."""
        opened = read_input(payload, OpenCallbacks, "whom to call")
        self._begin(opened)
        while await self._has_work():
            await self._deliver_first(opened)
            if self._is_long():
                self._continue(opened)

    def _begin(self, opened: OpenCallbacks) -> None:
        """Take over what an earlier run left; what arrived before `run` goes behind it."""
        early, self._queue = self._queue, []
        for message in (*opened.queue, *early):
            self._enqueue(message)
        self._dead, self._delivered = list(opened.dead), opened.delivered
        self._unreadable += opened.unreadable
        self._ended, self._gone = self._ended or opened.ended, opened.gone
        self._begun = True

    # --- what others ask -------------------------------------------------------------------------------------

    @workflow.signal(description="Queue a message")
    def deliver(self, payload: RawValue) -> None:
        """Queue a message; a repeated hand-over of the same one is dropped."""
        try:
            self._enqueue(Message.model_validate_json(json_text(payload)))
        except ValidationError as error:
            self._unreadable += 1
            reason = error.errors(include_input=False, include_context=False, include_url=False)
            workflow.logger.warning("a signal without a readable message", extra={"reason": reason})

    @workflow.signal(description="The migration has ended: no message follows")
    def close(self, _: RawValue = NOTHING) -> None:
        """Remember that nothing follows."""
        self._ended = True

    @workflow.query(description="Queued and delivered messages, and dead letters")
    def status(self) -> CallbackStatus:
        """Answer with counts, the message that is tried again, and dead letters."""
        return CallbackStatus(
            queued=len(self._queue),
            delivered=self._delivered,
            dead=tuple(self._dead),
            trying=self._trying,
            unreadable=self._unreadable,
            gone=self._gone,
        )

    @workflow.update(description="Queue dead letters again, and try what waits at once")
    async def replay(self, payload: RawValue = NOTHING) -> Replayed:
        """Queue dead letters again under their own webhook-ids, in their order, behind what is queued.

        The endpoint is called at once, also one that had said 410: somebody has mended it.
        """
        if not self._begun:
            await workflow.wait_condition(lambda: self._begun)
        chosen = self._chosen(_replay(payload))
        self._dead = [letter for letter in self._dead if letter not in chosen]
        for letter in chosen:
            self._enqueue(letter.message)
        self._gone, self._hurried = None, True
        return Replayed(queued=tuple(letter.message.id for letter in chosen))

    @replay.validator
    def _check_replay(self, payload: RawValue = NOTHING) -> None:
        _replay(payload)

    def _chosen(self, asked: Replay) -> list[DeadLetter]:
        if asked.messages is None:
            return list(self._dead)
        known = {letter.message.id for letter in self._dead}
        if unknown := [name for name in asked.messages if name not in known]:
            raise _refused(f"there is no dead letter {', '.join(unknown)}")
        return [letter for letter in self._dead if letter.message.id in asked.messages]

    def _enqueue(self, message: Message) -> None:
        if all(message.id != waiting.id for waiting in self._queue):
            self._queue.append(message)

    # --- delivering ------------------------------------------------------------------------------------------

    async def _has_work(self) -> bool:
        """Wait for a message; False when the migration has ended and no dead letter is kept any longer."""
        while not self._queue:
            self._dead = [letter for letter in self._dead if _kept_for(letter) > timedelta(0)]
            if self._ended and not self._dead:
                return False
            oldest = min(map(_kept_for, self._dead), default=None)
            with suppress(TimeoutError):
                await workflow.wait_condition(
                    lambda: bool(self._queue) or (self._ended and not self._dead),
                    timeout=oldest,
                    timeout_summary="dead letters kept",
                )
        return True

    async def _deliver_first(self, opened: OpenCallbacks) -> None:
        """Deliver the message at the head, or give it up; order is kept meanwhile."""
        message = self._queue[0]
        error = self._gone or await self._deliver(opened, message)
        self._queue.remove(message)
        if error is None:
            self._delivered += 1
        else:
            self._dead.append(DeadLetter(message=message, at=workflow.now(), error=error))
            metrics.DEAD_LETTERS.add(workflow.metric_meter())

    async def _deliver(self, opened: OpenCallbacks, message: Message) -> str | None:
        """Try for a day; returns why it was given up, None when it was delivered.

        An endpoint that says it is gone is not called again, for this message or a later one (Standard Webhooks 1.0).
        """
        give_up, tries = workflow.now() + policies.CALLBACK_GIVE_UP_AFTER, 0
        while True:
            self._hurried = False
            delivery = await self._try(opened, message)
            self._trying, tries = None, tries + 1
            metrics.DELIVERIES.add(workflow.metric_meter(), result=delivery.outcome)
            if delivery.outcome == "delivered":
                return None
            error = delivery.error or delivery.outcome
            if delivery.outcome == "gone":
                self._gone = error
            if self._gone or workflow.now() >= give_up:
                return error
            again = min(workflow.now() + self._pause(delivery, tries), give_up)
            self._trying = Trying(message_id=message.id, tries=tries, error=error, again=again)
            await self._wait_until(again, f"retry {tries}: {error}")

    async def _wait_until(self, again: datetime, why: str) -> None:
        """Wait for the next try, or until somebody says that the endpoint is well again."""
        pause = again - workflow.now()
        with suppress(TimeoutError):
            await workflow.wait_condition(lambda: self._hurried, timeout=pause, timeout_summary=why[:_WORDS])

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
        """Twice as long each time, with jitter, or as long as the receiver asked for if that is longer; up to an hour.

        An endpoint that asks for no wait at all would otherwise be called without a pause for a day.
        """
        doublings: int = 2 ** min(tries - 1, 16)
        longest = min(policies.CALLBACK_FIRST_BACKOFF * doublings, policies.CALLBACK_LONGEST_BACKOFF)
        own = longest * (0.5 + workflow.random().random() / 2)
        return max(own, min(delivery.retry_after or timedelta(0), policies.CALLBACK_LONGEST_BACKOFF))

    # --- the next run ----------------------------------------------------------------------------------------

    def _is_long(self) -> bool:
        info = workflow.info()
        long = info.get_current_history_length() >= policies.CALLBACK_LONGEST_HISTORY
        return long or info.is_continue_as_new_suggested()

    def _continue(self, opened: OpenCallbacks) -> None:
        workflow.continue_as_new(
            opened.model_copy(
                update={
                    "queue": tuple(self._queue),
                    "dead": tuple(self._dead),
                    "delivered": self._delivered,
                    "unreadable": self._unreadable,
                    "ended": self._ended,
                    "gone": self._gone,
                }
            )
        )


def _replay(payload: RawValue) -> Replay:
    """What a replay asks for; without any input, everything. Refuses what is something else, in words."""
    text = json_text(payload)
    try:
        return Replay() if text == b"null" else parse_model(text, Replay)
    except RequestErrors as errors:
        raise _refused(str(errors)) from None


def _refused(words: str) -> ApplicationError:
    return ApplicationError(words, type="ReplayRefused", non_retryable=True)


def _kept_for(letter: DeadLetter) -> timedelta:
    """How much longer a dead letter is kept."""
    return letter.at + policies.CALLBACK_KEEP_DEAD_LETTERS - workflow.now()
