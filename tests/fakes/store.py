"""The claims and the read model in memory."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from migration.errors import Conflict, ValidationError
from migration.ports import Claim, RowPage, RowsWanted
from migration.status import Phase
from tests.fakes.calls import Faulty

_AGAIN_AFTER = {"ROLLED_BACK", "REJECTED", "CANCELLED"}
_NOTHING_TOUCHED = "FAILED"


class FakeStore(Faulty):
    """One table."""

    def __init__(self) -> None:
        """Start empty."""
        super().__init__()
        self.claims: dict[str, Claim] = {}
        self.servers: dict[str, tuple[str, int]] = {}
        self.rows: dict[str, tuple[int, dict[str, str]]] = {}

    def claim(self, claim: Claim, server_keys: Sequence[str], *, again: bool) -> Claim:
        granted = self._granted(claim, again=again)
        ours = (granted.migration_id, granted.generation)
        holders = {key: self.servers[key] for key in sorted(server_keys) if key in self.servers}
        taken = [f"{key} by {name} (generation {number})" for key, (name, number) in holders.items() if name != ours[0]]
        if taken:
            raise Conflict(f"source servers are held: {', '.join(taken)}")
        if self.claims.get(granted.migration_id) == granted and holders == dict.fromkeys(server_keys, ours):
            return granted
        with self.effect("claim", granted.migration_id):
            self.claims[granted.migration_id] = granted
            self.servers |= dict.fromkeys(server_keys, ours)
        return granted

    def _granted(self, claim: Claim, *, again: bool) -> Claim:
        held, name = self.claims.get(claim.migration_id), claim.migration_id
        if held is None:
            return claim.model_copy(update={"generation": 1, "status": None})
        if held.status is None and held.workflow_run == claim.workflow_run:
            return held
        if held.status is None:
            raise Conflict(f"{name} is held by the run {held.workflow_run} (generation {held.generation})")
        if held.workflow_run == claim.workflow_run:
            raise Conflict(f"{name} has ended as {held.status} in this very run")
        if held.status != _NOTHING_TOUCHED:
            self._refuse_again(claim, held, again=again)
        return claim.model_copy(update={"generation": held.generation + 1, "status": None})

    @staticmethod
    def _refuse_again(claim: Claim, held: Claim, *, again: bool) -> None:
        ended = f"{claim.migration_id} has ended as {held.status}"
        if held.request_hash != claim.request_hash:
            raise Conflict(f"{ended}, of another request")
        if held.status not in _AGAIN_AFTER:
            raise Conflict(f"{ended}, and cannot be started again")
        if not again:
            raise Conflict(f"{ended}; the same request is not started again by itself")

    def claim_of(self, migration_id: str) -> Claim | None:
        return self.claims.get(migration_id)

    def holders(self, server_keys: Sequence[str]) -> Mapping[str, str]:
        return {key: self.servers[key][0] for key in server_keys if key in self.servers}

    def finish(self, migration_id: str, generation: int, status: str, server_keys: Sequence[str]) -> None:
        held = self.claims.get(migration_id)
        ended = held is not None and held.generation == generation and held.status != status
        ours = [key for key in server_keys if self.servers.get(key) == (migration_id, generation)]
        if not ended and not ours:
            return
        with self.effect("finish", migration_id, status):
            if held is not None and ended:
                self.claims[migration_id] = held.model_copy(update={"status": status})
            for key in ours:
                del self.servers[key]

    def save(self, migration_id: str, version: int, row: Mapping[str, str], *, expires_at: datetime | None) -> bool:
        there = self.rows[migration_id][0] if migration_id in self.rows else 0
        if there < version:
            with self.effect("save", migration_id, version):
                self.rows[migration_id] = (version, dict(row))
        return there <= version

    def get(self, migration_id: str) -> Mapping[str, str] | None:
        return self.rows[migration_id][1] if migration_id in self.rows else None

    def find(self, wanted: RowsWanted) -> RowPage:
        rows = sorted((row for _, row in self.rows.values()), key=lambda row: row["updatedAt"], reverse=True)
        if wanted.wave_id is None:
            rows.sort(key=lambda row: list(Phase).index(Phase(row["status"])))
        found = [row for row in rows if self._is_wanted(row, wanted)]
        question = repr(wanted.model_copy(update={"limit": 0, "after": None}))
        if wanted.after is not None and wanted.after.partition("@")[2] != question:
            raise ValidationError("that is no page of this list")
        begin = int(wanted.after.partition("@")[0]) if wanted.after else 0
        end = begin + wanted.limit
        listed = tuple({name: value for name, value in row.items() if name != "document"} for row in found[begin:end])
        return RowPage(rows=listed, next=f"{end}@{question}" if end < len(found) else None)

    @staticmethod
    def _is_wanted(row: Mapping[str, str], wanted: RowsWanted) -> bool:
        return (
            wanted.wave_id in (None, row.get("waveId"))
            and wanted.app_name in (None, row["appName"])
            and (not wanted.statuses or row["status"] in wanted.statuses)
        )
