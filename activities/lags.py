"""What replication was last seen to be, for the gauges: a gauge alone would keep a value that nobody sees any more."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Lock

from activities.replicating import STALLED
from migration.metrics import Watched
from migration.ports import SourceServer


@dataclass(frozen=True)
class _Look:
    at: float
    lag: timedelta
    stalled: int


@dataclass
class LagsSeen:
    """The latest look at the servers of each migration, for as long as it is worth something.

    Attributes:
        keep: How old a look may be. Looks at one migration are spread over all workers.
        clock: In seconds; for tests.
    """

    keep: timedelta = timedelta(minutes=5)
    clock: Callable[[], float] = time.monotonic
    _looks: dict[tuple[Watched, str], _Look] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def note(self, watched: Watched, migration_id: str, records: Sequence[SourceServer]) -> None:
        """A look. A server that cannot be launched yet has no lag."""
        lag = max((record.lag for record in records if record.lag is not None), default=timedelta(0))
        stalled = sum(record.replication_state == STALLED for record in records)
        with self._lock:
            self._forget()
            self._looks[watched, migration_id] = _Look(self.clock(), lag, stalled)

    def worst(self, watched: Watched) -> timedelta:
        """The greatest lag."""
        return max((look.lag for look in self._of(watched)), default=timedelta(0))

    def stalled(self, watched: Watched) -> int:
        """How many servers stood still."""
        return sum(look.stalled for look in self._of(watched))

    def _of(self, watched: Watched) -> list[_Look]:
        with self._lock:
            self._forget()
            return [look for (of, _), look in self._looks.items() if of is watched]

    def _forget(self) -> None:
        oldest = self.clock() - self.keep.total_seconds()
        self._looks = {key: look for key, look in self._looks.items() if look.at >= oldest}
