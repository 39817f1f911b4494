"""The change ticket of a migration: asked before the source is stopped, and told what happens."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Literal

from temporalio import workflow
from temporalio.exceptions import WorkflowAlreadyStartedError

with workflow.unsafe.imports_passed_through():
    from activities.tickets import AwaitTicket, ChangeTickets, RecordOnTicket, TicketState
    from migration import policies
    from migration.request import ChangeTicket
    from migration.status import Awaiting, Phase
    from migration.steps import Step
    from workflows.context import Scene
    from workflows.ticket_note import TicketNoteWorkflow
    from workflows.together import to_its_end


class ChangeControl(Scene):
    """What change management wants of a migration; nothing at all where the request names no ticket."""

    async def allows(self) -> None:
        """Wait at the gate until the ticket allows the cutover, and say what is wrong with it until then."""
        ticket, seen = self._request.change, None
        if ticket is None:
            return
        while (seen := await self._look(ticket, seen)).problem is not None:
            awaiting = Awaiting(
                what="change",
                message=seen.problem,
                who=("change management",),
                choices=("reject", "reschedule", "rollback", "abandon"),
                until=seen.until,
            )
            self._journal.phase(Phase.AWAITING_APPROVAL, seen.problem, awaiting)
        if self._status.awaiting is not None:
            self._journal.phase(Phase.AWAITING_APPROVAL, f"{ticket.number} allows the cutover")

    async def looked_at(self, known: TicketState | None = None) -> TicketState:
        """Whether the ticket allows the cutover now; with what is `known`, when that is no longer so."""
        ticket = self._request.change
        return TicketState() if ticket is None else await self._look(ticket, known)

    async def _look(self, ticket: ChangeTicket, known: TicketState | None) -> TicketState:
        request = AwaitTicket(connection=ticket.connection or "", number=ticket.number, known=known)
        return await self._context.do(
            ChangeTickets.await_ticket, request, policies.WAIT, f"see whether {ticket.number} allows the cutover"
        )

    # --- what it is told -------------------------------------------------------------------------------------

    async def note(self, step: Step, note: str) -> None:
        """Tell of this entry of a step."""
        await self._tell(step, step, note)

    async def rolls_back(self, reason: str) -> None:
        """Tell of a rollback from the gate or behind it."""
        if self._reached(Step.APPROVE):
            await self._tell(Step.APPROVE, "rollback", f"rolling back: {reason}")

    async def succeeded(self) -> None:
        """Close the ticket: the target serves, and nothing leads back."""
        await self._tell(Step.FINALIZE, "end", "finalized: the target serves for good", close="successful")

    async def ended(self, phase: Phase, message: str) -> None:
        """Tell of an end that was no success; the ticket is closed if users noticed, and else stays for another try."""
        if phase is Phase.COMPLETED or not self._reached(Step.APPROVE):
            return
        begun = self._status.down_since is not None or self._status.downtime > timedelta(0)
        close: Literal["unsuccessful"] | None = "unsuccessful" if begun else None
        told = await self._tell(Step.APPROVE, "end", f"ended as {phase}: {message}", close=close)
        if told is not None:
            with suppress(TimeoutError):
                await workflow.wait_condition(
                    told.done, timeout=policies.PUBLISH_AT_END, timeout_summary="last note to leave"
                )

    def _reached(self, step: Step) -> bool:
        return self._journal.progress(step).entry > 0

    async def _tell(
        self, step: Step, part: str, note: str, *, close: Literal["successful", "unsuccessful"] | None = None
    ) -> "asyncio.Task[None] | None":
        """Leave the note to a workflow of its own, whose start is all that is waited for."""
        ticket = self._request.change
        if ticket is None:
            return None
        mark = self._context.mark(step, f"ticket-{part}")
        at = f"{workflow.now():%Y-%m-%d %H:%M:%S %Z}"
        words = f"{self._status.migration_id}, {at}: {note}"
        request = RecordOnTicket(
            connection=ticket.connection or "", number=ticket.number, mark=mark, note=words, close=close
        )
        with suppress(WorkflowAlreadyStartedError):
            told = await to_its_end(
                workflow.start_child_workflow(
                    TicketNoteWorkflow.run,
                    request,
                    id=str(mark),
                    parent_close_policy=workflow.ParentClosePolicy.ABANDON,
                    static_summary=f"{ticket.number}: {note}"[:200],
                )
            )
            told.add_done_callback(_looked_at)
            return told
        return None


def _looked_at(told: "asyncio.Task[None]") -> None:
    """A note that its system refuses fails its own workflow, and nothing here."""
    if not told.cancelled():
        told.exception()
