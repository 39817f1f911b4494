"""`demo`: two migrations on the local cloud. One completes; one finds its target unhealthy and rolls back by itself.

It ends with a report that is read back from the systems, and exits 0 only if every line of it is as it should be.
"""

import argparse
import asyncio
import json
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from localcloud.faults import Rule
from localcloud.report import Ending, Line, Systems, report
from localcloud.supervisor import Supervisor, request_for
from localcloud.temporal import TemporalError
from localcloud.toolchain import BuildError
from localcloud.up import Program, wait_for_pollers
from migration.errors import NotFound
from migration.status import MigrationStatus, Phase
from starter.client import Migrations
from starter.watch import follow

APPROVER = "approver-1@example.com"
_STARTED_WITHIN = 60.0
_CALLBACK_WITHIN = 15.0


def main(arguments: Sequence[str]) -> int:
    """Run the demo; 0 only if both migrations ended as they should, by the word of the systems."""
    parser = argparse.ArgumentParser(prog="migrator demo", description=__doc__)
    parser.add_argument("--temporal", metavar="ADDRESS", help="HOST:PORT of a running Temporal server")
    parser.add_argument("--state-dir", type=Path, metavar="DIR", help="where logs and addresses go, and stay")
    parser.add_argument("--keep", action="store_true", help="leave the local cloud running until Ctrl-C")
    chosen = parser.parse_args(arguments)
    for stop in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(stop, signal.default_int_handler)
    console, began = Console(), time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="migrator-demo-") as state_dir:
            right = _demo(chosen.state_dir or Path(state_dir), console, chosen.temporal, keep=chosen.keep)
    except KeyboardInterrupt:
        return 130
    except (TemporalError, BuildError, OSError) as error:
        console.print(f"the demo could not run: {error}", style="red")
        return 1
    console.print(f"{'all as it should be' if right else 'NOT as it should be'}; {time.monotonic() - began:.0f} s")
    return 0 if right else 1


def _demo(state_dir: Path, console: Console, temporal: str | None, *, keep: bool) -> bool:
    def say(line: str) -> None:
        console.print(line, highlight=False)

    say("bringing the local cloud up: Temporal, AWS, vCenter, DNS, ServiceNow, CMF, callback receiver")
    cloud = Supervisor(state_dir, applications=2, temporal_address=temporal, say=say)
    with cloud, ExitStack() as programs:
        children = [programs.enter_context(Program(name, cloud)) for name in ("worker", "ingress")]
        wait_for_pollers(cloud.local["temporal"], children)
        say(f"up; Temporal Web UI: {cloud.local['web_ui'] or 'that of the given server'}")
        right = asyncio.run(_both(cloud, console))
        if keep:
            say(f"kept running until Ctrl-C; Web UI: {cloud.local['web_ui']}")
            signal.pause()
    return right


async def _both(cloud: Supervisor, console: Console) -> bool:
    systems = Systems(cloud.local)
    first, second = list(cloud.local["dns_names"])[:2]
    console.rule(f"1. {first}: from the data centre into AWS")
    completed = await _migrate(cloud, console, request_for(cloud.local, first))
    console.rule(f"2. {second}: its instance never becomes healthy after the cutover, and it goes back by itself")
    cloud.faults.add(
        Rule(service="application", operation="health", target=f"{second}-web-01/cutover", action="neverHealthy")
    )
    rolled_back = await _migrate(cloud, console, _doomed(request_for(cloud.local, second)))
    lines = {
        first: _judge(systems, first, completed, Phase.COMPLETED, "target"),
        second: _judge(systems, second, rolled_back, Phase.ROLLED_BACK, "source"),
    }
    console.rule("what the systems say")
    console.print(_table(lines))
    console.print(f"Temporal Web UI: {cloud.local['web_ui'] or 'that of the given server'}")
    return all(line.right for said in lines.values() for line in said)


def _doomed(request: dict[str, Any]) -> dict[str, Any]:
    for check in request["healthChecks"]:
        check["within"] = "PT6S"
    return request | {"rollback": {**request["rollback"], "to": "start"}}


async def _migrate(cloud: Supervisor, console: Console, request: dict[str, Any]) -> MigrationStatus:
    """Send the request through SQS, follow it, approve it at the gate."""
    queue = Systems(cloud.local).aws("sqs")
    queue.send_message(QueueUrl=cloud.local["queues"]["requests"], MessageBody=json.dumps(request))
    client = await Client.connect(cloud.local["temporal"], data_converter=pydantic_data_converter)
    migrations = Migrations(client, "migrations")
    await _started(migrations, request["migrationId"])
    approving: list[asyncio.Task[Any]] = []

    def approve_at_the_gate(status: MigrationStatus) -> None:
        if status.awaiting and status.awaiting.what == "approve" and not approving:
            payload = {"approver": APPROVER, "comment": "go", "evidenceHash": status.evidence_hash}
            approving.append(asyncio.create_task(migrations.decide(status.migration_id, "approve", payload)))

    last = await follow(migrations, request["migrationId"], console, approve_at_the_gate)
    await asyncio.gather(*approving)
    await _heard_the_end(Systems(cloud.local), request["migrationId"], request["appName"])
    return last


async def _heard_the_end(systems: Systems, migration_id: str, application: str) -> None:
    """Give the last words their time; the report says it when none came."""
    deadline = time.monotonic() + _CALLBACK_WITHIN
    while time.monotonic() < deadline:
        if systems.heard_the_end(migration_id, application):
            return
        await asyncio.sleep(0.2)


async def _started(migrations: Migrations, migration_id: str) -> None:
    deadline = time.monotonic() + _STARTED_WITHIN
    while time.monotonic() < deadline:
        try:
            await migrations.status(migration_id)
        except NotFound:
            await asyncio.sleep(0.2)
        else:
            return
    raise OSError(f"the ingress started no migration {migration_id} in {_STARTED_WITHIN:.0f} s")


def _judge(systems: Systems, application: str, last: MigrationStatus, wanted: Phase, ending: Ending) -> list[Line]:
    said = f"{last.phase}, served by {last.served_by}"
    ended = Line("the migration", said, last.phase is wanted and last.served_by == ending)
    return [ended, *report(systems, application, last.migration_id, ending)]


def _table(lines: dict[str, list[Line]]) -> Table:
    table = Table("application", "what", "said", "")
    for application, said in lines.items():
        for line in said:
            table.add_row(application, line.subject, line.said, "ok" if line.right else "[red]WRONG[/red]")
        table.add_section()
    return table


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
