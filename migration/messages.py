"""What a migration tells other systems: on the event bus, and as callbacks to the requester's endpoint.

A message is an envelope, and data whose model depends on its type. `migration/schema/events/` has a JSON Schema of
each, `docs/events.md` says the same in words; both are generated from the models below. New members may be added at
any time: readers ignore what they do not know.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Self

from pydantic import Field

from migration.models import Model
from migration.status import Approval, Awaiting, Failure, LeftUndone, MigrationStatus, Phase, Preserved, Side, Window


class MessageType(StrEnum):
    """What happened."""

    REQUESTED = "MigrationRequested"
    REQUEST_REFUSED = "MigrationRequestRefused"
    STATUS_CHANGED = "MigrationStatusChanged"
    SUCCEEDED = "MigrationSucceeded"
    FAILED = "MigrationFailed"
    ROLLED_BACK = "MigrationRolledBack"
    APPROVAL_REQUESTED = "ApprovalRequested"
    DECISION_NEEDED = "DecisionNeeded"
    DECISION_REFUSED = "DecisionRefused"
    DECISION_REMINDER = "DecisionReminder"


EVENTS_ONLY = frozenset({MessageType.REQUESTED, MessageType.DECISION_REFUSED})
"""What goes to the event bus, and not to the endpoint of the request."""


# --- data --------------------------------------------------------------------------------------------------------


class Told(Model):
    """What every message about a migration says of it, as it was then."""

    migration_id: str
    app_name: str
    environment: str
    wave_id: str | None = None
    correlation_id: str = Field(description="Goes with the migration through every system.")
    generation: int = Field(description="Which try of this migration id; 0: its claim was not granted (yet).")
    status: Phase
    served_by: Side = Field(description="Which side serves the application's users.")
    message: str = Field(description="The status in words.")
    awaiting: Awaiting | None = Field(default=None, description="Who must act, if anybody.")
    failure: Failure | None = Field(default=None, description="What went wrong, if anything.")
    sequence: int = Field(description="Rises by one with each message of this generation on this way.")

    @classmethod
    def of(cls, status: MigrationStatus, sequence: int) -> Self:
        """What there is to say of a migration as it is now."""
        named = {"status": status.phase, "decision": next(reversed(status.decisions), None), "sequence": sequence}
        values = {name: named[name] if name in named else getattr(status, name) for name in cls.model_fields}
        return cls.model_validate(values, from_attributes=True)


class Requested(Told):
    """A migration has begun: its id and its source servers are claimed. Told once a generation."""

    requested_by: str
    started: datetime


class StatusChanged(Told):
    """The status is another one, and not an end."""


class MovedServer(Model):
    """One server, and the instance that it has become."""

    name: str
    source_server_id: str | None = None
    instance_id: str | None = None
    address: str | None = None


class Succeeded(Told):
    """Every step that was asked for is done."""

    started: datetime
    ended: datetime | None = None
    downtime: timedelta = Field(description="How long nobody served the application.")
    servers: tuple[MovedServer, ...] = ()


class Failed(Told):
    """The migration was refused before anything was touched."""

    started: datetime
    ended: datetime | None = None


class RolledBack(Told):
    """The migration was turned back, and has ended: REJECTED, ROLLED_BACK or CANCELLED."""

    started: datetime
    ended: datetime | None = None
    downtime: timedelta = Field(description="How long nobody served the application.")
    preserved: tuple[Preserved, ...] = Field(
        default=(), description="What holds the writes that the target took before the rollback."
    )
    left: tuple[LeftUndone, ...] = Field(default=(), description="What could not be undone.")


class ApprovalRequested(Told):
    """The cutover waits for approvals."""

    awaiting: Awaiting
    evidence_hash: str | None = Field(description="SHA-256 of what approvers look at; a decision may name it.")
    window: Window | None = Field(default=None, description="When the cutover may take place, if that is limited.")
    approvals: tuple[Approval, ...] = Field(default=(), description="Those that were given and hold.")


class DecisionNeeded(Told):
    """A person must decide how it goes on."""

    awaiting: Awaiting


class Reminder(Told):
    """A decision is still awaited."""

    evidence_hash: str | None = Field(default=None, description="SHA-256 of what approvers look at, if there is any.")


class RefusedDecision(Model):
    """A decision that did not count: its name, who sent it, and why."""

    name: str
    by: str | None = None
    at: datetime
    message: str


class DecisionRefused(Told):
    """A decision came that was not allowed, or not then."""

    decision: RefusedDecision


class RequestRefused(Model):
    """A request could not become a migration; nothing was started."""

    message_id: str = Field(description="Of the message that brought it.")
    migration_id: str | None = Field(default=None, description="Where one could be read.")
    correlation_id: str | None = None
    error_type: str = Field(description="Which kind of refusal, such as ValidationError.")
    reasons: tuple[str, ...] = Field(description="Everything that is wrong, each with its JSON path.")


OF_A_MIGRATION: Mapping[MessageType, type[Told]] = {
    MessageType.REQUESTED: Requested,
    MessageType.STATUS_CHANGED: StatusChanged,
    MessageType.SUCCEEDED: Succeeded,
    MessageType.FAILED: Failed,
    MessageType.ROLLED_BACK: RolledBack,
    MessageType.APPROVAL_REQUESTED: ApprovalRequested,
    MessageType.DECISION_NEEDED: DecisionNeeded,
    MessageType.DECISION_REMINDER: Reminder,
    MessageType.DECISION_REFUSED: DecisionRefused,
}
DATA: Mapping[MessageType, type[Model]] = {**OF_A_MIGRATION, MessageType.REQUEST_REFUSED: RequestRefused}
"""The model of each type's data."""


# --- the envelope ------------------------------------------------------------------------------------------------


class Message(Model):
    """One message. It may arrive more than once, each time with the same id."""

    id: str = Field(description="The same however often the message is sent.")
    type: MessageType
    timestamp: datetime = Field(description="When it happened.")
    data: dict[str, Any]

    @classmethod
    def about(
        cls, kind: MessageType, status: MigrationStatus, *, sequence: int, at: datetime, run: str = "0"
    ) -> "Message":
        """A message of this kind about the migration as it is now.

        Args:
            kind: What happened.
            status: To whom.
            sequence: The message's place among those of its generation.
            at: When.
            run: Stands for the generation in the id as long as there is none: tries that were never granted a claim
                must not share ids.
        """
        told = OF_A_MIGRATION[kind].of(status, sequence)
        message_id = f"{status.migration_id}:{status.generation or run}:{sequence}"
        return cls(id=message_id, type=kind, timestamp=at, data=told.model_dump(mode="json", by_alias=True))

    @classmethod
    def refused(cls, request: RequestRefused, *, at: datetime) -> "Message":
        """Tell that a request was refused; its id is that of the message which brought the request."""
        data = request.model_dump(mode="json", by_alias=True)
        return cls(id=f"{request.message_id}:refused", type=MessageType.REQUEST_REFUSED, timestamp=at, data=data)
