"""Change tickets: what change management says of a change, and what it is told."""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from migration.models import Model


class Ticket(Model):
    """A change ticket as it is now.

    Attributes:
        id: Its key in the system; `number` is what people call it.
        state: Where it stands, in words.
        approval: What its approvers say, in the system's own word.
        to_be_done: Its state is one in which the change may be carried out.
        over: It is closed or cancelled: nothing more comes of it.
        notes: Everything in its work notes, the marks of earlier notes among it.
    """

    id: str
    number: str
    state: str
    to_be_done: bool
    over: bool
    approval: str
    approved: bool
    on_hold: bool
    starts: datetime | None = None
    ends: datetime | None = None
    notes: str = ""


class TicketSystem(Protocol):
    """The change tickets of one system (ServiceNow's change requests)."""

    def ticket(self, number: str) -> Ticket:
        """Read a ticket by its number. Raises `NotFound`, or `Conflict` when several have it."""

    def add_note(self, ticket_id: str, note: str) -> None:
        """Append one work note. Not safe to repeat: whoever calls has looked for its mark in `Ticket.notes`."""

    def advance(self, ticket_id: str, *, code: str, notes: str) -> bool:
        """Bring a ticket one state closer to closed, which the last one does with this close code and these notes.

        Returns:
            False when it is over already; then nothing was done.
        """


TicketSystems = Callable[[str], TicketSystem]
