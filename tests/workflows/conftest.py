"""One real Temporal server and one worker for all workflow tests, which run side by side: they mostly wait."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.workflows.factories import FACTORY_ACTIVITIES
from tests.workflows.signers import approvals
from tests.workflows.stage import Stage, cleared, set_up, temporal_server

_HERE = Path(__file__).parent
_AT_ONCE = 8

Test = Callable[..., Coroutine[Any, Any, None]]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def temporal_address() -> AsyncIterator[str]:
    """A Temporal server of the tests' own."""
    async with temporal_server() as address:
        yield address


@pytest.fixture(scope="session")
def compiled_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The sandbox imports the workflow's module anew for each run, and would compile it anew each time."""
    before = sys.dont_write_bytecode, sys.pycache_prefix
    sys.dont_write_bytecode, sys.pycache_prefix = False, str(tmp_path_factory.mktemp("compiled"))
    yield
    sys.dont_write_bytecode, sys.pycache_prefix = before


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stage(temporal_address: str, compiled_once: None) -> AsyncIterator[Stage]:
    """The stage that most tests share; signatures are verified for real."""
    async with set_up(temporal_address, also=[approvals().verify_signature, *FACTORY_ACTIVITIES]) as stage:
        yield stage


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the tests of this folder share one event loop, and begin before their turn if the stage is all they need.

    The other ones come when all of those have ended: what they change for a while, such as a policy, is changed for
    every workflow of the process, and one that is replayed after it was changed back would not do the same again.
    """
    in_one_loop = pytest.mark.asyncio(loop_scope="session")
    ahead = _Ahead()
    for item in items:
        if item.path.parent == _HERE and isinstance(item, pytest.Function) and pytest_asyncio.is_async_test(item):
            item.add_marker(in_one_loop, append=False)
            if set(signature(item.obj).parameters) - _parameters(item).keys() == {"stage"}:
                ahead.take(item)
    items.sort(key=lambda item: item.path.parent == _HERE and item.nodeid not in ahead)


def _parameters(item: pytest.Function) -> dict[str, Any]:
    return item.callspec.params if hasattr(item, "callspec") else {}


class _Ahead:
    """Runs tests as tasks, some at a time and in order; each pytest item awaits the one that is its own."""

    def __init__(self) -> None:
        self._tests: dict[str, tuple[Test, dict[str, Any]]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def __contains__(self, nodeid: str) -> bool:
        return nodeid in self._tests

    def take(self, item: pytest.Function) -> None:
        """Replace what the item runs."""
        self._tests[item.nodeid] = (item.obj, _parameters(item))

        async def its_own(**fixtures: Any) -> None:
            if not self._tasks:
                self._begin(fixtures, {other.nodeid for other in item.session.items})
            await self._tasks[item.nodeid]

        item.obj = its_own

    def _begin(self, fixtures: dict[str, Any], chosen: set[str]) -> None:
        turns = asyncio.Semaphore(_AT_ONCE)

        async def run(test: Test, parameters: dict[str, Any]) -> None:
            async with turns, cleared():
                await test(stage=fixtures["stage"], **parameters)

        for nodeid, (test, parameters) in self._tests.items():
            if nodeid in chosen:
                self._tasks[nodeid] = asyncio.create_task(run(test, parameters), name=nodeid)
