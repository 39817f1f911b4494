"""The events of a migration on their way to the bus: in order, and never held against the migration."""

from collections.abc import Iterable

from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from activities.events import Events, PutEvents
    from migration import policies
    from migration.messages import Message, MessageType
    from migration.status import MigrationStatus


class EventOutbox:
    """What is still to be told, oldest first.

    Attributes:
        waiting: What the bus has not taken yet.
        emitted: How many there were in all: the last one's sequence.
    """

    def __init__(self, waiting: Iterable[Message] = (), emitted: int = 0) -> None:
        """Begin with what an earlier run left."""
        self.waiting = list(waiting)
        self.emitted = emitted
        self._no_bus = False

    @property
    def idle(self) -> bool:
        """Whether nothing is going to leave now."""
        return self._no_bus or not self.waiting

    def add(self, kind: MessageType, status: MigrationStatus) -> None:
        """Queue an event about the migration as it is now; of too many, the oldest are given up."""
        self.emitted += 1
        run = workflow.info().first_execution_run_id
        event = Message.about(kind, status, sequence=self.emitted, at=workflow.now(), run=run)
        most = policies.EVENTS_KEPT_WITHOUT_A_BUS if self._no_bus else policies.EVENTS_KEPT
        self.waiting = [*self.waiting, event][-most:]

    async def publish(self) -> None:
        """Send what there is, for as long as the workflow runs."""
        while True:
            await workflow.wait_condition(lambda: not self.idle)
            await self.send()

    async def send(self) -> None:
        """Send until nothing is left, or there turns out to be no bus: then everything stays, for the next run."""
        while not self.idle:
            try:
                await self._send_some()
            except FailureError as error:  # no migration ends over an event: somebody may mend what is wrong
                workflow.logger.warning("events could not be sent", extra={"reason": str(error.__cause__ or error)})
                await workflow.sleep(policies.EVENTS_PAUSE, summary="until events are tried again")

    async def _send_some(self) -> None:
        batch = tuple(self.waiting[: policies.EVENTS_AT_ONCE])
        more = f" and {len(batch) - 1} more" if len(batch) > 1 else ""
        put = await workflow.execute_activity_method(
            Events.put_events, PutEvents(events=batch), summary=f"event {batch[0].type}{more}", **policies.RECORD
        )
        self._no_bus = put.taken is None
        gone = {event.id for event in batch[: put.taken or 0]}
        self.waiting = [event for event in self.waiting if event.id not in gone]
