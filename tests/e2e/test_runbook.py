"""The runbook's commands do what it says: each is run on the local cloud as it stands there, each query on its logs."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from localcloud.aws.seed import STATE_TABLE
from migration.status import MigrationStatus, Phase
from tests.e2e.forked import Executed, Shell
from tests.e2e.local_cloud import APPROVER, LocalCloud, until
from tests.e2e.stories import Stories, story
from tests.insights import lines_of, query
from tests.pages import ROOT, Command, blocks, commands, filled, left_to_put_in

RUNBOOK = ROOT / "docs" / "RUNBOOK.md"
APPLICATION, MIGRATION = "app-14", "mig-app-14"

_NO_PLACES = (*Phase, "AGENT_BASED", "AND", "IN", "OR")
"""Words in capitals that are no places for something else."""


def _command(text: str) -> Command:
    """The runbook's command with this text."""
    return next(command for command in commands(RUNBOOK, "bash") if command.text == text)


@story
async def is_led_by_the_runbook(cloud: LocalCloud) -> list[Executed]:
    """One migration through everything that can be decided about one, each decision by the runbook's own command."""
    request = _troubled(cloud)
    file, text = cloud.written(request), json.dumps(request)
    told = await cloud.plan(service="callback", operation="deliver", target=MIGRATION, action="refuse", status=410)
    sick = await cloud.never_healthy(APPLICATION)
    await cloud.plan(service="mgn", operation="StartTest", target=f"{APPLICATION}-web-01", action="throttle", times=2)
    now = datetime.now(UTC).replace(microsecond=0)
    values = {
        "ID": MIGRATION,
        "YOU": APPROVER,
        "FILE": file,
        "REASON": "the application is retired",
        "KIND": "restoreNames",
        "KEY_FILE": "approver-1.pem",
        "NOT_BEFORE": now.isoformat(),
        "NOT_AFTER": (now + timedelta(hours=6)).isoformat(),
    }
    async with Shell(cloud, cloud.state_dir / "led-by-the-runbook", values) as shell:
        await (await cloud.migrations()).start(text)
        await _asks(cloud, "acknowledge")
        await shell.run(_command("migrator pause ID --as YOU"))
        await shell.run(_command("migrator acknowledge ID --as YOU"))
        await _asks(cloud, "resume")
        await shell.run(_command("migrator resume ID --as YOU"))
        await cloud.at_the_gate(MIGRATION)
        await shell.run(_command("migrator reject ID --as YOU"))
        await cloud.at_the_gate(MIGRATION, entry=2)
        await shell.run(_command("migrator reschedule ID --as YOU --not-before NOT_BEFORE --not-after NOT_AFTER"))
        await shell.run(_command("migrator keygen --as YOU --out KEY_FILE"))
        gate = await cloud.at_the_gate(MIGRATION, entry=2)
        await (await cloud.client()).get_workflow_handle(MIGRATION).signal("commit", {"by": APPROVER})  # is refused
        approve = _command("migrator approve ID --as YOU --key KEY_FILE --evidence HASH")
        await shell.run(approve, HASH=str(gate.evidence_hash))
        await _asks(cloud, "failure")
        await shell.run(_command("migrator retry ID --as YOU"))
        await _asks(cloud, "failure")
        await _cannot_be_undone(cloud, shell)
        await cloud.at_the_gate(MIGRATION, entry=3)
        await shell.run(_command("migrator keep-source ID --as YOU"))
        await shell.run(_command('migrator abandon ID --as YOU --reason "REASON"'))
        await _ends(cloud, 1, Phase.CANCELLED)
        await shell.run(_command("migrator start FILE --again"))
        await _asks(cloud, "acknowledge", generation=2)
        await shell.run(_command("temporal workflow cancel --workflow-id ID"))
        await _ends(cloud, 2, Phase.CANCELLED)
        await cloud.take_back(sick)
        await _completes(cloud, shell, text)
        await cloud.take_back(told)
        await _replays(shell)
    return shell.done


def _troubled(cloud: LocalCloud) -> dict[str, Any]:
    """A request with a warning (it may replicate for longer than is free); at a failure a person is asked."""
    request = cloud.request(
        APPLICATION,
        replication={"deadline": "P95D"},
        warnings="acknowledge",
        onFailure={"action": "pause"},
        soak={"for": "PT1H", "end": "commit"},
        sourceAfter="delete",
    )
    for check in request["healthChecks"]:
        check["within"] = "PT6S"
    del request["change"]  # the end of a generation closes it, and with it the door to the next one
    return request


async def _asks(cloud: LocalCloud, what: str, generation: int = 1) -> MigrationStatus:
    """Wait until a person is asked for this."""
    migrations = await cloud.migrations()

    async def look() -> MigrationStatus | None:
        status = await migrations.status(MIGRATION)
        if status.generation == generation and status.phase.ended:
            pytest.fail(f"{MIGRATION} ended as {status.phase}: {status.message}")
        asked = status.awaiting is not None and status.awaiting.what == what
        return status if asked and status.generation == generation else None

    return await until(f"{MIGRATION} asks for {what}", look)


async def _ends(cloud: LocalCloud, generation: int, phase: Phase) -> None:
    """Wait until a generation has ended so, in Temporal too: only then another one can begin."""
    migrations, client = await cloud.migrations(), await cloud.client()

    async def look() -> bool:
        status = await migrations.status(MIGRATION)
        run = await client.get_workflow_handle(MIGRATION).describe()
        return run.close_time is not None and (status.generation, status.phase) == (generation, phase)

    await until(f"generation {generation} of {MIGRATION} is {phase}", look)


async def _cannot_be_undone(cloud: LocalCloud, shell: Shell) -> None:
    """Route 53 refuses what a rollback wants of it, until a person has seen to that."""
    rule = {"service": "route53", "operation": "ChangeResourceRecordSets", "target": f"{APPLICATION}.example.internal"}
    fault = await cloud.plan(**rule, action="refuse", status=403, code="AccessDenied")
    await shell.run(_command("migrator rollback ID --as YOU"))
    await _asks(cloud, "undo")
    await shell.run(_command("migrator retry ID --as YOU --undo KIND"))
    await _asks(cloud, "undo")
    await shell.run(_command('migrator skip ID --as YOU --undo KIND --reason "done by hand"'))
    await cloud.take_back(fault)


async def _completes(cloud: LocalCloud, shell: Shell, text: str) -> None:
    """The next generation goes all the way, to the deletion of its source."""
    migrations = await cloud.migrations()
    await migrations.start(text, again=True)
    await _asks(cloud, "acknowledge", generation=3)
    await migrations.decide(MIGRATION, "acknowledge", {"by": APPROVER})
    gate = await _asks(cloud, "approve", generation=3)
    await shell.run(_command("migrator approve ID --as YOU --evidence HASH"), HASH=str(gate.evidence_hash))
    await cloud.reaches(MIGRATION, Phase.SOAKING)
    await shell.run(_command("migrator commit ID --as YOU"))
    await _asks(cloud, "delete", generation=3)
    await shell.run(_command("migrator approve ID --as YOU --for delete"))
    await cloud.reaches(MIGRATION, Phase.COMPLETED)


async def _replays(shell: Shell) -> None:
    """The endpoint, which was gone from the start, takes messages again."""
    listed = await shell.run(_command("migrator callbacks ID"))
    assert listed.code == 0
    shown = await shell.cloud.migrator("callbacks", MIGRATION, "-o", "json")
    first, second, *_ = [letter["message"]["id"] for letter in shown.json["generations"][0]["status"]["dead"]]
    await shell.run(_command("migrator callbacks ID --replay MESSAGE_ID"), MESSAGE_ID=first)
    update = "temporal workflow update execute --workflow-id callbacks/ID --name replay -o json"
    await shell.run(_command(f"""{update} --input '{{"messages": ["MESSAGE_ID"]}}'"""), MESSAGE_ID=second)
    await shell.run(_command("migrator callbacks ID --replay"))


async def _values(cloud: LocalCloud) -> dict[str, str]:
    """What a person would put in who looks at a migration that has ended, and at a message that was refused."""
    (message,) = await cloud.send(json.dumps({"appName": "nothing else"}))
    local = cloud.local
    launch, *_ = await cloud.launches(MIGRATION, "StartCutover")
    return {
        "ID": MIGRATION,
        "MESSAGE-ID": message,
        "ACCOUNT": local["account_id"],
        "REGION": local["region"],
        "ROLE_ARN": local["role_arn"],
        "JOB": next(name for name in launch["targets"] if name.startswith("mgnjob-")),
        "ZONE": local["zone"]["id"],
        "NAME": local["dns_names"][APPLICATION],
        "CONNECTION": "cmf-1",
        "WAVE": str(local["cmf_waves"][APPLICATION]),
        "QUEUE": local["queues"]["requests"],
        "DEAD_LETTERS": local["queues"]["dead_letters"],
        "TABLE": STATE_TABLE,
        "BUS": local["events"]["bus"],
        "WORKER_LOG": str(cloud.state_dir / "logs" / "worker.log"),
    }


async def test_every_decision_of_the_runbook_is_taken(stories: Stories) -> None:
    done = await stories.told(is_led_by_the_runbook)
    assert _failed(done) == []


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def others(quiet_cloud: LocalCloud, stories: Stories) -> list[Executed]:
    """Every command that is no decision, carried out when that migration has ended, and a message was refused."""
    decided = {one.command.text for one in await stories.told(is_led_by_the_runbook)}
    values = await _values(quiet_cloud)
    async with Shell(quiet_cloud, quiet_cloud.state_dir / "runbook", values) as shell:
        await _refused(shell)
        for command in {command.text: command for command in commands(RUNBOOK, "bash")}.values():
            if command.text not in decided:
                assert left_to_put_in(command.text, [*values, *_NO_PLACES]) == set(), f"RUNBOOK.md:{command.line}"
                await shell.run(command)
    return shell.done


async def test_every_other_command_of_the_runbook_does_what_it_says(others: list[Executed]) -> None:
    assert _failed(others) == []


async def _refused(shell: Shell) -> None:
    """Wait until the bad message is a dead letter; what it takes until then is nobody's failure."""

    async def look() -> bool:
        return (await shell.run(_command("migrator dlq show MESSAGE-ID"))).code == 0

    await until("the message is a dead letter", look, within=60)
    shell.done.clear()


def _failed(done: list[Executed]) -> list[str]:
    return [
        f"RUNBOOK.md:{one.command.line}: {one.command.text}: exit code {one.ran.code}: {one.ran.out}{one.ran.err}"
        for one in done
        if one.ran.code
    ]


async def test_every_query_of_the_runbook_finds_lines_in_the_logs(
    quiet_cloud: LocalCloud, others: list[Executed]
) -> None:
    logs = [quiet_cloud.state_dir / "logs" / f"{name}.log" for name in ("worker", "ingress")]
    lines = [line for log in logs for line in lines_of(log.read_text())]
    values = {"ID": MIGRATION, "CORRELATION-ID": MIGRATION}
    queries = [block for block in blocks(RUNBOOK) if block.tag == "insights"]
    assert len(queries) > 5
    assert [left for each in queries if (left := left_to_put_in(each.text, list(values)))] == []
    found = {each.line: query(filled(each.text, values), lines) for each in queries}
    assert [f"RUNBOOK.md:{line}" for line, rows in found.items() if not rows] == []
