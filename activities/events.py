"""What a migration tells on the event bus."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from temporalio import activity

from activities.errors import translated
from activities.running import acting
from migration.canonical import canonical_json
from migration.errors import MigrationExecutionError, Unavailable
from migration.messages import Message
from migration.models import Model
from migration.ports import BusEvent, EventBus


class PutEvents(Model):
    """Send these, in this order."""

    events: tuple[Message, ...]


class EventsPut(Model):
    """How many have left, counted from the first one; None: the settings name no bus."""

    taken: int | None


@dataclass
class Events:
    """The event bus, if there is one."""

    bus: EventBus | None
    act_bound: timedelta

    @activity.defn
    @translated(MigrationExecutionError)
    def put_events(self, request: PutEvents) -> EventsPut:
        """Send; what comes after the first event that was not taken counts as not taken either, to keep the order.

        A repeated event has the id that it had before. Fails, to be tried again, when not even the first was taken.
        """
        if self.bus is None:
            return EventsPut(taken=None)
        with acting(self.act_bound) as attempt:
            attempt.before_call()
            refusals = self.bus.put([bus_event(message) for message in request.events])
        taken = _before_the_first_refusal(refusals)
        if taken < len(request.events):
            words = f"the bus did not take {request.events[taken].id}: {refusals[taken]}"
            if not taken:
                raise Unavailable(words)
            activity.logger.warning(words)
        return EventsPut(taken=taken)


def bus_event(message: Message) -> BusEvent:
    """A message as the bus gets it: its JSON text is the detail."""
    detail = canonical_json(message.model_dump(mode="json", by_alias=True))
    return BusEvent(id=message.id, type=message.type, time=message.timestamp, detail=detail)


def _before_the_first_refusal(refusals: Sequence[str | None]) -> int:
    return next((place for place, refusal in enumerate(refusals) if refusal is not None), len(refusals))
