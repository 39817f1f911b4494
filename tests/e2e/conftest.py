"""One local cloud for all end-to-end tests. Their migrations are played side by side from the start."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.e2e.local_cloud import LocalCloud
from tests.e2e.stories import Stories
from tests.fakes.collector import Collector, a_collector

_HERE = Path(__file__).parent
_WHEN_ALL_IS_TOLD = ("quiet_cloud", "cloud_to_stop")


def _of_here(items: list[pytest.Item]) -> list[pytest.Function]:
    return [item for item in items if item.path.parent == _HERE and isinstance(item, pytest.Function)]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the tests of this folder share one event loop; those that need silence come last."""
    here = _of_here(items)
    for item in here:
        item.add_marker(pytest.mark.local)
        if pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
    if here:
        places = [place for place, item in enumerate(items) if item in here]
        for place, item in zip(places, sorted(here, key=_turn), strict=True):
            items[place] = item


def _turn(item: pytest.Function) -> int:
    return max((turn for turn, name in enumerate(_WHEN_ALL_IS_TOLD, start=1) if name in item.fixturenames), default=0)


@pytest.fixture(scope="session")
def collector() -> Iterator[Collector]:
    """Where the spans of the product's processes go."""
    with a_collector() as collector:
        yield collector


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[LocalCloud]:
    """The local cloud, with worker and ingress, which trace."""
    traces = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
    cloud = LocalCloud(tmp_path_factory.mktemp("cloud"), applications=14, servers=2, **traces)
    yield cloud
    cloud.stop()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stories(cloud: LocalCloud, request: pytest.FixtureRequest) -> AsyncIterator[Stories]:
    """The stories of every module that was collected, under way."""
    modules = {item.module for item in _of_here(request.session.items)}
    stories = Stories(cloud, modules)
    yield stories
    await stories.stop()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def quiet_cloud(cloud: LocalCloud, stories: Stories) -> LocalCloud:
    """The cloud when every story is told, so that whatever happens there is the test's doing."""
    await stories.all_told()
    return cloud


@pytest.fixture(scope="session")
def cloud_to_stop(quiet_cloud: LocalCloud) -> LocalCloud:
    """The cloud, for the test after all others."""
    return quiet_cloud
