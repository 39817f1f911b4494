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

PERMISSIONS = json.loads(
    Path(ROOT, "deploy", "terraform", "modules", "policies", "permissions.json").read_text(encoding="utf-8")
)
"""What Terraform makes policies of: by kind of account, then by role."""

NO_PERMISSION = {"sts:GetCallerIdentity"}
NEEDED_WITH = {"sts:AssumeRole": {"sts:AssumeRole", "sts:TagSession"}}
"""A migration's session of a role is tagged."""

IN_TRANSACTIONS = {"dynamodb:ConditionCheckItem", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"}
"""What TransactWriteItems stands for: AWS asks for the permissions of its items."""

NOT_IN_THE_STORIES = {
    "mgn:RetryDataReplication": "a replication has to stall: tests/e2e_mgn",
    "mgn:StartReplication": "a server has to be disconnected: tests/e2e_mgn",
}
"""Why no story here calls for these; a test elsewhere does."""


def of_part(part: Part) -> set[str]:
    """What the policies of a part allow, but for what `migrator doctor` alone asks, which is run by hand."""
    roles = {role.replace(" ", "_") for role in PARTS[part]} - {"doctor"}
    return {action for role in roles for action in PERMISSIONS["our_account"][role]}


def of_targets() -> set[str]:
    return {action for actions in PERMISSIONS["target_accounts"].values() for action in actions}


def called(cloud: LocalCloud, caller: str) -> set[str]:
    """The permissions that a caller's calls take."""
    calls = set(httpx.get(cloud.local["calls"], trust_env=False).json()[caller]) - NO_PERMISSION
    if "dynamodb:TransactWriteItems" in calls:
        calls = calls - {"dynamodb:TransactWriteItems"} | IN_TRANSACTIONS
    calls |= {needed for call in calls for needed in NEEDED_WITH.get(call, ())}
    return {call.removesuffix("Batch") if call.startswith("sqs:") else call for call in calls}


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
