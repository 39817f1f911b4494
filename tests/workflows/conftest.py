"""One real Temporal server, one client and one worker for all workflow tests, in one event loop."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from localcloud.temporal import TemporalServer, find_temporal
from tests.workflows.stage import Stage, set_up

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the tests of this folder share the worker's event loop."""
    in_one_loop = pytest.mark.asyncio(loop_scope="session")
    for item in items:
        if item.path.parent == _HERE and pytest_asyncio.is_async_test(item):
            item.add_marker(in_one_loop, append=False)


@pytest.fixture(scope="session")
def temporal_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Temporal server of the tests' own, with the project's configuration and search attributes."""
    directory = tmp_path_factory.mktemp("temporal")
    server = TemporalServer(find_temporal(print), directory=directory, log=directory / "server.log", port=0, ui_port=0)
    server.start()
    yield server.address
    server.stop()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stage(temporal_address: str) -> AsyncIterator[Stage]:
    """The stage that most tests share."""
    async with set_up(temporal_address) as stage:
        yield stage
