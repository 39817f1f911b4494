"""Change tickets in memory."""

from datetime import UTC, datetime, timedelta
from typing import Any

from migration.errors import NotFound
from migration.ports import Ticket
from tests.fakes.calls import Faulty

_STATES = ("Scheduled", "Implement", "Review", "Closed")


def a_ticket(number: str = "CHG0030001", **changes: Any) -> Ticket:
    """A ticket that allows a cutover now."""
    now = datetime.now(UTC)
    usual = {
        "state": "Scheduled",
        "to_be_done": True,
        "over": False,
        "approval": "Approved",
        "approved": True,
        "on_hold": False,
        "starts": now - timedelta(hours=1),
        "ends": now + timedelta(hours=1),
    }
    return Ticket(id=f"id-{number}", number=number, **(usual | changes))


class FakeTickets(Faulty):
    """Tickets by number."""

    def __init__(self, *tickets: Ticket) -> None:
        """Start with these."""
        super().__init__()
        self.tickets = {ticket.number: ticket for ticket in tickets}

    def ticket(self, number: str) -> Ticket:
        self.look("ticket")
        if number not in self.tickets:
            raise NotFound(f"no ticket {number}")
        return self.tickets[number]

    def change(self, number: str, **changes: Any) -> None:
        """Somebody else has changed the ticket."""
        self.tickets[number] = self.tickets[number].model_copy(update=changes)

    def add_note(self, ticket_id: str, note: str) -> None:
        number = ticket_id.removeprefix("id-")
        with self.effect("add_note", ticket_id):
            self.change(number, notes=f"{note}\n\n{self.tickets[number].notes}")

    def advance(self, ticket_id: str, *, code: str, notes: str) -> bool:
        number = ticket_id.removeprefix("id-")
        if self.tickets[number].over:
            return False
        state = _STATES[_STATES.index(self.tickets[number].state) + 1]
        with self.effect("advance", state, *((code, notes) if state == "Closed" else ())):
            self.change(number, state=state, over=state == "Closed")
        return True
