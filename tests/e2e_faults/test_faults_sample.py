"""A sample of the sweep: replies lost, workers killed, calls throttled; `make sweep` has every call and every fault."""

import asyncio
from pathlib import Path

import pytest

from tests.sweep.cases import FORWARD, UNHEALTHY, Case, Kind, Point
from tests.sweep.checker import compare
from tests.sweep.site import site

pytestmark = [pytest.mark.local, pytest.mark.timeout(300)]


def at(*words: str, kind: Kind = "server") -> tuple[Point, ...]:
    """Points in words: service, operation, and which."""
    split = [each.split() for each in words]
    return tuple(Point(service, operation, kind, int(nth)) for service, operation, nth in split)


UNDISTURBED = Case(FORWARD)
REPLIES_LOST = Case(
    FORWARD,
    "reply lost",
    at(
        "ssm SendCommand 1",
        "mgn StartTest 1",
        "mgn TerminateTargetInstances 1",
        "vcenter ShutdownGuest 1",
        "vcenter CreateSnapshot_Task 1",
        "mgn StartCutover 1",
        "servicenow update 1",
        "mgn FinalizeCutover 1",
    )
    + at("route53 ChangeResourceRecordSets 2", kind="dns")
    + at("callback deliver 3", kind="migration"),
)
KILLED = Case(FORWARD, "killed after", at("mgn StartCutover 1", "mgn FinalizeCutover 1"))
THROTTLED = Case(
    UNHEALTHY,
    "throttled",
    at(
        "ec2 StopInstances 1",
        "vcenter PowerOnVM_Task 1",
        "mgn TerminateTargetInstances 2",
        "mgn DisconnectFromService 1",
    ),
)


async def test_lost_replies_killed_workers_and_throttling_change_neither_end_nor_effects(tmp_path: Path) -> None:
    cases = (UNDISTURBED, REPLIES_LOST, KILLED, THROTTLED)
    async with site(tmp_path, applications=len(cases), lanes=len(cases)) as place:
        outcomes = await asyncio.gather(*(place.run(case) for case in cases))
    undisturbed, replies_lost, killed, _ = outcomes
    for outcome in (replies_lost, killed):
        outcome.problems += compare(outcome, undisturbed)
    assert {str(outcome.case): outcome.problems for outcome in outcomes if outcome.problems} == {}
