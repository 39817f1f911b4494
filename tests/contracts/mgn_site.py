"""The local MGN behind moto's server, spoken to with boto3; the clock and the data centre are the tests' own."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import count
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from moto.server import ThreadedMotoServer

from localcloud.aws.mgn import LaunchKind, MGNBackend, MgnSettings, configure, mgn_backends, register

REGION = "eu-central-1"
START = 1_800_000_000.0
GIB = 1024**3
SYNCED = 15 * 60
LAUNCHED = 510
"""MGN seconds in which any launch job ends, a cleanup included."""

_accounts = count(100_000_000_001)


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
        self.thinks_for = 0.0

    def power_history(self, user_provided_id: str) -> list[tuple[float, bool]]:
        time.sleep(self.thinks_for)
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


class Site:
    """One account of its own in a moto server, with what tests say about it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.account = str(next(_accounts))
        self.now = START
        self.world = DataCentre()
        self._clients: dict[tuple[str, str, str], Any] = {}
        self.configure()

    def configure(self, **settings: Any) -> None:
        configure(MgnSettings(clock=lambda: self.now, **settings), world=self.world)

    def client(self, service: str, *, account: str | None = None, region: str = REGION) -> Any:
        account = account or self.account
        if (service, account, region) not in self._clients:
            self._clients[service, account, region] = self._new_client(service, account, region)
        return self._clients[service, account, region]

    def _new_client(self, service: str, account: str, region: str) -> Any:
        config = Config(retries={"total_max_attempts": 1}, parameter_validation=False)
        make: Any = _session().client
        client: Any = make(service, region_name=region, endpoint_url=self.url, config=config)

        def sign(request: Any, **_: Any) -> None:
            request.headers["x-moto-account-id"] = account

        client.meta.events.register("before-sign", sign)
        return client

    def close(self) -> None:
        for client in self._clients.values():
            client.close()
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

    def in_state(self, state: str, name: str = "web-01") -> str:
        """A machine that has come to a lifecycle state by the usual way, with its jobs ended."""
        ways = {
            "NOT_READY": "",
            "READY_FOR_TEST": "",
            "TESTING": "t",
            "READY_FOR_CUTOVER": "tr",
            "CUTTING_OVER": "trc",
            "CUTOVER": "trcf",
            "DISCONNECTED": "d",
            "STOPPED": "s",
        }
        server_id = self.register(name) if state == "NOT_READY" else self.ready(name)
        for step in ways[state]:
            self._take(step, server_id)
        assert self.state(server_id) == state
        return server_id

    def _take(self, step: str, server_id: str) -> None:
        if step == "t":
            self.launch("start_test", server_id)
        elif step == "r":
            self.change(server_id, "READY_FOR_CUTOVER")
        elif step == "c":
            self.launch("start_cutover", server_id)
        elif step == "f":
            self.mgn.finalize_cutover(sourceServerID=server_id)
        elif step == "d":
            self.mgn.disconnect_from_service(sourceServerID=server_id)
        else:
            self.mgn.stop_replication(sourceServerID=server_id)

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


@contextmanager
def moto_server() -> Iterator[str]:
    """moto's server on a free port, with this MGN: its address."""
    register()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


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
