"""TicketNoteWorkflow: one entry in a change ticket, written as soon as its system is there."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.tickets import ChangeTickets, RecordOnTicket
    from migration import policies


@workflow.defn
class TicketNoteWorkflow:
    """Writes one note. A child that its migration leaves to itself: a ticket system never holds a migration up."""

    @workflow.run
    async def run(self, note: RecordOnTicket) -> None:
        """Try until it is written; what the system refuses for good fails this workflow, where a person finds it."""
        summary = f"{note.number}: {note.note}"[:200]
        await workflow.execute_activity_method(
            ChangeTickets.record_on_ticket, note, summary=summary, **policies.FORWARD
        )
