"""Work notes of a change ticket, which leave while nobody waits for them."""

import asyncio

from temporalio.client import Client


async def notes_are_written(client: Client, migration_id: str, *, within: float) -> None:
    """Wait for every note of a migration that has ended; each is written by a workflow of its own.

    Args:
        client: Where the workflows are.
        migration_id: The migration that the ticket was told of.
        within: Seconds for all of them together.

    Raises:
        TimeoutError: One of them still tries.
        WorkflowFailureError: The ticket's system refused one for good.
    """
    notes = f"WorkflowType = 'TicketNoteWorkflow' AND WorkflowId STARTS_WITH '{migration_id}/'"
    async with asyncio.timeout(within):
        async for note in client.list_workflows(notes):
            await client.get_workflow_handle(note.id).result()
