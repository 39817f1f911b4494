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

Seen = AsyncIterator[tuple[MigrationStatus, list[str]]]
"""A status, and what the activities wait for, after every change."""


async def changes(migrations: Migrations, migration_id: str, *, until_asked: bool = False) -> Seen:
    """The status after every change, and what the activities wait for; ends with the migration.

    Once it has been seen, a worker that is away for a while does not end the watch.

    Args:
        migrations: Where it is looked at.
        migration_id: Which one.
        until_asked: End also when a person must act.
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
        if status.phase.ended or (until_asked and status.awaiting):
            return
        await asyncio.sleep(LOOK_EVERY.total_seconds())


async def follow(
    migrations: Migrations,
    migration_id: str,
    console: Console,
    on_change: Callable[[MigrationStatus], None] | None = None,
    *,
    until_asked: bool = False,
) -> MigrationStatus:
    """Show a migration until it ends, or a person must act where that is enough; returns its last status."""
    seen = _noticed(changes(migrations, migration_id, until_asked=until_asked), on_change)
    if console.is_terminal:
        return await _live(seen, await migrations.status(migration_id), console)
    return await _lines(seen, console)


async def _noticed(seen: Seen, on_change: Callable[[MigrationStatus], None] | None) -> Seen:
    async for status, waits in seen:
        yield status, waits
        if on_change:
            on_change(status)


async def _live(seen: Seen, last: MigrationStatus, console: Console) -> MigrationStatus:
    with Live(view.screen(last, []), console=console, refresh_per_second=4) as live:
        async for status, waits in seen:
            last = status
            live.update(view.screen(status, waits))
    return last


async def _lines(seen: Seen, console: Console) -> MigrationStatus:
    said: list[str] = []
    last = None
    async for status, waits in seen:
        last = status
        for line in [f"{status.phase:<18} {status.message}", *(f"{'':<18} … {wait}" for wait in waits)]:
            if line not in said[-4:]:
                console.print(f"{datetime.now().astimezone():%H:%M:%S}  {line}", highlight=False, soft_wrap=True)
                said.append(line)
    if last is None:  # pragma: no cover  `changes` yields at least once
        raise RuntimeError("a migration without a status")
    return last
