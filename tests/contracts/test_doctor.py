"""`migrator doctor` against the local stand-ins, with each thing wrong in turn."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from temporalio import activity, workflow
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, RemoveSearchAttributesRequest
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker
from typer.testing import CliRunner

from adapters.aws import AwsSessions
from adapters.dynamodb_table import KEY, TABLE
from adapters.permissions import IN_OUR_ACCOUNT, IN_TARGET_ACCOUNTS, Part, Role
from adapters.signing_keys import new_private_key, public_pem, read_private_key
from localcloud.aws.cognito import make_user_pool
from localcloud.cmf import CloudMigrationFactory
from localcloud.dns import Answer, DnsServer
from localcloud.faults import FaultPlan
from localcloud.ledger import Ledger
from localcloud.servicenow import ServiceNow
from localcloud.vcenter import PASSWORD, USERNAME, VCenterSimulator
from localcloud.world import build_world
from migration.errors import PrerequisiteError
from migration.ports import Where
from migration.settings import SETTINGS_FILE, Settings
from migration.signatures import Algorithm
from starter.cli import app
from starter.doctor import doctor, healthy
from starter.doctor.checks import Check, Line, State, Verdict, examine
from starter.doctor.plan import planned
from starter.doctor.settings import read_settings
from starter.doctor.systems import Account
from starter.namespace import _TYPES, SEARCH_ATTRIBUTES
from tests.contracts.aws_cloud import ACCOUNT, REGION, Cloud, local_aws
from tests.workflows.stage import temporal_server

SECRET = "planted-password-1"
_SHORT = timedelta(seconds=0.2)


@dataclass
class Site:
    """Everything that an installation has, and settings that lead to it."""

    cloud: Cloud
    place: Where
    settings: Mapping[str, Any] = field(default_factory=dict)

    def look(self, what: str, *, places: tuple[Where, ...] = (), **changes: Any) -> Verdict:
        """Make the one check of that name, with some settings changed."""
        settings = Settings(**{**self.settings, **changes})
        (check,) = [one for one in planned(settings, places) if one.what == what]
        (line,) = asyncio.run(examine([check]))
        return line.verdict

    def aws(self, service: str) -> Any:
        return self.cloud.sessions.client(service)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    world = build_world(250, applications=1)
    machines = world.machines
    vcenter = VCenterSimulator(machines, Ledger(), FaultPlan(), on_change=lambda *_: None)
    servicenow = ServiceNow(Ledger(), FaultPlan(), username="migrator", password=SECRET)
    dns = DnsServer(_no_zone)
    with local_aws() as cloud, _running(vcenter, servicenow, dns), ExitStack() as stack:
        seeded, pool = cloud.aws.seeded, make_user_pool(cloud.aws.url, REGION)
        cmf = CloudMigrationFactory(Ledger(), FaultPlan(), pool)
        cmf.seed(world.applications, account_id=ACCOUNT, region=REGION)
        stack.enter_context(_running(cmf))
        place = Where(account_id=ACCOUNT, region=REGION, role_arn=seeded.role_arn)
        settings = {
            "state_region": REGION,
            "request_queue_url": seeded.request_queue_url,
            "dead_letter_queue_url": seeded.dead_letter_queue_url,
            "event_bus": "default",
            "callback_secret": f"secretsmanager:{seeded.callback_secret_name}",
            "vcenters": {"vcenter-1": {"url": vcenter.url, "username": USERNAME, "password": PASSWORD}},
            "servicenows": {"servicenow-1": {"url": servicenow.url, "username": "migrator", "password": SECRET}},
            "factories": {"cmf-1": {"user_api": cmf.url, "login_api": cmf.url, "user_pool_id": pool.pool_id}},
            "dns_servers": [dns.address],
            "approval_keys": {"approver-1@example.com": [_public_key()]},
        }
        yield Site(cloud, place, settings)


def _no_zone(name: str, kind: str) -> Answer | None:
    return None


def _public_key() -> str:
    return public_pem(read_private_key(new_private_key(Algorithm.EDDSA)))


@contextmanager
def _running(*servers: Any) -> Iterator[None]:
    for server in servers:
        server.start()
    yield
    for server in servers:
        server.stop()


# --- each thing wrong in turn ------------------------------------------------------------------------------------


def nobody_listens(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: {**one, "url": "http://127.0.0.1:9/sdk"} for name, one in settings.items()}


def another_password(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: {**one, "password": "planted-password-2"} for name, one in settings.items()}


WRONG: Mapping[str, tuple[str, Callable[[Mapping[str, Any]], Mapping[str, Any]], str, str]] = {
    "a missing table": (
        "state table",
        lambda _: {"state_table": "nowhere"},
        "there is no table nowhere",
        "state_table",
    ),
    "a queue that is not there": (
        "request queue",
        lambda own: {"request_queue_url": f"{own['request_queue_url']}-x"},
        "there is no queue",
        "request_queue_url",
    ),
    "dead letters that go elsewhere": (
        "request queue",
        lambda own: {"dead_letter_queue_url": own["request_queue_url"]},
        "not the dead-letter queue of the settings",
        "attributes",
    ),
    "no dead-letter queue": (
        "dead-letter queue",
        lambda own: {"dead_letter_queue_url": f"{own['dead_letter_queue_url']}-x"},
        "there is no queue",
        "dead_letter_queue_url",
    ),
    "an unknown bus": ("event bus", lambda _: {"event_bus": "nowhere"}, "there is no event bus nowhere", "event_bus"),
    "a secret that is not there": (
        "callback secret",
        lambda _: {"callback_secret": "secretsmanager:nowhere"},
        "GetSecretValue",
        "",
    ),
    "a reference to no secret": (
        "callback secret",
        lambda _: {"callback_secret": "env:MIGRATOR_TEST_NOWHERE"},
        "the environment has no MIGRATOR_TEST_NOWHERE",
        "Set MIGRATOR_TEST_NOWHERE",
    ),
    "a vCenter's wrong password": (
        "vCenter vcenter-1",
        lambda own: {"vcenters": another_password(own["vcenters"])},
        "refused the login",
        "password",
    ),
    "no vCenter": (
        "vCenter vcenter-1",
        lambda own: {"vcenters": nobody_listens(own["vcenters"])},
        "vCenter did not answer",
        "",
    ),
    "a ServiceNow's wrong password": (
        "ServiceNow servicenow-1",
        lambda own: {"servicenows": another_password(own["servicenows"])},
        "401",
        "account of this connection",
    ),
    "no ServiceNow": (
        "ServiceNow servicenow-1",
        lambda own: {"servicenows": nobody_listens(own["servicenows"])},
        "connection refused",
        "",
    ),
    "a CMF without such an account": (
        "CMF cmf-1",
        lambda own: {"factories": {"cmf-1": {**own["factories"]["cmf-1"], "credential": "secretsmanager:nowhere"}}},
        "GetSecretValue",
        "",
    ),
    "no CMF": (
        "CMF cmf-1",
        lambda own: {"factories": {"cmf-1": {**own["factories"]["cmf-1"], "login_api": "http://127.0.0.1:9"}}},
        "connection refused",
        "",
    ),
    "no DNS server": ("DNS server 127.0.0.1:9", lambda _: {"dns_servers": ["127.0.0.1:9"]}, "does not answer", ""),
    "an unreadable key": (
        "approval keys",
        lambda _: {"approval_keys": {"approver-1@example.com": ["nowhere.pem"]}},
        "nowhere.pem cannot be read",
        "",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said_with_what_to_do(site: Site, case: str) -> None:
    what, change, words, action = WRONG[case]
    verdict = site.look(what, **change(site.settings))
    assert verdict.state is State.WRONG
    assert words in verdict.words
    assert action in verdict.action
    assert "planted" not in verdict.words


@pytest.mark.parametrize(
    ("what", "setting"),
    [
        ("request queue", "request_queue_url"),
        ("dead-letter queue", "dead_letter_queue_url"),
        ("event bus", "event_bus"),
        ("callback secret", "callback_secret"),
        ("approval keys", "approval_keys"),
        ("vCenter", "vcenters"),
        ("ServiceNow", "servicenows"),
        ("DNS servers", "dns_servers"),
    ],
)
def test_what_the_settings_leave_out_is_not_configured(what: str, setting: str) -> None:
    (check,) = [one for one in planned(Settings(), ()) if one.what == what]
    (line,) = asyncio.run(examine([check]))
    assert (line.verdict.state, line.verdict.words) == (State.NOT_CONFIGURED, f"the settings have no {setting}")
    assert healthy([line])


# --- the table and the queue -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "broken", "words"),
    [
        ("no-index", {"GlobalSecondaryIndexes": TABLE["GlobalSecondaryIndexes"][1:]}, "the index by-wave is missing"),
        (
            "other-index",
            {
                "GlobalSecondaryIndexes": [
                    TABLE["GlobalSecondaryIndexes"][0] | {"KeySchema": TABLE["GlobalSecondaryIndexes"][1]["KeySchema"]},
                    *TABLE["GlobalSecondaryIndexes"][1:],
                ]
            },
            "the index by-wave has another key",
        ),
        ("no-ttl", {}, "rows never expire: time to live is off"),
    ],
)
def test_a_table_that_differs_is_described(site: Site, name: str, broken: dict[str, Any], words: str) -> None:
    made = TABLE | broken
    keys = [key["AttributeName"] for index in made["GlobalSecondaryIndexes"] for key in index["KeySchema"]]
    attributes = [one for one in TABLE["AttributeDefinitions"] if one["AttributeName"] in {KEY, *keys}]
    site.aws("dynamodb").create_table(TableName=name, **(made | {"AttributeDefinitions": attributes}))
    verdict = site.look("state table", state_table=name)
    assert verdict.state is State.WRONG
    assert words in verdict.words


def test_a_table_whose_rows_expire_by_another_attribute_is_wrong(site: Site) -> None:
    site.aws("dynamodb").create_table(TableName="other-ttl", **TABLE)
    site.aws("dynamodb").update_time_to_live(
        TableName="other-ttl", TimeToLiveSpecification={"Enabled": True, "AttributeName": "gone"}
    )
    assert site.look("state table", state_table="other-ttl").words == "rows expire by another attribute than expiresAt"


def test_a_queue_that_shows_messages_again_too_soon_and_for_ever_is_wrong(site: Site) -> None:
    url = site.aws("sqs").create_queue(QueueName="hasty", Attributes={"VisibilityTimeout": "5"})["QueueUrl"]
    verdict = site.look("request queue", request_queue_url=url)
    assert verdict.state is State.WRONG
    assert "its visibility timeout is 5 s, less than 30 s" in verdict.words
    assert "no redrive policy" in verdict.words


# --- AWS: who we are, and what we may ----------------------------------------------------------------------------


def test_mgn_that_was_never_initialised_is_wrong(site: Site) -> None:
    elsewhere = Where(account_id=ACCOUNT, region="eu-west-1", role_arn=site.place.role_arn)
    verdict = site.look(f"MGN in {ACCOUNT}/eu-west-1", places=(elsewhere,))
    assert (verdict.state, verdict.words) == (State.WRONG, "MGN is not initialised")
    assert "aws mgn initialize-service --region eu-west-1" in verdict.action


def test_credentials_that_lead_to_another_account_are_wrong(site: Site) -> None:
    elsewhere = Where(account_id="210987654321", region=REGION)
    verdict = site.look(f"identity in 210987654321/{REGION}", places=(elsewhere,))
    assert verdict.state is State.WRONG
    assert ACCOUNT in verdict.words


def test_a_dry_run_changes_nothing_and_one_that_ec2_refuses_names_the_permission(site: Site) -> None:
    what, before = f"EC2 dry runs in {ACCOUNT}/{REGION}", len(site.cloud.ledger.entries())
    assert site.look(what, places=(site.place,)).state is State.OK
    assert len(site.cloud.ledger.entries()) == before
    site.cloud.refuse("ec2", "CreateSnapshots", 403, "UnauthorizedOperation", "You are not authorized")
    verdict = site.look(what, places=(site.place,))
    assert (verdict.state, verdict.words) == (State.WRONG, "not allowed: ec2:CreateSnapshots")


def _role(site: Site, name: str, *statements: Mapping[str, Any]) -> Where:
    iam, document = site.aws("iam"), json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    iam.put_role_policy(RoleName=name, PolicyName="some", PolicyDocument=document)
    return Where(account_id=ACCOUNT, region=REGION, role_arn=role)


ZONE = "arn:aws:route53:::hostedzone/Z0123456789EXAMPLE"
EVERYTHING = {"Effect": "Allow", "Action": ["*"], "Resource": "*"}


def test_every_permission_that_the_policies_lack_is_named(site: Site) -> None:
    lacking = {"Effect": "Deny", "Action": ["mgn:StartCutover", "route53:ChangeResourceRecordSets"], "Resource": "*"}
    where = _role(site, "lacking", EVERYTHING, lacking)
    verdict = site.look(f"permissions in {ACCOUNT}/{REGION}", places=(where,))
    assert verdict.state is State.WRONG
    assert verdict.words == "not allowed: mgn:StartCutover, route53:ChangeResourceRecordSets"


def test_a_permission_on_a_condition_stays_unknown(site: Site) -> None:
    needed = {action for role in IN_TARGET_ACCOUNTS.values() for action in role}
    stop = {
        "Effect": "Allow",
        "Action": ["ec2:StopInstances"],
        "Resource": "*",
        "Condition": {"StringLike": {"aws:ResourceTag/migrator:migration-id": "*"}},
    }
    rest = {"Effect": "Allow", "Action": sorted(needed - {"ec2:StopInstances"}), "Resource": "*"}
    verdict = site.look(f"permissions in {ACCOUNT}/{REGION}", places=(_role(site, "conditional", rest, stop),))
    assert verdict.state is State.OK
    assert verdict.words.endswith("not known: ec2:StopInstances")


def test_a_permission_that_may_be_allowed_on_some_resources_stays_unknown(site: Site) -> None:
    needed = {action for role in IN_TARGET_ACCOUNTS.values() for action in role}
    switch = {"Effect": "Allow", "Action": ["route53:ChangeResourceRecordSets"], "Resource": ZONE}
    rest = {"Effect": "Allow", "Action": sorted(needed - set(switch["Action"])), "Resource": "*"}
    verdict = site.look(f"permissions in {ACCOUNT}/{REGION}", places=(_role(site, "narrow", rest, switch),))
    assert verdict.state is State.OK
    assert verdict.words.endswith("not known: route53:ChangeResourceRecordSets")


def test_a_part_of_the_installation_is_asked_for_its_own_permissions_alone(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = [*IN_OUR_ACCOUNT[Role.INGRESS], *IN_OUR_ACCOUNT[Role.DOCTOR]]
    role = _role(site, "ingress-alone", {"Effect": "Allow", "Action": needed, "Resource": "*"})
    given = site.aws("sts").assume_role(RoleArn=role.role_arn, RoleSessionName="here")["Credentials"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", given["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", given["SecretAccessKey"])
    monkeypatch.setenv("AWS_SESSION_TOKEN", given["SessionToken"])
    account = Account(AwsSessions(REGION), Settings(**site.settings))
    assert account.permissions(Part.INGRESS) == Verdict(State.OK, f"{len(set(needed))} allowed")
    with pytest.raises(PrerequisiteError, match="not allowed: dynamodb:BatchGetItem"):
        account.permissions(Part.WORKER)


def test_permissions_that_nobody_may_ask_for_are_not_checked(site: Site) -> None:
    site.cloud.refuse("iam", "SimulatePrincipalPolicy", 403, "AccessDenied", "not authorized")
    verdict = site.look(f"permissions in {ACCOUNT}/{REGION}", places=(site.place,))
    assert verdict.state is State.NOT_CHECKED
    assert "iam:SimulatePrincipalPolicy" in verdict.action


# --- Temporal ----------------------------------------------------------------------------------------------------


@workflow.defn
class Idle:
    @workflow.run
    async def run(self) -> None:
        """Wait for nothing."""


@activity.defn
async def idle() -> None:
    """Do nothing."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def temporal() -> AsyncIterator[Client]:
    async with temporal_server() as address:
        yield await Client.connect(address)


def _settled(lines: tuple[Line, ...], what: str) -> Verdict:
    return next(line.verdict for line in lines if line.what == what)


async def _temporal_lines(client: Client, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> tuple[Line, ...]:
    monkeypatch.setenv("TEMPORAL_ADDRESS", client.service_client.config.target_host)
    checks = planned(Settings(**changes), ())
    return await examine([check for check in checks if check.what in TEMPORAL])


TEMPORAL = ("Temporal", "Temporal namespace", "search attributes", "workers")


@pytest.mark.asyncio(loop_scope="module")
async def test_a_search_attribute_that_is_missing_or_of_another_type_is_named(
    temporal: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def register(**kinds: str) -> None:
        await temporal.operator_service.remove_search_attributes(
            RemoveSearchAttributesRequest(namespace="default", search_attributes=["WaveId", "AwaitingDecision"])
        )
        attributes = {name: _TYPES[kind] for name, kind in kinds.items()}
        await temporal.operator_service.add_search_attributes(
            AddSearchAttributesRequest(namespace="default", search_attributes=attributes)
        )

    await register(AwaitingDecision="Keyword")
    verdict = _settled(await _temporal_lines(temporal, monkeypatch), "search attributes")
    await register(**{name: SEARCH_ATTRIBUTES[name] for name in ("WaveId", "AwaitingDecision")})
    assert verdict.state is State.WRONG
    assert verdict.words == "WaveId is missing; AwaitingDecision is not of the type Bool"
    assert "migrator setup-namespace" in verdict.action


@pytest.mark.asyncio(loop_scope="module")
async def test_a_task_queue_that_nobody_polls_is_wrong(temporal: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    verdict = _settled(await _temporal_lines(temporal, monkeypatch, task_queue="idle-1"), "workers")
    assert verdict.state is State.WRONG
    assert verdict.words == "nobody takes workflows or activities from the task queue idle-1"


@pytest.mark.asyncio(loop_scope="module")
async def test_a_namespace_that_is_not_there_is_wrong(temporal: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPORAL_NAMESPACE", "nowhere")
    lines = await _temporal_lines(temporal, monkeypatch)
    assert _settled(lines, "Temporal").state is State.OK
    verdict = _settled(lines, "Temporal namespace")
    assert (verdict.state, verdict.words) == (State.WRONG, "there is no namespace nowhere")


async def test_without_a_server_the_checks_that_need_one_are_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:9")
    checks = [check for check in planned(Settings(), ()) if check.what in TEMPORAL]
    lines = await examine(checks)
    first, *rest = (line.verdict for line in lines)
    assert first.state is State.WRONG
    assert "127.0.0.1:9" in first.words
    assert "TEMPORAL_ADDRESS" in first.action
    assert {verdict.state for verdict in rest} == {State.NOT_CHECKED}


# --- the whole ---------------------------------------------------------------------------------------------------


def _written(path: Path, settings: Mapping[str, Any]) -> Path:
    """A TOML file; JSON's strings and lists are TOML's too."""
    tables = {name: value for name, value in settings.items() if isinstance(value, dict)}
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items() if name not in tables]
    for table, content in tables.items():
        for name, value in content.items():
            inner = value.items() if isinstance(value, dict) else None
            head = f"[{table}.{json.dumps(name)}]" if inner is not None else f"[{table}]"
            body = [f"{key} = {json.dumps(one)}" for key, one in inner] if inner is not None else []
            lines += [head, *(body or [f"{json.dumps(name)} = {json.dumps(value)}"])]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.asyncio(loop_scope="module")
async def test_the_command_says_that_all_is_well(
    site: Site, temporal: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", temporal.service_client.config.target_host)
    monkeypatch.setenv(SETTINGS_FILE, str(_written(tmp_path / "settings.toml", site.settings)))
    worker = Worker(
        temporal,
        task_queue="migrations",
        workflows=[Idle],
        activities=[idle],
        workflow_runner=UnsandboxedWorkflowRunner(),
    )
    place = f"{ACCOUNT}/{REGION}={site.place.role_arn}"
    async with worker:
        ran = await asyncio.to_thread(CliRunner().invoke, app, ["doctor", "--where", place, "--output", "json"])
        alive = await asyncio.to_thread(CliRunner().invoke, app, ["alive"])
    told = json.loads(ran.output)
    assert [one for one in told["checks"] if one["state"] not in ("ok", "not checked")] == []
    assert [one["check"] for one in told["checks"] if one["state"] == "not checked"] == ["AWS permissions"]
    assert (told["healthy"], ran.exit_code) == (True, 0)
    assert SECRET not in ran.output
    assert (alive.exit_code, alive.output.endswith(" polls\n")) == (0, True)


@pytest.mark.asyncio(loop_scope="module")
async def test_no_worker_of_this_host_is_alive_on_a_queue_that_nobody_polls(
    temporal: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", temporal.service_client.config.target_host)
    monkeypatch.setenv("MIGRATOR_TASK_QUEUE", "idle-2")
    ran = await asyncio.to_thread(CliRunner().invoke, app, ["alive"])
    assert ran.exit_code == 3
    assert "polls the task queue idle-2" in ran.output


def test_every_check_is_made_whatever_the_others_find(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:9")
    wrong = {"state_table": "nowhere", "vcenters": another_password(site.settings["vcenters"])}
    monkeypatch.setenv(SETTINGS_FILE, str(_written(tmp_path / "settings.toml", {**site.settings, **wrong})))
    ran = CliRunner().invoke(app, ["doctor"], env={"COLUMNS": "240"})
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in ran.output.splitlines() if "│" in line]
    states = {row[0]: row[1] for row in rows}
    assert ran.exit_code == 1
    assert {what for what, state in states.items() if state == "wrong"} == {
        "Temporal",
        "state table",
        "vCenter vcenter-1",
    }
    assert states["request queue"] == "ok"
    assert states["target accounts"] == "not checked"
    assert "there is no table nowhere" in ran.output


async def test_a_check_that_hangs_or_breaks_is_cut_short_alone() -> None:
    async def hang() -> str:
        await asyncio.Event().wait()
        return "never"

    async def stumble() -> str:
        raise ZeroDivisionError("password=hunter2 in its words")

    async def refuse() -> str:
        raise PrerequisiteError("there is none", action="make one")

    async def see() -> str:
        return "seen"

    looks = {"hangs": hang, "stumbles": stumble, "refuses": refuse, "sees": see}
    checks = [Check(what, look) for what, look in looks.items()]
    began = time.monotonic()
    lines = await examine(checks, within=_SHORT)
    assert time.monotonic() - began < 2
    hung, stumbled, refused, seen = (line.verdict for line in lines)
    assert (hung.state, hung.words) == (State.WRONG, "no answer within 0 s")
    assert (stumbled.state, stumbled.words) == (State.WRONG, "ZeroDivisionError: password=[redacted] in its words")
    assert refused == Verdict(State.WRONG, "there is none", "make one")
    assert seen == Verdict(State.OK, "seen")


# --- the settings ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('activity_threads = "many"\nlog_level = 7\n', ["activity_threads: ", "log_level: "]),
        ("request_que_url = 'x'\n", ["request_que_url is not a setting"]),
        ("[vcenters.vcenter-1]\nusername = 'migrator'\npassword = 'planted'\n", ["vcenters.vcenter-1.url: "]),
        ("state_table = \n", ["settings.toml cannot be read"]),
        (None, ["and there is no such file"]),
    ],
)
def test_each_problem_of_the_settings_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str | None, words: list[str]
) -> None:
    path = tmp_path / "settings.toml"
    if text is not None:
        path.write_text(text)
    monkeypatch.setenv(SETTINGS_FILE, str(path))
    _, lines = read_settings()
    assert len(lines) == len(words)
    for line, said in zip(lines, words, strict=True):
        assert line.verdict.state is State.WRONG
        assert said in line.verdict.words
        assert "planted" not in line.verdict.words


def test_a_variable_that_is_no_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIGRATOR_STATE_TABEL", "x")
    monkeypatch.setenv("MIGRATOR_CALLBACK_KEY_OF_OURS", "x")
    monkeypatch.setenv("MIGRATOR_DNS_SERVERS", "not a list")
    settings, lines = read_settings()
    mistyped, unreadable = (line.verdict for line in lines)
    assert settings is None
    assert mistyped.words == "MIGRATOR_STATE_TABEL is not a setting"
    assert "Perhaps state_table is meant" in mistyped.action
    assert "dns_servers" in unreadable.words


async def test_without_settings_what_needs_none_is_looked_at(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:9")
    monkeypatch.setenv("MIGRATOR_ACTIVITY_THREADS", "many")
    states = {line.what: line.verdict.state for line in await doctor()}
    assert states == {
        "settings": State.WRONG,
        "Temporal": State.WRONG,
        "Temporal namespace": State.NOT_CHECKED,
        "search attributes": State.NOT_CHECKED,
        "workers": State.NOT_CHECKED,
        "AWS identity": State.OK,
        "target accounts": State.NOT_CHECKED,
    }
