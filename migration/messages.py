"""The messages that leave for the requester's endpoint (and, later, the event bus)."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from migration.models import Model
from migration.status import MigrationStatus


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


class Message(Model):
    """One message. `id` is the same however often it is sent, and tells the order."""

    id: str
    type: MessageType
    timestamp: datetime
    data: dict[str, Any]

    @classmethod
    def about(cls, kind: MessageType, status: MigrationStatus, *, sequence: int, at: datetime) -> "Message":
        """A message of this kind about the migration as it is now."""
        data = {
            "migrationId": status.migration_id,
            "appName": status.app_name,
            "environment": status.environment,
            "waveId": status.wave_id,
            "correlationId": status.correlation_id,
            "generation": status.generation,
            "status": status.phase,
            "servedBy": status.served_by,
            "message": status.message,
            "awaiting": status.awaiting and status.awaiting.model_dump(mode="json", by_alias=True),
            "failure": status.failure and status.failure.model_dump(mode="json", by_alias=True),
            "sequence": sequence,
        }
        return cls(id=f"{status.migration_id}:{status.generation}:{sequence}", type=kind, timestamp=at, data=data)
