"""A Temporal installation as a company runs one: the server, on PostgreSQL, on loopback addresses of this machine."""

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from temporalio.service import ConnectConfig, ServiceClient

from localcloud.process import last_lines, spawn, stop_process
from localcloud.temporal import free_ports
from localcloud.toolchain import BuildError
from tools.temporal_server import Programs, find_server

ROOT = Path(__file__).resolve().parents[2]
DYNAMIC_CONFIGURATION = ROOT / "deploy" / "temporal" / "dynamicconfig.yaml"
DATABASES = {"temporal": "temporal", "visibility": "temporal_visibility"}
"""Each schema of the server, and the database that it is in."""

_SERVICES = ("frontend", "history", "matching", "worker")
_COMES_UP_WITHIN = 180.0
_LOOK = 0.2
_USER = "temporal"
_DEBIANS = Path("/usr/lib/postgresql")


def _program(name: str) -> Path:
    """A program of PostgreSQL's server: Debian keeps them off PATH, by version."""
    versions = sorted(_DEBIANS.glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]))
    if found := shutil.which(name):
        return Path(found)
    if not versions:
        pytest.fail(f"there is no PostgreSQL on this machine ({name}); install it: apt-get install postgresql")
    return versions[-1]


def _until(what: str, look: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _COMES_UP_WITHIN
    while not look():
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"{what} did not come up:\n{last_lines(log)}")
        time.sleep(_LOOK)


class PostgreSQL:
    """One cluster in a folder of its own; PostgreSQL refuses to be run by root, so that somebody else does then."""

    def __init__(self, folder: Path) -> None:
        """Make it; it does not run yet."""
        self._data, self._log = folder / "data", folder / "postgresql.log"
        (self.port,) = free_ports((5432,))
        self._process: subprocess.Popen[bytes] | None = None
        self._as_somebody: list[str] = []
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres")
            user = ["--reuid=postgres", "--regid=postgres", "--clear-groups"]
            self._as_somebody = ["setpriv", *user, "--pdeathsig=SIGKILL"]
        self._run("initdb", "--pgdata", self._data, "--username", _USER, "--auth", "trust", "--no-sync")

    def _run(self, program: str, *words: str | Path) -> None:
        subprocess.run(
            [*self._as_somebody, _program(program), *words], check=True, capture_output=True, cwd=self._data.parent
        )

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        settings = {"listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": ""}
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        command: list[str | Path] = [*self._as_somebody, _program("postgres"), "-D", self._data, *words]
        self._process = spawn(command, dict(os.environ), self._log, cwd=self._data.parent)
        ready: list[str | Path] = [_program("pg_isready"), "--host", "127.0.0.1", "--port", str(self.port), "--quiet"]
        _until("PostgreSQL", lambda: subprocess.run(ready, check=False).returncode == 0, self._process, self._log)

    def stop(self) -> None:
        """Stop it at once, whoever is connected."""
        if self._process:
            self._process.send_signal(signal.SIGINT)
            stop_process(self._process)


class TemporalServer:
    """All services of the server in one process, as it is configured in production but for their number."""

    def __init__(self, programs: Programs, folder: Path, database: PostgreSQL) -> None:
        """Set the schema up; it does not run yet."""
        self._programs, self._database = programs, database
        self._log, self._configuration = folder / "server.log", folder / "server.yaml"
        self._process: subprocess.Popen[bytes] | None = None
        # Temporal's PostgreSQL schema has no room for a port above 32767, where those begin that a system chooses.
        first = 20000 + os.getpid() % 1000 * 10
        ports = free_ports(tuple(range(first, first + 2 * len(_SERVICES))))
        self.address = f"127.0.0.1:{ports[0]}"
        configured = self._configured(grpc=ports[: len(_SERVICES)], membership=ports[len(_SERVICES) :])
        self._configuration.write_text(yaml.safe_dump(configured))
        for schema, name in DATABASES.items():
            self._sql("--database", name, "create-database")
            self._sql("--database", name, "setup-schema", "--version", "0.0")
            self._sql("--database", name, "update-schema", "--schema-name", f"postgresql/v12/{schema}")

    def _sql(self, *words: str) -> None:
        place = ("--plugin", "postgres12_pgx", "--endpoint", "127.0.0.1", "--port", str(self._database.port))
        self._run([self._programs.sql, *place, "--user", _USER, *words])

    def _run(self, command: Sequence[str | Path]) -> None:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.fail(f"{command} failed:\n{done.stdout}{done.stderr}")

    def _configured(self, grpc: Sequence[int], membership: Sequence[int]) -> dict[str, Any]:
        return {
            "log": {"stdout": True, "level": "warn"},
            "persistence": {
                "numHistoryShards": 4,
                "defaultStore": "temporal",
                "visibilityStore": "visibility",
                "datastores": {schema: {"sql": self._store(name)} for schema, name in DATABASES.items()},
            },
            "global": {"membership": {"maxJoinDuration": "30s", "broadcastAddress": "127.0.0.1"}},
            "services": {
                service: {"rpc": {"grpcPort": grpc_port, "membershipPort": membership_port, "bindOnLocalHost": True}}
                for service, grpc_port, membership_port in zip(_SERVICES, grpc, membership, strict=True)
            },
            "clusterMetadata": {
                "enableGlobalNamespace": False,
                "failoverVersionIncrement": 10,
                "masterClusterName": "active",
                "currentClusterName": "active",
                "clusterInformation": {
                    "active": {
                        "enabled": True,
                        "initialFailoverVersion": 1,
                        "rpcName": "frontend",
                        "rpcAddress": self.address,
                    }
                },
            },
            "dcRedirectionPolicy": {"policy": "noop"},
            "publicClient": {"hostPort": self.address},
            "dynamicConfigClient": {"filepath": str(DYNAMIC_CONFIGURATION), "pollInterval": "10s"},
        }

    def _store(self, name: str) -> dict[str, Any]:
        return {
            "pluginName": "postgres12_pgx",
            "databaseName": name,
            "connectAddr": f"127.0.0.1:{self._database.port}",
            "connectProtocol": "tcp",
            "user": _USER,
            "maxConns": 20,
            "maxIdleConns": 20,
            "maxConnLifetime": "1h",
        }

    def start(self) -> None:
        """Start it, and wait until it answers; not from within an event loop."""
        command: list[str | Path] = [
            self._programs.server,
            "--config-file",
            self._configuration,
            "--allow-no-auth",
            "start",
        ]
        self._process = spawn(command, dict(os.environ), self._log)
        _until("the Temporal server", lambda: asyncio.run(self._answers()), self._process, self._log)

    async def _answers(self) -> bool:
        try:
            return await (await ServiceClient.connect(ConnectConfig(target_host=self.address))).check_health()
        except RuntimeError:
            return False

    def kill(self) -> None:
        """End it as the loss of its machine would."""
        if self._process:
            self._process.kill()
            self._process.wait()

    @property
    def runs(self) -> bool:
        """Whether the process that was started last is still there."""
        return self._process is not None and self._process.poll() is None


@contextmanager
def installation() -> Iterator[tuple[PostgreSQL, TemporalServer]]:
    """Both running, until the end; the namespace is not made yet."""
    try:
        programs = find_server()
    except BuildError as error:
        pytest.fail(str(error))
    # Not pytest's folder, which nobody but its owner may enter.
    with tempfile.TemporaryDirectory(prefix="temporal-on-postgresql-") as scratch, ExitStack() as running:
        folder = Path(scratch)
        folder.chmod(0o755)
        (cluster := folder / "postgresql").mkdir()
        database = PostgreSQL(cluster)
        running.callback(database.stop)
        database.start()
        server = TemporalServer(programs, folder, database)
        running.callback(server.kill)
        server.start()
        yield database, server
