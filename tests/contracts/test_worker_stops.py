"""A worker that is stopped: what is under way ends or is handed over, and nothing is done twice."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from temporalio import workflow
from temporalio.client import Client, WorkflowHandle
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from localcloud.process import FOREIGN_VARIABLES, spawn, stop_process
from migration.policies import ACT
from tests.workflows.stage import until
from tests.workflows.worlds import WITHIN

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(__file__).with_name("planted_worker.py")
ACTIVITIES = ("call", "wait", "many_calls")


@workflow.defn(sandboxed=False)
class OneAct:
    """One activity of the worker that is stopped, by its name, with the policy of all acts; gives its attempt."""

    @workflow.run
    async def run(self, name: str) -> int:
        """Await it."""
        attempt: int = await workflow.execute_activity(name, {"name": name}, task_queue="migrations", **ACT)
        return attempt


def environment(address: str, **more: str) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_VARIABLES)}
    return own | {"TEMPORAL_ADDRESS": address, "PYTHONPATH": str(ROOT)} | more


@contextmanager
def a_worker(address: str, folder: Path, name: str) -> Iterator[subprocess.Popen[bytes]]:
    patience = {"MIGRATOR_GRACEFUL_SHUTDOWN_TIMEOUT": "PT1S"}
    process = spawn([sys.executable, PROGRAM, folder], environment(address, **patience), folder / f"{name}.log")
    yield process
    stop_process(process)


async def test_what_is_under_way_ends_or_is_handed_over_and_nothing_is_done_twice(
    temporal_address: str, tmp_path: Path
) -> None:
    def acted(name: str) -> list[str]:
        mark = tmp_path / f"{name}.acted"
        return mark.read_text().splitlines() if mark.exists() else []

    async def is_handed_over(handle: WorkflowHandle[OneAct, int]) -> bool:
        (pending,) = (await handle.describe()).raw_description.pending_activities
        return pending.attempt == 2

    async def ended(name: str) -> int:
        return await asyncio.wait_for(handles[name].result(), WITHIN)

    client, attempts = await Client.connect(temporal_address), {}
    here = Worker(client, task_queue="test-1", workflows=[OneAct], workflow_runner=UnsandboxedWorkflowRunner())
    with ExitStack() as workers:
        async with here:
            handles = {
                name: await client.start_workflow(OneAct.run, name, id=name, task_queue="test-1") for name in ACTIVITIES
            }
            stopped = workers.enter_context(a_worker(temporal_address, tmp_path, "first"))
            await until(lambda: all(acted(name) for name in ACTIVITIES), "all three are under way")
            stopped.terminate()
            await until(lambda: is_handed_over(handles["wait"]), "the wait is handed over")
            await until(lambda: is_handed_over(handles["many_calls"]), "no call is begun after the time of grace")
            assert stopped.poll() is None
            for name in ACTIVITIES:
                (tmp_path / f"{name}.go").touch()
            attempts["call"] = await ended("call")
            await until(lambda: stopped.poll() is not None, "the first worker ends")
            workers.enter_context(a_worker(temporal_address, tmp_path, "second"))
            for name in ("wait", "many_calls"):
                attempts[name] = await ended(name)
    assert attempts == {"call": 1, "wait": 2, "many_calls": 2}
    assert {name: acted(name) for name in ACTIVITIES} == {name: ["acted"] for name in ACTIVITIES}
    assert stopped.returncode == 0


def test_a_worker_that_cannot_start_says_why_and_what_to_do(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, ROOT / "worker.py"],
        env=environment("temporal.example.com:7233"),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    told = json.loads(ran.stderr)
    assert ran.returncode == 1
    assert (told["event"], told["level"]) == ("worker cannot start", "critical")
    assert "would be reached without TLS" in told["reason"]
    assert "allow_plaintext_temporal" in told["action"]
