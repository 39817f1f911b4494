"""`up`: the local cloud with one worker and one ingress, until somebody stops it."""

import asyncio
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from subprocess import Popen
from typing import Self

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.service import RPCError

from localcloud.faults import Rule
from localcloud.process import last_lines, spawn, stop_process
from localcloud.supervisor import CLOCK_FACTOR, Supervisor
from localcloud.toolchain import Say

TASK_QUEUE = "migrations"

_CHECKOUT = Path(__file__).resolve().parent.parent
_PROGRAMS = {
    "worker": [sys.executable, str(_CHECKOUT / "worker.py")],
    "ingress": [sys.executable, "-m", "starter.cli", "ingress"],
}
_WRITTEN = (
    ("local.json", "all addresses and seeds"),
    ("request.json", "a request"),
    ("requests", "one for each application"),
    ("env", "to source"),
)
_POLLS_WITHIN = 60.0
_ENDS_WITHIN = 5.0
_LOOK_EVERY = 0.5
_RESTART_PAUSE = 1.0


def run_until_stopped(
    state_dir: Path,
    *,
    applications: int,
    servers: int,
    clock_factor: float | None,
    temporal_address: str | None,
    workers: bool,
    say: Say,
) -> int:
    """Run it all until a KeyboardInterrupt, which stops it in order and goes on to the caller.

    Raises:
        OSError: The worker or the ingress did not start; with its last words.
    """
    cloud = Supervisor(
        state_dir,
        applications=applications,
        servers=servers,
        clock_factor=clock_factor or CLOCK_FACTOR,
        temporal_address=temporal_address,
        say=say,
    )
    say("starting the local cloud")
    with cloud, ExitStack() as programs:
        children = [programs.enter_context(Program(name, cloud)) for name in (_PROGRAMS if workers else ())]
        for child in children:
            programs.callback(child.ask_to_stop)  # all of them, before each is waited for
        cloud.faults.killer = partial(kill_caller, children)
        if children:
            wait_for_pollers(cloud.local["temporal"], children)
        _show(cloud, say)
        say("ready")
        while True:
            time.sleep(_LOOK_EVERY)
            for child in children:
                child.keep_alive(say)


def _show(cloud: Supervisor, say: Say) -> None:
    for name in ("temporal", "web_ui", "aws", "vcenter", "dns", "servicenow", "cmf", "receiver", "ledger", "faults"):
        say(f"  {name:12}{cloud.local[name]}")
    for path, what in _WRITTEN:
        say(f"  {cloud.state_dir / path}  {what}")


class Program:
    """One program of the product, run beside the local cloud and started again when it ends."""

    def __init__(self, name: str, cloud: Supervisor) -> None:
        """Nothing runs yet; `name` is `worker` or `ingress`."""
        self.name = name
        self.log = cloud.state_dir / "logs" / f"{name}.log"
        self._cloud = cloud
        self._process: Popen[bytes] | None = None
        self._started = 0.0

    def __enter__(self) -> Self:
        """Start it."""
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        if self._process:
            stop_process(self._process, within=_ENDS_WITHIN)

    def ask_to_stop(self) -> None:
        """Send SIGTERM, and do not wait."""
        if self._process and self._process.poll() is None:
            self._process.terminate()

    @property
    def pid(self) -> int:
        """Its process id. Raises `RuntimeError` before it was started."""
        if self._process is None:
            raise RuntimeError(f"the {self.name} has not been started")
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it runs."""
        return self._process.poll() if self._process else None

    def kill(self) -> None:
        """End it with SIGKILL; returns when it is dead. `keep_alive` starts it again."""
        if self._process:
            self._process.kill()
            self._process.wait()

    def keep_alive(self, say: Say) -> None:
        """Start it again when it has ended, as a service manager would."""
        code = self.exit_code
        if code is not None and time.monotonic() - self._started > _RESTART_PAUSE:
            self._start()
            say(f"the {self.name} ended with {code} and was started again; its log: {self.log}")

    def _start(self) -> None:
        self._started = time.monotonic()
        metrics = {"MIGRATOR_METRICS_ADDRESS": self._cloud.local["metrics"][self.name]}
        # AWS knows the programs apart by their keys, and an installation by their roles.
        own = metrics | {"AWS_ACCESS_KEY_ID": self.name}
        self._process = spawn(_PROGRAMS[self.name], self._cloud.environment() | own, self.log, cwd=_CHECKOUT)


def kill_caller(programs: Sequence[Program], rule: Rule) -> None:
    """Kill the program that makes such calls: the ingress those to SQS, the worker all others."""
    caller = "ingress" if rule.service == "sqs" else "worker"
    for program in programs:
        if program.name == caller:
            program.kill()


def wait_for_pollers(address: str, children: list[Program]) -> None:
    """Wait until a worker polls the task queue.

    Raises:
        OSError: One of the programs ended, or none polls in time; with the last words.
    """
    deadline = time.monotonic() + _POLLS_WITHIN
    while not _is_polled(address):
        for child in children:
            if child.exit_code is not None:
                raise OSError(f"the {child.name} ended with {child.exit_code}:\n{last_lines(child.log)}")
        if time.monotonic() > deadline:
            raise OSError(f"no worker polls after {_POLLS_WITHIN:.0f} s:\n{last_lines(children[0].log)}")
        time.sleep(0.2)


def _is_polled(address: str) -> bool:
    try:
        return asyncio.run(_pollers(address)) > 0
    except (RPCError, RuntimeError):
        return False


async def _pollers(address: str) -> int:
    client = await Client.connect(address)
    reply = await client.workflow_service.describe_task_queue(
        DescribeTaskQueueRequest(
            namespace=client.namespace,
            task_queue=TaskQueue(name=TASK_QUEUE),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
        )
    )
    return len(reply.pollers)
