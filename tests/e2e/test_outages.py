"""Every system that a migration meets is away for a while: the migration ends well, and everything catches up."""

import asyncio
import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

import httpx

from localcloud.change_requests import change_number
from localcloud.servicenow import ci_sys_id
from migration.messages import MessageType
from migration.status import MigrationStatus, Phase
from tests.e2e.local_cloud import LocalCloud, until
from tests.e2e.stories import Stories, story
from tests.fakes.collector import Collector, GotSpan

APPLICATION, MIGRATION = "app-13", "mig-app-13"
SERVER = f"{APPLICATION}-web-01"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


@dataclass(frozen=True)
class CaughtUp:
    """The planned faults by what they meet, and how it ended."""

    planned: dict[str, str]
    last: MigrationStatus


def outages() -> list[tuple[str, str, str, int]]:
    """Service, operation, what of this migration it touches, and how many calls find nobody."""
    return [
        ("dynamodb", "PutItem", MIGRATION, 4),
        ("events", "entry", MIGRATION, 4),
        ("callback", "deliver", MIGRATION, 3),
        ("cmf", "updateServer", SERVER, 4),
        ("change", "update", change_number(APPLICATION), 3),
        ("servicenow", "update", ci_sys_id(SERVER), 3),
        ("ssm", "SendCommand", SERVER, 3),
        ("vcenter", "ShutdownGuest", SERVER, 3),
        ("vcenter", "CreateSnapshot_Task", SERVER, 2),
        ("mgn", "StartTest", SERVER, 2),
        ("mgn", "StartCutover", SERVER, 2),
        ("mgn", "FinalizeCutover", SERVER, 3),
        ("hook", "run", MIGRATION, 2),
    ]


@story
async def all_are_away_for_a_while(cloud: LocalCloud) -> CaughtUp:
    """The request comes through SQS with the trace of who asked for it."""
    planned = {
        f"{service} {operation}": await cloud.plan(
            service=service, operation=operation, target=target, times=times, action="refuse"
        )
        for service, operation, target, times in outages()
    }
    trace = {"traceparent": {"DataType": "String", "StringValue": TRACEPARENT}}
    await asyncio.to_thread(
        cloud.systems.aws("sqs").send_message,
        QueueUrl=cloud.local["queues"]["requests"],
        MessageBody=json.dumps(cloud.request(APPLICATION)),
        MessageAttributes=trace,
    )
    await cloud.started(MIGRATION)
    await cloud.approve(await cloud.at_the_gate(MIGRATION))
    return CaughtUp(planned, await cloud.reaches(MIGRATION, Phase.COMPLETED))


async def test_a_migration_ends_well_though_every_system_was_away_for_a_while(
    cloud: LocalCloud, stories: Stories
) -> None:
    told = await stories.told(all_are_away_for_a_while)
    assert (told.last.phase, told.last.served_by, told.last.generation) == (Phase.COMPLETED, "target", 1)
    assert await cloud.wrong_lines(APPLICATION, "target") == []
    async with httpx.AsyncClient(trust_env=False) as http:
        left = {rule["id"] for rule in (await http.get(cloud.local["faults"])).json()}
    assert {what for what, rule in told.planned.items() if rule in left} == set(), "nobody met these outages"


async def test_what_was_away_has_caught_up_in_order_and_once(cloud: LocalCloud, stories: Stories) -> None:
    await stories.told(all_are_away_for_a_while)
    assert await cloud.wrong_lines(APPLICATION, "target") == []

    async def heard() -> list[dict[str, Any]]:
        events = await cloud.events(MIGRATION)
        return events if events and events[-1]["detail-type"] == MessageType.SUCCEEDED else []

    events = [event["detail"]["id"] for event in await until(f"the last event of {MIGRATION}", heard, within=60)]
    assert list(dict.fromkeys(events)) == [f"{MIGRATION}:1:{number}" for number in range(1, len(set(events)) + 1)]
    bodies = [json.loads(delivery["body"]) for delivery in cloud.systems.deliveries(MIGRATION) if delivery["accepted"]]
    numbers = list(dict.fromkeys(body["data"]["sequence"] for body in bodies))
    assert numbers == list(range(1, len(numbers) + 1))
    assert bodies[-1]["type"] == MessageType.SUCCEEDED
    assert (await cloud.row(MIGRATION))["status"] == Phase.COMPLETED


async def test_the_trace_of_who_asked_is_in_everything_that_is_said(cloud: LocalCloud, stories: Stories) -> None:
    told = await stories.told(all_are_away_for_a_while)
    assert told.last.correlation_id == TRACE
    deliveries = [json.loads(delivery["body"]) for delivery in cloud.systems.deliveries(MIGRATION)]
    said = [*(body["data"] for body in deliveries), *(one["detail"]["data"] for one in await cloud.events(MIGRATION))]
    assert {one["correlationId"] for one in said} == {TRACE}
    lines = [json.loads(line) for line in (cloud.state_dir / "logs" / "worker.log").read_text().splitlines()]
    own = [line for line in lines if line.get("migration_id") == MIGRATION]
    assert {line.get("correlation_id") for line in own} == {TRACE}
    ended = [line for line in own if line["event"] == "activity ended"]
    assert {line.get("trace_id") for line in ended} == {TRACE}


async def test_one_trace_leads_from_the_message_to_every_callback_and_hook(
    cloud: LocalCloud, stories: Stories, collector: Collector
) -> None:
    await stories.told(all_are_away_for_a_while)

    async def sent() -> list[GotSpan]:
        spans = collector.trace(TRACE)
        return spans if any(span.name == "step decommission" for span in spans) else []

    spans = await until(f"the spans of {MIGRATION} are sent", sent, within=60)
    names = Counter(span.name for span in spans)
    assert {span.service for span in spans if span.name == "take request"} == {"migrator"}
    known = {span.span_id for span in spans}
    assert {span.name for span in spans if span.parent_id not in known} == {"take request"}
    calls = {
        "mgn.StartCutover",
        "vCenter.ShutdownGuest",
        "SSM.SendCommand",
        "DynamoDB.PutItem",
        "EventBridge.PutEvents",
    }
    assert calls - set(names) == set()
    assert [span for span in spans if span.name == "vCenter.ShutdownGuest" and span.failed]
    told = [delivery["headers"].get("traceparent", "") for delivery in cloud.systems.deliveries(MIGRATION)]
    assert {header.split("-")[1] for header in told} == {TRACE}
    assert {header.split("-")[2] for header in told} <= known
