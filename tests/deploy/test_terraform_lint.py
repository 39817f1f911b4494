"""The lint of `deploy/terraform` finds nothing, and finds what is planted."""

import shutil
from pathlib import Path

import pytest

from tools import terraform_files, terraform_lint
from tools.terraform_files import TERRAFORM


def test_nothing_is_found() -> None:
    assert terraform_lint.findings() == []


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Terraform's files at another place, which the lint looks at."""
    shutil.copytree(TERRAFORM, tmp_path / "terraform", ignore=shutil.ignore_patterns(".terraform"))
    for looking in (terraform_files, terraform_lint):
        monkeypatch.setattr(looking, "TERRAFORM", tmp_path / "terraform")
    return tmp_path / "terraform"


SQS, DYNAMODB, WORKER = (f"modules/{name}/main.tf" for name in ("sqs", "dynamodb", "worker"))
PERMISSIONS = "modules/policies/permissions.json"
ON_SERVERS = "arn:{partition}:mgn:{region}:{account}:source-server/*"


@pytest.mark.parametrize(
    ("file", "before", "after", "finding"),
    [
        ("variables.tf", 'variable "image"', 'variable "more" {}\nvariable "image"', "the variable more is not used"),
        (SQS, "var.dead_letter_queue", "var.other", "there is no variable other"),
        ("main.tf", 'module "kms"', 'module "key"', "there is no module kms"),
        ("main.tf", "key_arn             =", "key =", "module dynamodb is not given key_arn"),
        ("main.tf", "module.sqs.request_queue_url", "module.sqs.url", "module sqs puts out no url"),
        (SQS, "receive_wait_time_seconds", "receive_wait", "aws_sqs_queue.requests takes no receive_wait"),
        (SQS, "requests.url", "requests.uri", "aws_sqs_queue.requests has no uri that could be read"),
        (DYNAMODB, "attribute_name", "called", "aws_dynamodb_table.state.ttl takes no called"),
        (DYNAMODB, "kms_key_arn", "# kms_key_arn", "aws_dynamodb_table.state does not say server_side_encryption"),
        (WORKER, "family ", "# family ", "aws_ecs_task_definition.this needs family"),
        (WORKER, "kms_key_id ", "# kms_key_id ", "aws_cloudwatch_log_group.this does not say kms_key_id"),
        ("modules/api-gateway/main.tf", '"sqs:SendMessage"', '"sqs:*"', "'sqs:*' stands 1 times where 0 have a reason"),
        (PERMISSIONS, '"sqs:DeleteMessage"', '"sqs:*"', "sqs:* is a wildcard"),
        (PERMISSIONS, f'StartTest": "{ON_SERVERS}"', 'StartTest": "*"', "mgn:StartTest is allowed on everything"),
        ("env/dev.tfvars", "external_id ", "external ", "it does not say external_id"),
    ],
)
def test_what_is_planted_is_found(copy: Path, file: str, before: str, after: str, finding: str) -> None:
    text = copy.joinpath(file).read_text()
    assert before in text
    copy.joinpath(file).write_text(text.replace(before, after, 1))
    assert [line for line in terraform_lint.findings() if f": {finding}" in line]


def test_a_module_that_nobody_calls_is_found(copy: Path) -> None:
    shutil.copytree(copy / "modules" / "kms", copy / "modules" / "forgotten")
    assert "modules/forgotten: no module calls it" in terraform_lint.findings()


def test_a_resource_in_a_module_without_provider_is_found(copy: Path) -> None:
    with copy.joinpath("modules", "naming", "main.tf").open("a") as file:
        file.write('resource "aws_kms_key" "this" {\n  enable_key_rotation = true\n}\n')
    assert "modules/naming: aws_kms_key.this needs a provider" in terraform_lint.findings()
