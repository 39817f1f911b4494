"""Nobody knows what MGN makes of a source that is off for long: whichever it is, every way of a migration ends well."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, get_args

import pytest

from localcloud.aws.mgn import Durations, MgnSettings
from localcloud.aws.mgn.switches import Switches
from migration.status import MigrationStatus, Phase, Side, StepState
from migration.steps import Step
from tests.e2e_mgn.mgn_cloud import Judged, MgnCloud, Sighting, once_each, step_of

pytestmark = [pytest.mark.local, pytest.mark.timeout(400)]

FACTOR = 240.0
STALLS_AFTER = 8.0
"""Real seconds: longer than from the shutdown to the launch, and shorter than an unhealthy target is waited for."""

SEEN_OFF = {
    "stalled": Sighting("CUTTING_OVER", "STALLED", launchable=True),
    "disconnected": Sighting("CUTTING_OVER", "DISCONNECTED", launchable=False),
    "lagNull": Sighting("CUTTING_OVER", "STALLED", launchable=False),
}


@dataclass(frozen=True)
class BackAtTheGate:
    """What was seen between the two cutovers, and how it ended."""

    gate: MigrationStatus
    application: Any
    seen: list[Sighting]
    end: Judged


@dataclass(frozen=True)
class Told:
    """Three migrations on a cloud with one position of the switch."""

    off: Sighting
    sightings: dict[str, list[Sighting]]
    forward: Judged
    to_start: Judged
    to_ready: BackAtTheGate


@pytest.fixture(scope="module", params=sorted(SEEN_OFF))
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    durations = Durations(stall_after=STALLS_AFTER * FACTOR, rescan=2 * FACTOR)
    mgn = MgnSettings(factor=FACTOR, durations=durations, source_off=request.param)
    cloud = MgnCloud(tmp_path_factory.mktemp(request.param), mgn, applications=3)
    try:
        yield asyncio.run(_play(cloud, SEEN_OFF[request.param]))
    finally:
        cloud.stop()


async def _play(cloud: MgnCloud, off: Sighting) -> Told:
    watching = asyncio.create_task(cloud.watch())
    try:
        forward, to_start, to_ready = await asyncio.gather(_forward(cloud, off), _to_start(cloud), _to_ready(cloud))
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
    return Told(off, dict(cloud.sightings), forward, to_start, to_ready)


async def _forward(cloud: MgnCloud, off: Sighting) -> Judged:
    """The commit waits until MGN has long missed the source."""
    await cloud.begin("billing", soak={"for": "PT0S", "end": "wait"})
    await cloud.pass_the_gate("billing")
    await cloud.reaches("mig-billing", Phase.SOAKING)
    await cloud.sees("billing", lambda seen: seen == off, str(off))
    await cloud.decide("billing", "commit")
    return await cloud.judged("billing", Phase.COMPLETED, "target")


async def _to_start(cloud: MgnCloud) -> Judged:
    await cloud.never_healthy("shop")
    await cloud.begin("shop", rollback={"to": "start"})
    await cloud.pass_the_gate("shop")
    return await cloud.judged("shop", Phase.ROLLED_BACK, "source")


async def _to_ready(cloud: MgnCloud) -> BackAtTheGate:
    fault = await cloud.never_healthy("crm")
    await cloud.begin("crm", rollback={"to": "ready"})
    await cloud.pass_the_gate("crm")
    gate = await cloud.at_the_gate("mig-crm", entry=2)
    seen, application = list(cloud.sightings["mig-crm"]), await cloud.application("crm")
    await cloud.take_back(fault)
    await cloud.approve(gate)
    end = await cloud.judged("crm", Phase.COMPLETED, "target", cutovers=2)
    return BackAtTheGate(gate, application, seen, end)


def test_every_position_of_the_switch_is_played() -> None:
    assert set(SEEN_OFF) == set(get_args(Switches.__annotations__["source_off"]))


@pytest.mark.parametrize("application", ["billing", "shop", "crm"])
def test_mgn_missed_the_source_while_its_migration_was_in_cutover(told: Told, application: str) -> None:
    assert told.off in told.sightings[f"mig-{application}"]


def test_a_migration_is_finalized_with_a_source_that_has_long_been_off(told: Told) -> None:
    assert (told.forward.last.phase, told.forward.last.served_by) == (Phase.COMPLETED, Side.TARGET)
    assert told.forward.wrong == []
    assert told.forward.cutovers == once_each("billing", "cutover/1")
    assert told.forward.last.preserved == []


def test_a_rollback_to_the_start_leaves_the_source_serving_and_nothing_behind(told: Told) -> None:
    assert (told.to_start.last.phase, told.to_start.last.served_by) == (Phase.ROLLED_BACK, Side.SOURCE)
    assert [result.kind for result in told.to_start.last.undone if not result.done] == []
    assert told.to_start.wrong == []
    assert told.to_start.cutovers == once_each("shop", "cutover/1")


def test_a_rollback_to_ready_compares_the_disks_again_before_it_stands_at_the_gate(told: Told) -> None:
    gate, seen = told.to_ready.gate, told.to_ready.seen
    missed = seen.index(told.off)
    assert any(sight.replication == "RESCAN" for sight in seen[missed:])
    assert seen[-1] == Sighting("READY_FOR_CUTOVER", "CONTINUOUS", launchable=True)
    assert (step_of(gate, Step.REPLICATE).state, step_of(gate, Step.REPLICATE).entry) == (StepState.DONE, 2)
    assert {server.replication_state for server in gate.servers} == {"CONTINUOUS"}


def test_a_migration_that_stands_at_the_gate_again_is_served_by_its_source(told: Told) -> None:
    assert (told.to_ready.gate.served_by, told.to_ready.gate.approvals) == (Side.SOURCE, [])
    assert {server["servedBy"] for server in told.to_ready.application["servers"]} == {"source"}
    assert told.to_ready.application["overlaps"] == []


def test_after_a_rollback_to_ready_a_second_cutover_completes(told: Told) -> None:
    end = told.to_ready.end
    assert (end.last.phase, end.last.served_by, end.last.generation) == (Phase.COMPLETED, Side.TARGET, 1)
    assert end.wrong == []
    assert end.cutovers == once_each("crm", "cutover/1", "cutover/2")
