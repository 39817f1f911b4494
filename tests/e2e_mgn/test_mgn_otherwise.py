"""MGN as it may be instead: every switch at its other position, one job at a time for the whole account."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import pytest

from localcloud.aws.mgn import Durations, MgnSettings, Quotas
from localcloud.aws.mgn.switches import Switches, positions
from migration.status import MigrationStatus, Phase, Side
from tests.e2e_mgn.mgn_cloud import Judged, MgnCloud, Story, play

pytestmark = [pytest.mark.local, pytest.mark.timeout(400)]

FACTOR = 240.0
STALLS_AFTER = 30.0
"""Real seconds: a source that is off must not be missed while its launch waits for other migrations' jobs."""

OTHERWISE: dict[str, Any] = {switch.name: list(positions(switch))[-1] for switch in fields(Switches)}


@dataclass(frozen=True)
class Retried:
    """What was seen when a part of a launch had failed, and how it ended when it was tried again."""

    after: MigrationStatus
    application: Any
    end: Judged


@dataclass(frozen=True)
class Told:
    """Every migration of this module's cloud; each application has two servers."""

    tiers: Story[Judged]
    test: Story[Retried]
    cutover: Story[Retried]
    start: Story[Judged]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    durations = Durations(stall_after=STALLS_AFTER * FACTOR)
    mgn = MgnSettings(factor=FACTOR, durations=durations, quotas=Quotas(concurrent_jobs=1), **OTHERWISE)
    cloud = MgnCloud(tmp_path_factory.mktemp("otherwise"), mgn, applications=4, servers=2)
    try:
        yield play(cloud, lambda: _begin(cloud))
    finally:
        cloud.stop()


def _begin(cloud: MgnCloud) -> Told:
    return Told(
        tiers=asyncio.create_task(_in_tiers(cloud, "billing")),
        test=asyncio.create_task(_test_fails_in_part(cloud, "shop")),
        cutover=asyncio.create_task(_last_tier_fails(cloud, "crm")),
        start=asyncio.create_task(_cutover_fails_in_part(cloud, "stock")),
    )


def _tiers(cloud: MgnCloud, application: str) -> dict[str, Any]:
    servers = cloud.request(application)["source"]["servers"]
    return {"servers": [{**server, "tier": number} for number, server in enumerate(servers, start=1)]}


async def _second_fails(cloud: MgnCloud, application: str, kind: str) -> None:
    target = f"{application}-web-02/{kind}"
    await cloud.plan(service="mgn", operation="launch", target=target, action="launchFailed", times=1)


async def _in_tiers(cloud: MgnCloud, application: str) -> Judged:
    await cloud.begin(application, source=_tiers(cloud, application))
    await cloud.pass_the_gate(application)
    return await cloud.judged(application, Phase.COMPLETED, "target", cutovers=2)


async def _test_fails_in_part(cloud: MgnCloud, application: str) -> Retried:
    await _second_fails(cloud, application, "test")
    await cloud.begin(application, onFailure={"action": "pause"})
    asked, serving = await cloud.asks(application), await cloud.application(application)
    await cloud.decide(application, "retry")
    await cloud.pass_the_gate(application)
    return Retried(asked, serving, await cloud.judged(application, Phase.COMPLETED, "target", tests=2))


async def _last_tier_fails(cloud: MgnCloud, application: str) -> Retried:
    await _second_fails(cloud, application, "cutover")
    await cloud.begin(application, source=_tiers(cloud, application), rollback={"to": "ready"})
    await cloud.pass_the_gate(application)
    gate, serving = await cloud.at_the_gate(f"mig-{application}", entry=2), await cloud.application(application)
    await cloud.approve(gate)
    return Retried(gate, serving, await cloud.judged(application, Phase.COMPLETED, "target", cutovers=4))


async def _cutover_fails_in_part(cloud: MgnCloud, application: str) -> Judged:
    await _second_fails(cloud, application, "cutover")
    await cloud.begin(application, rollback={"to": "start"})
    await cloud.pass_the_gate(application)
    return await cloud.judged(application, Phase.ROLLED_BACK, "source")


def test_every_switch_stands_otherwise_than_documented() -> None:
    assert [name for name, position in OTHERWISE.items() if getattr(Switches(), name) == position] == []


def test_two_tiers_are_launched_one_after_the_other_while_other_migrations_have_the_only_job(told: Told) -> None:
    marks = {("billing-web-01", "cutover/1/tier-1"), ("billing-web-02", "cutover/1/tier-2")}
    _completed(told.tiers.result(), marks)


def test_a_test_launch_that_fails_for_one_server_is_tried_again_for_both(told: Told) -> None:
    story = told.test.result()
    assert _served_by(story) == {"source"}
    _completed(story.end, {("shop-web-01", "cutover/1"), ("shop-web-02", "cutover/1")})


def test_a_last_tier_that_fails_takes_the_first_one_back_and_both_are_launched_again(told: Told) -> None:
    story = told.cutover.result()
    assert story.after.served_by is Side.SOURCE
    assert _served_by(story) == {"source"}
    assert story.application["overlaps"] == []
    marks = {(f"crm-web-0{number}", f"cutover/{entry}/tier-{number}") for number in (1, 2) for entry in (1, 2)}
    _completed(story.end, marks)


def test_a_cutover_launch_that_fails_for_one_server_is_undone_for_both(told: Told) -> None:
    story = told.start.result()
    assert (story.last.phase, story.last.served_by) == (Phase.ROLLED_BACK, Side.SOURCE)
    assert story.wrong == []
    assert _launched(story) == {("stock-web-01", "cutover/1"): 1, ("stock-web-02", "cutover/1"): 1}


def _completed(judged: Judged, launched: set[tuple[str, str]]) -> None:
    assert (judged.last.phase, judged.last.served_by) == (Phase.COMPLETED, Side.TARGET)
    assert judged.wrong == []
    assert _launched(judged) == dict.fromkeys(launched, 1)


def _launched(judged: Judged) -> dict[tuple[str, str], int]:
    """How often each server was launched for a cutover, by what its mark says after id and generation."""
    return {(server, mark.split("/", 2)[2]): count for (server, mark), count in judged.cutovers.items()}


def _served_by(retried: Retried) -> set[str | None]:
    return {server["servedBy"] for server in retried.application["servers"]}
