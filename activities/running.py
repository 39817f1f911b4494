"""How an activity acts, waits within an attempt, and looks again in the next one."""

import contextvars
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn, TypeVar

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory, CancelledError

from migration.errors import MigrationError, Unavailable
from migration.models import Model

NOT_YET = "NotYet"
"""The error type of a look that found nothing wrong and nothing done."""

_BEATS_PER_TIMEOUT = 3
_SHORTEST_WAIT = timedelta(milliseconds=50)

Details = TypeVar("Details", bound=Model)
Item = TypeVar("Item")
Result = TypeVar("Result")


def now() -> datetime:
    """The time, with its offset."""
    return datetime.now(UTC)


def remembered(kind: type[Details]) -> Details:
    """What an earlier attempt of this activity left for this one, or the model's defaults."""
    details = activity.info().heartbeat_details
    return kind.model_validate(details[0]) if details and details[0] else kind()


class LooksInARow(Model):
    """How many looks in a row have found the same thing wrong."""

    count: int = 0


def in_a_row(found: bool) -> LooksInARow:
    """The looks in a row that have found it, this one counted; leave it to the next attempt with `look_again`."""
    return LooksInARow(count=remembered(LooksInARow).count + 1 if found else 0)


def look_again(message: str, after: timedelta, *, remember: Model | None = None) -> NoReturn:
    """End this attempt without a result; the next one looks again. No history, no slot held between the looks.

    Args:
        message: What is awaited, for a person who reads the pending activity in the Web UI.
        after: When to look again.
        remember: What the next attempt needs to know. It travels because the attempt raises: one that returns
            loses its heartbeat details.

    Raises:
        ApplicationError: Always; a benign one of type `NotYet`.
    """
    if remember is not None:
        activity.heartbeat(remember.model_dump(mode="json"))
    raise ApplicationError(
        message,
        type=NOT_YET,
        category=ApplicationErrorCategory.BENIGN,
        next_retry_delay=max(after, _SHORTEST_WAIT),
    )


class Attempt:
    """One attempt of an activity that acts: its age, its cancellation, and what it leaves to the next attempt."""

    def __init__(self, bound: timedelta) -> None:
        """Begin with what the attempt before left, so that a heartbeat does not wipe it."""
        self._bound = bound
        self._entered = time.monotonic()
        self._details: tuple[Any, ...] = tuple(activity.info().heartbeat_details)

    @property
    def age(self) -> timedelta:
        """Time since the attempt's start, by the server's start time or our own clock, whichever says more.

        A worker that stood still must see its age even when its own clock stood still as well.
        """
        here = timedelta(seconds=time.monotonic() - self._entered)
        return max(here, now() - activity.info().started_time)

    def before_call(self) -> None:
        """Stand before every mutating call: none is begun once cancelled, or later than the bound.

        An undo waits the bound out before it reads, so a later call could land behind its back.

        Raises:
            CancelledError: The activity was cancelled.
            Unavailable: This attempt is too old; the next one goes on.
        """
        if activity.is_cancelled():
            raise CancelledError("cancelled before the next call")
        if self.age >= self._bound:
            raise Unavailable(
                f"this attempt is {self.age.total_seconds():.0f} s old and begins no call any more; the next one "
                "goes on (if this repeats at once, compare the clocks of worker and Temporal server)"
            )

    def pause(self, delay: timedelta) -> None:
        """Wait, but no longer than until the cancellation.

        Raises:
            CancelledError: The activity was cancelled.
            Unavailable: The worker is stopping; another one goes on.
        """
        activity.wait_for_cancelled_sync(delay)
        if activity.is_cancelled():
            raise CancelledError("cancelled while waiting")
        if activity.is_worker_shutdown():
            raise Unavailable("the worker is stopping; another one goes on")

    def until(self, look: Callable[[], str | None], every: timedelta) -> None:
        """Look until there is nothing to wait for; past the bound, leave that to the next attempt.

        Args:
            look: Says what is still awaited, or None. It may act again, after `before_call`.
            every: The pause between looks.
        """
        while awaited := look():
            if self.age + every >= self._bound:
                look_again(awaited, every)
            self.pause(every)

    def remember(self, details: Model) -> None:
        """Leave this to the next attempt, should there be one."""
        self._details = (details.model_dump(mode="json"),)
        self.beat()

    def beat(self) -> None:
        """Send a heartbeat; its answer is how a cancellation arrives."""
        activity.heartbeat(*self._details)


@contextmanager
def acting(bound: timedelta) -> Iterator[Attempt]:
    """Run an attempt that acts, with heartbeats from a thread beside it.

    Args:
        bound: No mutating call begins later than this after the attempt's start.
    """
    attempt = Attempt(bound)
    timeout = activity.info().heartbeat_timeout
    if timeout is None:
        yield attempt
        return
    ended = threading.Event()
    context = contextvars.copy_context()
    beats = threading.Thread(
        target=context.run, args=(_beat, attempt, timeout / _BEATS_PER_TIMEOUT, ended), name="heartbeat", daemon=True
    )
    beats.start()
    try:
        yield attempt
    finally:
        ended.set()
        beats.join()


def _beat(attempt: Attempt, every: timedelta, ended: threading.Event) -> None:
    while not ended.wait(every.total_seconds()):
        try:
            attempt.beat()
        except Exception:  # noqa: BLE001  whatever it was, the activity itself goes on
            # The next beat tries again; without any the server gives the attempt up, which is the truth then.
            activity.logger.warning("a heartbeat was not sent", exc_info=True)


def side_by_side(work: Callable[[Item], Result], items: Sequence[Item], *, most: int) -> list[Result]:
    """Do the work for every item in threads, and return the results in order when all have ended.

    Args:
        work: What to do; it may use the activity's context.
        items: What to do it for.
        most: How many at a time.

    Raises:
        MigrationError: One that no retry helps before one that a retry does: the gravest says what happens next.
    """
    if not items:
        return []
    with ThreadPoolExecutor(max_workers=min(most, len(items)), thread_name_prefix="side-by-side") as pool:
        futures = [pool.submit(contextvars.copy_context().run, work, item) for item in items]
    errors = [error for future in futures if (error := future.exception()) is not None]
    if errors:
        raise max(errors, key=lambda error: isinstance(error, MigrationError) and not error.retryable)
    return [future.result() for future in futures]


def in_words(names: Sequence[str], most: int = 8) -> str:
    """Name a few and count the rest, for messages about many servers."""
    named = ", ".join(names[:most])
    return named if len(names) <= most else f"{named} and {len(names) - most} more"
