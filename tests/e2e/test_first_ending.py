"""The first ending: a request comes through SQS, is approved, and the application ends up in AWS."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import httpx
from jsonschema import Draft202012Validator

from migration.messages import MessageType
from migration.schema import event_schema
from migration.status import MigrationStatus, Phase, StepState
from tests.e2e.local_cloud import LocalCloud, Ran, decoded, mark_of, until
from tests.e2e.stories import Stories, story

MIGRATION = "mig-billing"
REPEATS = 5


@dataclass(frozen=True)
class FirstEnding:
    """What was seen on the way."""

    description: Ran
    first_run: Ran
    metadata: Ran
    pages: dict[str, httpx.Response]
    bad: dict[str, str]
    last: MigrationStatus


@story
async def completes(cloud: LocalCloud) -> FirstEnding:
    """The same request several times, between messages that are none, and again later with another body."""
    request = cloud.request("billing")
    same = json.dumps(request)
    schema = json.dumps(cloud.request("reports") | {"appName": "", "surprise": 1, "migrationId": "mig-reports"})
    not_json, *_, wrong = await cloud.send('{"migrationId": "mig-rep', *[same] * REPEATS, schema)
    await cloud.started(MIGRATION)
    gate = await cloud.at_the_gate(MIGRATION)
    (other,) = await cloud.send(json.dumps(request | {"grace": "PT7S"}))
    description = await cloud.temporal("workflow", "describe", "--workflow-id", MIGRATION, "-o", "json")
    first = description.json["workflowExecutionInfo"]["firstRunId"]
    words = ("--workflow-id", MIGRATION, "-o", "json")
    first_run = await cloud.temporal("workflow", "describe", "--run-id", first, *words)
    metadata = await cloud.ask("metadata", *words)
    pages = await _web_ui(cloud)
    await cloud.approve(gate)
    last = await cloud.reaches(MIGRATION, Phase.COMPLETED)
    bad = {"not JSON": not_json, "schema": wrong, "other": other}
    return FirstEnding(description, first_run, metadata, pages, bad, last)


async def _web_ui(cloud: LocalCloud) -> dict[str, Any]:
    page, api = f"/namespaces/default/workflows/{MIGRATION}", f"/api/v1/namespaces/default/workflows/{MIGRATION}"
    async with httpx.AsyncClient(base_url=cloud.local["web_ui"], trust_env=False) as http:
        return {"page": await http.get(page, follow_redirects=True), "api": await http.get(api)}


@story
async def completes_in_tiers(cloud: LocalCloud) -> MigrationStatus:
    """The second server is of a later tier, so it stops first and is launched last."""
    request = cloud.request("wiki")
    request["source"]["servers"][1]["tier"] = 2
    await (await cloud.migrations()).start(json.dumps(request))
    await cloud.approve(await cloud.at_the_gate("mig-wiki"))
    return await cloud.reaches("mig-wiki", Phase.COMPLETED)


async def test_a_request_from_sqs_that_is_approved_ends_with_the_target_serving(
    cloud: LocalCloud, stories: Stories
) -> None:
    told = await stories.told(completes)
    assert (told.last.phase, told.last.served_by, told.last.generation) == (Phase.COMPLETED, "target", 1)
    assert {line.state for line in told.last.steps} == {StepState.DONE}
    assert await cloud.wrong_lines("billing", "target") == []


async def test_every_kind_of_check_was_seen_by_address_in_the_test_and_through_dns_in_the_soak(
    cloud: LocalCloud, stories: Stories
) -> None:
    last = (await stories.told(completes)).last
    assert last.evidence is not None
    tested = [check for check in last.evidence["test"]["checks"] if check["server"] == "billing-web-01"]
    assert [(check["kind"], check["healthy"]) for check in tested] == [
        *(("ec2", True), ("http", True), ("tcp", True), ("ssm", True)),
    ]
    name = cloud.local["dns_names"]["billing"]
    assert {(check.check, check.found) for check in last.checks if check.server == "billing-web-01"} == {
        (f"http://{name}:8080/health", "HTTP 200"),
        (f"tcp {name}:8080", "accepts connections"),
    }
    sent = [entry for entry in await cloud.ledger("ssm") if "billing-web-01" in entry["targets"]]
    commands = [entry["detail"]["Comment"] for entry in sent if entry["operation"] == "SendCommand"]
    assert len([comment for comment in commands if comment.startswith(f"{MIGRATION}/1/test/1 ")]) == 1


async def test_hooks_run_once_each_and_the_change_ticket_hears_of_it_all(cloud: LocalCloud, stories: Stories) -> None:
    told = await stories.told(completes)
    assert await cloud.wrong_lines("billing", "target") == []
    assert [(result.place, result.outcome, result.key) for result in told.last.hooks] == [
        ("beforeQuiesce", "succeeded", f"{MIGRATION}/1/cutover/1/hook-0"),
        ("beforeSwitch", "succeeded", f"{MIGRATION}/1/switch/1/hook-1"),
    ]
    (webhook,) = cloud.systems.hooks(MIGRATION)
    assert (webhook["verified"], webhook["webhookId"]) == (True, told.last.hooks[1].key)
    change = cloud.systems.change("billing")
    assert (change["state"], change["close_code"]) == ("Closed", "successful")
    marks = [line for line in change["work_notes"].splitlines() if line.startswith(f"[{MIGRATION}/")]
    assert sorted(marks) == [
        f"[{MIGRATION}/1/{step}]"
        for step in (
            "approve/1/ticket-approve",
            "cutover/1/ticket-cutover",
            "finalize/1/ticket-end",
            "switch/1/ticket-switch",
        )
    ]


async def test_callbacks_arrive_signed_and_in_order_without_a_gap(cloud: LocalCloud, stories: Stories) -> None:
    await stories.told(completes)
    assert await cloud.wrong_lines("billing", "target") == []
    deliveries = cloud.systems.deliveries(MIGRATION)
    messages = [json.loads(delivery["body"]) for delivery in deliveries]
    numbers = list(range(1, len(messages) + 1))
    assert [message["data"]["sequence"] for message in messages] == numbers
    assert [delivery["webhookId"] for delivery in deliveries] == [f"{MIGRATION}:1:{number}" for number in numbers]
    assert {(each["verified"], each["status"], each["duplicate"]) for each in deliveries} == {(True, 204, False)}
    statuses = [m["data"]["status"] for m in messages if m["type"] == "MigrationStatusChanged"]
    assert [*statuses, messages[-1]["data"]["status"]] == [
        *("PREPARING", "REPLICATING", "TESTING", "AWAITING_APPROVAL", "CUTTING_OVER", "VERIFYING", "SWITCHING"),
        *("SOAKING", "FINALIZING", "DECOMMISSIONING", "COMPLETED"),
    ]


async def test_every_transition_arrives_behind_the_event_bus_in_order_and_once(
    cloud: LocalCloud, stories: Stories
) -> None:
    await stories.told(completes)

    async def told() -> list[dict[str, Any]]:
        """Its own events: messages with its id that are refused have theirs."""
        return [e for e in await cloud.events(MIGRATION) if e["detail-type"] != MessageType.REQUEST_REFUSED]

    async def heard() -> bool:
        return [event["detail-type"] for event in await told()][-1:] == ["MigrationSucceeded"]

    await until("the last event of mig-billing", heard, within=30)
    events = await told()
    details = [event["detail"] for event in events]
    assert [detail["id"] for detail in details] == [f"{MIGRATION}:1:{number}" for number in range(1, len(events) + 1)]
    assert {(event["source"], event["account"]) for event in events} == {("migrator", "123456789012")}
    assert [event["detail-type"] for event in events] == [detail["type"] for detail in details]
    assert [f"{detail['type']} {detail['data']['status']}" for detail in details] == [
        "MigrationRequested VALIDATING",
        *(f"MigrationStatusChanged {phase}" for phase in ("PREPARING", "REPLICATING", "TESTING", "AWAITING_APPROVAL")),
        "ApprovalRequested AWAITING_APPROVAL",
        *(f"MigrationStatusChanged {phase}" for phase in ("CUTTING_OVER", "VERIFYING", "SWITCHING", "SOAKING")),
        *(f"MigrationStatusChanged {phase}" for phase in ("FINALIZING", "DECOMMISSIONING")),
        "MigrationSucceeded COMPLETED",
    ]
    for detail in details:
        Draft202012Validator(event_schema(MessageType(detail["type"]))).validate(detail)


async def test_the_list_of_a_wave_has_the_migration_as_it_ended(cloud: LocalCloud, stories: Stories) -> None:
    await stories.told(completes)
    listed = await cloud.migrator("list", "--wave", "wave-local", "--app", "billing", "--status", "ended", "-o", "json")
    (row,) = listed.json["migrations"]
    assert (row["migrationId"], row["status"], row["servedBy"]) == (MIGRATION, Phase.COMPLETED, "target")


async def test_the_read_model_ends_with_the_migrations_last_word(cloud: LocalCloud, stories: Stories) -> None:
    last = (await stories.told(completes)).last
    row = await cloud.row(MIGRATION)
    assert MigrationStatus.model_validate_json(row["document"]) == last
    assert (row["status"], row["appName"], row["waveId"]) == (last.phase, "billing", "wave-local")
    assert int(row["expiresAt"]) > last.updated.timestamp()


async def test_search_attributes_memo_and_summary_are_seen_by_the_temporal_cli(stories: Stories) -> None:
    told = await stories.told(completes)
    info = told.description.json["workflowExecutionInfo"]
    attributes = {name: decoded(value) for name, value in info["searchAttributes"]["indexedFields"].items()}
    expected = {
        "MigrationPhase": "AWAITING_APPROVAL",
        "AwaitingDecision": True,
        "AppName": "billing",
        "WaveId": "wave-local",
        "TargetAccount": "123456789012",
        "TargetRegion": "eu-central-1",
    }
    assert expected.items() <= attributes.items()
    summary = "billing (test) -> 123456789012/eu-central-1, wave-local"
    assert info["memo"]["fields"]["summary"] == summary
    assert info["memo"]["fields"]["correlationId"] == MIGRATION
    assert told.first_run.json["executionConfig"]["userMetadata"]["summary"] == summary


async def test_the_current_details_say_step_by_step_where_it_stands(stories: Stories) -> None:
    told = await stories.told(completes)
    (answer,) = told.metadata.json["queryResult"]
    details = answer["currentDetails"]
    assert "**AWAITING_APPROVAL** · waiting for approval of the cutover" in details
    assert "billing (test) -> 123456789012/eu-central-1, wave-local" in details
    assert "| test | done | 1 |" in details
    assert "| approve | running | 1 |" in details
    names = {definition["name"] for definition in answer["definition"]["updateDefinitions"]}
    assert {"approve", "reject", "rollback", "abandon", "reschedule", "commit"} <= names


async def test_the_web_ui_shows_the_migration(stories: Stories) -> None:
    pages = (await stories.told(completes)).pages
    assert pages["page"].status_code == 200
    assert "<!doctype html" in pages["page"].text.lower()
    assert pages["api"].json()["workflowExecutionInfo"]["execution"]["workflowId"] == MIGRATION


async def test_one_message_sent_five_times_is_one_migration(cloud: LocalCloud, stories: Stories) -> None:
    told = await stories.told(completes)
    client = await cloud.client()
    runs = [run async for run in client.list_workflows(f"WorkflowId = '{MIGRATION}'")]
    described = [await client.get_workflow_handle(run.id, run_id=run.run_id).describe() for run in runs]
    assert len({each.raw_description.workflow_execution_info.first_run_id for each in described}) == 1
    assert told.last.generation == 1
    assert [mark_of(entry) for entry in await cloud.launches(MIGRATION, "StartTest")] == [f"{MIGRATION}/1/test/1"]


async def test_a_message_that_is_not_json_is_a_dead_letter_with_the_reason(cloud: LocalCloud, stories: Stories) -> None:
    letter = await cloud.dead_letter((await stories.told(completes)).bad["not JSON"])
    assert letter.paths == {"$"}
    assert letter.body == '{"migrationId": "mig-rep'
    assert letter.error_type == "ValidationError"
    assert letter.correlation_id.startswith("corr-")


async def test_a_message_against_the_schema_is_a_dead_letter_with_every_reason(
    cloud: LocalCloud, stories: Stories
) -> None:
    letter = await cloud.dead_letter((await stories.told(completes)).bad["schema"])
    assert letter.paths == {"$.appName", "$.surprise"}
    assert letter.correlation_id == "mig-reports"


async def test_another_request_under_the_same_id_is_a_dead_letter(cloud: LocalCloud, stories: Stories) -> None:
    letter = await cloud.dead_letter((await stories.told(completes)).bad["other"])
    assert letter.reasons == (f"{MIGRATION} is the id of a migration with another request",)


async def test_servers_stop_from_the_last_tier_and_are_launched_from_the_first(
    cloud: LocalCloud, stories: Stories
) -> None:
    told = await stories.told(completes_in_tiers)
    assert await cloud.wrong_lines("wiki", "target", cutovers=2) == []
    records = {server.source_server_id: server.name for server in told.servers}
    launches = await cloud.launches("mig-wiki", "StartCutover")
    assert [[records[i] for i in launch["targets"] if i in records] for launch in launches] == [
        ["wiki-web-01"],
        ["wiki-web-02"],
    ]
    assert [mark_of(launch) for launch in launches] == [f"mig-wiki/1/cutover/1/tier-{number}" for number in (1, 2)]
    down, _ = await asyncio.gather(cloud.application("wiki"), cloud.ledger("vcenter"))
    stopped = {each["server"]: each["to"] for each in down["servingLog"] if each["side"] == "source"}
    assert stopped["wiki-web-02"] < stopped["wiki-web-01"]
    assert stopped["wiki-web-01"] < launches[0]["time"]
