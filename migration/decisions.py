"""What people can decide, as the plain JSON that a signal or an update carries."""

from typing import Annotated, Literal

from pydantic import AliasChoices, Field, StringConstraints, model_validator

from migration.formats import Timestamp
from migration.models import Model
from migration.request import RollbackTo

Who = Annotated[str, StringConstraints(min_length=1, max_length=320, strip_whitespace=True)]
Words = Annotated[str, StringConstraints(min_length=1, max_length=2000)]


class Decision(Model):
    """Who decides, and a word about it."""

    by: Who = Field(validation_alias=AliasChoices("by", "approver"))
    comment: Words | None = None


class Approve(Decision):
    """Consent to the cutover, on the evidence that the hash names."""

    evidence_hash: str | None = None


class Reject(Decision):
    """No cutover: everything is undone, or (`to: ready`) the migration goes back to replicating."""

    to: RollbackTo | None = None


class Rollback(Decision):
    """Undo, before the point of no return, to the request's depth or to the one given here."""

    to: RollbackTo | None = None


class Abandon(Decision):
    """Give up: everything is undone."""

    reason: Words


class Retry(Decision):
    """Try the failed step, or the undo that is left, again."""

    undo: str | None = None


class Skip(Decision):
    """Leave the failed step, or the undo that is left, as it is; somebody takes care of it by hand."""

    reason: Words
    undo: str | None = None


class Acknowledge(Decision):
    """The warnings are known; no `codes` means all of them."""

    codes: tuple[str, ...] | None = None


class Reschedule(Decision):
    """Another cutover window."""

    not_before: Timestamp
    not_after: Timestamp

    @model_validator(mode="after")
    def _is_not_empty(self) -> "Reschedule":
        if self.not_before >= self.not_after:
            raise ValueError("notBefore must be earlier than notAfter")
        return self


class Commit(Decision):
    """End the soak: go on to the point of no return."""


DecisionName = Literal[
    "approve", "reject", "rollback", "abandon", "retry", "skip", "acknowledge", "reschedule", "commit"
]

DECISIONS: dict[DecisionName, type[Decision]] = {
    "approve": Approve,
    "reject": Reject,
    "rollback": Rollback,
    "abandon": Abandon,
    "retry": Retry,
    "skip": Skip,
    "acknowledge": Acknowledge,
    "reschedule": Reschedule,
    "commit": Commit,
}


class DecisionAnswer(Model):
    """What an update answers: the decision was taken, and what follows from it."""

    accepted: bool = True
    message: str
    phase: str
