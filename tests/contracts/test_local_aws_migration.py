"""A machine moves through the local AWS: agent, replication, launch, DNS, and who served when."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import httpx
import pytest
from botocore.config import Config

from localcloud.aws.mgn import MgnSettings
from localcloud.aws.server import AwsServer
from localcloud.faults import FaultPlan, Rule
from localcloud.ledger import Ledger
from localcloud.world import World, build_world, reserve_network

SERVER = "billing-web-01"
SESSION = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="eu-central-1")
NAME = "billing.example.internal"


class Move:
    """One machine on its way, step by step."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.machine = world.machines[0]
        self.ledger = Ledger()
        self.faults = FaultPlan()
        self.aws = AwsServer(world, self.ledger, self.faults, settings=MgnSettings(factor=2000))
        self._clients: dict[str, Any] = {}
        self.source_server_id = ""

    def client(self, service: str) -> Any:
        if service not in self._clients:
            config = Config(retries={"total_max_attempts": 1})
            client = SESSION.client(service, endpoint_url=self.aws.url, config=config)  # type: ignore[call-overload]
            self._clients[service] = client
        return self._clients[service]

    def stop(self) -> None:
        for client in self._clients.values():
            client.close()
        self.aws.stop()

    def power(self, *, on: bool) -> None:
        self.aws.applications.source_changed(SERVER, on, on, time.time())

    def replicate(self) -> None:
        script = "./aws-replication-installer-init --region eu-central-1 --user-provided-id id-billing --no-prompt"
        self.client("ssm").send_command(
            InstanceIds=[self.machine.managed_instance_id],
            DocumentName="AWS-RunShellScript",
            Parameters={"commands": [script]},
        )
        self.source_server_id = self.record()["sourceServerID"]
        until(lambda: self.record()["lifeCycle"]["state"] == "READY_FOR_TEST")

    def record(self) -> dict[str, Any]:
        [record] = self.client("mgn").describe_source_servers(filters={})["items"]
        return dict(record)

    def aim(self, subnet: str) -> None:
        """Make this subnet the one that MGN launches into."""
        mgn, ec2 = self.client("mgn"), self.client("ec2")
        template = mgn.get_launch_configuration(sourceServerID=self.source_server_id)["ec2LaunchTemplateID"]
        nic = {
            "DeviceIndex": 0,
            "SubnetId": self.aws.seeded.subnets[subnet],
            "Groups": [self.aws.seeded.security_groups[subnet]],
        }
        data = {"InstanceType": "m5.large", "NetworkInterfaces": [nic]}
        version = ec2.create_launch_template_version(LaunchTemplateId=template, LaunchTemplateData=data)
        number = str(version["LaunchTemplateVersion"]["VersionNumber"])
        ec2.modify_launch_template(LaunchTemplateId=template, DefaultVersion=number)

    def launch(self, kind: str) -> dict[str, Any]:
        """Run a test or cutover launch to its end; returns what the job says of the server."""
        start = self.client("mgn").start_test if kind == "test" else self.client("mgn").start_cutover
        job_id = start(sourceServerIDs=[self.source_server_id])["job"]["jobID"]
        until(lambda: self._job(job_id)["status"] == "COMPLETED")
        return dict(self._job(job_id)["participatingServers"][0])

    def log(self) -> list[tuple[str, str | None]]:
        """Event and raw error of each line in the latest job's log."""
        mgn = self.client("mgn")
        job_id = mgn.describe_jobs(filters={})["items"][0]["jobID"]
        lines = mgn.describe_job_log_items(jobID=job_id)["items"]
        return [(line["event"], line["eventData"].get("rawError")) for line in lines]

    def _job(self, job_id: str) -> dict[str, Any]:
        return dict(self.client("mgn").describe_jobs(filters={"jobIDs": [job_id]})["items"][0])

    def address(self, instance_id: str) -> str:
        [reservation] = self.client("ec2").describe_instances(InstanceIds=[instance_id])["Reservations"]
        return str(reservation["Instances"][0]["PrivateIpAddress"])

    def point_dns(self, address: str) -> None:
        record = {"Name": NAME, "Type": "A", "TTL": 60, "ResourceRecords": [{"Value": address}]}
        self.client("route53").change_resource_record_sets(
            HostedZoneId=self.aws.seeded.zone_id,
            ChangeBatch={"Changes": [{"Action": "UPSERT", "ResourceRecordSet": record}]},
        )

    def report(self) -> dict[str, Any]:
        return dict(self.aws.applications.report()["billing"])


def until(condition: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)


def get(address: str, path: str) -> httpx.Response:
    return httpx.get(f"http://{address}:8080{path}", timeout=2)


@pytest.fixture
def move() -> Iterator[Move]:
    network, holder = reserve_network()
    move = Move(build_world(network, applications=1))
    move.aws.start()
    yield move
    move.stop()
    holder.close()


def test_a_machine_moves_and_no_write_is_lost_and_never_do_two_sides_serve(move: Move) -> None:
    move.replicate()
    move.aim("test")
    tested = move.launch("test")["launchedEc2InstanceID"]
    assert get(move.address(tested), "/health").json()["side"] == "target"
    ssm = move.client("ssm")
    [managed] = ssm.describe_instance_information(Filters=[{"Key": "InstanceIds", "Values": [tested]}])[
        "InstanceInformationList"
    ]
    assert (managed["PingStatus"], managed["IPAddress"]) == ("Online", move.address(tested))
    script = {"DocumentName": "AWS-RunShellScript", "Parameters": {"commands": ["true"]}}
    assert ssm.send_command(InstanceIds=[tested], **script)["Command"]["Status"] == "Success"
    mgn = move.client("mgn")
    mgn.change_server_life_cycle_state(sourceServerID=move.source_server_id, lifeCycle={"state": "READY_FOR_CUTOVER"})
    move.aim("production")
    move.power(on=False)
    launched = move.launch("cutover")["launchedEc2InstanceID"]
    address = move.address(launched)
    move.point_dns(address)
    before = get(address, "/counter").json()["writes"]
    until(lambda: get(address, "/counter").json()["writes"] > before)
    mgn.finalize_cutover(sourceServerID=move.source_server_id)

    report = move.report()
    assert report["dns"]["answer"] == [address]
    assert report["overlaps"] == []
    assert report["downtimeSeconds"] > 0
    [server] = report["servers"]
    assert (server["servedBy"], server["lostWrites"]) == ("target", 0)
    assert [(side["kind"], side["up"], side["production"]) for side in server["sides"]] == [
        (None, False, True),
        ("test", False, False),
        ("cutover", True, True),
    ]
    launches = [(entry.operation, entry.targets[0]) for entry in move.ledger.entries(service="application")]
    assert launches == [("launched", tested), ("terminated", tested), ("launched", launched)]
    operations = [entry.operation for entry in move.ledger.entries(service="mgn", target=SERVER)]
    assert operations == ["StartTest", "ChangeServerLifeCycleState", "StartCutover", "FinalizeCutover"]
    [started] = move.ledger.entries(service="mgn", operation="StartCutover", target=move.source_server_id)
    assert any(target.startswith("mgnjob-") for target in started.targets)


def test_stopping_the_instance_in_ec2_ends_its_service_at_once(move: Move) -> None:
    move.replicate()
    move.aim("test")
    launched = move.launch("test")["launchedEc2InstanceID"]
    address = move.address(launched)
    assert get(address, "/health").status_code == 200
    move.client("ec2").stop_instances(InstanceIds=[launched])
    with pytest.raises(httpx.ConnectError):
        get(address, "/health")
    [entry] = move.ledger.entries(service="ec2", operation="StopInstances")
    assert entry.targets == (launched, SERVER)


def test_a_planned_launch_failure_fails_the_server_in_a_job_that_completes(move: Move) -> None:
    move.faults.add(Rule("mgn", "launch", "refuse", target=f"{SERVER}/test", times=1, message="no capacity"))
    move.replicate()
    move.aim("test")
    assert move.launch("test")["launchStatus"] == "FAILED"
    assert move.record()["lifeCycle"]["state"] == "TESTING"
    assert move.launch("test")["launchStatus"] == "LAUNCHED"


def test_a_planned_snapshot_failure_launches_the_previous_snapshot(move: Move) -> None:
    move.faults.add(Rule("mgn", "snapshot", "launchFailed", target=f"{SERVER}/test", times=1, message="EBS is busy"))
    move.replicate()
    move.aim("test")
    assert move.launch("test")["launchStatus"] == "LAUNCHED"
    assert move.log()[2:4] == [("SNAPSHOT_FAIL", "EBS is busy"), ("USING_PREVIOUS_SNAPSHOT", None)]
    move.launch("test")
    assert "SNAPSHOT_FAIL" not in dict(move.log())


def test_a_planned_conversion_failure_fails_the_launch(move: Move) -> None:
    move.faults.add(Rule("mgn", "conversion", "launchFailed", target="id-billing", times=1))
    move.replicate()
    move.aim("test")
    assert move.launch("test")["launchStatus"] == "FAILED"
    assert ("CONVERSION_FAIL", "the conversion failed") in move.log()


def test_a_planned_trouble_stalls_the_replication_until_it_is_taken_back(move: Move) -> None:
    move.replicate()
    trouble = Rule("mgn", "trouble", "replicationStalled", target=SERVER, code="NOT_CONVERGING", message="too slow")
    planned = move.faults.add(trouble)
    copy = move.record()["dataReplicationInfo"]
    assert copy["dataReplicationState"] == "STALLED"
    assert copy["dataReplicationError"] == {"error": "NOT_CONVERGING", "rawError": "too slow"}
    move.faults.remove(planned)
    until(lambda: move.record()["dataReplicationInfo"]["dataReplicationState"] == "CONTINUOUS")
    assert "dataReplicationError" not in move.record()["dataReplicationInfo"]


def test_a_planned_trouble_of_some_seconds_passes_by_itself(move: Move) -> None:
    move.replicate()
    move.faults.add(Rule("mgn", "trouble", "replicationStalled", target=SERVER, seconds=0.3))
    assert move.record()["dataReplicationInfo"]["dataReplicationError"]["error"] == "SNAPSHOTS_FAILURE"
    until(lambda: move.record()["dataReplicationInfo"]["dataReplicationState"] == "CONTINUOUS")


def test_mgn_sees_that_the_source_is_off_and_on_again(move: Move) -> None:
    move.replicate()
    move.power(on=False)
    until(lambda: move.record()["dataReplicationInfo"].get("lagDuration") not in (None, "P0D"))
    move.power(on=True)
    until(lambda: move.record()["dataReplicationInfo"].get("lagDuration") == "P0D")
    assert move.record()["dataReplicationInfo"]["dataReplicationState"] == "CONTINUOUS"


def test_every_start_is_a_new_aws(move: Move) -> None:
    move.client("ec2").create_launch_template(LaunchTemplateName="left", LaunchTemplateData={"ImageId": "ami-1"})
    move.stop()
    network, holder = reserve_network()
    again = Move(build_world(network, applications=1))
    again.aws.start()
    try:
        assert again.client("ec2").describe_launch_templates()["LaunchTemplates"] == []
        [zone] = again.client("route53").list_hosted_zones()["HostedZones"]
        assert zone["Id"].endswith(again.aws.seeded.zone_id)
        assert get(again.machine.address, "/health").json()["server"] == SERVER
    finally:
        again.stop()
        holder.close()


def test_a_port_in_use_is_an_error_and_leaves_nothing_running(move: Move) -> None:
    port = int(move.aws.url.rpartition(":")[2])
    with pytest.raises(OSError, match="in use"):
        AwsServer(move.world, Ledger(), FaultPlan(), port=port).start()
