"""The claims and the read model in memory."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from migration.errors import Conflict
from migration.ports import Claim
from tests.fakes.calls import Faulty

_AGAIN_AFTER = {"ROLLED_BACK", "REJECTED", "CANCELLED"}


class FakeStore(Faulty):
    """One table."""

    def __init__(self) -> None:
        """Start empty."""
        super().__init__()
        self.claims: dict[str, Claim] = {}
        self.servers: dict[str, str] = {}
        self.rows: dict[str, tuple[int, dict[str, str]]] = {}

    def claim(self, claim: Claim, server_keys: Sequence[str], *, again: bool) -> Claim:
        held = self.claims.get(claim.migration_id)
        if held is not None and held.workflow_run == claim.workflow_run:
            return held
        if held is not None:
            if not again or held.status not in _AGAIN_AFTER or held.request_hash != claim.request_hash:
                raise Conflict(f"{claim.migration_id} is claimed by run {held.workflow_run}")
            claim = claim.model_copy(update={"generation": held.generation + 1})
        for key in server_keys:
            if key in self.servers:
                raise Conflict(f"{key} is claimed by {self.servers[key]}")
        with self.effect("claim", claim.migration_id):
            self.claims[claim.migration_id] = claim
            self.servers |= dict.fromkeys(server_keys, claim.migration_id)
        return claim

    def finish(self, migration_id: str, generation: int, status: str, server_keys: Sequence[str]) -> None:
        held = self.claims.get(migration_id)
        if held is None or held.generation != generation or held.status == status:
            return
        with self.effect("finish", migration_id, status):
            self.claims[migration_id] = held.model_copy(update={"status": status})
            for key in server_keys:
                if self.servers.get(key) == migration_id:
                    del self.servers[key]

    def save(self, migration_id: str, version: int, row: Mapping[str, str], *, expires_at: datetime | None) -> bool:
        if migration_id in self.rows and self.rows[migration_id][0] >= version:
            return False
        with self.effect("save", migration_id, version):
            self.rows[migration_id] = (version, dict(row))
        return True

    def get(self, migration_id: str) -> Mapping[str, str] | None:
        return self.rows[migration_id][1] if migration_id in self.rows else None
