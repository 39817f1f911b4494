"""What Terraform makes is what the product needs: table, queues, bus, settings, connection, permissions."""

import ast
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from temporalio.envconfig import ClientConfigProfile

from adapters.dynamodb_table import EXPIRES, TABLE
from adapters.installation import SHORTEST_VISIBILITY
from adapters.permissions import IN_OUR_ACCOUNT, IN_TARGET_ACCOUNTS, PARTS, Part, Role
from migration.marks import MIGRATION_TAG
from migration.messages import MessageType
from migration.settings import Settings
from tools.terraform_files import TERRAFORM, Module, module_in

ADAPTERS = TERRAFORM.parents[1] / "adapters"


def module(name: str) -> Module:
    return module_in(TERRAFORM / "modules" / name)


def bodies(module: Module, type_: str) -> dict[str, Mapping[str, Any]]:
    return {one.name: one.body for one in module.resources if one.type == type_}


def test_the_table_is_the_one_that_the_code_defines() -> None:
    (table,) = bodies(module("dynamodb"), "aws_dynamodb_table").values()
    indexes = [
        {
            "IndexName": index["name"],
            "KeySchema": [
                {"AttributeName": index["hash_key"], "KeyType": "HASH"},
                {"AttributeName": index["range_key"], "KeyType": "RANGE"},
            ],
            "Projection": {
                "ProjectionType": index["projection_type"],
                "NonKeyAttributes": index["non_key_attributes"],
            },
        }
        for index in table["global_secondary_index"]
    ]
    made = {
        "BillingMode": table["billing_mode"],
        "AttributeDefinitions": [
            {"AttributeName": one["name"], "AttributeType": one["type"]} for one in table["attribute"]
        ],
        "KeySchema": [{"AttributeName": table["hash_key"], "KeyType": "HASH"}],
        "GlobalSecondaryIndexes": indexes,
    }
    assert made == TABLE
    assert table["ttl"] == [{"attribute_name": EXPIRES, "enabled": True}]


def test_a_message_is_hidden_long_enough_and_given_up_late() -> None:
    queues, variables = bodies(module("sqs"), "aws_sqs_queue"), module("sqs").variables
    assert queues["requests"]["visibility_timeout_seconds"] >= SHORTEST_VISIBILITY.total_seconds()
    assert variables["max_receive_count"]["default"] >= 10
    assert "var.max_receive_count" in queues["requests"]["redrive_policy"]
    assert "aws_sqs_queue.dead_letters.arn" in queues["requests"]["redrive_policy"]


def test_a_dead_letter_outlives_the_request_that_it_was() -> None:
    queues = bodies(module("sqs"), "aws_sqs_queue")
    requests, dead_letters = (queues[name]["message_retention_seconds"] for name in ("requests", "dead_letters"))
    assert requests < dead_letters == 14 * 24 * 3600


def test_the_containers_get_settings_that_the_product_has() -> None:
    names = set(re.findall(r"\b(MIGRATOR_\w+) = ", module_in(TERRAFORM).locals["settings"]))
    known = {f"MIGRATOR_{name.upper()}" for name in Settings.model_fields}
    assert names <= known
    of_the_installation = {"state_table", "state_region", "request_queue_url", "dead_letter_queue_url", "event_bus"}
    assert {f"MIGRATOR_{name.upper()}" for name in of_the_installation} <= names


def test_the_bus_is_the_one_that_the_containers_are_told_of() -> None:
    root = module_in(TERRAFORM)
    assert "MIGRATOR_EVENT_BUS = module.eventbridge.name" in root.locals["settings"]
    assert root.calls["eventbridge"]["name"] == "${local.names.event_bus}"
    assert module("eventbridge").outputs["name"]["value"] == "${aws_cloudwatch_event_bus.this.name}"


def test_rules_name_events_that_there_are() -> None:
    rules = bodies(module("eventbridge"), "aws_cloudwatch_event_rule")
    patterns = " ".join(one["event_pattern"] for one in rules.values())
    named = set(re.findall(r'"((?:Migration|Approval|Decision)\w+)"', patterns))
    assert named
    assert named <= set(MessageType)


def test_our_own_news_of_a_request_is_not_taken_for_one() -> None:
    pattern = bodies(module("eventbridge"), "aws_cloudwatch_event_rule")["requests"]["event_pattern"]
    assert '"anything-but" = ["migrator"]' in pattern


def test_temporal_is_reached_by_variables_that_its_sdk_reads() -> None:
    temporal = module("temporal")
    names = set(temporal.outputs["environment"]["value"]) | set(re.findall(r"TEMPORAL_\w+", temporal.locals["secrets"]))
    values = {name: "true" if name == "TEMPORAL_TLS" else "example" for name in names}
    profile = ClientConfigProfile.load(disable_file=True, override_env_vars=values)
    tls = profile.tls
    assert tls is not None
    assert all((profile.address, profile.namespace, profile.api_key, tls.client_cert, tls.client_private_key))
    assert tls.server_root_ca_cert == b"example"
    assert len(names) == 7


def test_a_container_is_left_the_time_that_a_worker_takes_to_stop() -> None:
    (task,) = bodies(module("worker"), "aws_ecs_task_definition").values()
    stop_timeout = re.search(r"stopTimeout = (\d+)", task["container_definitions"])
    assert stop_timeout is not None
    assert int(stop_timeout[1]) > Settings().graceful_shutdown_timeout.total_seconds()


def test_containers_have_no_address_in_public_and_write_nothing_into_their_image() -> None:
    (task,) = bodies(module("worker"), "aws_ecs_task_definition").values()
    (service,) = bodies(module("worker"), "aws_ecs_service").values()
    assert "readonlyRootFilesystem = true" in task["container_definitions"]
    assert 'drop = ["ALL"]' in task["container_definitions"]
    assert service["network_configuration"][0]["assign_public_ip"] is False


@pytest.mark.parametrize("part", [Part.WORKER, Part.INGRESS])
def test_a_part_of_the_installation_has_the_policies_of_the_roles_that_it_plays(part: Part) -> None:
    policies = str(module_in(TERRAFORM).calls["iam"]["policies"][part])
    given = re.findall(r'documents\["(\w+)"\]', policies)
    assert sorted(given) == sorted(role.replace(" ", "_") for role in PARTS[part])


def test_a_target_role_has_the_policies_of_every_role_that_is_played_there() -> None:
    (parts,) = bodies(module("target-account"), "aws_iam_policy").values()
    assert parts["for_each"] == "${module.policies.documents}"


def test_what_is_looked_at_besides_is_of_calls_that_the_product_makes() -> None:
    policies = module("policies").locals
    calls = {action for actions in (*IN_OUR_ACCOUNT.values(), *IN_TARGET_ACCOUNTS.values()) for action in actions}
    assert set(policies["further"]) <= calls
    assert set(policies["conditions"]) <= calls


def test_what_stops_and_terminates_is_allowed_to_the_migration_whose_mark_the_machine_carries() -> None:
    policies = module("policies").locals
    assert {"ec2:StopInstances", "mgn:TerminateTargetInstances"} <= set(policies["conditions"])
    session = f"$${{aws:PrincipalTag/{MIGRATION_TAG}}}"
    assert policies["its_own"] == {"StringEquals": {f"aws:ResourceTag/{MIGRATION_TAG}": session}}


@pytest.mark.parametrize(
    ("role", "file"),
    [
        (Role.INGRESS, "sqs.py"),
        (Role.INGRESS, "eventbridge.py"),
        (Role.ORCHESTRATE, "eventbridge.py"),
        (Role.ORCHESTRATE, "secrets.py"),
        (Role.READ_MODEL, "dynamodb_rows.py"),
    ],
)
def test_a_role_is_allowed_what_the_adapter_that_it_runs_calls(role: Role, file: str) -> None:
    of_its_items = {"TransactWriteItems"}
    called = called_in(ADAPTERS / file) - of_its_items
    assert called
    assert called <= {action.partition(":")[2] for action in IN_OUR_ACCOUNT[role]}


def called_in(path: Path) -> set[str]:
    """The operations that an adapter names where it translates their errors."""
    return {
        node.args[0].value
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", getattr(node.func, "attr", "")) in {"aws_call", "_call"}
        and node.args
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, str)
    }
