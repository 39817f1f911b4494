"""What is swept: the endings of a migration, the points at which it acts, and what goes wrong at each."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from localcloud.faults import Rule
from localcloud.ledger import Entry
from tests.sweep.orders import Order

Kind = Literal["server", "server 2", "server 3", "migration", "dns", "application", "wave", "claim"]

Call = tuple[str, str, tuple[str, ...]]
"""Service, operation and targets."""

_LOOKS_MET = (1, 4, 12)
_PLANNED = {("mgn", part) for part in ("launch", "snapshot", "conversion", "action", "trouble")}
"""What the fault plan is asked about, and is no call."""

NO_CALLS = frozenset({"application", "sqs"})
"""Services whose entries are no calls of a worker."""


@dataclass(frozen=True)
class Names:
    """What one application and its migration are called."""

    application: str
    migration_id: str
    dns_name: str
    machines: int = 1

    @property
    def server(self) -> str:
        """Its first server."""
        return self.servers[0]

    @property
    def servers(self) -> tuple[str, ...]:
        """Its servers; three at most are told apart."""
        return tuple(f"{self.application}-web-{number:02}" for number in range(1, self.machines + 1))

    @property
    def wave(self) -> str:
        """Its wave, shared with nobody."""
        return f"wave-{self.application}"

    def by_kind(self) -> Mapping[Kind, str]:
        """Every name, the most telling first."""
        kinds: tuple[Kind, ...] = ("server", "server 2", "server 3")
        return {
            **dict(zip(kinds, self.servers, strict=False)),
            "migration": self.migration_id,
            "dns": self.dns_name,
            "application": self.application,
            "wave": self.wave,
            "claim": f"vcenter-1/{self.server}",
        }


# --- endings -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ending:
    """One way through a migration.

    Attributes:
        status: How it ends.
        served_by: Who serves then.
        overrides: Of the request.
        faults: Planned in every run, the reference included: what makes it end so.
        rolls_back_in: The phase in which a person asks for a rollback to the start; None: nobody does.
        keeps_target: The target took writes, so that it is stopped and kept.
        approves_again: At the gate again, the faults are mended and the cutover is approved once more.
        tiers: The tier of each server.
    """

    name: str
    status: str
    served_by: Literal["source", "target"]
    overrides: Mapping[str, Any]
    faults: Callable[[Names], list[Rule]] = lambda _: []
    rolls_back_in: str | None = None
    keeps_target: bool = False
    approves_again: bool = False
    tiers: tuple[int, ...] = (1,)

    @property
    def cutovers(self) -> int:
        """How often MGN is asked for a cutover launch: once for each tier of each entry."""
        return len(set(self.tiers)) * (2 if self.approves_again else 1)


_SHORT = {
    "replication": {"stableObservations": 1},
    "soak": {"for": "PT0S", "end": "commit"},
    "grace": "PT0S",
    "rollback": {"to": "start", "keepTarget": "PT0S"},
}

FORWARD = Ending("forward", "COMPLETED", "target", _SHORT)

TIERS = Ending("three servers", "COMPLETED", "target", _SHORT, tiers=(1, 1, 2))


def _never_healthy(names: Names) -> list[Rule]:
    return [Rule("application", "health", "neverHealthy", target=f"{names.server}/cutover")]


UNHEALTHY = Ending("unhealthy target", "ROLLED_BACK", "source", _SHORT, faults=_never_healthy)

AGAIN = Ending(
    "ready, and again",
    "COMPLETED",
    "target",
    {**_SHORT, "rollback": {"to": "ready"}},
    faults=_never_healthy,
    approves_again=True,
)

AFTER_SWITCH = Ending(
    "after the switch",
    "ROLLED_BACK",
    "source",
    {**_SHORT, "soak": {"for": "PT10M", "end": "wait"}},
    rolls_back_in="SOAKING",
    keeps_target=True,
)


# --- points ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Point:
    """One call of a migration: the nth of this operation on what is called by this kind of name (None: on anything)."""

    service: str
    operation: str
    kind: Kind | None
    nth: int

    def __str__(self) -> str:
        """Service, operation and which."""
        return f"{self.service} {self.operation} {self.nth}"


def points(entries: Iterable[Entry], names: Names) -> list[Point]:
    """The points of a migration, in their order, from what the ledger has of it."""
    seen: Counter[tuple[str, str, Kind]] = Counter()
    found = []
    for entry in entries:
        kind = next((kind for kind, name in names.by_kind().items() if name in entry.targets), None)
        if entry.service in NO_CALLS or kind is None:
            continue
        key = (entry.service, entry.operation, kind)
        seen[key] += 1
        found.append(Point(*key, nth=seen[key]))
    return found


ACTIVITY = "activity"
"""The service of points that are no calls, but activities: their operation is the activity's type."""

_RECORDS = frozenset(
    {
        *("dynamodb", "callback", "events", "cmf", "change"),
        *("save_state", "deliver_callback", "put_events", "tell_servers", "tell_wave", "write_wave"),
    }
)
"""Services and activities that go on beside a migration, and so have no fixed place in its order."""


def activity_points(types: Iterable[str]) -> list[Point]:
    """The points of the activities of these types, in their order."""
    seen: Counter[str] = Counter()
    found = []
    for name in types:
        seen[name] += 1
        found.append(Point(ACTIVITY, name, None, seen[name]))
    return found


def since_parting(found: Sequence[Point], other: Sequence[Point]) -> list[Point]:
    """The points from the one on at which this way leaves the other."""
    own, others = ([point for point in way if not _is_record(point)] for way in (found, other))
    shared = next((place for place, pair in enumerate(zip(own, others, strict=False)) if pair[0] != pair[1]), None)
    place = min(len(own), len(others)) if shared is None else shared
    return list(found[found.index(own[place]) :]) if place < len(own) else []


def _is_record(point: Point) -> bool:
    return point.service in _RECORDS or point.operation in _RECORDS


def looks(calls: Iterable[Call], acts: Iterable[Point], names: Names) -> list[Point]:
    """The calls of a migration that change nothing: of each operation the first, and some later ones."""
    acting = {(point.service, point.operation) for point in acts}
    seen: Counter[tuple[str, str, Kind | None]] = Counter()
    for service, operation, targets in calls:
        kind = next((kind for kind, name in names.by_kind().items() if name in targets), None)
        if service not in NO_CALLS and (service, operation) not in acting | _PLANNED:
            seen[service, operation, kind] += 1
    return [Point(*key, nth=nth) for key, count in seen.items() for nth in _LOOKS_MET if nth <= count]


def spread(found: Sequence[Point], most: int = 4) -> list[Point]:
    """Of operations that repeat themselves (rows, callbacks), only the first and one in the middle.

    How often rows are written depends on how fast the store is, so the last one is no sure point.
    """
    totals = Counter((point.service, point.operation) for point in found)

    def wanted(point: Point) -> bool:
        total = totals[point.service, point.operation]
        return total < most or point.nth in {1, total // 2}

    return [point for point in found if wanted(point)]


# --- faults ------------------------------------------------------------------------------------------------------

Fault = Literal[
    "refused",
    "failed after",
    "reply lost",
    "throttled",
    "killed before",
    "killed after",
    "unrecorded",
    "stalled",
    "overtaken",
]
FAULTS: tuple[Fault, ...] = ("refused", "failed after", "reply lost", "throttled", "killed before", "killed after")

"""What can happen to a call."""

UNRECORDED: Fault = "unrecorded"
"""The worker is killed when an activity has had its effect, and before its result is recorded."""

STALLED: Fault = "stalled"
"""The worker stands still where an activity has decided to act, and goes on when everything was undone."""

OVERTAKEN: Fault = "overtaken"
"""The worker stands still there, and goes on when another attempt has done the act."""

_VERBS: Mapping[Fault, Mapping[str, Any]] = {
    "refused": {"action": "refuse"},
    "failed after": {"action": "refuse", "when": "after"},
    "reply lost": {"action": "replyLost"},
    "throttled": {"action": "throttle", "times": 2, "seconds": 1},
    "killed before": {"action": "kill"},
    "killed after": {"action": "kill", "when": "after"},
}


def verb(fault: Fault) -> dict[str, Any]:
    """What a rule says that lets this fault happen to the next call."""
    return {"times": 1, **_VERBS[fault]}


_WITHOUT_EFFECT: frozenset[Fault] = frozenset({"refused", "throttled", "killed before"})


def rules_at(points: Iterable[Point], fault: Fault, names: Names) -> list[Rule]:
    """The rules that let this fault happen at each of these points."""
    passed: Counter[tuple[str, str, Kind | None]] = Counter()
    rules = []
    for point in points:
        key = (point.service, point.operation, point.kind)
        target = names.by_kind()[point.kind] if point.kind else None
        after = max(0, point.nth - 1 - passed[key])
        rules.append(Rule(point.service, point.operation, target=target, after=after, **verb(fault)))
        # A rule sees the calls that an earlier one has left to it: all that follow the last call which that one met,
        # and first of them the repeat of a call that had no effect.
        passed[key] = point.nth - (fault in _WITHOUT_EFFECT)
    return rules


@dataclass(frozen=True)
class Case:
    """One run: an ending, and what goes wrong on the way.

    Attributes:
        may_miss: A point need not be met: a worker that has logged in before does not log in again.
    """

    ending: Ending
    fault: Fault | None = None
    points: tuple[Point, ...] = ()
    may_miss: bool = False

    def __str__(self) -> str:
        """Ending, fault and points."""
        where = ", ".join(map(str, self.points)) if len(self.points) < 4 else f"{len(self.points)} points"
        return f"{self.ending.name}: {self.fault or 'no fault'}{f' at {where}' if where else ''}"

    @property
    def kills(self) -> int:
        """How often a worker dies."""
        return len(self.points) if self.fault in {"killed before", "killed after", UNRECORDED} else 0

    def orders(self) -> list[Order]:
        """What its worker is ordered to do."""
        if self.fault not in {UNRECORDED, STALLED, OVERTAKEN}:
            return []
        return [Order(p.operation, p.nth, "die" if self.fault == UNRECORDED else "stand still") for p in self.points]

    def rules(self, names: Names) -> list[Rule]:
        """Everything that is planned for it."""
        fault = self.fault
        planned = rules_at(self.points, fault, names) if fault in FAULTS else []
        return [*self.ending.faults(names), *planned]
