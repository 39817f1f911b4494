"""Starts and stops a whole local cloud: Temporal, AWS, vCenter, DNS, ServiceNow, CMF, callbacks, applications."""

import fcntl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

from localcloud.aws.cognito import PASSWORD as CMF_PASSWORD
from localcloud.aws.cognito import SERVICE_ACCOUNT, make_user_pool
from localcloud.aws.mgn.settings import MgnSettings
from localcloud.aws.server import AwsServer
from localcloud.cmf import CloudMigrationFactory
from localcloud.control import ControlServer
from localcloud.dns import DnsServer
from localcloud.documents import child_environment, describe, request_for, write_documents
from localcloud.faults import FaultPlan
from localcloud.ledger import Ledger
from localcloud.receiver import CallbackReceiver
from localcloud.route53 import route53_lookup
from localcloud.servicenow import ServiceNow
from localcloud.temporal import TemporalError, TemporalServer, answers, find_temporal, free_ports
from localcloud.toolchain import Say
from localcloud.vcenter import PASSWORD, USERNAME, VCenterSimulator
from localcloud.world import build_world, reserve_network

__all__ = ["CLOCK_FACTOR", "Supervisor", "request_for"]

CLOCK_FACTOR = 120.0
"""MGN seconds in a real one, when nothing else is asked for: two minutes of replication pass in a second."""

_TEMPORAL_ANSWERS_WITHIN = 10.0
_CREDENTIALS = {
    "vcenter": {"username": USERNAME, "password": PASSWORD},
    "servicenow": {"username": "migrator", "password": "servicenow-password-of-the-local-cloud"},
    "cmf": {"username": SERVICE_ACCOUNT, "password": CMF_PASSWORD},
}
"""Known to everybody on this machine."""

_METRICS = {"worker": 9464, "ingress": 9465}
"""At which port each program of the product serves metrics."""


class _Server(Protocol):
    def start(self) -> None: ...

    def stop(self) -> None: ...


_ServerT = TypeVar("_ServerT", bound=_Server)


class Supervisor:
    """One local cloud, in this process; its state is in memory, so each start is a new world.

    moto keeps its state in the process too: two clouds need two processes.

    Attributes:
        local: What `local.json` says, once started.
        ledger: Every call that the cloud accepted.
        faults: What it is to do wrong.
    """

    def __init__(
        self,
        state_dir: Path,
        *,
        applications: int = 4,
        servers: int = 1,
        clock_factor: float = CLOCK_FACTOR,
        mgn: MgnSettings | None = None,
        temporal_address: str | None = None,
        say: Say = lambda _: None,
    ) -> None:
        """Nothing runs yet.

        Args:
            state_dir: Where the documents, the logs and Temporal's database go; made when it is not there.
            applications: How many applications the data centre has.
            servers: How many machines each of them has.
            clock_factor: Seconds of the local MGN that pass in a real one.
            mgn: The local MGN's switches, durations and quotas, with a clock factor of their own, which counts then;
                None: the defaults.
            temporal_address: HOST:PORT of a running Temporal server; None: one of its own.
            say: Takes one line for the person who waits.
        """
        self.state_dir = state_dir.resolve()
        self.ledger = Ledger()
        self.faults = FaultPlan()
        self.local: dict[str, Any] = {}
        self._applications = applications
        self._servers = servers
        self._mgn = mgn or MgnSettings(factor=clock_factor)
        self._temporal_address = temporal_address
        self._say = say
        self._temporal: TemporalServer | None = None
        self._running = ExitStack()

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.stop()

    def start(self) -> None:
        """Start every part, wait until each answers, and write the documents.

        Raises:
            TemporalError: There is no Temporal server.
            BuildError: The vCenter simulator could not be built.
            OSError: The state directory is in use, or addresses could not be had.
        """
        self.state_dir.joinpath("logs").mkdir(parents=True, exist_ok=True)
        with ExitStack() as running:
            self._own_the_directory(running)
            running.callback(self._stop_temporal)
            # The slowest to come up, beside all the others.
            beside = running.enter_context(ThreadPoolExecutor(max_workers=1))
            temporal = beside.submit(self._start_temporal)
            world = self._start_world(running)
            self.local = temporal.result() | world
            write_documents(self.local, self.state_dir)
            self._running = running.pop_all()

    def stop(self) -> None:
        """Stop every part, in the reverse order; the documents stay."""
        self._running.close()

    def environment(self) -> dict[str, str]:
        """The whole environment for a process that works with this cloud."""
        return child_environment(self.local, self.state_dir)

    def _own_the_directory(self, running: ExitStack) -> None:
        lock = running.enter_context(self.state_dir.joinpath(".lock").open("w"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OSError(f"another local cloud runs in {self.state_dir}") from error
        self.state_dir.joinpath("local.json").unlink(missing_ok=True)

    def _start_temporal(self) -> dict[str, Any]:
        if self._temporal_address:
            if not answers(self._temporal_address, within=_TEMPORAL_ANSWERS_WITHIN):
                raise TemporalError(
                    f"no Temporal server with the namespace default answers at {self._temporal_address}"
                )
            return {"temporal": self._temporal_address, "web_ui": None}
        self._temporal = TemporalServer(
            find_temporal(self._say),
            directory=self.state_dir / "temporal",
            log=self.state_dir / "logs" / "temporal.log",
        )
        self._temporal.start()
        return {"temporal": self._temporal.address, "web_ui": self._temporal.web_ui}

    def _stop_temporal(self) -> None:
        if self._temporal:
            self._temporal.stop()

    def _start_world(self, running: ExitStack) -> dict[str, Any]:
        network, reservation = reserve_network()
        running.enter_context(closing(reservation))
        world = build_world(network, applications=self._applications, servers=self._servers)
        books = (self.ledger, self.faults)
        aws = _run(running, lambda port: AwsServer(world, *books, port=port, settings=self._mgn), 4566)
        vcenter = _run(
            running,
            lambda port: VCenterSimulator(
                world.machines, *books, on_change=aws.applications.source_changed, port=port, say=self._say
            ),
            8989,
        )
        dns = _run(running, lambda port: DnsServer(route53_lookup(world.account_id), port=port), 5353)
        servicenow = _run(running, self._servicenow, 8081)
        servicenow.seed_servers(world.machines)
        pool = make_user_pool(aws.url, world.region)
        cmf = _run(running, lambda port: CloudMigrationFactory(*books, pool, port=port), 8084)
        waves = cmf.seed(world.applications, account_id=world.account_id, region=world.region)
        servicenow.seed_changes(world.applications)
        secret = aws.seeded.callback_secret
        receiver = _run(running, lambda port: CallbackReceiver(*books, secret=secret, port=port), 8082)
        control = _run(running, lambda port: ControlServer(*books, aws.applications.report, aws.calls, port=port), 8083)
        addresses = {
            "aws": aws.url,
            "vcenter": vcenter.url,
            "dns": dns.address,
            "servicenow": servicenow.url,
            "cmf": cmf.url,
            "receiver": receiver.url,
            "ledger": control.ledger_url,
            "faults": control.faults_url,
            "applications": control.applications_url,
            "calls": control.calls_url,
        }
        return describe(world, aws.seeded, addresses) | {
            "credentials": _CREDENTIALS,
            "cmf_waves": waves,
            "user_pool": {"id": pool.pool_id, "client": pool.client_id},
            # Addresses of this cloud alone, so that no port has to be looked for.
            "metrics": {name: f"127.{network}.0.1:{port}" for name, port in _METRICS.items()},
        }

    def _servicenow(self, port: int) -> ServiceNow:
        login = _CREDENTIALS["servicenow"]
        return ServiceNow(self.ledger, self.faults, username=login["username"], password=login["password"], port=port)


def _run(running: ExitStack, make: Callable[[int], _ServerT], usual: int) -> _ServerT:
    """Start a server on its usual port, or on a free one when that is taken, and stop it with the rest."""
    server = make(*free_ports((usual,)))
    try:
        server.start()
    except (OSError, SystemExit):  # somebody else just took it; werkzeug then leaves the process
        server = make(0)
        server.start()
    running.callback(server.stop)
    return server
