"""Runs side by side, of which none outlives the ground that they stand on."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


async def together(runs: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """What all of them return, in their order.

    Raises:
        ExceptionGroup: One failed. The others were cancelled and have ended: none starts a worker again on ground that
            is being torn down.
    """
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(run) for run in runs]
    return [task.result() for task in tasks]
