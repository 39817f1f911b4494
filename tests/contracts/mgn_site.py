"""The local MGN behind moto's server, spoken to with boto3; the clock and the data centre are the tests' own."""

import atexit
import http.client
import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from itertools import count
from typing import Any, ClassVar

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from moto.server import ThreadedMotoServer

from localcloud.aws.mgn import (
    LaunchKind,
    MGNBackend,
    MgnError,
    MgnSettings,
    NoFaults,
    Trouble,
    configure,
    mgn_backends,
    register,
)
from localcloud.aws.mgn.servers import Machine

REGION = "eu-central-1"
START = 1_800_000_000.0
GIB = 1024**3
SYNCED = 15 * 60
LAUNCHED = 510
"""MGN seconds in which any launch job ends, a cleanup included."""

COMPANY_COMES_WITHIN = 0.5
"""Seconds in which one of several callers at once would come between another's look and act, could it do so."""

_accounts = count(100_000_000_001)


class Caller:
    """A client that speaks for one account at a time: to make one takes longer than most tests."""

    _idle: ClassVar[dict[tuple[str, str, str], list["Caller"]]] = {}

    def __init__(self, url: str, service: str, region: str) -> None:
        self.account = ""
        config = Config(retries={"total_max_attempts": 1}, parameter_validation=False)
        make: Any = _session().client
        self.client: Any = make(service, region_name=region, endpoint_url=url, config=config)
        self.client.meta.events.register("before-sign", self._sign)
        self._key = (url, service, region)

    def _sign(self, request: Any, **_: Any) -> None:
        request.headers["x-moto-account-id"] = self.account

    @classmethod
    def take(cls, url: str, service: str, region: str, account: str) -> "Caller":
        idle = cls._idle.get((url, service, region))
        caller = idle.pop() if idle else cls(url, service, region)
        caller.account = account
        return caller

    def give_back(self) -> None:
        self._idle.setdefault(self._key, []).append(self)

    @classmethod
    def close_idle(cls) -> None:
        for callers in cls._idle.values():
            for caller in callers:
                caller.client.close()
        cls._idle.clear()


@cache
def _session() -> boto3.Session:
    """One for all, since each session reads the service models anew."""
    return boto3.Session(aws_access_key_id="test", aws_secret_access_key="test")


class DataCentre:
    """The sources' power, planned faults, and what the service told."""

    def __init__(self) -> None:
        self.power: dict[str, list[tuple[float, bool]]] = {}
        self.faults: dict[str, str] = {}
        self.launches: list[tuple[str, str, str, str, float]] = []
        self.terminations: list[str] = []
        self.company: threading.Barrier | None = None

    def power_history(self, user_provided_id: str) -> list[tuple[float, bool]]:
        """The plain answer; with `company`, once a second caller looks at the same time, or none can."""
        if self.company:
            with suppress(threading.BrokenBarrierError):
                self.company.wait(COMPANY_COMES_WITHIN)
        return self.power.get(user_provided_id, [])

    def launched(
        self,
        source_server_id: str,
        user_provided_id: str,
        instance_id: str,
        kind: LaunchKind,
        data_as_of: float,
    ) -> None:
        self.launches.append((source_server_id, user_provided_id, instance_id, kind, data_as_of))

    def terminated(self, instance_id: str) -> None:
        self.terminations.append(instance_id)

    def launch_fault(self, user_provided_id: str, kind: LaunchKind) -> str | None:
        return self.faults.get(f"{user_provided_id} {kind}")


class Plan(NoFaults):
    """The faults that a test plans; keys are of the hooks' own arguments, joined by blanks."""

    def __init__(self) -> None:
        self.refusals: dict[str, MgnError] = {}
        self.stalls: dict[str, list[tuple[float, Trouble | None]]] = {}
        self.faults: dict[str, str] = {}

    def refusal(self, operation: str, request: Any) -> MgnError | None:
        return self.refusals.get(operation)

    def troubles(self, user_provided_id: str) -> list[tuple[float, Trouble | None]]:
        return self.stalls.get(user_provided_id, [])

    def snapshot_fault(self, user_provided_id: str, kind: LaunchKind) -> str | None:
        return self.faults.get(f"snapshot {user_provided_id} {kind}")

    def conversion_fault(self, user_provided_id: str, kind: LaunchKind) -> str | None:
        return self.faults.get(f"conversion {user_provided_id} {kind}")

    def action_fault(self, user_provided_id: str, kind: LaunchKind, action_name: str) -> str | None:
        return self.faults.get(f"action {user_provided_id} {kind} {action_name}")


class Site:
    """One account of its own in a moto server, with what tests say about it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.account = str(next(_accounts))
        self.now = START
        self.world = DataCentre()
        self.plan = Plan()
        self._callers: dict[tuple[str, str, str], Caller] = {}
        self.configure()

    def configure(self, **settings: Any) -> None:
        configure(MgnSettings(clock=lambda: self.now, **settings), world=self.world, faults=self.plan)

    def client(self, service: str, *, account: str | None = None, region: str = REGION) -> Any:
        account = account or self.account
        if (service, account, region) not in self._callers:
            self._callers[service, account, region] = Caller.take(self.url, service, region, account)
        return self._callers[service, account, region].client

    def close(self) -> None:
        for caller in self._callers.values():
            caller.give_back()
        self._callers.clear()
        configure()

    @property
    def mgn(self) -> Any:
        return self.client("mgn")

    @property
    def ec2(self) -> Any:
        return self.client("ec2")

    @property
    def backend(self) -> MGNBackend:
        backend: MGNBackend = mgn_backends[self.account][REGION]
        return backend

    def register(self, name: str = "web-01", **reported: Any) -> str:
        """A machine of 8 GiB whose agent has just been installed."""
        usual: dict[str, Any] = {
            "hostname": name,
            "fqdn": f"{name}.example.internal",
            "ip": "10.1.0.11",
            "mac": "00:50:56:00:00:01",
            "user_provided_id": f"id-{name}",
            "os": "Ubuntu 22.04.4 LTS",
            "disks": [("/dev/sda", 8 * GIB)],
            "tags": {},
        }
        return self.backend.register_agent(**(usual | reported))

    def ready(self, name: str = "web-01", **reported: Any) -> str:
        """A machine whose copy is whole: READY_FOR_TEST."""
        server_id = self.register(name, **reported)
        self.wait(SYNCED)
        return server_id

    def discovered(self, name: str = "web-01") -> str:
        """A machine that a vCenter client has found."""
        client = self.backend.install_vcenter_client("vcenter.example.internal", "vc-uuid", "dc-1", {"from": "dc-1"})
        disks = (("/dev/sda", 8 * GIB),)
        return self.backend.discover(
            client, Machine(name, f"{name}.example.internal", "10.1.0.11", "00:50:56:00:00:01", name, "Ubuntu", disks)
        )

    def in_state(self, state: str, name: str = "web-01") -> str:
        """A machine that has come to a lifecycle state by the usual way, with its jobs ended."""
        ways = {
            "READY_FOR_TEST": "",
            "TESTING": "t",
            "READY_FOR_CUTOVER": "tr",
            "CUTTING_OVER": "trc",
            "CUTOVER": "trcf",
            "DISCONNECTED": "d",
            "STOPPED": "s",
        }
        if state == "DISCOVERED":
            return self.discovered(name)
        server_id = self.register(name)
        if state == "NOT_READY":
            return server_id
        self.wait(SYNCED)
        for step in ways[state]:
            self.backend.advance()
            self._take(step, server_id)
        self.backend.advance()
        assert self.backend.servers[server_id].state == state
        return server_id

    def _take(self, step: str, server_id: str) -> None:
        """One step of the usual way, straight to the backend: the ways are tested elsewhere."""
        backend = self.backend
        if step == "t":
            backend.start_test([server_id], {})
            self.wait(LAUNCHED)
        elif step == "r":
            backend.change_server_life_cycle_state(server_id, "READY_FOR_CUTOVER")
        elif step == "c":
            backend.start_cutover([server_id], {})
            self.wait(LAUNCHED)
        elif step == "f":
            backend.finalize_cutover(server_id)
        elif step == "d":
            backend.disconnect_from_service(server_id)
        else:
            backend.stop_replication(server_id)

    def wait(self, mgn_seconds: float) -> None:
        self.now += mgn_seconds

    def power(self, name: str, *, on: bool) -> None:
        self.world.power.setdefault(f"id-{name}", []).append((self.now, on))

    def server(self, server_id: str) -> Any:
        found = self.mgn.describe_source_servers(filters={"sourceServerIDs": [server_id]})["items"]
        assert len(found) == 1
        return found[0]

    def state(self, server_id: str) -> str:
        return str(self.server(server_id)["lifeCycle"]["state"])

    def replication(self, server_id: str) -> Any:
        return self.server(server_id)["dataReplicationInfo"]

    def change(self, server_id: str, state: str) -> Any:
        return self.mgn.change_server_life_cycle_state(sourceServerID=server_id, lifeCycle={"state": state})

    def job(self, job_id: str) -> Any:
        return self.mgn.describe_jobs(filters={"jobIDs": [job_id]})["items"][0]

    def log(self, job_id: str) -> list[str]:
        return [item["event"] for item in self.mgn.describe_job_log_items(jobID=job_id)["items"]]

    def launch(self, operation: str, *server_ids: str) -> Any:
        """Start a job and see it end."""
        job = getattr(self.mgn, operation)(sourceServerIDs=list(server_ids))["job"]
        self.wait(LAUNCHED)
        return self.job(job["jobID"])

    def instance(self, instance_id: str) -> Any:
        return self.ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][0]

    def post(self, path: str, body: object, method: str = "POST") -> tuple[int, str, Any]:
        """A request as no client would send it: status, error type, and the JSON of the answer."""
        scope = "Credential=test/20261128/eu-central-1/mgn/aws4_request"
        headers = {
            "Authorization": f"AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=0",
            "x-moto-account-id": self.account,
        }
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=10)
        try:
            connection.request(method, path, text, headers)
            answer = connection.getresponse()
            return answer.status, answer.headers.get("x-amzn-errortype", ""), json.loads(answer.read() or b"null")
        finally:
            connection.close()

    def network(self, cidr: str = "10.20.0.0/16", subnet: str = "10.20.1.0/24") -> tuple[str, str]:
        """A VPC with one subnet and one security group: their ids."""
        vpc = self.ec2.create_vpc(CidrBlock=cidr)["Vpc"]["VpcId"]
        group = self.ec2.create_security_group(GroupName=f"web-{vpc}", Description="web", VpcId=vpc)["GroupId"]
        return self.ec2.create_subnet(VpcId=vpc, CidrBlock=subnet)["Subnet"]["SubnetId"], group

    def launch_with(self, server_id: str, **data: Any) -> None:
        """Give the server's launch template a new default version."""
        chosen = self.mgn.update_launch_configuration(
            sourceServerID=server_id, targetInstanceTypeRightSizingMethod="NONE"
        )
        template = chosen["ec2LaunchTemplateID"]
        made = self.ec2.create_launch_template_version(LaunchTemplateId=template, LaunchTemplateData=data)
        number = str(made["LaunchTemplateVersion"]["VersionNumber"])
        self.ec2.modify_launch_template(LaunchTemplateId=template, DefaultVersion=number)


@cache
def moto_server() -> str:
    """The address of moto's server on a free port, with this MGN: one for all modules, since accounts keep apart."""
    register()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    atexit.register(server.stop)
    atexit.register(Caller.close_idle)
    host, port = server.get_host_and_port()
    return f"http://{host}:{port}"


@contextmanager
def running_site(url: str) -> Iterator[Site]:
    """A site whose account is initialised."""
    site = Site(url)
    site.mgn.initialize_service()
    try:
        yield site
    finally:
        site.close()


def refused(call: Any, **parameters: Any) -> Any:
    """The error that a call answers with, every modelled member in it."""
    try:
        call(**parameters)
    except ClientError as error:
        return error.response
    raise AssertionError("the call was accepted")
