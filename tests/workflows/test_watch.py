"""`migrator watch`: it follows a migration to its end, or only until a person must act."""

from io import StringIO

from rich.console import Console

from migration.status import MigrationStatus, Phase
from starter.client import Migrations
from starter.watch import follow
from tests.workflows.stage import Stage


async def followed(stage: Stage, migration_id: str, *, until_asked: bool) -> tuple[MigrationStatus, str]:
    """The last status that was seen, and what was shown."""
    screen = Console(file=StringIO(), width=100)
    last = await follow(Migrations(stage.client, stage.task_queue), migration_id, screen, until_asked=until_asked)
    assert isinstance(screen.file, StringIO)
    return last, screen.file.getvalue()


async def test_a_watch_ends_where_a_person_must_act_if_that_is_enough(stage: Stage) -> None:
    migration = await stage.start_light()
    last, shown = await followed(stage, migration.migration_id, until_asked=True)
    assert (last.phase, last.phase.ended) == (Phase.AWAITING_APPROVAL, False)
    assert last.awaiting is not None
    assert "waiting for approval" in shown
    await migration.approve()
    last, shown = await followed(stage, migration.migration_id, until_asked=True)
    assert last.phase is Phase.COMPLETED
    assert "waiting for approval" not in shown
