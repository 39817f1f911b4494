"""`make bench`: what the orchestration of a migration costs, each figure beside a baseline of the same run.

Worker CPU per activity of full migrations, beside a no-op workflow of as many activities on the same server; and
the activities and history events of a one-server migration with a short and with a long wait for replication.
"""

import asyncio
import json
import platform
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter

from bench.noop import TASK_QUEUE, NoopWorkflow
from localcloud.process import spawn, stop_process
from localcloud.supervisor import Supervisor, request_for
from localcloud.up import Program, wait_for_pollers
from migration.status import Phase
from starter.client import Migrations
from starter.watch import changes

RESULTS = Path(__file__).parent / "results.json"
CHECKOUT = Path(__file__).resolve().parent.parent
TOGETHER = 4
SHORT, LONG = 2, 40
"""Looks with small lag that replication has to show: one a second in the local cloud."""

APPROVER = "approver-1@example.com"


async def main() -> int:
    """Measure, print, write the results."""
    console = Console()
    with tempfile.TemporaryDirectory(prefix="migrator-bench-") as state_dir, ExitStack() as running:
        cloud = running.enter_context(Supervisor(Path(state_dir), applications=TOGETHER + 2, say=console.print))
        worker = running.enter_context(Program("worker", cloud))
        await asyncio.to_thread(wait_for_pollers, cloud.local["temporal"], [worker])
        client = await Client.connect(cloud.local["temporal"], data_converter=pydantic_data_converter)
        results = {
            "python": platform.python_version(),
            "cpuPerActivity": await _cpu(cloud, client, worker, running),
            "history": await _history(cloud, client),
        }
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    console.print(_table(results))
    return 0


# --- CPU -------------------------------------------------------------------------------------------------------


async def _cpu(cloud: Supervisor, client: Client, worker: Program, running: ExitStack) -> dict[str, Any]:
    names = list(cloud.local["dns_names"])[:TOGETHER]
    handles, spent = await _spent(worker.pid, lambda: _migrate_all(cloud, client, names, SHORT))
    counts = [await _count(handle) for handle in handles]
    activities = sum(count["activities"] for count in counts)
    each = round(activities / len(handles))
    noop = spawn(
        [sys.executable, "-m", "bench.noop"], cloud.environment(), cloud.state_dir / "logs/noop.log", cwd=CHECKOUT
    )
    running.callback(stop_process, noop)
    await client.execute_workflow(NoopWorkflow.run, 1, id="noop-warm-up", task_queue=TASK_QUEUE)
    _, baseline = await _spent(noop.pid, lambda: _noops(client, TOGETHER, each))
    per_activity, per_noop = 1000 * spent / activities, 1000 * baseline / (TOGETHER * each)
    return {
        "migrations": TOGETHER,
        "activities": activities,
        "workerCpuMsPerActivity": round(per_activity, 1),
        "baselineCpuMsPerActivity": round(per_noop, 1),
        "ratio": round(per_activity / per_noop, 2),
    }


async def _spent(pid: int, run: Callable[[], Any]) -> tuple[Any, float]:
    """What the run returns, and the CPU seconds that the process used meanwhile."""
    process = psutil.Process(pid)
    before = process.cpu_times()
    result = await run()
    after = process.cpu_times()
    return result, after.user + after.system - before.user - before.system


async def _noops(client: Client, workflows: int, activities: int) -> None:
    await asyncio.gather(
        *(
            client.execute_workflow(NoopWorkflow.run, activities, id=f"noop-{number}", task_queue=TASK_QUEUE)
            for number in range(workflows)
        )
    )


# --- history ---------------------------------------------------------------------------------------------------


async def _history(cloud: Supervisor, client: Client) -> dict[str, Any]:
    """The same migration with a short and with a long wait: no waiting step may grow history."""
    names = list(cloud.local["dns_names"])[TOGETHER:]
    counted = {}
    for name, looks in zip(names, (SHORT, LONG), strict=True):
        (handle,) = await _migrate_all(cloud, client, [name], looks)
        counted[f"{looks} looks"] = await _count(handle)
    baseline = await client.start_workflow(
        NoopWorkflow.run, counted[f"{SHORT} looks"]["activities"], id="noop-history", task_queue=TASK_QUEUE
    )
    await baseline.result()
    counted["baseline"] = await _count(baseline)
    return counted


async def _count(handle: WorkflowHandle[Any, Any]) -> dict[str, int]:
    """Activities, events and runs of a workflow, over all its runs."""
    run_id: str | None = handle.first_execution_run_id or handle.result_run_id
    activities = events = runs = 0
    while run_id:
        history = await handle._client.get_workflow_handle(handle.id, run_id=run_id).fetch_history()  # noqa: SLF001  there is no public way from a handle
        activities += sum(e.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED for e in history.events)
        events, runs = events + len(history.events), runs + 1
        run_id = history.events[-1].workflow_execution_continued_as_new_event_attributes.new_execution_run_id or None
    return {"activities": activities, "events": events, "runs": runs}


# --- migrations ------------------------------------------------------------------------------------------------


async def _migrate_all(
    cloud: Supervisor, client: Client, names: list[str], looks: int
) -> list[WorkflowHandle[Any, Any]]:
    return list(await asyncio.gather(*(_migrate(cloud, client, name, looks) for name in names)))


async def _migrate(cloud: Supervisor, client: Client, application: str, looks: int) -> WorkflowHandle[Any, Any]:
    request = request_for(cloud.local, application, replication={"stableObservations": looks})
    migrations = Migrations(client, "migrations")
    started = await migrations.start(json.dumps(request))
    handle = client.get_workflow_handle(started.migration_id, first_execution_run_id=started.run_id)
    async for status, _ in changes(migrations, started.migration_id):
        if status.phase is Phase.AWAITING_APPROVAL:
            break
    await migrations.decide(started.migration_id, "approve", {"approver": APPROVER})
    await handle.result()
    return handle


def _table(results: dict[str, Any]) -> Table:
    table = Table("what", "migration", "baseline", "ratio", title="bench")
    cpu, history = results["cpuPerActivity"], results["history"]
    table.add_row(
        "worker CPU-ms per activity",
        f"{cpu['workerCpuMsPerActivity']} ({cpu['migrations']} migrations, {cpu['activities']} activities)",
        str(cpu["baselineCpuMsPerActivity"]),
        str(cpu["ratio"]),
    )
    short, long, baseline = history[f"{SHORT} looks"], history[f"{LONG} looks"], history["baseline"]
    table.add_row(
        f"activities / history events, replication of {SHORT} looks",
        f"{short['activities']} / {short['events']} in {short['runs']} runs",
        f"{baseline['activities']} / {baseline['events']}",
        f"{short['events'] / baseline['events']:.2f}",
    )
    table.add_row(
        f"activities / history events, replication of {LONG} looks",
        f"{long['activities']} / {long['events']} in {long['runs']} runs",
        f"{short['activities']} / {short['events']} (short)",
        f"{long['events'] / short['events']:.2f}",
    )
    return table


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
