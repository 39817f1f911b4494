"""Traces by OpenTelemetry, where its own variables ask for them; nothing of it is imported where they do not.

`setup` has the provider and what is instrumented, `temporal` carries the trace through workflows and activities,
`leaving` says which spans leave and what is taken out of them.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from temporalio.client import Interceptor

from migration.errors import PrerequisiteError
from migration.settings import traces_are_wanted

if TYPE_CHECKING:
    from adapters.tracing.setup import Tracing


@cache
def tracing() -> "Tracing | None":
    """The traces of this process, begun when they are first asked for; None: nobody wants any.

    Raises:
        PrerequisiteError: They are wanted, and cannot be had.
    """
    if not traces_are_wanted():
        return None
    try:
        from adapters.tracing.setup import begin  # noqa: PLC0415  costs nothing where nobody wants traces
    except ModuleNotFoundError as missing:
        action = "Install migrator with its extra: migrator[telemetry], as its image has it."
        raise PrerequisiteError(f"traces are switched on, and {missing.name} is not installed", action=action) from None
    return begin()


def interceptors() -> Sequence[Interceptor]:
    """What carries the trace through Temporal: a client's interceptors, which its workers take over."""
    begun = tracing()
    return [begun.interceptor] if begun else []


@contextmanager
def taken_from_queue(message_id: str, traceparent: str | None) -> Iterator[None]:
    """What is done with one message of the request queue, in the trace that came with it."""
    begun = tracing()
    if begun is None:
        yield
        return
    with begun.taken_from_queue(message_id, traceparent):
        yield


def close() -> None:
    """Let the last spans of a process leave, for a short time, if it has begun to trace at all."""
    begun = tracing() if tracing.cache_info().currsize else None
    if begun is not None:
        begun.close()
