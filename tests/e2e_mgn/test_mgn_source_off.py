"""Nobody knows what MGN makes of a source that is off for long: whichever it is, every way of a migration ends well."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import pytest

from localcloud.aws.mgn import Durations, MgnSettings
from localcloud.aws.mgn.switches import Switches
from migration.status import MigrationStatus, Phase, Side, StepState
from migration.steps import Step
from tests.e2e.local_cloud import until
from tests.e2e_mgn.mgn_cloud import Judged, MgnCloud, Sighting, Story, once_each, play, step_of

pytestmark = [pytest.mark.local, pytest.mark.timeout(400)]

FACTOR = 240.0
STALLS_AFTER = 10.0
"""Real seconds: longer than from the shutdown to the launch, and shorter than an unhealthy target is waited for."""

Position = Literal["stalled", "disconnected", "lagNull"]

AGENT_IS_BACK_AFTER = 4.0
"""Real seconds from the power-on: more than the rest of a rollback needs that does not wait for the agent."""

SEEN_OFF: dict[Position, Sighting] = {
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

    forward: Story[Judged]
    to_start: Story[Judged]
    to_ready: Story[BackAtTheGate]


@pytest.fixture(scope="module", params=sorted(SEEN_OFF))
def off(request: pytest.FixtureRequest) -> Position:
    position: Position = request.param
    return position


@pytest.fixture(scope="module")
def cloud(off: Position, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MgnCloud]:
    durations = Durations(stall_after=STALLS_AFTER * FACTOR, rescan=2 * FACTOR)
    mgn = MgnSettings(factor=FACTOR, durations=durations, source_off=off)
    cloud = MgnCloud(tmp_path_factory.mktemp(off), mgn, applications=3)
    yield cloud
    cloud.stop()


@pytest.fixture(scope="module")
def told(cloud: MgnCloud, off: Position) -> Told:
    return play(cloud, lambda: _begin(cloud, SEEN_OFF[off]))


def _begin(cloud: MgnCloud, off: Sighting) -> Told:
    return Told(
        forward=asyncio.create_task(_forward(cloud, off)),
        to_start=asyncio.create_task(_to_start(cloud)),
        to_ready=asyncio.create_task(_to_ready(cloud)),
    )


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
    await _agent_is_slow(cloud, "shop")
    return await cloud.judged("shop", Phase.ROLLED_BACK, "source")


async def _to_ready(cloud: MgnCloud) -> BackAtTheGate:
    fault = await cloud.never_healthy("crm")
    await cloud.begin("crm", rollback={"to": "ready"})
    await cloud.pass_the_gate("crm")
    await _agent_is_slow(cloud, "crm")
    gate = await cloud.at_the_gate("mig-crm", entry=2)
    seen, application = list(cloud.sightings["mig-crm"]), await cloud.application("crm")
    await cloud.take_back(fault)
    await cloud.approve(gate)
    end = await cloud.judged("crm", Phase.COMPLETED, "target", cutovers=2)
    return BackAtTheGate(gate, application, seen, end)


async def _agent_is_slow(cloud: MgnCloud, application: str) -> None:
    """After its source was switched on again, the agent takes a while until MGN sees it."""
    await cloud.reaches(f"mig-{application}", Phase.VERIFYING)
    target = f"{application}-web-01"
    unseen = await cloud.plan(service="mgn", operation="replication", target=target, action="replicationStalled")

    async def is_back() -> bool:
        return any(target in call["targets"] for call in await cloud.ledger("vcenter", "PowerOnVM_Task"))

    await until(f"{target} is on again", is_back)
    await asyncio.sleep(AGENT_IS_BACK_AFTER)
    await cloud.take_back(unseen)


def test_every_position_of_the_switch_is_played() -> None:
    assert set(SEEN_OFF) == set(get_args(Switches.__annotations__["source_off"]))


@pytest.mark.parametrize("application", ["billing", "shop", "crm"])
def test_mgn_missed_the_source_while_its_migration_was_in_cutover(
    cloud: MgnCloud, told: Told, off: Position, application: str
) -> None:
    assert told.forward.done()
    assert SEEN_OFF[off] in cloud.sightings[f"mig-{application}"]


def test_a_migration_is_finalized_with_a_source_that_has_long_been_off(told: Told) -> None:
    story = told.forward.result()
    assert (story.last.phase, story.last.served_by) == (Phase.COMPLETED, Side.TARGET)
    assert story.wrong == []
    assert story.cutovers == once_each("billing", "cutover/1")
    assert story.last.preserved == []


def test_a_rollback_to_the_start_leaves_the_source_serving_and_nothing_behind(told: Told) -> None:
    story = told.to_start.result()
    assert (story.last.phase, story.last.served_by) == (Phase.ROLLED_BACK, Side.SOURCE)
    assert [result.kind for result in story.last.undone if not result.done] == []
    assert story.wrong == []
    assert story.cutovers == once_each("shop", "cutover/1")


def test_a_rollback_to_ready_compares_the_disks_again_before_it_stands_at_the_gate(told: Told, off: Position) -> None:
    gate, seen = told.to_ready.result().gate, told.to_ready.result().seen
    missed = seen.index(SEEN_OFF[off])
    assert any(sight.replication == "RESCAN" for sight in seen[missed:])
    assert seen[-1] == Sighting("READY_FOR_CUTOVER", "CONTINUOUS", launchable=True)
    assert (step_of(gate, Step.REPLICATE).state, step_of(gate, Step.REPLICATE).entry) == (StepState.DONE, 2)
    assert {server.replication_state for server in gate.servers} == {"CONTINUOUS"}


def test_a_migration_that_stands_at_the_gate_again_is_served_by_its_source(told: Told) -> None:
    story = told.to_ready.result()
    assert (story.gate.served_by, story.gate.approvals) == (Side.SOURCE, [])
    assert {server["servedBy"] for server in story.application["servers"]} == {"source"}
    assert story.application["overlaps"] == []


def test_after_a_rollback_to_ready_a_second_cutover_completes(told: Told) -> None:
    end = told.to_ready.result().end
    assert (end.last.phase, end.last.served_by, end.last.generation) == (Phase.COMPLETED, Side.TARGET, 1)
    assert end.wrong == []
    assert end.cutovers == once_each("crm", "cutover/1", "cutover/2")
