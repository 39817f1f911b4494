"""The read model, for when nobody answers for a migration, and for lists of them."""

from adapters.aws import AwsSessions
from adapters.dynamodb import DynamoMigrations
from migration.ports import RowPage, RowsWanted
from migration.settings import Settings
from migration.status import MigrationStatus


def stored_status(settings: Settings, migration_id: str) -> MigrationStatus | None:
    """The status as it was last saved, or None."""
    row = _store(settings).get(migration_id)
    return MigrationStatus.model_validate_json(row["document"]) if row else None


def stored_rows(settings: Settings, wanted: RowsWanted) -> RowPage:
    """Rows as they were last saved."""
    return _store(settings).find(wanted)


def _store(settings: Settings) -> DynamoMigrations:
    return DynamoMigrations(AwsSessions(settings.state_region), settings.state_table)
