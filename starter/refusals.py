"""A refusal goes out three ways: onto the event bus, to the requester's endpoint, and into the dead-letter queue."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from temporalio.client import Client, WorkflowHandle
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from activities.events import bus_event
from adapters.sqs import RequestQueue
from migration.errors import MigrationError, Unavailable
from migration.memo import CORRELATION_ID
from migration.messages import Message, RequestRefused
from migration.ports import EventBus
from starter.incoming import Incoming
from workflows.callbacks import OpenCallbacks

logger = structlog.get_logger("ingress")

CALLBACKS = "CallbackWorkflow"
TRIES_OF_THE_BUS = 5
"""Receptions of a message after which its refusal goes without its event: fewer than any queue should allow."""


def refusal_callbacks_id(message_id: str) -> str:
    """The id of the workflow that tells a requester of one refusal.

    It belongs to the message: the migrationId may well be that of a migration with callbacks of its own.
    """
    return f"callbacks/refused/{message_id}"


@dataclass(frozen=True)
class Refusals:
    """Lets refusals out; all of it may be repeated: whoever hears of one twice can tell by its id.

    Attributes:
        queue: Where refused messages go.
        bus: None: nobody subscribes to refusals.
        client: Of the Temporal server whose workers deliver callbacks.
        task_queue: Theirs.
    """

    queue: RequestQueue
    bus: EventBus | None
    client: Client
    task_queue: str

    async def refuse(self, incoming: Incoming, reasons: Sequence[str], error_type: str) -> None:
        """Tell everybody. The dead letter is the last, since it is the one that a repeat would show to people twice.

        Raises:
            Unavailable: Somebody could not be told; the message is to come again.
        """
        refusal = _refusal(incoming, reasons, error_type)
        await self._publish(incoming, refusal)
        if incoming.callback_url:
            await self._call_back(incoming, incoming.callback_url, refusal)
        await asyncio.to_thread(
            self.queue.send_to_dead_letter,
            incoming.message,
            reasons,
            error_type=error_type,
            correlation_id=incoming.correlation_id,
        )

    async def _publish(self, incoming: Incoming, refusal: Message) -> None:
        """Put it on the bus; one that takes nothing is waited for, for a bounded time."""
        if self.bus is None:
            return
        try:
            (trouble,) = await asyncio.to_thread(self.bus.put, [bus_event(refusal)])
        except MigrationError as error:
            trouble = str(error)
        if trouble is None:
            return
        if incoming.message.receive_count < TRIES_OF_THE_BUS:
            raise Unavailable(f"the event bus did not take the refusal: {trouble}")
        logger.warning("the refusal goes without its event", reason=trouble)

    async def _call_back(self, incoming: Incoming, url: str, refusal: Message) -> None:
        """Start a callback workflow with this one message; it ends when that is delivered, or given up."""
        opened = OpenCallbacks(
            migration_id=incoming.migration_id or incoming.message.id, url=url, secret=incoming.callback_secret
        )
        try:
            with suppress(WorkflowAlreadyStartedError):  # it has ended already
                handle = await self.client.start_workflow(
                    CALLBACKS,
                    opened,
                    id=refusal_callbacks_id(incoming.message.id),
                    task_queue=self.task_queue,
                    id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                    static_summary=f"Callback of the refused message {incoming.message.id}",
                    memo={CORRELATION_ID: incoming.correlation_id},
                    start_signal="deliver",
                    start_signal_args=[refusal],
                )
                await _close(handle)
        except RPCError as error:
            raise Unavailable(f"the callback cannot be handed over: {error.message}") from error


async def _close(callbacks: WorkflowHandle[Any, Any]) -> None:
    """Say that no message follows; one that has ended since its start needs no telling."""
    try:
        await callbacks.signal("close")
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise


def _refusal(incoming: Incoming, reasons: Sequence[str], error_type: str) -> Message:
    refused = RequestRefused(
        message_id=incoming.message.id,
        migration_id=incoming.migration_id,
        correlation_id=incoming.correlation_id,
        error_type=error_type,
        reasons=tuple(reasons),
    )
    return Message.refused(refused, at=datetime.now(UTC))
