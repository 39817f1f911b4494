"""What people can decide, as the plain JSON that a signal or an update carries."""

from typing import Annotated, Literal

from pydantic import AliasChoices, Field, StringConstraints, model_validator

from migration.changes import Change
from migration.formats import Timestamp
from migration.models import Model
from migration.request import RollbackTo
from migration.steps import Step

Who = Annotated[str, StringConstraints(min_length=1, max_length=320, strip_whitespace=True)]
Words = Annotated[str, StringConstraints(min_length=1, max_length=2000)]


class Decision(Model):
    """Who decides, and a word about it."""

    by: Who = Field(validation_alias=AliasChoices("by", "approver"))
    comment: Words | None = None


class Approve(Decision):
    """Consent to the cutover, on the evidence that the hash names; or (`for: delete`) to deleting the source.

    Attributes:
        jws: The signed decision, where the request counts signed ones only.
    """

    evidence_hash: str | None = None
    for_: Literal["cutover", "delete"] = Field("cutover", alias="for")
    jws: str | None = None


class Reject(Decision):
    """No cutover: the migration goes back to replicating, or (`to: start`) everything is undone."""

    to: RollbackTo | None = None
    jws: str | None = None


class Rollback(Decision):
    """Undo, before the point of no return, to the request's depth or to the one given here."""

    to: RollbackTo | None = None


class Abandon(Decision):
    """Give up: everything is undone."""

    reason: Words


class Retry(Decision):
    """Try the failed step, or the undo that is left, again; a step with a changed setting where that helps."""

    undo: str | None = None
    step: Step | None = None
    change: Change | None = None


class Skip(Decision):
    """Leave the failed step, or the undo that is left, as it is; somebody takes care of it by hand."""

    reason: Words
    undo: str | None = None
    step: Step | None = None


class Acknowledge(Decision):
    """The warnings are known: those of these `codes`, each a CODE or CODE/SUBJECT; none given means all of them."""

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


class Pause(Decision):
    """Stand still at the next safe point: before a step, while somebody serves the application."""


class Resume(Decision):
    """Go on after a pause."""


class KeepSource(Decision):
    """Do not retire the source, whatever the request says."""


DecisionName = Literal[
    "approve",
    "reject",
    "rollback",
    "abandon",
    "retry",
    "skip",
    "acknowledge",
    "reschedule",
    "commit",
    "pause",
    "resume",
    "keepSource",
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
    "pause": Pause,
    "resume": Resume,
    "keepSource": KeepSource,
}


class DecisionAnswer(Model):
    """What an update answers: the decision was taken, and what follows from it."""

    accepted: bool = True
    message: str
    phase: str
