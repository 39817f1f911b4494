"""What the product called of AWS while all stories were told, against the policies that an installation gives it."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.permissions import PARTS, Part
from localcloud.aws.seed import TARGET_ROLE
from migration.marks import MIGRATION_TAG
from tests.e2e.local_cloud import ROOT, LocalCloud
from tests.unit.test_permissions import NEEDS_NO_PERMISSION, WITH_TAGS, needed

PERMISSIONS = json.loads(
    Path(ROOT, "deploy", "terraform", "modules", "policies", "permissions.json").read_text(encoding="utf-8")
)
"""What Terraform makes policies of: by kind of account, then by role."""

TRANSACTION = "dynamodb:TransactWriteItems"
WRITTEN_IN_IT = {"dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"}
"""What a transaction may hold besides conditions: AWS asks for the permissions of its items."""

NOT_IN_THE_STORIES = {
    "dynamodb:Query": "migrator list, where it runs with the worker's role",
    "dynamodb:Scan": "migrator reconcile, likewise",
    "sqs:ChangeMessageVisibility": "a message that takes long, or meets trouble: test_ingress_consumers",
    "ec2:CreateSnapshots": "a rollback after the switch, which keeps the target: test_aws_ec2, the sweep",
    "ec2:CreateTags": "the same",
    "ec2:DescribeSnapshots": "the same",
    "iam:GetInstanceProfile": "a request with an instance profile: test_aws_ec2",
    "kms:DescribeKey": "a request with a key of its own: test_aws_ec2",
    "mgn:DisassociateApplications": "an application that has changed its wave: test_aws_mgn",
    "mgn:DisassociateSourceServers": "a server that was another application's: test_aws_mgn",
    "mgn:ListSourceServerActions": "a request with post-launch actions: test_aws_mgn_jobs",
    "mgn:RetryDataReplication": "a replication that stalls: test_aws_mgn, tests/e2e_mgn",
    "mgn:StartReplication": "a server that was disconnected: test_aws_mgn",
    "route53:ListHostedZonesByName": "a record without the id of its zone: test_dns_route53",
    "ssm:CancelCommand": "a hook that is cancelled: test_aws_ssm",
}
"""Why no story here calls for these; tests elsewhere call the adapters that do."""


def of_part(part: Part) -> set[str]:
    """What the policies of a part allow, but for what `migrator doctor` alone asks, which is run by hand."""
    roles = {role.replace(" ", "_") for role in PARTS[part]} - {"doctor"}
    return {action for role in roles for action in PERMISSIONS["our_account"][role]}


def of_targets() -> set[str]:
    return {action for actions in PERMISSIONS["target_accounts"].values() for action in actions}


def called(cloud: LocalCloud, caller: str) -> set[str]:
    """The permissions that a caller's calls take."""
    calls = set(httpx.get(cloud.local["calls"], trust_env=False).json()[caller]) - NEEDS_NO_PERMISSION
    calls |= WRITTEN_IN_IT if TRANSACTION in calls else set()
    calls |= {WITH_TAGS[call] for call in calls & WITH_TAGS.keys()}
    return {needed(call) for call in calls}


@pytest.mark.parametrize(
    ("caller", "allowed"),
    [("worker", of_part(Part.WORKER)), ("ingress", of_part(Part.INGRESS)), (TARGET_ROLE, of_targets())],
)
async def test_a_role_is_allowed_what_was_called_with_it_and_nothing_more(
    quiet_cloud: LocalCloud, caller: str, allowed: set[str]
) -> None:
    used = called(quiet_cloud, caller)
    missing, unused = used - allowed, allowed - used - NOT_IN_THE_STORIES.keys()
    assert not missing, f"called and not allowed: {sorted(missing)}"
    assert not unused, f"allowed and not called: {sorted(unused)}"


async def test_every_call_about_a_migration_in_its_account_is_made_in_a_session_of_its_own(
    quiet_cloud: LocalCloud,
) -> None:
    of_mgn = await quiet_cloud.ledger("mgn")
    said = [(entry, tags[MIGRATION_TAG]) for entry in of_mgn if MIGRATION_TAG in (tags := _tags(entry))]
    assert {entry["operation"] for entry, _ in said} >= {"StartTest", "StartCutover", "TerminateTargetInstances"}
    assert [entry for entry, migration_id in said if entry["caller"] != f"{TARGET_ROLE}/{migration_id}"] == []


def _tags(entry: dict[str, Any]) -> dict[str, str]:
    tags = entry["detail"].get("tags")
    return tags if isinstance(tags, dict) else {}
