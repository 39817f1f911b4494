"""Whether AWS would allow what `adapters.permissions` lists, found out without doing any of it."""

from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from adapters.aws import AwsSessions, aws_call
from adapters.permissions import NARROWED
from migration.models import Model
from migration.ports import Where

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_sts import STSClient

_INSTANCE, _TEMPLATE = "i-00000000000000000", "lt-00000000000000000"
_DRY_RUNS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "ec2:ModifyInstanceAttribute": (
        "modify_instance_attribute",
        {"InstanceId": _INSTANCE, "DisableApiTermination": {"Value": True}},
    ),
    "ec2:CreateTags": ("create_tags", {"Resources": [_INSTANCE], "Tags": [{"Key": "migrator:dry-run", "Value": ""}]}),
    "ec2:CreateSnapshots": ("create_snapshots", {"InstanceSpecification": {"InstanceId": _INSTANCE}}),
    "ec2:CreateLaunchTemplateVersion": (
        "create_launch_template_version",
        {"LaunchTemplateId": _TEMPLATE, "LaunchTemplateData": {"InstanceType": "t3.micro"}},
    ),
    "ec2:ModifyLaunchTemplate": ("modify_launch_template", {"LaunchTemplateId": _TEMPLATE, "DefaultVersion": "1"}),
    "ec2:DescribeInstances": ("describe_instances", {}),
    "ec2:DescribeSubnets": ("describe_subnets", {}),
}
"""EC2's calls that change something, on things that cannot be there, and two that read.

Not StopInstances: a good policy allows it on machines with a mark, which one that is not there has not.
"""

_WOULD, _MAY_NOT = "DryRunOperation", "UnauthorizedOperation"
_AN_EXAMPLE = "example"


class Identity(Model):
    """Who AWS takes us for. `principal`: the ARN whose policies count, None for the root user."""

    arn: str
    account_id: str
    principal: str | None


class Allowed(Model):
    """What was found out. `unknown`: what could not be."""

    denied: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


def identity(sessions: AwsSessions, where: Where | None = None) -> Identity:
    """Ask AWS who we are, in our own account or behind the role of `where`."""
    client: STSClient = sessions.client("sts", where=where)
    with aws_call("GetCallerIdentity"):
        said = client.get_caller_identity()
    principal = where.role_arn if where and where.role_arn else _principal(said["Arn"])
    return Identity(arn=said["Arn"], account_id=said["Account"], principal=principal)


def _principal(arn: str) -> str | None:
    """The user, or the role behind a session, whose name loses its path on the way."""
    start, _, rest = arn.partition(":assumed-role/")
    if rest:
        return f"{start.replace(':sts:', ':iam:')}:role/{rest.partition('/')[0]}"
    return arn if ":iam:" in arn and ":user/" in arn else None


def dry_runs(sessions: AwsSessions, where: Where) -> Allowed:
    """Ask EC2 by its dry runs (EC2 user guide, "DryRun"), in one account and region."""
    client = sessions.client("ec2", where=where, once=True)
    answers = {action: _dry_run(client, method, request) for action, (method, request) in _DRY_RUNS.items()}
    return _sorted(answers)


def _dry_run(client: Any, method: str, request: Mapping[str, Any]) -> bool | None:
    with aws_call(f"the dry run of {method}"):
        try:
            getattr(client, method)(DryRun=True, **request)
        except ClientError as error:
            code = error.response["Error"].get("Code", "")
            if code in (_WOULD, _MAY_NOT):
                return code == _WOULD
            if not code.endswith((".NotFound", ".Malformed")):
                raise
    # EC2 looked for the thing before it looked at our permissions.
    return None


def simulated(sessions: AwsSessions, who: Identity, wanted: Mapping[str, str], where: Where | None = None) -> Allowed:
    """Ask IAM what the policies of our principal allow (iam:SimulatePrincipalPolicy).

    Policies of the organisation are not looked at. What a policy allows on a condition that depends on the call itself,
    or perhaps on resources whose names are not known here, stays unknown.

    Args:
        sessions: Where clients come from.
        who: The principal, which must not be None.
        wanted: Actions, and the resource of each.
        where: None: our own account.

    Raises:
        MigrationExecutionError: We may not ask.
    """
    client: IAMClient = sessions.client("iam", where=where)
    by_resource: dict[str, list[str]] = defaultdict(list)
    for action, resource in wanted.items():
        by_resource[resource].append(action)
    answers: dict[str, bool | None] = {}
    for resource, actions in by_resource.items():
        answers |= _simulated(client, str(who.principal), actions, resource)
    return _sorted(answers)


def _simulated(client: "IAMClient", principal: str, actions: list[str], resource: str) -> dict[str, bool | None]:
    # An ARN of a policy may hold wildcards, that of a call may not.
    on = resource if resource == "*" else resource.replace("*", _AN_EXAMPLE)
    with aws_call("SimulatePrincipalPolicy"):
        pages = client.get_paginator("simulate_principal_policy").paginate(
            PolicySourceArn=principal, ActionNames=actions, ResourceArns=[on]
        )
        results = [result for page in pages for result in page["EvaluationResults"]]
    return {result["EvalActionName"]: _decision(result) for result in results}


def _decision(result: Mapping[str, Any]) -> bool | None:
    if result["EvalDecision"] == "allowed":
        return True
    cannot_tell = result.get("MissingContextValues") or result["EvalActionName"] in NARROWED
    return None if result["EvalDecision"] == "implicitDeny" and cannot_tell else False


def _sorted(answers: Mapping[str, bool | None]) -> Allowed:
    return Allowed(
        allowed=tuple(sorted(action for action, answer in answers.items() if answer)),
        denied=tuple(sorted(action for action, answer in answers.items() if answer is False)),
        unknown=tuple(sorted(action for action, answer in answers.items() if answer is None)),
    )
