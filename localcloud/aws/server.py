"""The local AWS: moto's server with our MGN backend, Systems Manager for the data centre, ledger and fault plan."""

import logging
import socket
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from moto.core.base_backend import BackendDict
from moto.core.model_instances import reset_model_data
from moto.ec2.models import ec2_backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server

from localcloud.applications import Applications, Instance
from localcloud.aws import events, iam, mgn, ssm
from localcloud.aws.installer import Installation
from localcloud.aws.middleware import Middleware
from localcloud.aws.planned import PlannedFaults
from localcloud.aws.seed import Seeded, seed
from localcloud.faults import FaultPlan
from localcloud.ledger import Ledger
from localcloud.route53 import be_strict_about_change_batches, route53_lookup
from localcloud.world import SourceMachine, World

_TICK_SECONDS = 0.1
_LOG = logging.getLogger(__name__)


class AwsServer:
    """The local AWS and the applications that run in it, for one world.

    moto keeps its state in the process, so there is one of these at a time, and each start is a new AWS.
    """

    def __init__(
        self,
        world: World,
        ledger: Ledger,
        faults: FaultPlan,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        settings: mgn.MgnSettings | None = None,
    ) -> None:
        """Port 0 takes a free one; `settings` are the local MGN's: clock factor, durations, quotas."""
        self.look_answers: dict[str, dict[str, str]] = {}
        self._world = world
        self._ledger = ledger
        self._faults = faults
        self._address = (host, port)
        self._settings = settings
        self._turn = threading.RLock()
        self._middleware = Middleware(DomainDispatcherApplication(create_backend_app), ledger, faults, turn=self._turn)
        self._server: BaseWSGIServer | None = None
        self._applications: Applications | None = None
        self._seeded: Seeded | None = None
        self._source_servers: dict[str, str] = {}
        self._stopping = threading.Event()
        self._timer = threading.Thread(target=self._tick, name="aws-clock", daemon=True)

    def start(self) -> None:
        """Serve an AWS with the world's seed in it, and let the applications answer.

        Raises:
            OSError: The port or an application's address is taken.
        """
        self._server = _listen(self._address, self._middleware)
        _forget_everything()
        mgn.register()
        iam.install()
        be_strict_about_change_batches()
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name="aws", daemon=True).start()
        try:
            self._seeded = seed(self._world, self.url)
            self._open().start()
        except BaseException:
            self.stop()
            raise
        self._timer.start()

    def stop(self) -> None:
        """Stop serving and answering."""
        self._stopping.set()
        if self._timer.is_alive():
            self._timer.join()
        if self._applications:
            self._applications.stop()
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    @property
    def url(self) -> str:
        """The endpoint of every service. Raises `RuntimeError` before `start`."""
        if not self._server:
            raise RuntimeError("not started")
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    @property
    def seeded(self) -> Seeded:
        """What the AWS began with. Raises `RuntimeError` before `start`."""
        if not self._seeded:
            raise RuntimeError("not started")
        return self._seeded

    @property
    def applications(self) -> Applications:
        """The applications: tell them of sources, ask for their state. Raises `RuntimeError` before `start`."""
        if not self._applications:
            raise RuntimeError("not started")
        return self._applications

    def calls(self) -> Mapping[str, Mapping[str, int]]:
        """Who has called what, and how often: access key id or role to `service:Operation` to a count."""
        return self._middleware.callers.report()

    def _open(self) -> Applications:
        """Join applications, MGN, Systems Manager and ledger, once the seed is in place."""
        applications = self._applications = Applications(
            self._world,
            self._ledger,
            self._faults,
            names=_names(self._world),
            instances=_instances(self._world),
        )
        mgn.configure(self._settings, world=applications, faults=PlannedFaults(applications, self._faults))
        events.install(self._faults)
        ssm.install(ssm.Fleet(self._world, applications.managed, self._register_agent, self.look_answers))
        self._middleware.open(self._aliases, applications.refresh)
        return applications

    def _tick(self) -> None:
        while not self._stopping.wait(_TICK_SECONDS):
            try:
                with self._turn:
                    for backend in _mgn_backends():
                        backend.advance()
                    self.applications.refresh()
            except Exception:  # noqa: BLE001  a clock that stops at the first mistake would hide all that follow
                _LOG.exception("the local AWS could not go on")

    def _register_agent(self, machine: SourceMachine, installation: Installation) -> str:
        user_provided_id = installation.user_provided_id or machine.name
        self.applications.agent_installed(user_provided_id, machine.name)
        backend = mgn.mgn_backends[self._world.account_id][installation.region]
        source_server_id = backend.register_agent(
            hostname=machine.name,
            fqdn=f"{machine.name}.{self._world.zone_name}",
            ip=machine.address,
            mac=machine.mac,
            user_provided_id=user_provided_id,
            os=_OPERATING_SYSTEMS[machine.os],
            disks=ssm.disks(machine),
            tags=dict(installation.tags),
            no_replication=installation.no_replication,
            vmware_uuid=machine.uuid,
        )
        self._source_servers[source_server_id] = user_provided_id
        return str(source_server_id)

    def _aliases(self, target: str) -> Iterable[str]:
        for machine in self._world.machines:
            if machine.managed_instance_id == target:
                return [machine.name]
        if target.startswith(("app-", "wave-")):
            groups = [group for backend in _mgn_backends() for group in (backend.applications, backend.waves)]
            return [group[target].name for group in groups if target in group]
        if target.startswith("lt-"):
            target = _server_of_template(target) or target
        user_provided_id = self._source_servers.get(target)
        if user_provided_id:
            return [user_provided_id, *self.applications.aliases(user_provided_id)]
        return self.applications.aliases(target)


_OPERATING_SYSTEMS = {
    "linux": "Ubuntu 22.04.4 LTS",
    "windows": "Microsoft Windows Server 2022 Datacenter",
}


def _listen(address: tuple[str, int], app: Middleware) -> BaseWSGIServer:
    # werkzeug ends the process when it cannot have a port; with a socket of ours it is an error as any other.
    with socket.create_server(address) as listening:
        host, port = listening.getsockname()
        return make_server(host, port, app, threaded=True, request_handler=MotoRequestHandler, fd=listening.fileno())


def _forget_everything() -> None:
    """Empty every backend of the process, as moto's own reset does."""
    BackendDict.reset()
    reset_model_data()


def _mgn_backends() -> list[Any]:
    return [backend for _, _, backend in list(mgn.mgn_backends.iter_backends())]


def _server_of_template(template_id: str) -> str | None:
    servers = (server for backend in _mgn_backends() for server in list(backend.servers.values()))
    return next((server.id for server in servers if server.launch_template_id == template_id), None)


def _names(world: World) -> Callable[[], Mapping[str, tuple[str, ...]]]:
    lookup = route53_lookup(world.account_id)

    def names() -> dict[str, tuple[str, ...]]:
        found = {application.dns_name: lookup(application.dns_name, "A") for application in world.applications}
        return {
            name: tuple(value for _, value in answer.records)
            for name, answer in found.items()
            if answer and answer.type == "A"
        }

    return names


def _instances(world: World) -> Callable[[Collection[str]], Mapping[str, Instance]]:
    ec2 = ec2_backends[world.account_id][world.region]

    def instances(ids: Collection[str]) -> dict[str, Instance]:
        wanted = set(ids)
        known = (each for reservation in list(ec2.reservations.values()) for each in reservation.instances)
        return {
            each.id: Instance(
                address=str(each.private_ip),
                subnet_cidr=str(ec2.get_subnet(each.subnet_id).cidr_block),
                running=each.state == "running",
            )
            for each in known
            if each.id in wanted
        }

    return instances
