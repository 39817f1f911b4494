"""Following a migration until it ends: every change once, however it is shown."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta

from rich.console import Console
from rich.live import Live

from migration.errors import Unavailable
from migration.status import MigrationStatus
from starter import view
from starter.client import Migrations

LOOK_EVERY = timedelta(seconds=0.5)


async def changes(migrations: Migrations, migration_id: str) -> AsyncIterator[tuple[MigrationStatus, list[str]]]:
    """The status after every change, and what the activities wait for; ends with the migration.

    Once it has been seen, a worker that is away for a while does not end the watch.
    """
    seen: tuple[int, int, list[str]] | None = None
    while True:
        try:
            status = await migrations.status(migration_id)
            waits = [] if status.phase.ended else await migrations.pending(migration_id)
        except Unavailable:
            if seen is None:
                raise
            await asyncio.sleep(LOOK_EVERY.total_seconds())
            continue
        if seen != (status.generation, status.version, waits):
            seen = (status.generation, status.version, waits)
            yield status, waits
        if status.phase.ended:
            return
        await asyncio.sleep(LOOK_EVERY.total_seconds())


async def follow(
    migrations: Migrations,
    migration_id: str,
    console: Console,
    on_change: Callable[[MigrationStatus], None] | None = None,
) -> MigrationStatus:
    """Show a migration until it ends; returns its last status."""
    if console.is_terminal:
        return await _live(migrations, migration_id, console, on_change)
    return await _lines(migrations, migration_id, console, on_change)


async def _live(
    migrations: Migrations, migration_id: str, console: Console, on_change: Callable[[MigrationStatus], None] | None
) -> MigrationStatus:
    last = await migrations.status(migration_id)
    with Live(view.screen(last, []), console=console, refresh_per_second=4) as live:
        async for status, waits in changes(migrations, migration_id):
            last = status
            live.update(view.screen(status, waits))
            if on_change:
                on_change(status)
    return last


async def _lines(
    migrations: Migrations, migration_id: str, console: Console, on_change: Callable[[MigrationStatus], None] | None
) -> MigrationStatus:
    said: list[str] = []
    last = None
    async for status, waits in changes(migrations, migration_id):
        last = status
        for line in [f"{status.phase:<18} {status.message}", *(f"{'':<18} … {wait}" for wait in waits)]:
            if line not in said[-4:]:
                console.print(f"{datetime.now().astimezone():%H:%M:%S}  {line}", highlight=False, soft_wrap=True)
                said.append(line)
        if on_change:
            on_change(status)
    if last is None:  # pragma: no cover  `changes` yields at least once
        raise RuntimeError("a migration without a status")
    return last
