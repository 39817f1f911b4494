"""The replication of one server as a pure function of what happened to it and of the time.

What happens is either asked for (started, paused, resumed, stopped, retried, disconnected) or befalls the server: its
source goes off and on, its staging subnet is lost and found, the service has trouble with it. Between two of those the
work proceeds stage by stage, unless something is in the way. So nothing runs in the background, and the replication
can be read as of any moment, the moment of a snapshot included.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import accumulate
from math import floor

from .hooks import Trouble
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
    TROUBLED = "troubled"
    RELIEVED = "relieved"


_ENDS = {
    Happening.RESUMED: Happening.PAUSED,
    Happening.SOURCE_ON: Happening.SOURCE_OFF,
    Happening.STAGING_FOUND: Happening.STAGING_LOST,
    Happening.RELIEVED: Happening.TROUBLED,
}
"""What ends an obstacle, and which."""

_OBSTACLES = frozenset(_ENDS.values())
_COPIES = frozenset({"INITIAL_SYNC", "SHIPPING_SNAPSHOT"})
_COUNTS_DOWN = _COPIES | {"RESCAN"}
_FAILED_TO = "FAILED_TO_"
_NO_SUBNET = Trouble("FAILED_TO_LAUNCH_REPLICATION_SERVER")
_UNSEEN = Trouble("AGENT_NOT_SEEN")


@dataclass(frozen=True)
class Occurrence:
    """Something happened, at a Unix time; `trouble` is that of TROUBLED."""

    at: float
    what: Happening
    trouble: Trouble | None = None


@dataclass(frozen=True)
class Replica:
    """A replication as it is at one moment.

    Attributes:
        state: As in the service model.
        trouble: What is wrong, if anything is.
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
    trouble: Trouble | None
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


def replica(
    occurrences: Iterable[Occurrence], size: int, settings: MgnSettings, now: float, *, ships_snapshots: bool = False
) -> Replica:
    """The replication of `size` bytes at the Unix time `now`, after everything that happened until then.

    `ships_snapshots` says that it goes without an agent: SNAPSHOT_SHIPPING.
    """
    course = _Course(size, settings, ships_snapshots=ships_snapshots)
    for occurrence in sorted(occurrences, key=lambda each: each.at):
        if occurrence.at > now:
            break
        course.proceed(occurrence.at)
        course.take(occurrence)
    course.proceed(now)
    return course.view()


class _Course:
    """The fold: proceeds in time, takes what happens, and can be viewed."""

    def __init__(self, size: int, settings: MgnSettings, *, ships_snapshots: bool) -> None:
        self.ships_snapshots = ships_snapshots
        self.size, self.settings, self.durations = size, settings, settings.durations
        self.now = 0.0
        self.idle: str | None = "STOPPED"
        self.stages: list[_Stage] = []
        self.obstacles: dict[Happening, float] = {}
        self.trouble: Trouble | None = None
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
            if stage.name in _COPIES and self.first_byte is None:
                self.first_byte = self.now
            needed = self.settings.real(stage.left)
            if needed > to - self.now:
                stage.left -= (to - self.now) * self.settings.factor
                break
            self.now += needed
            self._finish_stage()
        self.now = max(self.now, to)
        if self.stages and self.stages[0].name in _COPIES:
            self.copied = self.stages[0].done

    def _finish_stage(self) -> None:
        if self.stages.pop(0).name in _COPIES:
            self.copied = 1.0
        if not self.stages:
            self.frozen = None
            self.synced = self.now if self.synced is None else self.synced

    def take(self, occurrence: Occurrence) -> None:
        what = occurrence.what
        if what is Happening.TROUBLED:
            self.trouble = occurrence.trouble
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
        copying = durations.initial_sync_per_gib * self.size / GIB
        first = _Stage("CREATING_SNAPSHOT", durations.first_snapshot)
        if self.ships_snapshots:
            waiting = _Stage("PENDING_SNAPSHOT_SHIPPING", durations.backlog)
            self.stages = [initiating, waiting, _Stage("SHIPPING_SNAPSHOT", copying), first]
        else:
            self.stages = [initiating, _Stage("INITIAL_SYNC", copying), _Stage("BACKLOG", durations.backlog), first]

    def _end(self, state: str) -> None:
        self.idle, self.stages = state, []
        self.obstacles.pop(Happening.PAUSED, None)
        self.ended = self.now if state == "DISCONNECTED" else None
        if state == "STOPPED":
            self.synced, self.copied = None, 0.0

    def view(self) -> Replica:
        state, trouble = self._state()
        data_as_of = self._data_as_of()
        lost = self.settings.source_off != "stalled" and self._unseen
        stage = self.stages[0] if self.stages else None
        copies = stage is not None and state == stage.name and state in _COUNTS_DOWN
        return Replica(
            state=state,
            trouble=trouble,
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
            steps=self._steps(trouble),
            next_attempt=self._next_attempt() if trouble else None,
            seen=self.obstacles.get(Happening.SOURCE_OFF, self.now) if self.ended is None else self.ended,
        )

    def _data_as_of(self) -> float | None:
        if not self.whole:
            return None
        return self.now if self.frozen is None else self.frozen

    def _state(self) -> tuple[str, Trouble | None]:
        if self.idle:
            return self.idle, None
        if Happening.STAGING_LOST in self.obstacles:
            return "STALLED", _NO_SUBNET
        if Happening.PAUSED in self.obstacles:
            return "PAUSED", None
        if Happening.TROUBLED in self.obstacles:
            return "STALLED", self.trouble
        if self._unseen:
            return ("DISCONNECTED" if self.settings.source_off == "disconnected" else "STALLED"), _UNSEEN
        return (self.stages[0].name if self.stages else "CONTINUOUS"), None

    def _next_attempt(self) -> float:
        """When the service tries again by itself: every so often since the obstacle came up, or since the last try."""
        every = self.settings.real(self.durations.next_attempt)
        since = max(self.initiated, min(self.obstacles.values()))
        return since + (floor((self.now - since) / every) + 1) * every

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

    def _steps(self, trouble: Trouble | None) -> tuple[str, ...]:
        if self.idle:
            return ("NOT_STARTED",) * len(INITIATION_STEPS)
        last = len(INITIATION_STEPS) - 1
        failing = (
            INITIATION_STEPS.index(trouble.code[len(_FAILED_TO) :]) if trouble and _fails_a_step(trouble) else None
        )
        if self.stages and self.stages[0].name == "INITIATING":
            ends = accumulate([self.durations.initiation_step] * last)
            done = sum(end <= self.stages[0].length - self.stages[0].left for end in ends)
            done = done if failing is None else min(done, failing)
        elif failing is None:
            return ("SUCCEEDED",) * len(INITIATION_STEPS)
        else:
            done = failing
        current = "FAILED" if trouble else "IN_PROGRESS"
        return ("SUCCEEDED",) * done + (current,) + ("NOT_STARTED",) * (last - done)


def _fails_a_step(trouble: Trouble) -> bool:
    return trouble.code.startswith(_FAILED_TO) and trouble.code[len(_FAILED_TO) :] in INITIATION_STEPS
