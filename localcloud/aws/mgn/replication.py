"""The replication of one server as a pure function of what happened to it and of the time.

What happens is either asked for (started, paused, resumed, stopped, retried, disconnected) or befalls the server
(its source goes off and on, its staging subnet is lost and found). Between two of those the work proceeds stage by
stage, unless something is in the way. So nothing runs in the background, and the replication can be read as of any
moment, the moment of a snapshot included.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import accumulate
from math import floor

from .settings import MgnSettings

GIB = 1024**3

INITIATION_STEPS = (
    "WAIT",
    "CREATE_SECURITY_GROUP",
    "LAUNCH_REPLICATION_SERVER",
    "BOOT_REPLICATION_SERVER",
    "AUTHENTICATE_WITH_SERVICE",
    "DOWNLOAD_REPLICATION_SOFTWARE",
    "CREATE_STAGING_DISKS",
    "ATTACH_STAGING_DISKS",
    "PAIR_REPLICATION_SERVER_WITH_AGENT",
    "CONNECT_AGENT_TO_REPLICATION_SERVER",
    "START_DATA_TRANSFER",
)


class Happening(StrEnum):
    """What can happen to a replication."""

    STARTED = "started"
    PAUSED = "paused"
    RESUMED = "resumed"
    STOPPED = "stopped"
    RETRIED = "retried"
    DISCONNECTED = "disconnected"
    SOURCE_OFF = "source off"
    SOURCE_ON = "source on"
    STAGING_LOST = "staging lost"
    STAGING_FOUND = "staging found"


_ENDS = {
    Happening.RESUMED: Happening.PAUSED,
    Happening.SOURCE_ON: Happening.SOURCE_OFF,
    Happening.STAGING_FOUND: Happening.STAGING_LOST,
}
"""What ends an obstacle, and which."""

_OBSTACLES = frozenset(_ENDS.values())


@dataclass(frozen=True)
class Occurrence:
    """Something happened, at a Unix time."""

    at: float
    what: Happening


@dataclass(frozen=True)
class Replica:
    """A replication as it is at one moment.

    Attributes:
        state: As in the service model.
        error: The code of what is wrong, if anything is.
        lag: MGN seconds that the copy is behind; None while nothing can be launched from it.
        data_as_of: The moment whose data the copy holds; None while it is no whole copy.
        started: When it was started last.
        first_byte: When data began to flow.
        synced: When the copy was first whole.
        ended: When it was disconnected.
        eta: When the stage that copies is expected to end.
        snapshot: When the last snapshot was taken.
        copied: The part of the disks that has been copied, 0 to 1.
        rescanned: The part of the disks that has been compared again, 0 to 1.
        steps: The status of each initiation step, in order.
        next_attempt: When the service tries the initiation again by itself.
        seen: When the agent was seen last.
    """

    state: str
    error: str | None
    lag: float | None
    data_as_of: float | None
    started: float | None
    first_byte: float | None
    synced: float | None
    ended: float | None
    eta: float | None
    snapshot: float | None
    copied: float
    rescanned: float
    steps: tuple[str, ...]
    next_attempt: float | None
    seen: float

    @property
    def launchable(self) -> bool:
        return self.lag is not None


@dataclass
class _Stage:
    name: str
    length: float
    left: float = field(init=False)

    def __post_init__(self) -> None:
        self.left = self.length

    @property
    def done(self) -> float:
        return 1 - self.left / self.length if self.length else 1


def replica(occurrences: Iterable[Occurrence], size: int, settings: MgnSettings, now: float) -> Replica:
    """The replication of `size` bytes at the Unix time `now`, after everything that happened until then."""
    course = _Course(size, settings)
    for occurrence in sorted(occurrences, key=lambda each: each.at):
        if occurrence.at > now:
            break
        course.proceed(occurrence.at)
        course.take(occurrence)
    course.proceed(now)
    return course.view()


class _Course:
    """The fold: proceeds in time, takes what happens, and can be viewed."""

    def __init__(self, size: int, settings: MgnSettings) -> None:
        self.size, self.settings, self.durations = size, settings, settings.durations
        self.now = 0.0
        self.idle: str | None = "STOPPED"
        self.stages: list[_Stage] = []
        self.obstacles: dict[Happening, float] = {}
        self.frozen: float | None = None
        self.started: float | None = None
        self.initiated = 0.0
        self.first_byte: float | None = None
        self.synced: float | None = None
        self.ended: float | None = None
        self.copied = 0.0

    def proceed(self, to: float) -> None:
        while self.stages and not self.obstacles and self.now < to:
            stage = self.stages[0]
            if stage.name == "INITIAL_SYNC" and self.first_byte is None:
                self.first_byte = self.now
            needed = self.settings.real(stage.left)
            if needed > to - self.now:
                stage.left -= (to - self.now) * self.settings.factor
                break
            self.now += needed
            self._finish_stage()
        self.now = max(self.now, to)
        if self.stages and self.stages[0].name == "INITIAL_SYNC":
            self.copied = self.stages[0].done

    def _finish_stage(self) -> None:
        if self.stages.pop(0).name == "INITIAL_SYNC":
            self.copied = 1.0
        if not self.stages:
            self.frozen = None
            self.synced = self.now if self.synced is None else self.synced

    def take(self, occurrence: Occurrence) -> None:
        what = occurrence.what
        if what in _OBSTACLES:
            self._hinder(what)
        elif what in _ENDS:
            self._clear(_ENDS[what])
        elif what is Happening.STARTED:
            self._start()
        elif what is Happening.RETRIED:
            self._initiate("RESCAN" if self.whole else None)
        else:
            self._end("STOPPED" if what is Happening.STOPPED else "DISCONNECTED")

    @property
    def whole(self) -> bool:
        """Whether there is a whole copy, however old."""
        return self.idle is None and self.synced is not None

    def _hinder(self, obstacle: Happening) -> None:
        self.obstacles.setdefault(obstacle, self.now)
        if self.whole and self.frozen is None:
            self.frozen = self.now

    def _clear(self, obstacle: Happening) -> None:
        was_there = self.obstacles.pop(obstacle, None) is not None
        initiating = bool(self.stages) and self.stages[0].name == "INITIATING"
        if was_there and not self.obstacles and self.whole and not initiating:
            self.stages = [_Stage("RESCAN", self.durations.rescan)]

    def _start(self) -> None:
        self.idle, self.started, self.ended = None, self.now, None
        self.first_byte = self.synced = self.frozen = None
        self.copied = 0.0
        self.obstacles.pop(Happening.PAUSED, None)
        self._initiate(None)

    def _initiate(self, then: str | None) -> None:
        durations = self.durations
        initiating = _Stage("INITIATING", durations.initiation_step * len(INITIATION_STEPS))
        self.initiated = self.now
        if then:
            self.frozen = self.now if self.frozen is None else self.frozen
            self.stages = [initiating, _Stage(then, durations.rescan)]
            return
        self.stages = [
            initiating,
            _Stage("INITIAL_SYNC", durations.initial_sync_per_gib * self.size / GIB),
            _Stage("BACKLOG", durations.backlog),
            _Stage("CREATING_SNAPSHOT", durations.first_snapshot),
        ]

    def _end(self, state: str) -> None:
        self.idle, self.stages = state, []
        self.obstacles.pop(Happening.PAUSED, None)
        self.ended = self.now if state == "DISCONNECTED" else None
        if state == "STOPPED":
            self.synced, self.copied = None, 0.0

    def view(self) -> Replica:
        state, error = self._state()
        data_as_of = self._data_as_of()
        lost = self.settings.source_off != "stalled" and self._unseen
        stage = self.stages[0] if self.stages else None
        copies = stage is not None and state == stage.name and state in {"INITIAL_SYNC", "RESCAN"}
        return Replica(
            state=state,
            error=error,
            lag=None if data_as_of is None or lost else (self.now - data_as_of) * self.settings.factor,
            data_as_of=data_as_of,
            started=self.started,
            first_byte=self.first_byte,
            synced=self.synced,
            ended=self.ended,
            eta=self.now + self.settings.real(sum(each.left for each in self.stages)) if copies else None,
            snapshot=self._last_snapshot(data_as_of),
            copied=self.copied,
            rescanned=stage.done if stage and stage.name == "RESCAN" else self.copied,
            steps=self._steps(failed=error is not None),
            next_attempt=self.now + self.settings.real(self.durations.next_attempt) if error else None,
            seen=self.obstacles.get(Happening.SOURCE_OFF, self.now) if self.ended is None else self.ended,
        )

    def _data_as_of(self) -> float | None:
        if not self.whole:
            return None
        return self.now if self.frozen is None else self.frozen

    def _state(self) -> tuple[str, str | None]:
        if self.idle:
            return self.idle, None
        if Happening.STAGING_LOST in self.obstacles:
            return "STALLED", "FAILED_TO_LAUNCH_REPLICATION_SERVER"
        if Happening.PAUSED in self.obstacles:
            return "PAUSED", None
        if self._unseen:
            return ("DISCONNECTED" if self.settings.source_off == "disconnected" else "STALLED"), "AGENT_NOT_SEEN"
        return (self.stages[0].name if self.stages else "CONTINUOUS"), None

    @property
    def _unseen(self) -> bool:
        if self.idle or Happening.SOURCE_OFF not in self.obstacles:
            return False
        since = max(self.obstacles[Happening.SOURCE_OFF], self.initiated)
        return (self.now - since) * self.settings.factor >= self.durations.stall_after

    def _last_snapshot(self, data_as_of: float | None) -> float | None:
        if data_as_of is None or self.synced is None:
            return None
        interval = self.settings.real(self.durations.snapshot_interval)
        return self.synced + floor(max(data_as_of - self.synced, 0) / interval) * interval

    def _steps(self, *, failed: bool) -> tuple[str, ...]:
        if self.idle:
            return ("NOT_STARTED",) * len(INITIATION_STEPS)
        if not self.stages or self.stages[0].name != "INITIATING":
            return ("SUCCEEDED",) * len(INITIATION_STEPS)
        last = len(INITIATION_STEPS) - 1
        ends = accumulate([self.durations.initiation_step] * last)
        done = sum(end <= self.stages[0].length - self.stages[0].left for end in ends)
        if Happening.STAGING_LOST in self.obstacles:
            done = min(done, INITIATION_STEPS.index("LAUNCH_REPLICATION_SERVER"))
        current = "FAILED" if failed else "IN_PROGRESS"
        return ("SUCCEEDED",) * done + (current,) + ("NOT_STARTED",) * (last - done)
