"""Our own state: claims and the read model."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from migration.models import Model
from migration.status import Phase


class Claim(Model):
    """A claim on a migration id: its generation, and the hash of the request that made it."""

    migration_id: str
    generation: int
    request_hash: str
    workflow_run: str
    status: str | None = None


class RowsWanted(Model):
    """Which rows of the read model.

    Attributes:
        wave_id: Of this wave alone.
        app_name: Of this application alone.
        statuses: In one of these; none: in any.
        limit: How many at a time.
        after: `next` of the page before, of the same question.
    """

    wave_id: str | None = None
    app_name: str | None = None
    statuses: tuple[Phase, ...] = ()
    limit: int = 50
    after: str | None = None


class RowPage(Model):
    """Some rows, with what a list shows of each, and where the next ones begin; None: there are no more."""

    rows: tuple[Mapping[str, str], ...]
    next: str | None = None


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
        """Write status and details in one, unless a newer version is there; whether the row is this version now.

        Args:
            migration_id: Whose row.
            version: Rises with every change, over all generations.
            row: All of it: what `get` answers then.
            expires_at: When it may be forgotten; None: the migration has not ended.
        """

    def get(self, migration_id: str) -> Mapping[str, str] | None:
        """The row as last saved, or None."""

    def find(self, wanted: RowsWanted) -> RowPage:
        """List rows: of a wave the latest change first, otherwise status by status, of each the latest change first.

        Raises `ValidationError` when `after` is no page of this list.
        """
