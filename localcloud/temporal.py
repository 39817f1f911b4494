"""The local cloud's Temporal server: where its program comes from, and how it is started and stopped."""

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from datetime import timedelta
from pathlib import Path

import yaml
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment

from localcloud.process import FOREIGN_VARIABLES, last_lines, spawn, stop_process
from localcloud.toolchain import (
    BuildError,
    Say,
    cache_dir,
    exclusively,
    go_environment,
    go_toolchain,
    run_with_progress,
)

CLI_VERSION = "1.5.1"
"""The Temporal CLI that `go install` builds; later versions have a replace directive, which `go install` refuses."""

LEAST_SERVER = (1, 25)
"""The first server with workflow updates on by default; an older `temporal` on PATH is passed over."""

NAMESPACE = "default"

_CLI = "github.com/temporalio/cli"
_DOWNLOAD_SECONDS = 120
_READY_SECONDS = 90.0
_TRIES = 3
_DEPLOY = Path(__file__).resolve().parent.parent / "deploy" / "temporal"


class TemporalError(RuntimeError):
    """There is no Temporal server, and the message says what a person can do about it."""


def find_temporal(say: Say) -> Path:
    """The program `temporal`: on PATH, in the cache, downloaded by the SDK, or built with Go; in this order.

    What is downloaded or built is kept in the cache.

    Raises:
        TemporalError: None of the ways led anywhere; with the reason of each.
    """
    if found := _on_path(say) or _cached():
        return found
    with exclusively("temporal", say):
        if found := _cached():
            return found
        refused = []
        for way in (_download, _build):
            try:
                return way(say)
            except BuildError as error:
                refused.append(str(error))
    raise TemporalError(_no_server(refused))


def _no_server(refused: list[str]) -> str:
    choices = (
        "No Temporal server was found, and none could be fetched. Any one of these helps:",
        "  - give the address of a running one: --temporal HOST:PORT",
        "  - put the program `temporal` (https://docs.temporal.io/cli) on PATH",
        f"  - put it at {cache_dir() / f'temporal-{CLI_VERSION}' / 'temporal'}",
        "  - let this machine reach the SDK's download, or a Go module proxy and a Python package index",
    )
    return "\n\n".join(["\n".join(choices), *refused])


def _on_path(say: Say) -> Path | None:
    found = shutil.which("temporal")
    if found is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603  the machine's own temporal
            [found, "--version"], capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        say(f"{found} does not run and is passed over: {error}")
        return None
    server = re.search(r"Server (\d+)\.(\d+)", done.stdout)
    if server is None or tuple(map(int, server.groups())) < LEAST_SERVER:
        say(f"{found} is not a Temporal CLI with a server of {'.'.join(map(str, LEAST_SERVER))} or later: passed over")
        return None
    return Path(found)


def _cached() -> Path | None:
    kept = (cache_dir() / f"temporal-{CLI_VERSION}" / "temporal", cache_dir() / "temporal-sdk" / "temporal")
    return next((program for program in kept if os.access(program, os.X_OK)), None)


def _download(say: Say) -> Path:
    say("downloading the Temporal server that the SDK knows")
    with tempfile.TemporaryDirectory(dir=cache_dir(), prefix="temporal-sdk-") as scratch:
        run_with_progress(
            [sys.executable, "-m", "localcloud.temporal", scratch],
            os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parent.parent)},
            say,
            what="the SDK's download",
        )
        programs = [file for file in Path(scratch).rglob("temporal*") if os.access(file, os.X_OK) and file.is_file()]
        if not programs:
            raise BuildError("the SDK's download left no program behind")
        return _keep(programs[0], "temporal-sdk")


def _build(say: Say) -> Path:
    go = go_toolchain(say)
    say(f"building the Temporal server ({_CLI} v{CLI_VERSION}); the first time this takes some minutes")
    flags = f"-s -w -X {_CLI}/temporalcli.Version={CLI_VERSION}"
    with tempfile.TemporaryDirectory(dir=cache_dir(), prefix="temporal-build-") as scratch:
        run_with_progress(
            [go, "install", "-ldflags", flags, f"{_CLI}/cmd/temporal@v{CLI_VERSION}"],
            go_environment() | {"GOBIN": scratch},
            say,
            cwd=Path(scratch),
            what="building the Temporal server",
        )
        return _keep(Path(scratch) / "temporal", f"temporal-{CLI_VERSION}")


def _keep(program: Path, name: str) -> Path:
    kept = cache_dir() / name / "temporal"
    kept.parent.mkdir(exist_ok=True)
    return program.replace(kept)


async def _run_the_sdks_download(directory: str) -> None:
    server = await WorkflowEnvironment.start_local(
        download_dest_dir=directory, dev_server_log_level="error", dev_server_startup_timeout=timedelta(seconds=60)
    )
    await server.shutdown()


class TemporalServer:
    """One `temporal server start-dev` with a fresh database, the project's configuration and search attributes."""

    def __init__(self, binary: Path, *, directory: Path, log: Path, port: int = 7233, ui_port: int = 8233) -> None:
        """Nothing runs yet.

        Args:
            binary: The program, as `find_temporal` gives it.
            directory: Where its database lives; what an earlier server left there goes away.
            log: Where its warnings and errors go.
            port: The port of its API; a free one when that is taken.
            ui_port: The port of its Web UI; a free one when that is taken.
        """
        self._binary = binary
        self._directory = directory
        self._log = log
        self._wanted = (port, ui_port)
        self._ports: tuple[int, ...] = self._wanted
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """HOST:PORT of the API."""
        return f"127.0.0.1:{self._ports[0]}"

    @property
    def web_ui(self) -> str:
        """The address of the Web UI."""
        return f"http://127.0.0.1:{self._ports[1]}"

    @property
    def pid(self) -> int | None:
        """The server's process, while it runs."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            TemporalError: It did not come up; with its last words.
        """
        for tries_left in reversed(range(_TRIES)):
            self._ports = free_ports(self._wanted)
            self._process = spawn(self._command(), _without_foreign_variables(), self._log)
            if self._comes_up():
                return
            self.stop()
            # A port can be taken by somebody else between the look and the start.
            if not tries_left or "address already in use" not in last_lines(self._log):
                raise TemporalError(f"the Temporal server did not come up:\n{last_lines(self._log)}")

    def stop(self) -> None:
        """Stop it; its database goes away with the next start."""
        if self._process:
            stop_process(self._process)
            self._process = None

    def _command(self) -> list[str | Path]:
        self._directory.mkdir(parents=True, exist_ok=True)
        for old in self._directory.glob("temporal.db*"):
            old.unlink()
        port, ui_port = self._ports
        return [
            *(self._binary, "server", "start-dev", "--ip", "127.0.0.1", "--log-level", "warn"),
            *("--port", str(port), "--ui-port", str(ui_port), "--db-filename", self._directory / "temporal.db"),
            *(word for value in _dynamic_configuration() for word in ("--dynamic-config-value", value)),
            *(word for name, kind in search_attributes().items() for word in ("--search-attribute", f"{name}={kind}")),
        ]

    def _comes_up(self) -> bool:
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline and self._process and self._process.poll() is None:
            if answers(self.address) and _web_page_loads(self.web_ui):
                return True
            time.sleep(0.1)
        return False


def search_attributes() -> dict[str, str]:
    """Name and type of each search attribute that migrations carry, from `deploy/temporal`."""
    attributes: dict[str, str] = json.loads((_DEPLOY / "search-attributes.json").read_text())
    return attributes


def _dynamic_configuration() -> list[str]:
    configuration = yaml.safe_load((_DEPLOY / "dynamicconfig.yaml").read_text())
    return [f"{key}={json.dumps(values[0]['value'])}" for key, values in configuration.items()]


def _without_foreign_variables() -> dict[str, str]:
    # The CLI reads addresses, TLS and API keys from there.
    return {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_VARIABLES)}


def answers(address: str, *, within: float = 2.0) -> bool:
    """Whether a Temporal server with the default namespace answers at HOST:PORT."""
    found: list[bool] = []
    # A thread of its own, because the caller may be inside an event loop.
    thread = threading.Thread(target=lambda: found.append(asyncio.run(_describes_namespace(address, within))))
    thread.start()
    thread.join()
    return found == [True]


async def _describes_namespace(address: str, within: float) -> bool:
    try:
        async with asyncio.timeout(within):
            client = await Client.connect(address, namespace=NAMESPACE)
            await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=NAMESPACE))
    except (RPCError, RuntimeError, TimeoutError):
        return False
    return True


def _web_page_loads(url: str) -> bool:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with contextlib.suppress(OSError), direct.open(url, timeout=2) as page:
        return bool(page.status < 400)  # noqa: PLR2004  HTTP's first error
    return False


def free_ports(wanted: tuple[int, ...]) -> tuple[int, ...]:
    """Each wanted port of 127.0.0.1 when it is free, else one that is; all different."""
    with contextlib.ExitStack() as held:
        return tuple(_hold(port, held) for port in wanted)


def _hold(port: int, held: contextlib.ExitStack) -> int:
    for candidate in (port, 0):
        probe = held.enter_context(socket.socket())
        # As servers do, so that connections that linger after an earlier one do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", candidate))
            probe.listen()
            return int(probe.getsockname()[1])
    raise OSError("no free port on 127.0.0.1")


if __name__ == "__main__":
    # The SDK offers its download only as part of starting a server, and without a deadline.
    signal.alarm(_DOWNLOAD_SECONDS)
    asyncio.run(_run_the_sdks_download(sys.argv[1]))
