"""The decision desk: what people decide reaches a migration here, as a signal or as an update of the same name.

Both carry plain JSON and share one handler under a lock. Every decision is kept, the refused ones with the reason.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, NoReturn

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from migration import policies
    from migration.decisions import (
        DECISIONS,
        Abandon,
        Acknowledge,
        Approve,
        Commit,
        Decision,
        DecisionAnswer,
        DecisionName,
        Reject,
        Reschedule,
        Retry,
        Rollback,
        Skip,
    )
    from migration.models import Model
    from migration.parsing import RequestErrors, parse_model
    from migration.request import MigrationRequest, RollbackTo
    from migration.status import Approval, DecisionRecord, Phase, Window
    from workflows.border import json_text
    from workflows.journal import Journal
    from workflows.saga import Stop

REFUSED = "DecisionRefused"


class Answer(Model):
    """A person's answer to a question: try again, or leave it."""

    retry: bool
    by: str
    reason: str | None = None
    undo: str | None = None


class Refused(Exception):  # noqa: N818  an answer to a person
    """The decision is not possible now, and why."""


class DecisionDesk:
    """Takes decisions, keeps them, and holds what they changed for the migration to see."""

    def __init__(self, request: MigrationRequest, journal: Journal, interrupt: Callable[[], None]) -> None:
        """`interrupt` makes the way forward stop where it stands."""
        self._request = request
        self._journal = journal
        self._interrupt = interrupt
        self.stop: Stop | None = None
        self.answer: Answer | None = None
        self.committed_by: str | None = None
        self.left: tuple[str, ...] = ()
        self.ending = False

    @property
    def status(self) -> Any:
        """The migration's status."""
        return self._journal.status

    # --- taking ----------------------------------------------------------------------------------------------

    def take(self, name: DecisionName, payload: RawValue) -> DecisionAnswer:
        """Take one decision, or refuse it; both are kept."""
        try:
            decision = parse_decision(name, payload)
        except RequestErrors as errors:
            self.keep(name, None, accepted=False, message=str(errors))
            raise Refused(str(errors)) from None
        try:
            message = self._rules()[type(decision)](decision)
        except Refused as refusal:
            self.keep(name, decision, accepted=False, message=str(refusal))
            raise
        self.keep(name, decision, accepted=True, message=message)
        return DecisionAnswer(message=message, phase=self.status.phase)

    def keep(self, name: str, decision: Decision | None, *, accepted: bool, message: str) -> None:
        """Remember a decision; the oldest are forgotten."""
        record = DecisionRecord(
            name=name,
            at=workflow.now(),
            accepted=accepted,
            message=message,
            by=decision.by if decision else None,
            comment=decision.comment if decision else None,
        )
        self.status.decisions = [*self.status.decisions, record][-policies.DECISIONS_KEPT :]
        self._journal.changed(f"{name} {'by ' + record.by if accepted and record.by else 'refused'}: {message}")

    def turn_back(self, stop: Stop) -> None:
        """Stop the way forward; a deeper or later word wins over an earlier one."""
        self.stop = stop
        self._interrupt()

    # --- rules, one a decision -------------------------------------------------------------------------------

    def _rules(self) -> dict[type[Decision], Callable[[Any], str]]:
        return {
            Approve: self._approve,
            Reject: self._reject,
            Rollback: self._rollback,
            Abandon: self._abandon,
            Retry: self._retry,
            Skip: self._skip,
            Acknowledge: self._acknowledge,
            Reschedule: self._reschedule,
            Commit: self._commit,
        }

    def _approve(self, decision: Approve) -> str:
        rules = self._gate("approve")
        self._may_approve(decision.by)
        if self.status.evidence_hash is None:
            raise Refused("the evidence is still being gathered: approve when it is there")
        if decision.evidence_hash and decision.evidence_hash != self.status.evidence_hash:
            raise Refused(f"the evidence has changed since: its hash is {self.status.evidence_hash} now")
        holding = self._holding(workflow.now())
        if any(_same(decision.by, given.approver) for given in holding):
            raise Refused(f"{decision.by} has approved already")
        approval = Approval(
            approver=decision.by, at=workflow.now(), comment=decision.comment, evidence_hash=self.status.evidence_hash
        )
        self.status.approvals = [*holding, approval]
        return f"approval {len(self.status.approvals)} of {rules.minimum}"

    def _reject(self, decision: Reject) -> str:
        self._gate("reject")
        if not any(_same(decision.by, approver) for approver in self._approvers()):
            raise Refused(f"{decision.by} is not an approver; approvers are {', '.join(self._approvers())}")
        to = decision.to or RollbackTo.START
        why = f"rejected by {decision.by}" + (f": {decision.comment}" if decision.comment else "")
        self.turn_back(Stop(outcome=Phase.REJECTED, to=to, reason=why, by=decision.by))
        return "rejected: everything is undone" if to is RollbackTo.START else "rejected: back to replicating"

    def _rollback(self, decision: Rollback) -> str:
        self._reversible("rollback")
        to = decision.to or self._request.rollback.to
        why = f"rollback by {decision.by}" + (f": {decision.comment}" if decision.comment else "")
        self.turn_back(Stop(outcome=Phase.ROLLED_BACK, to=to, reason=why, by=decision.by))
        return f"rolling back to {to}"

    def _abandon(self, decision: Abandon) -> str:
        self._reversible("abandon")
        why = f"abandoned by {decision.by}: {decision.reason}"
        self.turn_back(Stop(outcome=Phase.CANCELLED, to=RollbackTo.START, reason=why, by=decision.by))
        return "abandoned: everything is undone"

    def _retry(self, decision: Retry) -> str:
        self._asked("retry", decision.undo)
        self.answer = Answer(retry=True, by=decision.by, undo=decision.undo)
        return "trying again"

    def _skip(self, decision: Skip) -> str:
        self._asked("skip", decision.undo)
        self.answer = Answer(retry=False, by=decision.by, reason=decision.reason, undo=decision.undo)
        return "skipped"

    def _acknowledge(self, decision: Acknowledge) -> str:
        known = {finding.code for finding in self.status.findings}
        if unknown := set(decision.codes or ()) - known:
            raise Refused(f"there is no finding {', '.join(sorted(unknown))}; findings are {', '.join(sorted(known))}")
        codes = set(decision.codes) if decision.codes is not None else known
        self.status.acknowledged = sorted({*self.status.acknowledged, *codes})
        return f"acknowledged: {', '.join(sorted(codes)) or 'nothing'}"

    def _reschedule(self, decision: Reschedule) -> str:
        if self.status.down_since is not None or self.status.divergence_since is not None or self._over():
            raise Refused(f"the cutover has begun: a migration that is {self.status.phase} has no window to move")
        if decision.not_after <= workflow.now():
            raise Refused("the window is in the past: notAfter must be later than now")
        self.status.window = Window(not_before=decision.not_before, not_after=decision.not_after)
        return f"the cutover may start between {decision.not_before} and {decision.not_after}"

    def _commit(self, decision: Commit) -> str:
        if self.status.phase is not Phase.SOAKING and "commit" not in self._choices():
            raise Refused(f"commit ends a soak; the migration is {self.status.phase}")
        self.committed_by = decision.by
        return "committed: the point of no return comes next"

    # --- conditions ------------------------------------------------------------------------------------------

    def _gate(self, what: str) -> Any:
        if self.status.phase is not Phase.AWAITING_APPROVAL or self._request.approval is None:
            raise Refused(f"{what} is possible while the migration is AWAITING_APPROVAL; it is {self.status.phase}")
        return self._request.approval

    def _approvers(self) -> tuple[str, ...]:
        return self._request.approval.approvers if self._request.approval else ()

    def _may_approve(self, who: str) -> None:
        rules = self._request.approval
        if rules is None or not any(_same(who, approver) for approver in rules.approvers):
            raise Refused(f"{who} is not an approver; approvers are {', '.join(self._approvers())}")
        if _same(who, self._request.requested_by) and not rules.requester_may_approve:
            raise Refused(f"{who} requested this migration: another person has to approve it")

    def _reversible(self, what: str) -> None:
        if self.status.past_point_of_no_return:
            raise Refused(f"{what} is refused: the migration is past its point of no return, it only goes forward")
        if self._over() or self.status.phase in (Phase.ROLLING_BACK, Phase.ROLLBACK_INCOMPLETE):
            raise Refused(f"{what} is refused: the migration is {self.status.phase}")
        if self.ending:
            raise Refused(f"{what} is refused: the migration is ending")
        if self.stop is not None and self.stop.to is RollbackTo.START:
            raise Refused(f"{what} is refused: everything is undone already, {self.stop.reason}")

    def _asked(self, what: str, undo: str | None) -> None:
        if what not in self._choices():
            raise Refused(f"nothing waits for {what}: the migration is {self.status.phase}")
        if undo is not None and undo not in self.left:
            raise Refused(f"there is no undo {undo} left; left are {', '.join(self.left) or 'none'}")

    def _choices(self) -> tuple[str, ...]:
        return self.status.awaiting.choices if self.status.awaiting else ()

    def _over(self) -> bool:
        return bool(self.status.phase.ended)

    def quorum(self, now: datetime) -> bool:
        """Whether enough approvals hold at this moment; those older than `expiresAfter` do not."""
        rules = self._request.approval
        return rules is not None and len(self._holding(now)) >= rules.minimum

    def _holding(self, now: datetime) -> list[Approval]:
        expires_after = self._request.approval.expires_after if self._request.approval else None
        return [given for given in self.status.approvals if expires_after is None or given.at + expires_after > now]


def parse_decision(name: DecisionName, payload: RawValue) -> Decision:
    """The decision in a payload. Raises `RequestErrors` with every path that is wrong."""
    return parse_model(json_text(payload), DECISIONS[name])


def _same(one: str, other: str) -> bool:
    return one.casefold() == other.casefold()


class TakesDecisions:
    """Gives a workflow one signal and one update for each decision (see the end of this file)."""

    _desk: DecisionDesk | None = None
    _desk_lock: asyncio.Lock

    async def _take(self, name: DecisionName, payload: RawValue) -> DecisionAnswer:
        await workflow.wait_condition(lambda: self._desk is not None)
        async with self._desk_lock:
            if self._desk is None:  # pragma: no cover  waited for above; for the type checker
                raise Refused("the migration has not begun")
            return self._desk.take(name, payload)


Handler = Callable[..., Awaitable[Any]]


def _signal_handler(name: DecisionName) -> Handler:
    async def handle(self, payload: RawValue) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001  see _offer
        try:
            await self._take(name, payload)
        except Refused as refusal:
            about = {"correlation_id": self._desk.status.correlation_id, "decision": name, "reason": str(refusal)}
            workflow.logger.info("decision refused", extra=about)

    return handle


def _update_handler(name: DecisionName) -> Handler:
    async def handle(self, payload: RawValue) -> DecisionAnswer:  # type: ignore[no-untyped-def]  # noqa: ANN001  see _offer
        try:
            answer: DecisionAnswer = await self._take(name, payload)
        except Refused as refusal:
            _refuse(str(refusal))
        return answer

    return handle


def _shape_check(name: DecisionName) -> Callable[..., None]:
    def check(self, payload: RawValue) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001, ARG001  see _offer
        try:
            parse_decision(name, payload)
        except RequestErrors as errors:
            _refuse(str(errors))

    return check


def _refuse(message: str) -> NoReturn:
    raise ApplicationError(message, type=REFUSED, non_retryable=True)


def _offer(name: DecisionName, about: str | None) -> None:
    """Add the signal and the update of that name.

    The SDK counts a parameter as `self` only where it has no annotation, and reads a payload as RawValue only
    where the count of parameters fits: hence the bare `self` of the handlers.
    """
    # A migration waits for its handlers before it ends; one whose request is refused never answers them.
    unanswered = workflow.HandlerUnfinishedPolicy.ABANDON
    signal = workflow.signal(name=name, description=about, unfinished_policy=unanswered)(_signal_handler(name))
    update = workflow.update(name=name, description=about, unfinished_policy=unanswered)(_update_handler(name))
    update.validator(_shape_check(name))
    setattr(TakesDecisions, f"{name}_signal", signal)
    setattr(TakesDecisions, f"{name}_update", update)


for _name, _model in DECISIONS.items():
    _offer(_name, _model.__doc__)
