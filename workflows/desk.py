"""The decision desk: what people decide is judged here, taken or refused in words, and kept either way."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from activities.approvals import Approvals, VerifySignature
    from migration import metrics, policies
    from migration.changes import Changed, changed
    from migration.decisions import (
        DECISIONS,
        Abandon,
        Acknowledge,
        Approve,
        Commit,
        Decision,
        DecisionAnswer,
        DecisionName,
        KeepSource,
        Pause,
        Reject,
        Reschedule,
        Resume,
        Retry,
        Rollback,
        Skip,
    )
    from migration.findings import Finding
    from migration.messages import MessageType
    from migration.models import Model
    from migration.parsing import RequestErrors, parse_model
    from migration.request import MigrationRequest, RollbackTo
    from migration.status import Acknowledgement, Approval, DecisionRecord, MigrationStatus, Phase, Window
    from workflows.border import json_text
    from workflows.journal import Journal, failure_of
    from workflows.saga import Stop


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

    def __init__(self, text: str, journal: Journal, interrupt: Callable[[], None]) -> None:
        """`text` is the request as it came; `interrupt` makes the way forward stop where it stands."""
        self._text = text
        self._journal = journal
        self._interrupt = interrupt
        self.changes: list[Changed] = []
        self.stop: Stop | None = None
        self.answer: Answer | None = None
        self.committed_by: str | None = None
        self.left: tuple[str, ...] = ()
        self.ending = False

    @property
    def status(self) -> MigrationStatus:
        """The migration's status."""
        return self._journal.status

    @property
    def _request(self) -> MigrationRequest:
        return self._journal.request

    # --- taking ----------------------------------------------------------------------------------------------

    async def take(self, name: DecisionName, payload: RawValue) -> DecisionAnswer:
        """Take one decision, or refuse it; both are kept."""
        if (known := self._taken_before()) is not None:
            if known.accepted:
                return DecisionAnswer(message=known.message, phase=self.status.phase)
            raise Refused(known.message)
        decision = None
        try:
            decision = parse_decision(name, payload)
            if isinstance(decision, Approve | Reject):
                await self._signed(decision)
            message = self._rules()[type(decision)](decision)
        except (RequestErrors, Refused) as refusal:
            self.keep(name, decision, accepted=False, message=str(refusal))
            raise Refused(str(refusal)) from None
        self.keep(name, decision, accepted=True, message=message)
        return DecisionAnswer(message=message, phase=self.status.phase)

    def _taken_before(self) -> DecisionRecord | None:
        """What became of this very update in an earlier run: Temporal tells repeated ones apart within a run only."""
        sent_as = _update_id()
        return next((r for r in self.status.decisions if r.update_id == sent_as), None) if sent_as else None

    def keep(self, name: str, decision: Decision | None, *, accepted: bool, message: str) -> None:
        """Remember a decision; the oldest are forgotten."""
        record = DecisionRecord(
            name=name,
            at=workflow.now(),
            accepted=accepted,
            message=message,
            by=decision.by if decision else None,
            comment=decision.comment if decision else None,
            update_id=_update_id(),
        )
        self.status.decisions = [*self.status.decisions, record][-policies.DECISIONS_KEPT :]
        result = "taken" if accepted else "refused"
        metrics.DECISIONS_MADE.add(workflow.metric_meter(), decision=name, result=result)
        self._journal.changed(f"{name} {'by ' + record.by if accepted and record.by else 'refused'}: {message}")
        if not accepted:
            self._journal.tell(MessageType.DECISION_REFUSED)

    def lapse(self, reason: str) -> None:
        """Approvals that were given hold no longer, and why."""
        given, self.status.approvals, self.status.evidence_hash = self.status.approvals, [], None
        who = ", ".join(approval.approver for approval in given)
        message = f"the approvals of {who} have lapsed: {reason}" if given else f"the evidence has changed: {reason}"
        self._journal.changed(message)
        record = DecisionRecord(name="approve", at=workflow.now(), accepted=False, message=message, by=who or None)
        self.status.decisions = [*self.status.decisions, record][-policies.DECISIONS_KEPT :]

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
            Pause: self._pause,
            Resume: self._resume,
            KeepSource: self._keep_source,
        }

    def _approve(self, decision: Approve) -> str:
        if decision.for_ == "delete":
            return self._approve_deletion(decision)
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

    def _approve_deletion(self, decision: Approve) -> str:
        """The second approval, by the rules of the first: that the retired source may be deleted."""
        awaiting, rules = self.status.awaiting, self._request.approval
        if awaiting is None or awaiting.what != "delete" or rules is None:
            raise Refused(f"no source waits for an approval of its deletion: the migration is {self.status.phase}")
        self._may_approve(decision.by)
        given = self.status.deletion_approvals
        if any(_same(decision.by, approval.approver) for approval in given):
            raise Refused(f"{decision.by} has approved the deletion already")
        approval = Approval(approver=decision.by, at=workflow.now(), comment=decision.comment)
        self.status.deletion_approvals = [*given, approval]
        return f"approval {len(self.status.deletion_approvals)} of {rules.minimum} of deleting the source"

    def _reject(self, decision: Reject) -> str:
        self._gate("reject")
        if not any(_same(decision.by, approver) for approver in self._approvers()):
            raise Refused(f"{decision.by} is not an approver; approvers are {', '.join(self._approvers())}")
        to = decision.to or RollbackTo.READY
        why = f"rejected by {decision.by}" + (f": {decision.comment}" if decision.comment else "")
        self.turn_back(Stop(outcome=Phase.REJECTED, to=to, reason=why, by=decision.by))
        return "rejected: everything is undone" if to is RollbackTo.START else "rejected: back to replicating (ready)"

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
        self._asked("retry", decision)
        words = self._change(decision) if decision.change else ""
        self.answer = Answer(retry=True, by=decision.by, undo=decision.undo)
        return f"trying again{words}"

    def _change(self, decision: Retry) -> str:
        """Put a changed setting in force, for the failed step and everything after it."""
        step = self.status.awaiting.step if self.status.awaiting else None
        if step is None or decision.change is None:
            raise Refused("a setting is changed with the retry of a failed step; none waits for one")
        changes = [*self.changes, Changed(step=step, change=decision.change)]
        try:
            self._journal.request = changed(self._text, changes)
        except (ValueError, RequestErrors) as error:
            raise Refused(str(error)) from None
        self.changes = changes
        return f", with another {', '.join(decision.change.names)}"

    def _skip(self, decision: Skip) -> str:
        self._asked("skip", decision)
        self.answer = Answer(retry=False, by=decision.by, reason=decision.reason, undo=decision.undo)
        return "skipped"

    def _acknowledge(self, decision: Acknowledge) -> str:
        known = {name for finding in self.status.findings for name in (finding.code, finding.key)}
        if unknown := set(decision.codes or ()) - known:
            raise Refused(f"there is no finding {', '.join(sorted(unknown))}; findings are {', '.join(sorted(known))}")
        meant = [one for one in self.status.open_warnings if _is_among(one, decision.codes)]
        self.status.acknowledged = [*self.status.acknowledged, *(_acknowledgement(one, decision) for one in meant)]
        return f"acknowledged: {', '.join(one.key for one in meant) or 'nothing new'}"

    def _reschedule(self, decision: Reschedule) -> str:
        if self.status.down_since is not None or self.status.divergence_since is not None or self._over():
            raise Refused(f"the cutover has begun: a migration that is {self.status.phase} has no window to move")
        if decision.not_after <= workflow.now():
            raise Refused("the window is in the past: notAfter must be later than now")
        takes = self.status.test.took if self.status.test else policies.NO_LAG
        window = Window.between(decision.not_before, decision.not_after, takes)
        if window.latest_start <= max(decision.not_before, workflow.now()):
            takes_words = f"a launch of this application takes {takes}, and its way back as long"
            raise Refused(f"the window is too short: {takes_words}")
        self.status.window = window
        return f"the cutover may start between {decision.not_before} and {decision.not_after}"

    def _commit(self, decision: Commit) -> str:
        if self.status.phase is not Phase.SOAKING and "commit" not in self._choices():
            raise Refused(f"commit ends a soak; the migration is {self.status.phase}")
        self.committed_by = decision.by
        return "committed: the point of no return comes next"

    def _pause(self, decision: Pause) -> str:
        if self._over() or self.ending or self.status.phase in (Phase.ROLLING_BACK, Phase.ROLLBACK_INCOMPLETE):
            raise Refused(f"pause is refused: the migration is {self.status.phase}")
        if self.status.paused_by is not None:
            raise Refused(f"paused already, by {self.status.paused_by}")
        self.status.paused_by = decision.by
        return "the migration pauses before its next step, as soon as somebody serves the application"

    def _resume(self, decision: Resume) -> str:  # noqa: ARG002  a rule like the others
        if self.status.paused_by is None:
            raise Refused("nothing to resume: the migration is not paused")
        self.status.paused_by = None
        return "the migration goes on"

    def _keep_source(self, decision: KeepSource) -> str:
        if self._over() or self.status.source_retiring:
            raise Refused(f"the source's retirement cannot be stopped any more: the migration is {self.status.phase}")
        self.status.source_kept_by = decision.by
        return "the source is kept as it is"

    # --- conditions ------------------------------------------------------------------------------------------

    async def _signed(self, decision: Approve | Reject) -> None:
        """Where only signed decisions count: the signature is the decider's, about this, and used for the first time.

        Raises:
            Refused: It is not, and why.
        """
        if self._request.approval is None or not self._request.approval.signed:
            return
        if decision.jws is None:
            raise Refused("only signed decisions count here: sign it, with `migrator approve --key`")
        try:
            signed = await workflow.execute_activity_method(
                Approvals.verify_signature,
                VerifySignature(token=decision.jws),
                summary="verify the signature of a decision",
                **policies.VERIFY_SIGNATURE,
            )
        except FailureError as error:
            raise Refused(failure_of(error).message) from None
        meant = "approve-delete" if getattr(decision, "for_", None) == "delete" else _name_of(decision)
        about = {
            "migrationId": (signed.migration_id, self.status.migration_id),
            "generation": (signed.generation, self.status.generation),
            "evidence hash": (signed.evidence_hash, self.status.evidence_hash),
            "decision": (signed.decision, meant),
            "subject": (signed.subject.casefold(), decision.by.casefold()),
        }
        if wrong := [f"{what} {found}, not {wanted}" for what, (found, wanted) in about.items() if found != wanted]:
            raise Refused(f"the signature is for another decision: {'; '.join(wrong)}")
        if signed.jti in self.status.used_signatures:
            raise Refused("the signature was used before: sign again")
        self.status.used_signatures = [*self.status.used_signatures, signed.jti]

    def _gate(self, what: str) -> Any:
        if self.status.phase is not Phase.AWAITING_APPROVAL or self._request.approval is None:
            raise Refused(f"{what} is possible while the migration is AWAITING_APPROVAL; it is {self.status.phase}")
        if self.stop is not None and (what == "approve" or self.stop.to is RollbackTo.START):
            raise Refused(f"{what} is refused: the migration turns back already, {self.stop.reason}")
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

    def _asked(self, what: str, decision: Retry | Skip) -> None:
        if what not in self._choices():
            raise Refused(f"nothing waits for {what}: the migration is {self.status.phase}")
        failed, undo = self.status.awaiting.step if self.status.awaiting else None, decision.undo
        if decision.step is not None and decision.step is not failed:
            raise Refused(f"{decision.step} is not the step that waits for it; {failed or 'none'} is")
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


def _is_among(finding: Finding, names: tuple[str, ...] | None) -> bool:
    return names is None or finding.code in names or finding.key in names


def _acknowledgement(finding: Finding, decision: Acknowledge) -> Acknowledgement:
    return Acknowledgement(
        code=finding.code,
        subject=finding.subject,
        message=finding.message,
        by=decision.by,
        at=workflow.now(),
        comment=decision.comment,
    )


def parse_decision(name: DecisionName, payload: RawValue) -> Decision:
    """The decision in a payload. Raises `RequestErrors` with every path that is wrong."""
    return parse_model(json_text(payload), DECISIONS[name])


def _update_id() -> str | None:
    update = workflow.current_update_info()
    return update.id if update else None


def _name_of(decision: Decision) -> str:
    return next(name for name, kind in DECISIONS.items() if kind is type(decision))


def _same(one: str, other: str) -> bool:
    return one.casefold() == other.casefold()
