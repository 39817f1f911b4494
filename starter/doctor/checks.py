"""What a check is, and how many of them run side by side, each within its time."""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from migration.errors import MigrationError
from migration.redaction import redact_text

WITHIN = timedelta(seconds=10)
"""How long one check may take: a system that answers later than this answers migrations too late as well."""


class State(StrEnum):
    """How a check came out. `NOT_CHECKED`: it could not be looked at, which proves nothing."""

    OK = "ok"
    WRONG = "wrong"
    NOT_CONFIGURED = "not configured"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True)
class Verdict:
    """The outcome, what was seen or is wrong, and what to do."""

    state: State
    words: str = ""
    action: str = ""


@dataclass(frozen=True)
class Check:
    """One line of the table: what is looked at, and the look.

    A look returns what it saw, or a verdict of its own, and raises a `MigrationError` for what is wrong.
    """

    what: str
    look: Callable[[], Awaitable[str | Verdict]]


@dataclass(frozen=True)
class Line:
    """A check that was made."""

    what: str
    verdict: Verdict


def blocking(what: str, look: Callable[[], str | Verdict]) -> Check:
    """A check whose look blocks: it gets a thread, which nobody waits for once the time is over."""

    async def in_a_thread() -> str | Verdict:
        pool = ThreadPoolExecutor(1, thread_name_prefix="doctor")
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, contextvars.copy_context().run, look)
        finally:
            pool.shutdown(wait=False)

    return Check(what, in_a_thread)


def settled(what: str, state: State, words: str, action: str = "") -> Check:
    """A check whose outcome is known beforehand."""

    async def known() -> Verdict:
        return Verdict(state, words, action)

    return Check(what, known)


async def examine(checks: Sequence[Check], within: timedelta = WITHIN) -> tuple[Line, ...]:
    """Make all checks side by side, in the order given."""
    verdicts = await asyncio.gather(*(_verdict(check, within) for check in checks))
    return tuple(Line(check.what, verdict) for check, verdict in zip(checks, verdicts, strict=True))


async def _verdict(check: Check, within: timedelta) -> Verdict:
    try:
        async with asyncio.timeout(within.total_seconds()):
            seen = await check.look()
    except TimeoutError:
        words = f"no answer within {within.total_seconds():.0f} s"
        return Verdict(State.WRONG, words, "Look at the address, and at the network between here and there.")
    except MigrationError as error:
        return Verdict(State.WRONG, str(error), error.action or "")
    except Exception as error:  # noqa: BLE001  whatever happens to one check, the others are made
        return Verdict(State.WRONG, redact_text(f"{type(error).__name__}: {error}"))
    return seen if isinstance(seen, Verdict) else Verdict(State.OK, seen)
