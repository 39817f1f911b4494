"""Our own state: claims and the read model."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from migration.models import Model


class Claim(Model):
    """A claim on a migration id: its generation, and the hash of the request that made it."""

    migration_id: str
    generation: int
    request_hash: str
    workflow_run: str
    status: str | None = None


class MigrationStore(Protocol):
    """Claims and the read model (DynamoDB)."""

    def claim(self, claim: Claim, server_keys: Sequence[str], *, again: bool) -> Claim:
        """Claim the migration id and each source server, in one conditional transaction.

        The same run claims again and gets its own claim back. Raises `Conflict`, saying who holds what.
        """

    def claim_of(self, migration_id: str) -> Claim | None:
        """The claim on this migration id as it stands, ended or not; None when there never was one."""

    def holders(self, server_keys: Sequence[str]) -> Mapping[str, str]:
        """Which migration holds each of these servers; those that nobody holds are left out."""

    def finish(self, migration_id: str, generation: int, status: str, server_keys: Sequence[str]) -> None:
        """Give the servers back and mark the claim as ended; it stays, so that no id is used twice by accident."""

    def save(self, migration_id: str, version: int, row: Mapping[str, str], *, expires_at: datetime | None) -> bool:
        """Write the row unless a newer version is there; returns whether the row is this version now."""

    def get(self, migration_id: str) -> Mapping[str, str] | None:
        """The row as last saved, or None."""
