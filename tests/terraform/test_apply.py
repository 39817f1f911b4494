"""Terraform applies the whole of `deploy/terraform` with stand-ins for AWS's resources; what it made is looked at."""

import json
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from temporalio.envconfig import ClientConfigProfile

from adapters.permissions import IN_OUR_ACCOUNT, IN_TARGET_ACCOUNTS, PARTS, Part
from migration.settings import Settings, environment_names
from tests.deploy.collector import CONFIGURATION, INSTALLATION, configuration, declared
from tools.terraform import environment, find_terraform
from tools.terraform_stand_in import standing, write

IMAGE = f"migrator@sha256:{'0' * 64}"
TARGET = ("role_name=migrator-dev-target", "worker_role_arn=arn", "external_id=an-id-of-this-installation")
KEY_USE = {"kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey"}

Applied = dict[str, dict[str, Any]]
"""Values by the address of a resource."""


@pytest.fixture(scope="module")
def apply(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Applied]:
    """Applies a folder with variables, once for all that look at it."""
    done: dict[tuple[str, ...], Applied] = {}

    def applied(folder: str, *arguments: str) -> Applied:
        if (folder, *arguments) not in done:
            path = tmp_path_factory.mktemp("terraform")
            write(path)
            done[folder, *arguments] = _applied(path / folder, arguments)
        return done[folder, *arguments]

    return applied


def _applied(folder: Path, arguments: tuple[str, ...]) -> Applied:
    terraform = find_terraform()

    def run(*words: str) -> str:
        command = [str(terraform), f"-chdir={folder}", *words]
        ran = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    run("init", "-input=false")
    run("apply", "-input=false", "-auto-approve", *arguments)
    state = json.loads(run("show", "-json"))
    return dict(standing(state["values"]["root_module"]))


@pytest.fixture(scope="module", params=["dev", "prod"])
def installation(apply: Callable[..., Applied], request: pytest.FixtureRequest) -> Applied:
    return apply(".", f"-var-file={request.param}.tfvars", f"-var=image={IMAGE}", "-var=api_enabled=true")


@pytest.fixture(scope="module")
def target(apply: Callable[..., Applied]) -> Applied:
    variables = [f"-var={one}" for one in TARGET]
    zones = '-var=hosted_zone_ids=["Z0123456789EXAMPLE"]'
    return apply("modules/target-account", *variables, '-var=regions=["eu-central-1"]', zones)


def containers(installation: Applied, part: str) -> list[dict[str, Any]]:
    task = installation[f"module.{part}.terraform_data.aws_ecs_task_definition__this"]
    described: list[dict[str, Any]] = json.loads(task["container_definitions"])
    return described


def container(installation: Applied, part: str) -> Mapping[str, Any]:
    (one,) = containers(installation, part)
    return one


def configuration_of(collector: Mapping[str, Any]) -> dict[str, Any]:
    given = {one["name"]: one["value"] for one in collector["environment"]}
    configuration: dict[str, Any] = yaml.safe_load(given["AOT_CONFIG_CONTENT"])
    return configuration


def allowed(documents: list[str]) -> set[str]:
    statements = [one for document in documents for one in json.loads(document)["Statement"]]
    return {action for one in statements for action in one["Action"] if one["Effect"] == "Allow"}


@pytest.mark.parametrize("part", ["worker", "ingress"])
def test_the_product_takes_its_settings_from_what_a_container_gets(
    installation: Applied, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {one["name"]: one["value"] for one in container(installation, part)["environment"]}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert set(environment_names()) <= set(Settings.model_fields)
    assert settings.event_bus == given["MIGRATOR_EVENT_BUS"]
    assert settings.request_queue_url == "url of aws_sqs_queue/requests"
    assert settings.dead_letter_queue_url == "url of aws_sqs_queue/dead_letters"


@pytest.mark.parametrize("part", ["worker", "ingress"])
def test_temporals_sdk_finds_its_server_and_its_secrets(installation: Applied, part: str) -> None:
    one = container(installation, part)
    given = {each["name"]: each["value"] for each in one["environment"]}
    secret = {each["name"]: "example" for each in one["secrets"]}
    profile = ClientConfigProfile.load(disable_file=True, override_env_vars=given | secret)
    assert profile.address == "namespace.account.tmprl.cloud:7233"
    assert profile.tls is not None
    assert profile.api_key or (profile.tls.client_cert and profile.tls.client_private_key)


@pytest.mark.parametrize("part", [Part.WORKER, Part.INGRESS])
def test_a_role_may_do_what_its_part_of_the_product_calls_and_nothing_else(installation: Applied, part: Part) -> None:
    prefix = f'module.iam.terraform_data.aws_iam_role_policy__this["{part}/'
    documents = [values["policy"] for address, values in installation.items() if address.startswith(prefix)]
    assert allowed(documents) - KEY_USE == {action for role in PARTS[part] for action in IN_OUR_ACCOUNT[role]}


@pytest.mark.parametrize("part", ["worker", "ingress"])
def test_a_part_that_traces_has_a_collector_that_listens_where_it_sends_and_may_send_on(
    apply: Callable[..., Applied], part: str
) -> None:
    made = apply(".", "-var-file=dev.tfvars", f"-var=image={IMAGE}", "-var=tracing=true")
    product, collector = containers(made, part)
    given = {one["name"]: one["value"] for one in product["environment"]}
    configuration = configuration_of(collector)
    assert given["OTEL_SERVICE_NAME"] == f"migrator-dev-{part}"
    listens = configuration["receivers"]["otlp"]["protocols"]["http"]["endpoint"]
    assert given["OTEL_EXPORTER_OTLP_ENDPOINT"] == f"http://{listens}"
    (pipeline,) = configuration["service"]["pipelines"].values()
    assert pipeline["exporters"] == ["awsxray"]
    assert not collector["essential"]
    policy = made[f'module.iam.terraform_data.aws_iam_role_policy__this["{part}/traces"]']["policy"]
    assert allowed([policy]) == {"xray:PutTelemetryRecords", "xray:PutTraceSegments"}


def test_a_target_role_may_do_what_the_product_calls_there_and_nothing_else(target: Applied) -> None:
    documents = [values["policy"] for address, values in target.items() if "aws_iam_policy__parts" in address]
    assert allowed(documents) == {action for actions in IN_TARGET_ACCOUNTS.values() for action in actions}


def test_a_target_role_is_assumed_by_the_worker_with_the_external_id_alone(target: Applied) -> None:
    trust = json.loads(target["terraform_data.aws_iam_role__this"]["assume_role_policy"])
    (statement,) = trust["Statement"]
    assert statement["Principal"] == {"AWS": "arn"}
    assert statement["Condition"] == {"StringEquals": {"sts:ExternalId": "an-id-of-this-installation"}}


def test_the_worker_may_assume_target_roles_alone(installation: Applied) -> None:
    policy = installation['module.iam.terraform_data.aws_iam_role_policy__this["worker/orchestrate"]']["policy"]
    (resources,) = [one["Resource"] for one in json.loads(policy)["Statement"] if "sts:AssumeRole" in one["Action"]]
    assert all(one.endswith("-target") for one in resources)


def test_every_alarm_tells_the_topic(installation: Applied) -> None:
    alarms = [values for address, values in installation.items() if "aws_cloudwatch_metric_alarm" in address]
    assert len(alarms) == 8
    assert {tuple(one["alarm_actions"]) for one in alarms} == {("arn of aws_sns_topic/this",)}


# --- the product's own metrics -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def measured(apply: Callable[..., Applied]) -> Applied:
    return apply(".", "-var-file=dev.tfvars", f"-var=image={IMAGE}", "-var=metrics=true")


@pytest.mark.parametrize("part", ["worker", "ingress"])
def test_a_collector_beside_each_task_scrapes_where_it_serves_metrics(measured: Applied, part: str) -> None:
    product, collector = containers(measured, part)
    whole = configuration()
    alone = {"service": {"pipelines": {"metrics": whole["service"]["pipelines"]["metrics"]}}}
    assert configuration_of(collector) == whole | alone
    assert not collector["essential"]
    (scrape,) = configuration()["receivers"]["prometheus"]["config"]["scrape_configs"]
    address = {one["name"]: one["value"] for one in product["environment"]}["MIGRATOR_METRICS_ADDRESS"]
    assert scrape["static_configs"][0]["targets"] == [address]


def test_what_the_collector_refers_to_is_there(measured: Applied) -> None:
    _, collector = containers(measured, "worker")
    named = set(re.findall(r"\$\{env:(\w+)\}", CONFIGURATION.read_text(encoding="utf-8")))
    assert named - {"AWS_REGION"} == {one["name"] for one in collector["environment"]} - {"AOT_CONFIG_CONTENT"}
    group = measured["module.observability.terraform_data.aws_cloudwatch_log_group__metrics[0]"]["name"]
    policy = measured['module.iam.terraform_data.aws_iam_role_policy__this["worker/metrics"]']["policy"]
    assert f":log-group:{group}:log-stream:*" in policy


def test_alarms_and_widgets_speak_of_metrics_that_the_collector_brings(measured: Applied) -> None:
    there = {(one.metric, one.labels | {INSTALLATION}) for one in declared()}
    alarms = [values for address, values in measured.items() if "aws_cloudwatch_metric_alarm" in address]
    named = {(one["metric_name"], frozenset(one["dimensions"])) for one in alarms if one["namespace"] == "migrator"}
    board = measured["module.observability.terraform_data.aws_cloudwatch_dashboard__this"]["dashboard_body"]
    metrics = [metric for widget in json.loads(board)["widgets"] for metric in widget["properties"]["metrics"]]
    drawn = {(one[1], frozenset(one[2:-1:2])) for one in metrics if one[0] == "migrator"}
    assert named
    assert drawn
    assert named | drawn <= there
    assert {name for name, _ in there} - {name for name, _ in named | drawn} == {
        "migrator_callback_deliveries_total",
        "migrator_decisions_waiting",
        "migrator_replication_stalled_servers",
        "migrator_undo_failures_total",
    }


def test_without_a_collector_nothing_is_measured(installation: Applied) -> None:
    assert "MIGRATOR_METRICS_ADDRESS" not in {one["name"] for one in container(installation, "worker")["environment"]}
    assert not [address for address in installation if "metrics" in address]
