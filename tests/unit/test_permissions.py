"""The list of permissions is what the adapters call, no more and no less."""

import ast
from collections.abc import Iterator
from pathlib import Path

import botocore.session
import pytest
from botocore import xform_name

from adapters.permissions import IN_OUR_ACCOUNT, IN_TARGET_ACCOUNTS, PARTS, Part, Role, wanted

ADAPTERS = Path(__file__).resolve().parents[2] / "adapters"
SERVICES = ("dynamodb", "ec2", "events", "iam", "kms", "mgn", "route53", "secretsmanager", "sqs", "ssm", "sts")

NEEDS_NO_PERMISSION = {"sts:GetCallerIdentity"}
WITH_TAGS = {"sts:AssumeRole": "sts:TagSession"}
ITEMS_OF_TRANSACTIONS = {"dynamodb:TransactWriteItems": "dynamodb:ConditionCheckItem"}
OF_WHO_INSTALLS = {"dynamodb:CreateTable", "dynamodb:UpdateTimeToLive"}


def _operations() -> dict[str, set[str]]:
    """Permissions by the names that the methods of clients have."""
    session, found = botocore.session.get_session(), dict[str, set[str]]()
    for service in SERVICES:
        for operation in session.get_service_model(service).operation_names:
            found.setdefault(xform_name(operation), set()).add(f"{service}:{operation}")
    return found


def _services_of(tree: ast.Module) -> set[str]:
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and node.value in SERVICES}


def _named(tree: ast.Module) -> Iterator[str]:
    """What may be a method of a client: attributes that are called, and texts, which paginators take."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield node.func.attr
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _calls() -> list[set[str]]:
    """For each call, the permission that it needs; two, where a name is one of two services' of a file."""
    operations, found = _operations(), list[set[str]]()
    for path in ADAPTERS.rglob("*.py"):
        tree = ast.parse(path.read_text())
        services = _services_of(tree) | {one for one in SERVICES if path.stem.startswith(one)}
        services = services or ({"mgn", "ec2"} if path.parent.name == "mgn" else set())
        for name in _named(tree):
            found.append({needed(one) for one in operations.get(name, ()) if one.partition(":")[0] in services})
    return [candidates for candidates in found if candidates]


def needed(call: str) -> str:
    """A batch of SQS needs what its single call does."""
    return ITEMS_OF_TRANSACTIONS.get(call, call.removesuffix("Batch") if call.startswith("sqs:") else call)


def _listed() -> set[str]:
    kinds = (IN_OUR_ACCOUNT, IN_TARGET_ACCOUNTS)
    return {action for kind in kinds for permissions in kind.values() for action in permissions}


def test_every_call_of_the_adapters_is_in_the_list() -> None:
    known = _listed() | NEEDS_NO_PERMISSION | OF_WHO_INSTALLS
    assert [sorted(candidates) for candidates in _calls() if not candidates & known] == []


def test_nothing_is_in_the_list_that_no_adapter_calls() -> None:
    called = {permission for candidates in _calls() for permission in candidates}
    assert _listed() - called - {WITH_TAGS[permission] for permission in called & WITH_TAGS.keys()} == set()


@pytest.mark.parametrize("role", [Role.INGRESS, Role.READ_MODEL, Role.DOCTOR])
def test_parts_that_stay_at_home_have_no_permission_elsewhere(role: Role) -> None:
    assert role not in IN_TARGET_ACCOUNTS


def test_the_doctor_may_only_look() -> None:
    looks = ("Describe", "Get", "List", "Simulate")
    assert [one for one in IN_OUR_ACCOUNT[Role.DOCTOR] if not one.partition(":")[2].startswith(looks)] == []


def test_the_parts_of_an_installation_play_every_role_that_our_account_has() -> None:
    assert PARTS[Part.WORKER] | PARTS[Part.INGRESS] == set(IN_OUR_ACCOUNT)
    assert PARTS[Part.ALL] >= set(IN_OUR_ACCOUNT)


def test_a_permission_on_something_that_the_settings_do_not_name_is_not_wanted() -> None:
    names = {"partition": "aws", "account": "123456789012", "region": "eu-central-1", "state_table": "migrator-state"}
    found = wanted(IN_OUR_ACCOUNT, names)
    assert found["dynamodb:PutItem"] == "arn:aws:dynamodb:eu-central-1:123456789012:table/migrator-state"
    assert not [action for action in found if action.startswith(("sqs:", "events:"))]
