"""Our own state: the claim on a migration id and its servers, and the read model."""

from dataclasses import dataclass
from datetime import datetime

from temporalio import activity

from activities.errors import translated
from migration.errors import MigrationExecutionError, PrerequisiteError
from migration.models import Model
from migration.ports import Claim, MigrationStore

FIRST_GENERATION = 1
"""What a claim asks for; the store grants the next one after an earlier try."""


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
    """Give the servers back, and say how the migration ended.

    Generation 0: the claim's answer never came. It is given back if `first_run_id` is found to have it.
    """

    migration_id: str
    generation: int
    first_run_id: str = ""
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
    @translated(PrerequisiteError)
    def claim_migration(self, request: ClaimMigration) -> ClaimGranted:
        """Refused with PrerequisiteError when the id or a server is somebody else's, saying whose."""
        claim = Claim(
            migration_id=request.migration_id,
            generation=FIRST_GENERATION,
            request_hash=request.request_hash,
            workflow_run=request.first_run_id,
        )
        return ClaimGranted(generation=self.store.claim(claim, request.server_keys, again=request.again).generation)

    @activity.defn
    @translated(MigrationExecutionError)
    def finish_claim(self, request: FinishClaim) -> None:
        """Safe to repeat; touches nothing of another generation."""
        generation = request.generation
        if not generation:
            held = self.store.claim_of(request.migration_id)
            if held is None or held.workflow_run != request.first_run_id:
                return
            generation = held.generation
        self.store.finish(request.migration_id, generation, request.status, request.server_keys)

    @activity.defn
    @translated(MigrationExecutionError)
    def save_state(self, request: SaveState) -> None:
        """Write the row unless a newer one is there."""
        self.store.save(request.migration_id, request.version, request.row, expires_at=request.expires_at)
