"""What the tests of contracts share."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.workflows.stage import temporal_server


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def temporal_address() -> AsyncIterator[str]:
    """One real Temporal server for all who leave its namespace `default` as it is."""
    async with temporal_server() as address:
        yield address
