"""AfterwordWorkflow: what a migration could not say before its end, because its store or its bus was down."""

import asyncio

from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from activities.state import MigrationState, SaveState
    from migration import policies
    from migration.messages import Message
    from migration.models import Model
    from migration.status import MigrationStatus
    from workflows.events import EventOutbox


class Afterword(Model):
    """The last row of the read model, if it was not written, and the events that did not leave."""

    row: SaveState | None = None
    events: tuple[Message, ...] = ()


def afterword_id(status: MigrationStatus, run_id: str) -> str:
    """The workflow id; the slash keeps it apart from every migration id. The run stands for a generation of none."""
    return f"afterword/{status.migration_id}/{status.generation or run_id}"


@workflow.defn
class AfterwordWorkflow:
    """Lets out what is left, whenever that becomes possible."""

    @workflow.run
    async def run(self, afterword: Afterword) -> None:
        """End when everything has left."""
        await asyncio.gather(self._save(afterword.row), EventOutbox(afterword.events).send())

    async def _save(self, row: SaveState | None) -> None:
        if row is None:
            return
        try:
            await workflow.execute_activity_method(
                MigrationState.save_state, row, summary="the migration's last row", **policies.RECORD
            )
        except FailureError as error:
            workflow.logger.warning("the read model refused a row", extra={"reason": str(error.__cause__ or error)})
