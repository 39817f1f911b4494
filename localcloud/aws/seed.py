"""What the local AWS has from the start: network, DNS zone, queues, key, secret and role."""

import base64
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from adapters.dynamodb_table import EXPIRES, TABLE
from adapters.permissions import IN_TARGET_ACCOUNTS, wanted
from localcloud.world import APPLICATION_PORT, SUBNETS, World

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_route53 import Route53Client
    from mypy_boto3_sqs import SQSClient

ACCESS_KEY, SECRET_KEY = "local", "secret-key-of-the-local-cloud"
CALLBACK_SECRET = "migrator/callback"  # noqa: S105  a name
REQUEST_QUEUE, DEAD_LETTER_QUEUE = "migrator-requests", "migrator-requests-dlq"
TARGET_ROLE = "migrator-target"
STATE_TABLE = "migrator-state"
EVENT_BUS, EVENT_QUEUE = "migrator", "migrator-events"
"""The bus, and the queue behind it that gets every event."""

SOURCE_TTL = 4
"""Seconds; longer than what local requests want, so that it is lowered, and short enough to be waited out."""
_ZONE = "a"
_MAX_RECEIVES = 20
_CONFIG = Config(retries={"mode": "standard", "total_max_attempts": 1}, connect_timeout=5, read_timeout=30)


@dataclass(frozen=True)
class Seeded:
    """The ids of everything seeded. `callback_secret` is the value that receivers verify signatures with."""

    account_id: str
    region: str
    vpc_id: str
    subnets: Mapping[str, str]
    security_groups: Mapping[str, str]
    zone_id: str
    zone_name: str
    request_queue_url: str
    dead_letter_queue_url: str
    event_bus: str
    event_queue_url: str
    kms_key_arn: str
    callback_secret_name: str
    callback_secret: str
    role_arn: str


def seed(world: World, endpoint: str) -> Seeded:
    """Make everything in an empty AWS."""
    session = boto3.Session(aws_access_key_id=ACCESS_KEY, aws_secret_access_key=SECRET_KEY, region_name=world.region)

    def client(service: str) -> Any:
        return session.client(service, endpoint_url=endpoint, config=_CONFIG)  # type: ignore[call-overload]  # any

    ec2: EC2Client = client("ec2")
    vpc_id = ec2.create_vpc(CidrBlock=world.cidr)["Vpc"]["VpcId"]
    sqs: SQSClient = client("sqs")
    dead_letters = sqs.create_queue(QueueName=DEAD_LETTER_QUEUE)["QueueUrl"]
    client("mgn").initialize_service()
    client("dynamodb").create_table(TableName=STATE_TABLE, **TABLE)
    client("dynamodb").update_time_to_live(
        TableName=STATE_TABLE, TimeToLiveSpecification={"Enabled": True, "AttributeName": EXPIRES}
    )
    return Seeded(
        account_id=world.account_id,
        region=world.region,
        vpc_id=vpc_id,
        subnets={role: _subnet(ec2, world, vpc_id, role) for role in SUBNETS},
        security_groups={role: _security_group(ec2, world, vpc_id, role) for role in ("production", "test")},
        zone_id=_zone(client("route53"), world, vpc_id),
        zone_name=world.zone_name,
        request_queue_url=_request_queue(sqs, world),
        dead_letter_queue_url=dead_letters,
        event_bus=EVENT_BUS,
        event_queue_url=_event_queue(client("events"), sqs, world),
        kms_key_arn=client("kms").create_key(Description="migrator")["KeyMetadata"]["Arn"],
        callback_secret_name=CALLBACK_SECRET,
        callback_secret=_callback_secret(client("secretsmanager")),
        role_arn=_role(client("iam"), world),
    )


def _subnet(ec2: "EC2Client", world: World, vpc_id: str, role: str) -> str:
    subnet = ec2.create_subnet(
        VpcId=vpc_id,
        CidrBlock=world.subnet_cidr(role),
        AvailabilityZone=world.region + _ZONE,
        TagSpecifications=[{"ResourceType": "subnet", "Tags": [{"Key": "Name", "Value": role}]}],
    )
    return subnet["Subnet"]["SubnetId"]


def _security_group(ec2: "EC2Client", world: World, vpc_id: str, role: str) -> str:
    group_id = ec2.create_security_group(GroupName=role, Description=f"Applications in {role}", VpcId=vpc_id)["GroupId"]
    ec2.authorize_security_group_ingress(
        GroupId=group_id,
        IpPermissions=[
            {
                "IpProtocol": "tcp",
                "FromPort": APPLICATION_PORT,
                "ToPort": APPLICATION_PORT,
                "IpRanges": [{"CidrIp": world.cidr}],
            }
        ],
    )
    return group_id


def _zone(route53: "Route53Client", world: World, vpc_id: str) -> str:
    made = route53.create_hosted_zone(
        Name=world.zone_name,
        CallerReference="seed",
        VPC={"VPCRegion": world.region, "VPCId": vpc_id},  # type: ignore[typeddict-item]  # any region
        HostedZoneConfig={"PrivateZone": True},
    )
    zone_id = made["HostedZone"]["Id"].rpartition("/")[2]
    route53.change_resource_record_sets(
        HostedZoneId=zone_id,
        ChangeBatch={
            "Changes": [
                {
                    "Action": "CREATE",
                    "ResourceRecordSet": {
                        "Name": application.dns_name,
                        "Type": "A",
                        "TTL": SOURCE_TTL,
                        "ResourceRecords": [{"Value": server.address} for server in application.servers],
                    },
                }
                for application in world.applications
            ]
        },
    )
    return zone_id


def _request_queue(sqs: "SQSClient", world: World) -> str:
    dead_letters = f"arn:aws:sqs:{world.region}:{world.account_id}:{DEAD_LETTER_QUEUE}"
    redrive = {"deadLetterTargetArn": dead_letters, "maxReceiveCount": _MAX_RECEIVES}
    return sqs.create_queue(
        QueueName=REQUEST_QUEUE, Attributes={"VisibilityTimeout": "30", "RedrivePolicy": json.dumps(redrive)}
    )["QueueUrl"]


def _event_queue(events: "EventBridgeClient", sqs: "SQSClient", world: World) -> str:
    events.create_event_bus(Name=EVENT_BUS)
    every_event = json.dumps({"source": [{"prefix": ""}]})
    events.put_rule(Name=EVENT_QUEUE, EventBusName=EVENT_BUS, EventPattern=every_event)
    queue = sqs.create_queue(QueueName=EVENT_QUEUE)["QueueUrl"]
    arn = f"arn:aws:sqs:{world.region}:{world.account_id}:{EVENT_QUEUE}"
    events.put_targets(Rule=EVENT_QUEUE, EventBusName=EVENT_BUS, Targets=[{"Id": EVENT_QUEUE, "Arn": arn}])
    return queue


def _callback_secret(secrets_manager: Any) -> str:
    value = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    secrets_manager.create_secret(Name=CALLBACK_SECRET, SecretString=value)
    return value


def _role(iam: Any, world: World) -> str:
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:aws:iam::{world.account_id}:root"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
    role = iam.create_role(RoleName=TARGET_ROLE, AssumeRolePolicyDocument=json.dumps(trust))
    names = {"partition": "aws", "account": world.account_id, "region": world.region}
    statements = [
        {"Effect": "Allow", "Action": [action], "Resource": resource}
        for action, resource in (wanted(IN_TARGET_ACCOUNTS, names) | {"iam:SimulatePrincipalPolicy": "*"}).items()
    ]
    policy = {"Version": "2012-10-17", "Statement": statements}
    iam.put_role_policy(RoleName=TARGET_ROLE, PolicyName="target", PolicyDocument=json.dumps(policy))
    return str(role["Role"]["Arn"])
