"""What the product must be allowed to do in AWS: the one list, by the role that a part of it plays.

`migrator doctor` asks for each of these; the policies of an installation are compared with them. A permission names the
resource that it is needed on, with `*` where a name is not known beforehand; `*` alone where AWS knows no narrower one.
Actions as in the Service Authorization Reference, which for DynamoDB's transactions are those of their items.
"""

from collections.abc import Mapping
from enum import StrEnum

Permissions = Mapping[str, str]
"""Action to the resource that it is needed on; `{region}`, `{account}` and the like stand for themselves."""

_QUEUE = "arn:{partition}:sqs:{region}:{account}:{request_queue}"
_DEAD_LETTERS = "arn:{partition}:sqs:{region}:{account}:{dead_letter_queue}"
_TABLE = "arn:{partition}:dynamodb:{region}:{account}:table/{state_table}"
_BUS = "arn:{partition}:events:{region}:{account}:event-bus/{event_bus}"
_SECRET = "arn:{partition}:secretsmanager:{region}:{account}:secret:*"  # noqa: S105  a name
_INSTANCE = "arn:{partition}:ec2:{region}:{account}:instance/*"
_TEMPLATE = "arn:{partition}:ec2:{region}:{account}:launch-template/*"
_SERVER = "arn:{partition}:mgn:{region}:{account}:source-server/*"
_MGN_APPLICATION = "arn:{partition}:mgn:{region}:{account}:application/*"
_WAVE = "arn:{partition}:mgn:{region}:{account}:wave/*"
_MANAGED_INSTANCE = "arn:{partition}:ssm:{region}:{account}:managed-instance/*"
_ZONE = "arn:{partition}:route53:::hostedzone/*"
_ANY = "*"


class Role(StrEnum):
    """The parts of the product that an installation may give roles of their own."""

    INGRESS = "ingress"
    ORCHESTRATE = "orchestrate"
    CUTOVER = "cutover"
    ROLLBACK = "rollback"
    READ_MODEL = "read model"
    DOCTOR = "doctor"


class Part(StrEnum):
    """What runs with one identity: all of the product, or one of the parts that an installation tells apart."""

    ALL = "all"
    WORKER = "worker"
    INGRESS = "ingress"


PARTS: Mapping[Part, frozenset[Role]] = {
    Part.ALL: frozenset(Role),
    Part.WORKER: frozenset({Role.ORCHESTRATE, Role.READ_MODEL, Role.DOCTOR}),
    Part.INGRESS: frozenset({Role.INGRESS, Role.DOCTOR}),
}
"""Part to the roles that it plays in our account."""

NARROWED = frozenset(
    {
        "iam:SimulatePrincipalPolicy",
        "route53:ChangeResourceRecordSets",
        "secretsmanager:GetSecretValue",
        "sts:AssumeRole",
        "sts:TagSession",
    }
)
"""What an installation does well to allow on its own resources alone, whose names are not known here."""

IN_OUR_ACCOUNT: Mapping[Role, Permissions] = {
    Role.INGRESS: {
        "sqs:ReceiveMessage": _QUEUE,
        "sqs:DeleteMessage": _QUEUE,
        "sqs:ChangeMessageVisibility": _QUEUE,
        "sqs:SendMessage": _DEAD_LETTERS,
        "sqs:GetQueueAttributes": _QUEUE,
        "events:PutEvents": _BUS,
        "events:DescribeEventBus": _BUS,
    },
    Role.ORCHESTRATE: {
        "events:PutEvents": _BUS,
        "events:DescribeEventBus": _BUS,
        "sts:AssumeRole": "arn:{partition}:iam::*:role/*",
        "sts:TagSession": "arn:{partition}:iam::*:role/*",
        "secretsmanager:GetSecretValue": _SECRET,
    },
    Role.READ_MODEL: {
        "dynamodb:GetItem": _TABLE,
        "dynamodb:BatchGetItem": _TABLE,
        "dynamodb:Scan": _TABLE,
        "dynamodb:Query": f"{_TABLE}/index/*",
        "dynamodb:PutItem": _TABLE,
        "dynamodb:UpdateItem": _TABLE,
        "dynamodb:DeleteItem": _TABLE,
        "dynamodb:ConditionCheckItem": _TABLE,
    },
    Role.DOCTOR: {
        "sqs:GetQueueAttributes": _QUEUE,
        "dynamodb:DescribeTable": _TABLE,
        "dynamodb:DescribeTimeToLive": _TABLE,
        "events:DescribeEventBus": _BUS,
        "iam:SimulatePrincipalPolicy": "arn:{partition}:iam::{account}:role/*",
    },
}
"""In the account of the queues and the table, with the worker's own credentials."""

IN_TARGET_ACCOUNTS: Mapping[Role, Permissions] = {
    Role.ORCHESTRATE: {
        "mgn:DescribeSourceServers": _ANY,
        "mgn:DescribeJobs": _ANY,
        "mgn:DescribeJobLogItems": _ANY,
        "mgn:ListSourceServerActions": _SERVER,
        "mgn:GetReplicationConfiguration": _SERVER,
        "mgn:UpdateReplicationConfiguration": _SERVER,
        "mgn:StartReplication": _SERVER,
        "mgn:RetryDataReplication": _SERVER,
        "mgn:TagResource": _SERVER,
        "mgn:ListApplications": _ANY,
        "mgn:CreateApplication": _ANY,
        "mgn:AssociateSourceServers": _MGN_APPLICATION,
        "mgn:DisassociateSourceServers": _MGN_APPLICATION,
        "mgn:ListWaves": _ANY,
        "mgn:CreateWave": _ANY,
        "mgn:AssociateApplications": _WAVE,
        "mgn:DisassociateApplications": _WAVE,
        "mgn:GetLaunchConfiguration": _SERVER,
        "mgn:UpdateLaunchConfiguration": _SERVER,
        "mgn:StartTest": _SERVER,
        "mgn:MarkAsArchived": _SERVER,
        "ec2:DescribeInstances": _ANY,
        "ec2:DescribeInstanceStatus": _ANY,
        "ec2:DescribeInstanceAttribute": _ANY,
        "ec2:DescribeInstanceTypeOfferings": _ANY,
        "ec2:DescribeLaunchTemplateVersions": _ANY,
        "ec2:DescribeSecurityGroups": _ANY,
        "ec2:DescribeSnapshots": _ANY,
        "ec2:DescribeSubnets": _ANY,
        "ec2:CreateLaunchTemplateVersion": _TEMPLATE,
        "ec2:ModifyLaunchTemplate": _TEMPLATE,
        "iam:GetInstanceProfile": "arn:{partition}:iam::{account}:instance-profile/*",
        "kms:DescribeKey": "arn:{partition}:kms:{region}:{account}:key/*",
        "ssm:DescribeInstanceInformation": _ANY,
        "ssm:SendCommand": _MANAGED_INSTANCE,
        "ssm:ListCommands": _ANY,
        "ssm:GetCommandInvocation": _ANY,
        "ssm:CancelCommand": _ANY,
        "route53:GetHostedZone": _ZONE,
        "route53:ListHostedZonesByName": _ANY,
        "route53:ListResourceRecordSets": _ZONE,
    },
    Role.CUTOVER: {
        "mgn:ChangeServerLifeCycleState": _SERVER,
        "mgn:StartCutover": _SERVER,
        "mgn:FinalizeCutover": _SERVER,
        "ec2:ModifyInstanceAttribute": _INSTANCE,
        "route53:ChangeResourceRecordSets": _ZONE,
        "route53:GetChange": "arn:{partition}:route53:::change/*",
    },
    Role.ROLLBACK: {
        "mgn:ChangeServerLifeCycleState": _SERVER,
        "mgn:TerminateTargetInstances": _SERVER,
        "mgn:DisconnectFromService": _SERVER,
        "mgn:MarkAsArchived": _SERVER,
        "ec2:StopInstances": _INSTANCE,
        "ec2:ModifyInstanceAttribute": _INSTANCE,
        "ec2:CreateSnapshots": _INSTANCE,
        "ec2:CreateTags": _INSTANCE,
        "route53:ChangeResourceRecordSets": _ZONE,
        "route53:GetChange": "arn:{partition}:route53:::change/*",
    },
}
"""In each account that migrations go to, with its role where the request names one.

What MGN does with EC2 in its caller's name at every launch is in the managed policy AWSApplicationMigrationEC2Access,
which that role needs besides (MGN user guide, "AWS managed policies").
"""


def wanted(of: Mapping[Role, Permissions], names: Mapping[str, str]) -> dict[str, str]:
    """Every permission of all roles once, on resources with names in place; what names nothing is left out.

    Args:
        of: The permissions of one kind of account.
        names: For the placeholders. A permission whose placeholder is not among them is not needed here.
    """
    found: dict[str, str] = {}
    for permissions in of.values():
        for action, resource in permissions.items():
            try:
                found[action] = resource.format_map(names)
            except KeyError:
                continue
    return found
