"""The ledger: every call that the local cloud accepted and that changed something, in one order."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True)
class Entry:
    """One accepted call. `time` is RFC 3339 in UTC with microseconds; `seq` starts at 1 and has no gaps."""

    seq: int
    time: str
    service: str
    operation: str
    targets: tuple[str, ...]
    caller: str | None
    detail: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The entry as JSON types."""
        return asdict(self) | {"targets": list(self.targets), "detail": dict(self.detail)}


class Ledger:
    """Append-only and safe to use from every thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: list[Entry] = []

    def record(
        self,
        *,
        service: str,
        operation: str,
        targets: Sequence[str],
        caller: str | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> int:
        """Append one accepted call; returns its place in the order."""
        with self._lock:
            seq = len(self._entries) + 1
            time = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
            self._entries.append(Entry(seq, time, service, operation, tuple(targets), caller, dict(detail or {})))
            return seq

    def entries(
        self,
        *,
        service: str | None = None,
        operation: str | None = None,
        target: str | None = None,
        since: int = 0,
    ) -> list[Entry]:
        """The entries that match every given filter, oldest first; `since` leaves out those up to that place."""
        with self._lock:
            later = self._entries[since:]
        return [
            entry
            for entry in later
            if service in (None, entry.service)
            and operation in (None, entry.operation)
            and (target is None or target in entry.targets)
        ]
