"""Lanes of a sweep: each has a task queue and a worker of its own, so that a kill hits one migration and no other."""

import signal
import sys
import threading
import time
from pathlib import Path
from subprocess import Popen
from typing import Self

from localcloud.process import last_lines, spawn, stop_process
from localcloud.supervisor import Supervisor
from tests.sweep import orders
from tests.sweep.mutations import VARIABLE

ROOT = Path(__file__).resolve().parents[2]
ORDERS = "orders"
"""Where in a cloud's state directory its workers find orders."""

HASTE = {
    "MIGRATOR_ACT_BOUND": f"PT{orders.ACT_BOUND.seconds}S",
    "MIGRATOR_POLL__REPLICATION": "PT0.5S",
    "MIGRATOR_POLL__JOB": "PT0.5S",
    "MIGRATOR_POLL__HEALTH": "PT0.5S",
    "MIGRATOR_POLL__SOAK": "PT0.5S",
    "MIGRATOR_POLL__SOURCE": "PT0.5S",
    "MIGRATOR_POLL__DNS": "PT0.5S",
    "MIGRATOR_ACTIVITY_THREADS": "16",
}


class Lane:
    """One worker, started again whenever it was killed."""

    def __init__(self, cloud: Supervisor, number: int, mutation: str = "", *, stalls: bool = False) -> None:
        """Nothing runs yet.

        Args:
            cloud: What the worker works with.
            number: Tells the lane from others.
            mutation: The look that the worker leaves out, if any.
            stalls: There are two workers, so that one goes on where the other stands still.
        """
        self.task_queue = f"lane-{number}"
        self.mutation = mutation
        self.kills = 0
        self._cloud = cloud
        self._log = cloud.state_dir / "logs" / f"{self.task_queue}.log"
        self._process: Popen[bytes] | None = None
        self._second: Popen[bytes] | None = None
        self._stalls = stalls
        self._turn = threading.Lock()

    def __enter__(self) -> Self:
        """Start the worker, and its second."""
        self._start()
        if self._stalls:
            self._second = self._spawn()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the workers, and start none any more."""
        with self._turn:
            running, self._process, self._second = self._running, None, None
        for process in running:
            stop_process(process, within=1.0)

    def kill(self) -> None:
        """SIGKILL the worker, and start another when it is dead."""
        with self._turn:
            if not self._process:
                return
            self._process.kill()
            self._process.wait()
            self.kills += 1
            self._start()

    def keep_alive(self) -> None:
        """Start another worker when this one has killed itself, as it was ordered to."""
        with self._turn:
            if self._process and self._process.poll() == -signal.SIGKILL:
                self.kills += 1
                self._start()

    def go_on(self) -> None:
        """SIGCONT whichever worker stands still."""
        for process in self._running:
            process.send_signal(signal.SIGCONT)

    def last_words(self) -> str:
        """What the worker wrote last."""
        return last_lines(self._log, 40)

    def wait_for_start(self, within: float = 60.0) -> None:
        """Return when the worker says that it has started.

        Raises:
            OSError: It has ended, or said nothing in time.
        """
        deadline = time.monotonic() + within
        while b"worker started" not in (self._log.read_bytes() if self._log.exists() else b""):
            if time.monotonic() > deadline or (self._process and self._process.poll() is not None):
                raise OSError(f"the worker of {self.task_queue} does not start:\n{self.last_words()}")
            time.sleep(0.1)

    @property
    def _running(self) -> list[Popen[bytes]]:
        return [process for process in (self._process, self._second) if process]

    def _start(self) -> None:
        self._process = self._spawn()

    def _spawn(self) -> Popen[bytes]:
        environment = {
            **self._cloud.environment(),
            **HASTE,
            "MIGRATOR_TASK_QUEUE": self.task_queue,
            VARIABLE: self.mutation,
            orders.VARIABLE: str(self._cloud.state_dir / ORDERS),
            "PYTHONPATH": str(ROOT),
        }
        if self._stalls:
            environment |= {orders.STALLS: "1"}
        return spawn([sys.executable, "-m", "tests.sweep.quick_worker"], environment, self._log, cwd=ROOT)
