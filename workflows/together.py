"""Several things at a time, of which the first that matters ends the others."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from temporalio import workflow

Result = TypeVar("Result")


async def together(enough: Callable[[], bool], *parts: Coroutine[Any, Any, None], summary: str) -> None:
    """Run the parts beside each other until all have ended, one has failed, or it is enough.

    Those that still run are then cancelled and waited for: what acts has ended before anything else is done.

    Raises:
        Exception: The first failure, in the order of the parts.
    """
    tasks = [asyncio.create_task(part) for part in parts]

    def settled() -> bool:
        return enough() or all(task.done() for task in tasks) or any(map(_failed, tasks))

    try:
        await workflow.wait_condition(settled, timeout_summary=summary[:200])
    except asyncio.CancelledError:
        await _end(tasks)
        raise
    failed = [task for task in tasks if _failed(task)]
    await _end(tasks)
    for task in failed:
        task.result()


async def to_its_end(work: Coroutine[Any, Any, Result]) -> Result:
    """Do what must not be left in the middle: a cancellation is heard when it has ended.

    Raises:
        asyncio.CancelledError: It was cancelled meanwhile, whatever came of the work.
    """
    task, cancelled = asyncio.create_task(work), None
    while not task.done():
        try:
            await workflow.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        _failed(task)
        raise cancelled
    return task.result()


async def _end(tasks: "list[asyncio.Task[None]]") -> None:
    """Cancel and wait; how a cancelled one fails says nothing, but asyncio wants it to be looked at."""
    for task in tasks:
        task.cancel()
    await workflow.wait(tasks)
    for task in tasks:
        _failed(task)


def _failed(task: "asyncio.Task[Any]") -> bool:
    return task.done() and not task.cancelled() and task.exception() is not None
