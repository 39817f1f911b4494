"""Where in a step a fault strikes: the calls of each step, as a run without a fault made them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from localcloud.faults import Rule
from localcloud.ledger import Entry
from migration.status import MigrationStatus, StepProgress
from migration.steps import Step
from tests.matrix.cells import OPTIONS, Cell, Fault
from tests.sweep.cases import NO_CALLS, Names, Point, points

HEALTH = ("application", "health")
"""The application's answer to a health check: it can be wrong, and is no call of ours that hangs or gets lost."""

_RECORDS = frozenset(
    {
        ("dynamodb", "PutItem"),
        ("callback", "deliver"),
        ("events", "PutEvents"),
        ("change", "update"),
        ("cmf", "updateServer"),
        ("cmf", "updateWave"),
    }
)
"""Calls that tell of a step and are no part of it: they come at any time."""

_BESIDE = frozenset({"dynamodb", "events", "cmf"})
"""Services that the looks of a step do not go to, but what is told of it."""

_PLANNED = frozenset({("mgn", "launch")})
_WHILE_UNDER_WAY = 2.5
_REFUSED_FOR_GOOD: Mapping[str, Mapping[str, Any]] = {
    "mgn": {"status": 403, "code": "AccessDeniedException"},
    "ec2": {"status": 403, "code": "UnauthorizedOperation"},
    "route53": {"status": 403, "code": "AccessDenied"},
    "dynamodb": {"status": 400, "code": "AccessDeniedException"},
    "ssm": {"status": 400, "code": "AccessDeniedException"},
    "vcenter": {"code": "NoPermission"},
    "servicenow": {"status": 403},
}
"""How each service says that somebody has to act: what no retry helps against."""


@dataclass(frozen=True)
class Seen:
    """A call that the fault plan was asked about."""

    at: datetime
    service: str
    operation: str
    targets: tuple[str, ...]


@dataclass(frozen=True)
class StepCalls:
    """What one step calls.

    Attributes:
        acts: What changes something, in order.
        looks: What does not, each operation once, counted from the `anchor` on.
        anchor: The last act before the step.
    """

    acts: tuple[Point, ...] = ()
    looks: tuple[Point, ...] = ()
    anchor: Point | None = None


@dataclass(frozen=True)
class Victim:
    """The call that a fault strikes; counted from the `anchor` on, if there is one."""

    point: Point
    acts: bool
    anchor: Point | None = None

    @property
    def is_health(self) -> bool:
        """Whether it is a health check."""
        return (self.point.service, self.point.operation) == HEALTH


class NotApplicable(Exception):  # noqa: N818  an answer: the cell does not exist
    """Why a cell does not exist."""


def calls_of_steps(
    status: MigrationStatus, entries: Sequence[Entry], seen: Sequence[Seen], names: Names
) -> Mapping[Step, StepCalls]:
    """The calls of each step of a run without a fault.

    Args:
        status: Its timeline.
        entries: What the ledger has of it.
        seen: All calls that the fault plan saw meanwhile.
        names: What it was called.
    """
    called = [entry for entry in entries if entry.service not in NO_CALLS]
    dated = list(zip(map(_at, called), points(called, names), strict=True))
    acts = [(at, point) for at, point in dated if (point.service, point.operation) not in _RECORDS]
    return {line.step: _calls(line, acts, seen, names) for line in status.steps}


def _calls(line: StepProgress, acts: Sequence[tuple[datetime, Point]], seen: Sequence[Seen], names: Names) -> StepCalls:
    began, ended = line.started, line.ended
    if began is None or ended is None:
        return StepCalls()
    before = [(at, point) for at, point in acts if at < began]
    last, anchor = before[-1] if before else (began, None)
    acting = {(point.service, point.operation) for _, point in acts} | _RECORDS | _PLANNED
    early = Counter((one.service, one.operation) for one in seen if last < one.at < began)
    found: dict[tuple[str, str], Point] = {}
    for one in seen:
        key = (one.service, one.operation)
        kind = next((kind for kind, name in names.by_kind().items() if name in one.targets), None)
        if began <= one.at <= ended and kind and key not in acting and key[0] not in _BESIDE and not early[key]:
            found.setdefault(key, Point(*key, kind, 1))
    return StepCalls(tuple(point for at, point in acts if began <= at <= ended), tuple(found.values()), anchor)


def _at(entry: Entry) -> datetime:
    return datetime.fromisoformat(entry.time)


def victim_of(cell: Cell, calls: StepCalls) -> Victim | None:
    """The call that the cell's fault strikes, spread over the options; None: it strikes none.

    Raises:
        NotApplicable: There can be no such cell.
    """
    if cell.fault is Fault.REJECT:
        if cell.step is not Step.APPROVE:
            raise NotApplicable("`reject` is an answer of the gate alone")
        return None
    if cell.fault is Fault.FAILS_AFTER and not calls.acts:
        raise NotApplicable("the step changes nothing, so that nothing fails after its effect")
    victims = [Victim(point, acts=True) for point in calls.acts]
    victims = victims or [Victim(point, acts=False, anchor=calls.anchor) for point in calls.looks]
    if cell.fault in (Fault.HANGS, Fault.CANCEL_LATE):
        victims = [victim for victim in victims if not victim.is_health]
    if not victims:
        raise NotApplicable("the step only looks at the application's health, and that call is never held up")
    return victims[round(cell.place * (len(victims) - 1) / (len(OPTIONS) - 1))]


def rule_for(cell: Cell, victim: Victim, names: Names) -> Rule:
    """The fault plan's rule for this cell."""
    point = victim.point
    target = names.by_kind()[point.kind] if point.kind else None
    verb = _health_verb(cell) if victim.is_health else _verb(cell, point.service)
    return Rule(point.service, point.operation, target=target, after=point.nth - 1, **verb)


def _verb(cell: Cell, service: str) -> Mapping[str, Any]:
    forbidden = _REFUSED_FOR_GOOD.get(service, {"status": 403})
    verbs: Mapping[Fault, Mapping[str, Any]] = {
        Fault.FAILS_BEFORE: {"action": "refuse", **forbidden},
        Fault.FAILS_AFTER: {"action": "refuse", "when": "after", **forbidden},
        Fault.HANGS: {"action": "hang"},
        Fault.CANCEL_LATE: {"action": "delay", "seconds": _WHILE_UNDER_WAY, "times": 1},
        Fault.KILLED: {"action": "kill", "when": "after", "times": 1},
        Fault.STOPPED: {"action": "kill", "when": "after" if cell.place % 2 else "before", "times": 1},
    }
    # Held between two attempts: refused as if it passed by itself, until the decision is taken.
    return verbs.get(cell.fault, {"action": "refuse"})


def _health_verb(cell: Cell) -> Mapping[str, Any]:
    if cell.fault in (Fault.KILLED, Fault.STOPPED):
        return {"action": "kill", "times": 1}
    return {"action": "neverHealthy"}
