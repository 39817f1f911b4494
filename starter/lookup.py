"""The read model as a fallback, when nobody answers for a migration."""

from adapters.aws import AwsSessions
from adapters.dynamodb import DynamoMigrations
from migration.settings import Settings
from migration.status import MigrationStatus


def stored_status(settings: Settings, migration_id: str) -> MigrationStatus | None:
    """The status as it was last saved, or None."""
    row = DynamoMigrations(AwsSessions(settings.state_region), settings.state_table).get(migration_id)
    return MigrationStatus.model_validate_json(row["document"]) if row else None
