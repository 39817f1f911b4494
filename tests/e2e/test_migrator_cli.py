"""The CLI `migrator`, with and without somebody who answers."""

import asyncio
import json
import signal
import sys
from dataclasses import dataclass
from subprocess import Popen

from migration.status import Phase
from tests.e2e.local_cloud import APPROVER, ROOT, LocalCloud, Ran, until
from tests.e2e.secrets import plant_secrets
from tests.e2e.stories import Stories, story
from tests.fakes.collector import Collector, GotSpan

ELSEWHERE = {"MIGRATOR_TASK_QUEUE": "migrations-elsewhere"}


@dataclass(frozen=True)
class ByCli:
    """What the CLI answered while it led a migration."""

    starts: list[Ran]
    other_body: Ran
    status: Ran
    text: Ran
    refused: Ran
    approval: Ran
    watch: Ran
    afterwards: dict[str, Ran]


@story
async def is_led_by_the_cli(cloud: LocalCloud) -> ByCli:
    await plant_secrets(cloud, "mail")
    request = cloud.request("mail", soak={"for": "PT1H", "end": "commit"})
    file = cloud.written(request)
    starts = [await cloud.migrator("start", file, "-o", "json") for _ in range(2)]
    other_body = await cloud.migrator("start", cloud.written(request | {"grace": "PT8S"}, "other"), "-o", "json")
    watching = asyncio.create_task(cloud.migrator("watch", "mig-mail", "-o", "json"))
    await cloud.at_the_gate("mig-mail")
    status = await cloud.migrator("status", "mig-mail", "-o", "json")
    text = await cloud.migrator("status", "mig-mail")
    refused = await cloud.migrator("approve", "mig-mail", "--as", "requester@example.com", "-o", "json")
    approval = await cloud.migrator("approve", "mig-mail", "--as", APPROVER, "-o", "json", **cloud.variables)
    await cloud.reaches("mig-mail", Phase.SOAKING)
    await cloud.migrator("commit", "mig-mail", "--as", APPROVER)
    watch = await watching
    afterwards = {
        "start": await cloud.migrator("start", file, "-o", "json"),
        "again": await cloud.migrator("start", file, "--again"),
        "approve": await cloud.migrator("approve", "mig-mail", "--as", APPROVER),
        "callbacks": await cloud.migrator("callbacks", "mig-mail", "-o", "json"),
    }
    return ByCli(starts, other_body, status, text, refused, approval, watch, afterwards)


@dataclass(frozen=True)
class WithoutWorker:
    """What the CLI answered while nobody worked, and how it went on."""

    as_json: Ran
    as_text: Ran
    decision: Ran
    last: str


@story
async def waits_for_its_worker(cloud: LocalCloud) -> WithoutWorker:
    """Its own task queue has one worker, which goes away at the gate and comes back."""
    first = _worker(cloud)
    begun = await cloud.migrator("start", cloud.written(cloud.request("jobs")), **ELSEWHERE)
    assert begun.code == 0
    await cloud.at_the_gate("mig-jobs")
    await _stop(first)
    as_json, as_text, decision = await asyncio.gather(
        cloud.migrator("status", "mig-jobs", "-o", "json"),
        cloud.migrator("status", "mig-jobs"),
        cloud.migrator("acknowledge", "mig-jobs", "--as", APPROVER),
    )
    words = ("--workflow-id", "mig-jobs", "--name", "approve", "--input", json.dumps({"approver": APPROVER}))
    await cloud.temporal("workflow", "signal", *words)
    second = _worker(cloud)
    last = await cloud.reaches("mig-jobs", Phase.COMPLETED)
    await _callbacks_left(cloud)
    await _stop(second)
    return WithoutWorker(as_json, as_text, decision, last.phase)


def _worker(cloud: LocalCloud) -> Popen[bytes]:
    log = cloud.state_dir / "logs" / "worker-elsewhere.log"
    return cloud.spawn([sys.executable, ROOT / "worker.py"], ELSEWHERE, log)


async def _stop(process: Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    await asyncio.to_thread(process.wait, 60)


async def _callbacks_left(cloud: LocalCloud) -> None:
    async def look() -> bool:
        return await asyncio.to_thread(cloud.systems.heard_the_end, "mig-jobs", "jobs")

    await until("the last callback of mig-jobs", look, within=30)


async def test_a_decision_by_the_cli_is_a_trace_that_the_migration_names(
    cloud: LocalCloud, stories: Stories, collector: Collector
) -> None:
    await stories.told(is_led_by_the_cli)
    (sent,) = collector.named("StartWorkflowUpdate:approve")
    assert (sent.attributes["migration_id"], sent.parent_id) == ("mig-mail", "")

    async def taken() -> list[GotSpan]:
        handled = collector.named("HandleUpdate:approve")
        return [span for span in handled if bytes.fromhex(sent.span_id) in span.raw]

    (handled,) = await until("the update's span is sent", taken, within=60)
    assert handled.trace_id != sent.trace_id


async def test_a_migration_that_the_cli_leads_completes(cloud: LocalCloud, stories: Stories) -> None:
    told = await stories.told(is_led_by_the_cli)
    assert told.approval.code == 0
    assert told.approval.json["message"] == "approval 1 of 1"
    assert told.watch.code == 0
    assert (told.watch.json["phase"], told.watch.json["servedBy"]) == ("COMPLETED", "target")
    assert "AWAITING_APPROVAL  waiting for approval of the cutover" in told.watch.err
    assert await cloud.wrong_lines("mail", "target") == []


async def test_a_repeated_start_is_the_same_migration(stories: Stories) -> None:
    told = await stories.told(is_led_by_the_cli)
    assert [run.code for run in told.starts] == [0, 0]
    assert [run.json["outcome"] for run in told.starts] == ["started", "already running"]
    assert told.starts[0].json["correlationId"] == "mig-mail"
    assert (told.afterwards["start"].code, told.afterwards["start"].json["outcome"]) == (3, "already ended")


async def test_a_completed_migration_is_not_started_again(stories: Stories) -> None:
    again = (await stories.told(is_led_by_the_cli)).afterwards["again"]
    assert (again.code, again.err) == (3, "mig-mail has ended as COMPLETED, and cannot be started again\n")


async def test_the_callbacks_of_a_migration_are_shown(stories: Stories) -> None:
    shown = (await stories.told(is_led_by_the_cli)).afterwards["callbacks"]
    (generation,) = shown.json["generations"]
    assert generation["generation"] == 1
    assert generation["status"]["delivered"] > 0
    assert (generation["status"]["dead"], generation["status"]["gone"]) == ([], None)


async def test_another_request_under_the_same_id_is_refused(stories: Stories) -> None:
    told = await stories.told(is_led_by_the_cli)
    assert told.other_body.code == 3
    assert told.other_body.json["error"] == "mig-mail is the id of a migration with another request"
    assert told.other_body.json["action"] == "choose another migrationId, or send the request as it was"


async def test_status_says_where_it_stands_to_programs_and_to_people(stories: Stories) -> None:
    told = await stories.told(is_led_by_the_cli)
    assert told.status.json["phase"] == "AWAITING_APPROVAL"
    assert "readModel" not in told.status.json
    assert "must act  approver-1@example.com, approver-2@example.com" in told.text.out
    assert "migrator approve mig-mail --as WHO" in told.text.out
    assert "mail-web-02: READY_FOR_CUTOVER" in told.text.out


async def test_a_refused_decision_says_why_and_exits_with_3(stories: Stories) -> None:
    told = await stories.told(is_led_by_the_cli)
    assert told.refused.code == 3
    assert "requester@example.com is not an approver" in told.refused.json["error"]
    assert told.afterwards["approve"].code == 3


async def test_status_falls_back_to_the_read_model_and_says_its_age(stories: Stories) -> None:
    told = await stories.told(waits_for_its_worker)
    assert told.as_json.code == 0
    assert told.as_json.json["phase"] == "AWAITING_APPROVAL"
    assert 0 < told.as_json.json["readModel"]["ageSeconds"] < 600
    assert "no worker answers for mig-jobs" in told.as_json.json["readModel"]["reason"]
    assert told.as_text.code == 0
    assert told.as_text.err.startswith("from the read model, ")
    assert "AWAITING_APPROVAL" in told.as_text.out


async def test_a_decision_that_no_worker_takes_is_given_up_in_words(stories: Stories) -> None:
    told = await stories.told(waits_for_its_worker)
    assert told.decision.code == 1
    assert "no worker took the decision about mig-jobs" in told.decision.err


async def test_a_signal_sent_while_no_worker_ran_counts_when_one_is_back(cloud: LocalCloud, stories: Stories) -> None:
    assert (await stories.told(waits_for_its_worker)).last == Phase.COMPLETED
    assert await cloud.wrong_lines("jobs", "target") == []


async def test_an_unknown_migration_exits_with_3(cloud: LocalCloud) -> None:
    looks = [("status", "mig-nowhere"), ("watch", "mig-nowhere"), ("approve", "mig-nowhere", "--as", APPROVER)]
    ran = await asyncio.gather(*(cloud.migrator(*words) for words in looks))
    assert [(run.code, run.err) for run in ran] == [(3, "there is no running migration mig-nowhere\n")] * 3


async def test_a_refused_requests_status_is_its_refusal(cloud: LocalCloud) -> None:
    where = ("--type", "MigrationWorkflow", "--task-queue", "migrations", "--workflow-id", "mig-refused")
    await cloud.temporal("workflow", "start", *where, "--input", '{"appName": ""}')
    status = await cloud.migrator("status", "mig-refused")
    assert status.code == 3
    assert "mig-refused was refused: " in status.err
    assert "$.appName: expected" in status.err


async def test_validate_judges_the_document_alone(cloud: LocalCloud) -> None:
    nowhere = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "TEMPORAL_ADDRESS": "127.0.0.1:1", "MIGRATOR_SETTINGS": ""}
    files = [
        cloud.written(cloud.request("docs")),
        cloud.written(cloud.request("docs") | {"appName": ""}, "bad"),
        "/nowhere.json",
    ]
    good, bad, none = await asyncio.gather(*(cloud.migrator("validate", f, "-o", "json", **nowhere) for f in files))
    assert (good.code, good.json["valid"], good.json["migrationId"]) == (0, True, "mig-docs")
    assert bad.code == 2
    assert [error["path"] for error in bad.json["errors"]] == ["$.appName"]
    assert (none.code, none.json) == (2, {"error": "cannot read /nowhere.json: No such file or directory"})


async def test_schema_prints_the_schema(cloud: LocalCloud) -> None:
    printed = await cloud.migrator("schema")
    committed = json.loads((ROOT / "migration" / "schema" / "migration-request.json").read_text())
    assert (printed.code, printed.json) == (0, committed)


async def test_submit_goes_through_the_queue(cloud: LocalCloud) -> None:
    sent = await cloud.migrator(
        "submit", cloud.written(cloud.request("docs") | {"requestedBy": ""}, "sent"), "-o", "json"
    )
    assert sent.code == 0
    letter = await cloud.dead_letter(sent.json["messageId"])
    assert letter.paths == {"$.requestedBy"}


async def test_without_a_temporal_server_the_cli_says_so(cloud: LocalCloud) -> None:
    started = await cloud.migrator("start", cloud.written(cloud.request("docs")), TEMPORAL_ADDRESS="127.0.0.1:1")
    assert started.code == 1
    assert "no Temporal server answers at 127.0.0.1:1" in started.err
