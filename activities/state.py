"""Our own state: the claim on a migration id and its servers, and the read model."""

from dataclasses import dataclass
from datetime import datetime

from temporalio import activity

from migration.models import Model
from migration.ports import MigrationStore


class ClaimMigration(Model):
    """Claim the id and the source servers for this run. `first_run_id` survives continue-as-new."""

    migration_id: str
    request_hash: str
    first_run_id: str
    server_keys: tuple[str, ...]
    again: bool


class ClaimGranted(Model):
    """Which try of this migration id this is."""

    generation: int


class FinishClaim(Model):
    """Give the servers back, and say how the migration ended."""

    migration_id: str
    generation: int
    status: str
    server_keys: tuple[str, ...]


class SaveState(Model):
    """The row of the read model. `version` rises, so that a late write never moves it back."""

    migration_id: str
    version: int
    row: dict[str, str]
    expires_at: datetime | None = None


@dataclass
class MigrationState:
    """What is kept in DynamoDB."""

    store: MigrationStore

    @activity.defn
    def claim_migration(self, request: ClaimMigration) -> ClaimGranted:
        """Refused with PrerequisiteError when the id or a server is somebody else's, saying whose."""
        raise NotImplementedError

    @activity.defn
    def finish_claim(self, request: FinishClaim) -> None:
        """Safe to repeat; touches nothing of another generation."""
        raise NotImplementedError

    @activity.defn
    def save_state(self, request: SaveState) -> None:
        """Write the row unless a newer one is there."""
        raise NotImplementedError
