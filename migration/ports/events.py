"""The event bus: what other systems may subscribe to."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from migration.models import Model


class BusEvent(Model):
    """One event for the bus.

    Attributes:
        id: The same however often it is sent; part of the detail, since the bus gives ids of its own.
        type: The detail type, such as `MigrationStatusChanged`.
        detail: The JSON text of the detail.
    """

    id: str
    type: str
    time: datetime
    detail: str


class EventBus(Protocol):
    """A bus (Amazon EventBridge)."""

    def put(self, events: Sequence[BusEvent]) -> Sequence[str | None]:
        """Send these events; returns why each was not taken, None where it was, in the order of the events.

        Raises `Unavailable` when the bus took nothing at all, `PrerequisiteError` when it is missing or refuses us.
        """
