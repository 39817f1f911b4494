"""Stories: migrations that are played side by side, each for the tests that judge it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from types import ModuleType
from typing import Any, TypeVar

from tests.e2e.local_cloud import LocalCloud

TOLD_WITHIN = 540.0

Told = TypeVar("Told")
Story = Callable[[LocalCloud], Awaitable[Told]]

_IS_STORY = "is_story"


def story(play: Story[Told]) -> Story[Told]:
    """Mark a coroutine function that plays one application's migration: it begins with the session."""
    setattr(play, _IS_STORY, True)
    return play


class Stories:
    """Every story of some test modules, under way."""

    def __init__(self, cloud: LocalCloud, modules: Iterable[ModuleType]) -> None:
        """Begin them all."""
        plays = [item for module in modules for item in vars(module).values() if getattr(item, _IS_STORY, False)]
        # A module may name a story of another one.
        self._tasks: dict[Story[Any], asyncio.Task[Any]] = {
            play: asyncio.create_task(play(cloud)) for play in dict.fromkeys(plays)
        }

    async def told(self, play: Story[Told]) -> Told:
        """Wait for a story's end; what it returned."""
        told: Told = await asyncio.wait_for(asyncio.shield(self._tasks[play]), TOLD_WITHIN)
        return told

    async def all_told(self) -> None:
        """Wait for the end of every story, good or bad."""
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=TOLD_WITHIN)

    async def stop(self) -> None:
        """End those that are still under way."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
