"""Looks switched off, one at a time: a worker that acts without looking must make the sweep fail.

Each mutation leaves an undisturbed migration as it is. Where two looks stand behind each other, both are off.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.sweep.cases import AFTER_SWITCH, FORWARD, Case, Ending, Fault, Point

VARIABLE = "SWEEP_MUTATION"
"""The environment variable that tells a worker which look it is to leave out."""


def _nothing(*_: Any, **__: Any) -> None:
    return None


def _always(*_: Any, **__: Any) -> bool:
    return True


def _never(*_: Any, **__: Any) -> bool:
    return False


def _jobs_are_not_looked_for() -> None:
    from activities import jobs  # noqa: PLC0415  only a worker that is mutated loads what it mutates

    vars(jobs)["marked"] = _nothing


def _agents_are_not_looked_for() -> None:
    from activities import source  # noqa: PLC0415  as above
    from adapters.ssm import Ssm  # noqa: PLC0415  as above

    vars(source)["is_registered"] = _never
    setattr(Ssm, "_under_way", _nothing)  # noqa: B010  a method may not be assigned to


def _records_are_not_compared() -> None:
    from adapters import route53  # noqa: PLC0415  as above

    vars(route53)["_has_to_change"] = _always


def _claims_are_not_recognised() -> None:
    from adapters import dynamodb  # noqa: PLC0415  as above
    from migration.errors import Conflict  # noqa: PLC0415  as above

    granted = dynamodb._granted

    def forgetful(claim: Any, held: Any, *, again: bool) -> Any:
        if held is not None:
            raise Conflict("held by somebody")
        return granted(claim, held, again=again)

    vars(dynamodb)["_granted"] = forgetful


def _kept_snapshots_are_not_looked_for() -> None:
    from adapters.ec2 import Ec2  # noqa: PLC0415  as above

    setattr(Ec2, "_tagged_snapshots", lambda *_: ())  # noqa: B010  as above


@dataclass(frozen=True)
class Mutation:
    """A look that is left out, and the case that must find out."""

    apply: Callable[[], None]
    case: Case


def _caught_at(point: Point, fault: Fault = "killed after", ending: Ending = FORWARD) -> Case:
    return Case(ending, fault, (point,))


MUTATIONS: Mapping[str, Mutation] = {
    "test job": Mutation(_jobs_are_not_looked_for, _caught_at(Point("mgn", "StartTest", "server", 1), "reply lost")),
    "cutover job": Mutation(_jobs_are_not_looked_for, _caught_at(Point("mgn", "StartCutover", "server", 1))),
    "agent": Mutation(_agents_are_not_looked_for, _caught_at(Point("ssm", "SendCommand", "server", 1))),
    "DNS record": Mutation(
        _records_are_not_compared, _caught_at(Point("route53", "ChangeResourceRecordSets", "dns", 2))
    ),
    "claim": Mutation(_claims_are_not_recognised, _caught_at(Point("dynamodb", "TransactWriteItems", "migration", 1))),
    "kept snapshot": Mutation(
        _kept_snapshots_are_not_looked_for,
        _caught_at(Point("ec2", "CreateSnapshots", "server", 1), ending=AFTER_SWITCH),
    ),
}


def mutate(name: str) -> None:
    """Leave that look out in this process; an empty name leaves none out."""
    if name:
        MUTATIONS[name].apply()
