"""The one id under which a migration is found in logs, events, callbacks, AWS tags and Temporal."""

from uuid import uuid4

from migration.request import MigrationRequest


def correlation_id(request: MigrationRequest) -> str:
    """Return the request's own correlation id, else its migrationId."""
    return request.correlation_id or request.migration_id


def new_correlation_id() -> str:
    """Make an id for a message that has neither. Not for workflow code: it is random."""
    return f"corr-{uuid4().hex}"
