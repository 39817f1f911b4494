"""What is swept: the endings of a migration, the points at which it acts, and what goes wrong at each."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from localcloud.faults import Rule
from localcloud.ledger import Entry

Kind = Literal["server", "migration", "dns", "application", "wave", "claim"]

Call = tuple[str, str, tuple[str, ...]]
"""Service, operation and targets."""

_LOOKS_MET = (1, 4, 12)
_PLANNED = {("mgn", "launch")}
"""What the fault plan is asked about, and is no call."""

NO_CALLS = frozenset({"application", "sqs"})
"""Services whose entries are no calls of a worker."""


@dataclass(frozen=True)
class Names:
    """What one application and its migration are called."""

    application: str
    migration_id: str
    dns_name: str

    @property
    def server(self) -> str:
        """Its one server."""
        return f"{self.application}-web-01"

    @property
    def wave(self) -> str:
        """Its wave, shared with nobody."""
        return f"wave-{self.application}"

    def by_kind(self) -> Mapping[Kind, str]:
        """Every name, the most telling first."""
        return {
            "server": self.server,
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
    """

    name: str
    status: str
    served_by: Literal["source", "target"]
    overrides: Mapping[str, Any]
    faults: Callable[[Names], list[Rule]] = lambda _: []
    rolls_back_in: str | None = None
    keeps_target: bool = False


_SHORT = {
    "replication": {"stableObservations": 1},
    "soak": {"for": "PT0S", "end": "commit"},
    "grace": "PT0S",
    "rollback": {"to": "start", "keepTarget": "PT0S"},
}

FORWARD = Ending("forward", "COMPLETED", "target", _SHORT)

UNHEALTHY = Ending(
    "unhealthy target",
    "ROLLED_BACK",
    "source",
    _SHORT,
    faults=lambda names: [Rule("application", "health", "neverHealthy", target=f"{names.server}/cutover")],
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

Fault = Literal["refused", "failed after", "reply lost", "throttled", "killed before", "killed after"]
FAULTS: tuple[Fault, ...] = ("refused", "failed after", "reply lost", "throttled", "killed before", "killed after")

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
        return len(self.points) if self.fault in {"killed before", "killed after"} else 0

    def rules(self, names: Names) -> list[Rule]:
        """Everything that is planned for it."""
        fault = self.fault
        planned = rules_at(self.points, fault, names) if fault else []
        return [*self.ending.faults(names), *planned]
