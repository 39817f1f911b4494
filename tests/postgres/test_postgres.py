"""One migration on the installation that companies run, which fails under it: Temporal killed, its database away."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from localcloud.process import FOREIGN_VARIABLES
from migration.errors import MigrationError
from migration.status import MigrationStatus, Phase
from tests.e2e.local_cloud import LocalCloud, until
from tests.postgres.installation import PostgreSQL, TemporalServer, installation

APPLICATION = "billing"
AWAY = 5.0
"""Seconds, for which the database takes no connection."""


@pytest.fixture(scope="module")
def installed() -> Iterator[tuple[PostgreSQL, TemporalServer]]:
    """PostgreSQL and Temporal, with the namespace as the product's own command makes it."""
    with installation() as (database, server):
        own = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_VARIABLES)}
        migrator = Path(sys.executable).with_name("migrator")
        for said in ("created", "was there"):
            ran = subprocess.run(
                [migrator, "setup-namespace"],
                env=own | {"TEMPORAL_ADDRESS": server.address},
                capture_output=True,
                text=True,
                check=False,
            )
            assert f"namespace default: {said}" in ran.stdout, ran.stderr
        yield database, server


async def test_a_migration_outlives_a_killed_server_and_a_database_that_is_away(
    installed: tuple[PostgreSQL, TemporalServer], tmp_path: Path
) -> None:
    database, server = installed
    cloud = await asyncio.to_thread(LocalCloud, tmp_path, applications=1, servers=2, temporal=server.address)
    try:
        await _plays(cloud, database, server)
        assert await cloud.wrong_lines(APPLICATION, "target") == []
        assert server.runs
    finally:
        await asyncio.to_thread(cloud.stop)


async def _plays(cloud: LocalCloud, database: PostgreSQL, server: TemporalServer) -> None:
    request = cloud.request(APPLICATION)
    assert (await cloud.migrator("start", cloud.written(request))).code == 0
    await _reaches(cloud, Phase.TESTING)
    await asyncio.to_thread(server.kill)
    await asyncio.to_thread(server.start)
    await _reaches(cloud, Phase.AWAITING_APPROVAL)
    await cloud.approve(await cloud.at_the_gate("mig-billing"))
    await _reaches(cloud, Phase.CUTTING_OVER)
    await asyncio.to_thread(database.stop)
    await asyncio.sleep(AWAY)
    await asyncio.to_thread(database.start)
    await _reaches(cloud, Phase.COMPLETED)


async def _reaches(cloud: LocalCloud, phase: Phase) -> MigrationStatus:
    """Wait until the migration is in this phase; whatever Temporal says while it or its database is away."""

    async def look() -> MigrationStatus | None:
        try:
            status = await (await cloud.migrations()).status("mig-billing")
        except MigrationError:
            return None
        assert not status.phase.ended or status.phase is phase, f"it ended as {status.phase}: {status.message}"
        return status if status.phase is phase else None

    return await until(f"mig-billing is {phase}", look)
