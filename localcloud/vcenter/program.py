"""The simulator as a child process: told its machines on standard input, followed line by line on standard output."""

import contextlib
import json
import logging
import subprocess
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from localcloud.world import SourceMachine

OnChange = Callable[[str, bool, bool, float], None]
"""Name of the machine; whether it is powered on; whether its network is connected; since when, in unix time."""

USERNAME, PASSWORD = "migrator", "vcenter-password-of-the-local-cloud"
"""A password that is known again wherever it should not be."""

_LOG = logging.getLogger(__name__)
_DISK_BYTES = 10 * 1024**3
_READY_WITHIN = 60.0
_STOP_WITHIN = 5.0
_TASKS_REMEMBERED = 1000


class Program:
    """One run of the simulator.

    It ends with this process, however that ends: the pipe to its standard input closes then.
    """

    def __init__(
        self, machines: Sequence[SourceMachine], on_change: OnChange, *, task_takes: timedelta = timedelta(0)
    ) -> None:
        """Keep what it will be told.

        Args:
            machines: The virtual machines, in the order of their ids.
            on_change: Told of changes, from a thread of its own, in their order.
            task_takes: How long every task takes.
        """
        self._task_takes = task_takes
        self._machines = machines
        self._on_change = on_change
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._news = threading.Condition()
        self._address: str | None = None
        self._ended = False
        self._names: dict[str, str] = {}
        self._machine_of_snapshot: dict[str, str] = {}
        self._tasks: OrderedDict[str, bool] = OrderedDict()

    def start(self, program: Path) -> None:
        """Run the program; returns when it answers.

        Raises:
            RuntimeError: It ended, or was not ready within a minute; with what it wrote.
        """
        with tempfile.TemporaryFile("w+") as errors:
            self._process = subprocess.Popen(  # noqa: S603  our own program
                [program],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
            self._reader = threading.Thread(target=self._read, name="vcenter-changes", daemon=True)
            self._reader.start()
            self._tell_inventory()
            with self._news:
                self._news.wait_for(lambda: self._address is not None or self._ended, timeout=_READY_WITHIN)
            if self._address is None:
                self.stop()
                errors.seek(0)
                raise RuntimeError(f"the vCenter simulator did not start: {errors.read().strip() or 'it said nothing'}")

    def stop(self) -> None:
        """End the program and wait for it."""
        if self._process is None or self._process.stdin is None or self._reader is None:
            return
        with contextlib.suppress(BrokenPipeError):  # it ended by itself
            self._process.stdin.close()
        try:
            self._process.wait(timeout=_STOP_WITHIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        self._process = None

    @property
    def address(self) -> str:
        """The URL of its SOAP endpoint."""
        if self._address is None:
            raise RuntimeError("not started")
        return self._address

    @property
    def pid(self) -> int:
        """The process id."""
        if self._process is None:
            raise RuntimeError("not started")
        return self._process.pid

    def targets(self, kind: str, reference: str) -> list[str]:
        """The name and the id of the machine that a reference of this type means; empty when it means none."""
        with self._news:
            machine = self._machine_of_snapshot.get(reference) if kind == "VirtualMachineSnapshot" else reference
            return [self._names[machine], machine] if machine in self._names else []

    def task_succeeded(self, task: str, *, within: float) -> bool | None:
        """Wait until a task has ended; None when it still runs then."""
        with self._news:
            self._news.wait_for(lambda: task in self._tasks or self._ended, timeout=within)
            return self._tasks.get(task)

    def _tell_inventory(self) -> None:
        machines = [
            {
                "name": machine.name,
                "address": machine.address,
                "mac": machine.mac,
                "uuid": machine.uuid,
                "guest": machine.os,
                "disks": [_DISK_BYTES],
            }
            for machine in self._machines
        ]
        inventory = {
            "listen": "127.0.0.1:0",
            "username": USERNAME,
            "password": PASSWORD,
            "machines": machines,
            "taskMilliseconds": self._task_takes // timedelta(milliseconds=1),
        }
        if self._process and self._process.stdin:
            try:
                self._process.stdin.write(json.dumps(inventory))
                self._process.stdin.flush()
            except BrokenPipeError:
                _LOG.warning("the vCenter simulator ended before it knew its machines")

    def _read(self) -> None:
        if self._process and self._process.stdout:
            with self._process.stdout as lines:
                for line in lines:
                    self._learn(json.loads(line))
        with self._news:
            self._ended = True
            self._news.notify_all()

    def _learn(self, news: dict[str, Any]) -> None:
        if "name" in news and self._address is not None:
            self._pass_on(news)
        with self._news:
            if "url" in news:
                self._address = str(news["url"])
            elif "snapshot" in news:
                self._machine_of_snapshot[news["snapshot"]] = news["vm"]
            elif "task" in news:
                self._tasks[news["task"]] = news["succeeded"]
                while len(self._tasks) > _TASKS_REMEMBERED:
                    self._tasks.popitem(last=False)
            elif "name" in news:
                self._names[news["id"]] = news["name"]
            self._news.notify_all()

    def _pass_on(self, state: dict[str, Any]) -> None:
        try:
            self._on_change(state["name"], state["powered"], state["connected"], state["at"])
        except Exception:  # noqa: BLE001  a mistake of the listener must not end the stream
            _LOG.exception("%s changed, and telling so failed", state["name"])
