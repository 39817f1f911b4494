"""The local AWS as boto3 sees it: the seed, Systems Manager, the ledger and the fault plan."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError

from localcloud.aws.seed import SOURCE_TTL
from localcloud.aws.server import AwsServer
from localcloud.faults import FaultPlan, Rule
from localcloud.ledger import Entry, Ledger
from localcloud.world import SourceMachine, World, build_world, reserve_network

REGION = "eu-central-1"


class Cloud:
    def __init__(self, world: World) -> None:
        self.world = world
        self.ledger = Ledger()
        self.faults = FaultPlan()
        self.aws = AwsServer(world, self.ledger, self.faults)
        self._clients: dict[tuple[str, str], Any] = {}

    def client(self, service: str, region: str = REGION) -> Any:
        if (service, region) not in self._clients:
            session = boto3.Session(aws_access_key_id="AKIATEST", aws_secret_access_key="test", region_name=region)
            config = Config(retries={"total_max_attempts": 1})
            client = session.client(service, endpoint_url=self.aws.url, config=config)  # type: ignore[call-overload]
            self._clients[service, region] = client
        return self._clients[service, region]

    def stop(self) -> None:
        for client in self._clients.values():
            client.close()
        self.aws.stop()

    def run(self, machine: SourceMachine, *lines: str, document: str = "AWS-RunShellScript") -> dict[str, Any]:
        """Send one command and read how it ended."""
        ssm = self.client("ssm")
        parameters = {"commands": list(lines)}
        instance_id = machine.managed_instance_id
        sent = ssm.send_command(InstanceIds=[instance_id], DocumentName=document, Parameters=parameters)
        command_id = sent["Command"]["CommandId"]
        return dict(ssm.get_command_invocation(CommandId=command_id, InstanceId=instance_id))

    def install(self, machine: SourceMachine, *options: str, region: str = REGION) -> dict[str, Any]:
        """Install the replication agent as an operator's script does."""
        return self.run(
            machine,
            "wget -O ./aws-replication-installer-init https://example.com/aws-replication-installer-init",
            "chmod +x ./aws-replication-installer-init",
            f"./aws-replication-installer-init --region {region} --no-prompt {' '.join(options)}",
        )

    def source_server(self, machine: SourceMachine) -> dict[str, Any]:
        """Install the agent and read the record that MGN made."""
        self.install(machine, f"--user-provided-id id-{machine.name}")
        servers = self.client("mgn").describe_source_servers(filters={})["items"]
        return next(server for server in servers if server["userProvidedID"] == f"id-{machine.name}")

    def change_record(self, name: str, address: str, action: str = "UPSERT", ttl: int = 60) -> None:
        record = {"Name": name, "Type": "A", "TTL": ttl, "ResourceRecords": [{"Value": address}]}
        self.client("route53").change_resource_record_sets(
            HostedZoneId=self.aws.seeded.zone_id,
            ChangeBatch={"Comment": "moved", "Changes": [{"Action": action, "ResourceRecordSet": record}]},
        )

    def entries(self, **filters: str) -> list[Entry]:
        return self.ledger.entries(**filters)  # type: ignore[arg-type]  # no test filters by place


@pytest.fixture(scope="module")
def shared() -> Iterator[Cloud]:
    network, holder = reserve_network()
    cloud = Cloud(build_world(network, applications=12))
    cloud.aws.start()
    yield cloud
    cloud.stop()
    holder.close()


@pytest.fixture
def cloud(shared: Cloud) -> Iterator[Cloud]:
    yield shared
    shared.faults.clear()


@pytest.fixture
def machines(cloud: Cloud) -> dict[str, SourceMachine]:
    return {machine.application: machine for machine in cloud.world.machines}


@contextmanager
def refused(code: str, status: int | None = None) -> Iterator[None]:
    with pytest.raises(ClientError) as caught:
        yield
    assert caught.value.response["Error"]["Code"] == code
    if status:
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status


# --- the seed ------------------------------------------------------------------------------------------------------


def test_the_seed_has_a_network_of_loopback_addresses_in_one_zone(cloud: Cloud) -> None:
    seeded = cloud.aws.seeded
    subnets = cloud.client("ec2").describe_subnets(SubnetIds=list(seeded.subnets.values()))["Subnets"]
    assert {subnet["CidrBlock"] for subnet in subnets} == {
        f"127.{cloud.world.network}.{third}.0/24" for third in (1, 2, 3)
    }
    assert {(subnet["VpcId"], subnet["AvailabilityZone"]) for subnet in subnets} == {(seeded.vpc_id, "eu-central-1a")}
    groups = cloud.client("ec2").describe_security_groups(GroupIds=list(seeded.security_groups.values()))
    assert {group["VpcId"] for group in groups["SecurityGroups"]} == {seeded.vpc_id}


def test_the_seed_names_every_application_in_a_private_zone(cloud: Cloud, machines: dict[str, SourceMachine]) -> None:
    route53 = cloud.client("route53")
    assert route53.get_hosted_zone(Id=cloud.aws.seeded.zone_id)["HostedZone"]["Config"]["PrivateZone"]
    listed = route53.list_resource_record_sets(HostedZoneId=cloud.aws.seeded.zone_id)["ResourceRecordSets"]
    found = {each["Name"]: (each["TTL"], each["ResourceRecords"]) for each in listed if each["Type"] == "A"}
    assert found["wiki.example.internal."] == (SOURCE_TTL, [{"Value": machines["wiki"].address}])
    assert len(found) == 12


def test_the_seed_has_queues_key_secret_and_role(cloud: Cloud) -> None:
    seeded = cloud.aws.seeded
    sqs = cloud.client("sqs")
    sqs.send_message(QueueUrl=seeded.request_queue_url, MessageBody="{}")
    [message] = sqs.receive_message(QueueUrl=seeded.request_queue_url)["Messages"]
    sqs.delete_message(QueueUrl=seeded.request_queue_url, ReceiptHandle=message["ReceiptHandle"])
    assert "Messages" not in sqs.receive_message(QueueUrl=seeded.dead_letter_queue_url)
    assert cloud.client("kms").describe_key(KeyId=seeded.kms_key_arn)["KeyMetadata"]["Enabled"]
    secret = cloud.client("secretsmanager").get_secret_value(SecretId=seeded.callback_secret_name)["SecretString"]
    assert secret == seeded.callback_secret
    assert secret.startswith("whsec_")
    role = cloud.client("sts").assume_role(RoleArn=seeded.role_arn, RoleSessionName="test")
    assert role["AssumedRoleUser"]["Arn"].startswith("arn:aws:sts::123456789012:assumed-role/migrator-target/")


def test_the_seed_leaves_no_trace_in_the_ledger(cloud: Cloud) -> None:
    assert cloud.entries(operation="CreateVpc") == []
    assert cloud.entries(operation="InitializeService") == []


# --- Systems Manager -----------------------------------------------------------------------------------------------


def test_managed_instances_are_listed_page_by_page(cloud: Cloud) -> None:
    pages = list(cloud.client("ssm").get_paginator("describe_instance_information").paginate())
    rows = [row for page in pages for row in page["InstanceInformationList"]]
    assert len(pages) > 1
    assert [row["InstanceId"] for row in rows] == [machine.managed_instance_id for machine in cloud.world.machines]
    assert rows[0] | {"LastPingDateTime": None} == {
        "InstanceId": cloud.world.machines[0].managed_instance_id,
        "PingStatus": "Online",
        "LastPingDateTime": None,
        "AgentVersion": rows[0]["AgentVersion"],
        "PlatformType": "Linux",
        "PlatformName": "Ubuntu",
        "PlatformVersion": "22.04",
        "ResourceType": "ManagedInstance",
        "Name": "billing-web-01",
        "ComputerName": "billing-web-01",
        "IPAddress": cloud.world.machines[0].address,
    }
    assert cloud.client("ssm", "eu-west-1").describe_instance_information()["InstanceInformationList"] == []


def test_managed_instances_are_filtered(cloud: Cloud, machines: dict[str, SourceMachine]) -> None:
    ssm, shop = cloud.client("ssm"), machines["shop"].managed_instance_id
    filters = [{"Key": "InstanceIds", "Values": [shop]}, {"Key": "ResourceType", "Values": ["ManagedInstance"]}]
    [row] = ssm.describe_instance_information(Filters=filters)["InstanceInformationList"]
    assert row["ComputerName"] == "shop-web-01"
    with refused("InvalidFilterKey"):
        ssm.describe_instance_information(Filters=[{"Key": "Colour", "Values": ["blue"]}])


def test_a_command_runs_on_the_named_machines_alone(cloud: Cloud, machines: dict[str, SourceMachine]) -> None:
    ssm = cloud.client("ssm")
    ids = [machines[name].managed_instance_id for name in ("shop", "crm")]
    sent = ssm.send_command(
        Targets=[{"Key": "InstanceIds", "Values": ids}],
        DocumentName="AWS-RunShellScript",
        Parameters={"commands": ["sudo /var/lib/aws-replication-agent/uninstall-agent.sh"]},
        Comment="clean up",
    )
    command_id = sent["Command"]["CommandId"]
    rows = ssm.list_command_invocations(CommandId=command_id, Details=True)["CommandInvocations"]
    assert {(row["InstanceId"], row["Status"], row["Comment"]) for row in rows} == {
        (instance_id, "Success", "clean up") for instance_id in ids
    }
    assert [row["CommandPlugins"][0]["ResponseCode"] for row in rows] == [0, 0]
    with refused("InvocationDoesNotExist"):
        ssm.get_command_invocation(CommandId=command_id, InstanceId=machines["mail"].managed_instance_id)
    assert cloud.entries(operation="SendCommand")[-1].targets == (*ids, "shop-web-01", "crm-web-01")


@pytest.mark.parametrize(
    ("instance_ids", "document", "parameters", "code"),
    [
        (["mi-00000000000000000"], "AWS-RunShellScript", {"commands": ["true"]}, "InvalidInstanceId"),
        ([], "AWS-RunShellScript", {"commands": ["true"]}, "InvalidInstanceId"),
        (None, "AWS-RunNothing", {"commands": ["true"]}, "InvalidDocument"),
        (None, "AWS-RunShellScript", {}, "InvalidParameters"),
    ],
)
def test_a_command_that_makes_no_sense_is_refused(
    cloud: Cloud, instance_ids: list[str] | None, document: str, parameters: dict[str, list[str]], code: str
) -> None:
    ids = [cloud.world.machines[0].managed_instance_id] if instance_ids is None else instance_ids
    ran = len(cloud.entries(operation="SendCommand"))
    with refused(code, 400):
        cloud.client("ssm").send_command(InstanceIds=ids, DocumentName=document, Parameters=parameters)
    assert len(cloud.entries(operation="SendCommand")) == ran


def test_a_machine_that_is_off_is_not_reached(cloud: Cloud, machines: dict[str, SourceMachine]) -> None:
    machine = machines["stock"]
    cloud.aws.applications.source_changed(machine.name, False, True, time.time())
    filters = [{"Key": "InstanceIds", "Values": [machine.managed_instance_id]}]
    [row] = cloud.client("ssm").describe_instance_information(Filters=filters)["InstanceInformationList"]
    assert row["PingStatus"] == "ConnectionLost"
    invocation = cloud.run(machine, "true")
    assert (invocation["Status"], invocation["StatusDetails"]) == ("TimedOut", "DeliveryTimedOut")
    cloud.aws.applications.source_changed(machine.name, True, True, time.time())
    assert cloud.run(machine, "true")["Status"] == "Success"


# --- installing the agent ------------------------------------------------------------------------------------------


def test_the_installer_registers_the_machine_with_mgn(cloud: Cloud, machines: dict[str, SourceMachine]) -> None:
    machine = machines["orders"]
    invocation = cloud.install(
        machine, "--user-provided-id id-orders", "--tags migration-id=mig-1 'owner=two words'", "--no-replication"
    )
    assert (invocation["Status"], invocation["ResponseCode"]) == ("Success", 0)
    [server] = [
        server
        for server in cloud.client("mgn").describe_source_servers(filters={})["items"]
        if server["userProvidedID"] == "id-orders"
    ]
    assert f"source server ID: {server['sourceServerID']}." in invocation["StandardOutputContent"]
    assert server["tags"].items() >= {"migration-id": "mig-1", "owner": "two words"}.items()
    assert server["sourceProperties"]["identificationHints"]["hostname"] == "orders-web-01"
    assert server["sourceProperties"]["networkInterfaces"][0]["ips"] == [machine.address]
    assert server["dataReplicationInfo"]["dataReplicationState"] == "STOPPED"
    assert cloud.aws.applications.aliases("id-orders") == ("orders-web-01",)


def test_the_installer_fails_where_mgn_was_never_initialised(cloud: Cloud, machines: dict[str, SourceMachine]) -> None:
    invocation = cloud.install(machines["search"], "--user-provided-id id-search", region="eu-west-1")
    assert (invocation["Status"], invocation["ResponseCode"]) == ("Failed", 1)
    assert "Installation failed" in invocation["StandardOutputContent"]
    assert "UninitializedAccountException" in invocation["StandardErrorContent"]


def test_the_installer_fails_when_nobody_can_answer_its_prompt(
    cloud: Cloud, machines: dict[str, SourceMachine]
) -> None:
    invocation = cloud.run(machines["search"], "./aws-replication-installer-init --region eu-central-1")
    assert invocation["Status"] == "Failed"
    assert "--no-prompt" in invocation["StandardErrorContent"]


# --- the ledger ----------------------------------------------------------------------------------------------------


def test_an_accepted_mgn_call_is_written_down_with_every_name_of_what_it_touches(
    cloud: Cloud, machines: dict[str, SourceMachine]
) -> None:
    server = cloud.source_server(machines["mail"])
    mgn, source_server_id = cloud.client("mgn"), server["sourceServerID"]
    mgn.tag_resource(resourceArn=server["arn"], tags={"migration-id": "mig-2"})
    mgn.update_launch_configuration(sourceServerID=source_server_id, copyPrivateIp=False)
    mgn.list_tags_for_resource(resourceArn=server["arn"])
    mgn.get_launch_configuration(sourceServerID=source_server_id)
    with refused("ConflictException", 409):
        mgn.finalize_cutover(sourceServerID=source_server_id)
    entries = cloud.entries(service="mgn", target="mail-web-01")
    assert [entry.operation for entry in entries] == ["TagResource", "UpdateLaunchConfiguration"]
    assert {entry.targets for entry in entries} == {(source_server_id, "id-mail-web-01", "mail-web-01")}
    assert entries[0].caller == "AKIATEST"
    assert entries[0].detail["tags"] == {"migration-id": "mig-2"}


def test_a_dns_change_is_written_down_with_name_and_values(cloud: Cloud) -> None:
    cloud.change_record("docs.example.internal", "127.0.0.9")
    [entry] = cloud.entries(service="route53", target="docs.example.internal")
    assert entry.operation == "ChangeResourceRecordSets"
    assert entry.targets == ("docs.example.internal", cloud.aws.seeded.zone_id)
    assert entry.detail == {
        "comment": "moved",
        "changes": [
            {
                "action": "UPSERT",
                "name": "docs.example.internal",
                "type": "A",
                "ttl": 60,
                "values": ["127.0.0.9"],
                "setIdentifier": None,
            }
        ],
    }
    assert cloud.aws.applications.report()["docs"]["dns"]["answer"] == ["127.0.0.9"]


def test_ec2_queue_and_table_calls_are_written_down_and_reads_are_not(cloud: Cloud) -> None:
    ec2 = cloud.client("ec2")
    made = ec2.create_launch_template(LaunchTemplateName="ledger", LaunchTemplateData={"InstanceType": "m5.large"})
    template_id = made["LaunchTemplate"]["LaunchTemplateId"]
    ec2.describe_launch_templates(LaunchTemplateIds=[template_id])
    ec2.delete_launch_template(LaunchTemplateId=template_id)
    entries = cloud.entries(service="ec2", target=template_id)
    assert [entry.operation for entry in entries] == ["CreateLaunchTemplate", "DeleteLaunchTemplate"]
    cloud.client("sqs").create_queue(QueueName="ledger-queue")
    assert [entry.operation for entry in cloud.entries(target="ledger-queue")] == ["CreateQueue"]
    dynamodb = cloud.client("dynamodb")
    dynamodb.create_table(
        TableName="ledger-table",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    dynamodb.delete_item(TableName="ledger-table", Key={"id": {"S": "mig-1"}})
    dynamodb.get_item(TableName="ledger-table", Key={"id": {"S": "mig-1"}})
    assert [(entry.operation, entry.targets) for entry in cloud.entries(target="ledger-table")] == [
        ("CreateTable", ("ledger-table",)),
        ("DeleteItem", ("ledger-table", "mig-1")),
    ]


# --- the fault plan ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("service", "operation", "call"),
    [
        ("mgn", "DescribeJobs", lambda cloud: cloud.client("mgn").describe_jobs(filters={})),
        ("ec2", "DescribeInstances", lambda cloud: cloud.client("ec2").describe_instances()),
        ("route53", "ListHostedZones", lambda cloud: cloud.client("route53").list_hosted_zones()),
        ("ssm", "DescribeInstanceInformation", lambda cloud: cloud.client("ssm").describe_instance_information()),
        ("dynamodb", "ListTables", lambda cloud: cloud.client("dynamodb").list_tables()),
        ("sqs", "ListQueues", lambda cloud: cloud.client("sqs").list_queues()),
        ("sts", "GetCallerIdentity", lambda cloud: cloud.client("sts").get_caller_identity()),
    ],
)
def test_a_refusal_comes_in_the_services_own_shape(cloud: Cloud, service: str, operation: str, call: Any) -> None:
    cloud.faults.add(Rule(service, operation, "refuse", times=1, status=403, code="AccessDenied", message="not you"))
    with pytest.raises(ClientError, match="not you") as caught:
        call(cloud)
    assert caught.value.response["Error"]["Code"] == "AccessDenied"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    call(cloud)


def test_a_refusal_without_a_code_takes_the_usual_one_of_its_status(cloud: Cloud) -> None:
    mgn = cloud.client("mgn")
    cloud.faults.add(Rule("mgn", "DescribeJobs", "refuse", times=1, status=409))
    with pytest.raises(mgn.exceptions.ConflictException):
        mgn.describe_jobs(filters={})
    cloud.faults.add(Rule("mgn", "DescribeJobs", "refuse", times=1))
    with refused("ServiceUnavailable", 503):
        mgn.describe_jobs(filters={})


def test_a_refused_call_has_no_effect_and_a_lost_reply_has_its_effect_once(cloud: Cloud) -> None:
    name = "forum.example.internal"
    cloud.faults.add(Rule("route53", "ChangeResourceRecordSets", "refuse", target=name, times=1, status=429))
    cloud.faults.add(Rule("route53", "ChangeResourceRecordSets", "replyLost", target=name, times=1))
    with refused("ThrottlingException", 429):
        cloud.change_record(name, "127.0.0.10")
    assert cloud.aws.applications.report()["forum"]["dns"]["answer"] != ["127.0.0.10"]
    with pytest.raises(ConnectionClosedError):
        cloud.change_record(name, "127.0.0.10")
    assert cloud.aws.applications.report()["forum"]["dns"]["answer"] == ["127.0.0.10"]
    assert len(cloud.entries(service="route53", target=name)) == 1
    cloud.change_record(name, "127.0.0.11")
    assert cloud.aws.applications.report()["forum"]["dns"]["answer"] == ["127.0.0.11"]


def test_a_fault_for_one_server_spares_the_others(cloud: Cloud, machines: dict[str, SourceMachine]) -> None:
    jobs, wiki = (cloud.source_server(machines[name])["sourceServerID"] for name in ("jobs", "wiki"))
    mgn = cloud.client("mgn")
    cloud.faults.add(Rule("mgn", "GetLaunchConfiguration", "refuse", target="jobs-web-01"))
    assert mgn.get_launch_configuration(sourceServerID=wiki)["sourceServerID"] == wiki
    with refused("ServiceUnavailable"):
        mgn.get_launch_configuration(sourceServerID=jobs)
