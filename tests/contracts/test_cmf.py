"""The CMF adapter against the stand-in and Cognito, and the stand-in's strictness."""

import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt
import pytest

from adapters.aws import AwsSessions
from adapters.cmf import CALL_WITHIN, LOGIN_WITHIN, CloudMigrationFactory, endpoint
from adapters.secrets import Secrets
from localcloud.aws.cognito import PASSWORD, READER, SERVICE_ACCOUNT, UserPool, make_user_pool
from localcloud.cmf import WAVE_STATUSES
from localcloud.cmf import CloudMigrationFactory as StandIn
from localcloud.faults import FaultPlan, Rule
from localcloud.http_server import HttpServer, Reply, Request
from localcloud.ledger import Ledger
from localcloud.world import build_world
from migration import policies
from migration.errors import Conflict, MigrationError, MigrationExecutionError, NotFound, Unavailable
from migration.settings import FactoryConnection
from tests.contracts.aws_cloud import ACCOUNT, REGION, Cloud, local_aws

WORLD = build_world(16, applications=2, servers=2)
BILLING = WORLD.applications[0]


@pytest.fixture(scope="module")
def aws() -> Iterator[Cloud]:
    with local_aws() as cloud:
        yield cloud


@pytest.fixture(scope="module")
def pool(aws: Cloud) -> UserPool:
    return make_user_pool(aws.aws.url, REGION)


class Site:
    """A CMF with two waves, and what reaches it."""

    def __init__(self, pool: UserPool, sessions: AwsSessions) -> None:
        self.ledger, self.faults, self.now = Ledger(), FaultPlan(), 0.0
        self.cmf = StandIn(self.ledger, self.faults, pool)
        self.waves = self.cmf.seed(WORLD.applications, account_id=ACCOUNT, region=REGION)
        self.cmf.start()
        self.pool, self.sessions = pool, sessions
        self._made: list[CloudMigrationFactory] = []

    def connect(self, **settings: Any) -> CloudMigrationFactory:
        usual = {"user_api": self.cmf.url, "admin_api": self.cmf.url, "user_pool_id": self.pool.pool_id}
        login = {"login_api": self.cmf.url} if "user_pool_client_id" not in settings else {}
        connection = FactoryConnection(**(usual | login | settings))
        made = CloudMigrationFactory(connection, Secrets(self.sessions), self.sessions, clock=lambda: self.now)
        self._made.append(made)
        return made

    def close(self) -> None:
        for made in self._made:
            made.close()
        self.cmf.stop()

    def token(self, user: str = SERVICE_ACCOUNT, kind: str = "IdToken") -> str:
        return str(self.pool.sign_in(user, PASSWORD)["AuthenticationResult"][kind])

    def call(self, method: str, path: str, token: str | None = None, **more: Any) -> httpx.Response:
        headers = {"Authorization": self.token() if token is None else token}
        return httpx.request(method, f"{self.cmf.url}/prod/{path}", headers=headers, trust_env=False, **more)

    def writes(self, operation: str) -> list[dict[str, str]]:
        return [entry.detail["fields"] for entry in self.ledger.entries(service="cmf", operation=operation)]

    def refuse(self, operation: str, status: int, **more: Any) -> None:
        self.faults.add(Rule("cmf", operation, "refuse", status=status, times=1, **more))

    def logins(self, count: int) -> bool:
        """Whether so many logins pass a plan that refuses the next one."""
        (rule,) = self.faults.rules().values()
        return rule.after == 100 - count


@pytest.fixture
def site(aws: Cloud, pool: UserPool) -> Iterator[Site]:
    site = Site(pool, aws.sessions)
    yield site
    site.close()


@pytest.fixture
def cmf(site: Site) -> CloudMigrationFactory:
    return site.connect()


def first_server(cmf: CloudMigrationFactory) -> str:
    return cmf.servers()[0].server_id


# --- items -------------------------------------------------------------------------------------------------------


def test_a_wave_its_applications_and_their_servers_are_found(site: Site, cmf: CloudMigrationFactory) -> None:
    wave = cmf.wave(site.waves["billing"])
    assert (wave.name, wave.status) == ("wave-billing", "Not started")
    (application,) = [one for one in cmf.applications() if one.wave_id == wave.wave_id]
    assert (application.name, application.account_ids, application.region) == ("billing", (ACCOUNT,), REGION)
    servers = cmf.servers(application.app_id)
    assert [server.name for server in servers] == [machine.name for machine in BILLING.servers]
    assert all(server.rehosted and not server.migration_status for server in servers)
    assert len(cmf.servers()) == len(WORLD.machines)


def test_a_server_is_matched_by_name_host_name_or_address_whatever_the_case(cmf: CloudMigrationFactory) -> None:
    server = cmf.servers()[0]
    assert server.is_called(server.name.upper())
    assert server.is_called("another", server.fqdn.title())
    assert not server.is_called(f"{server.name}2", "", None)


def test_a_server_says_what_it_was_told_and_an_empty_text_takes_it_out(site: Site, cmf: CloudMigrationFactory) -> None:
    server_id = first_server(cmf)
    cmf.update_server(server_id, {"migration_status": "Test instance launched", "target_instance_id": "i-1"})
    item = site.cmf.item("server", server_id)
    assert (item["migration_status"], item["target_instance_id"]) == ("Test instance launched", "i-1")
    cmf.update_server(server_id, {"target_instance_id": ""})
    assert "target_instance_id" not in site.cmf.item("server", server_id)
    assert site.cmf.item("server", server_id)["migration_status"] == "Test instance launched"


def test_a_wave_has_the_status_that_it_was_given(site: Site, cmf: CloudMigrationFactory) -> None:
    cmf.set_wave_status(site.waves["shop"], "In progress")
    assert cmf.wave(site.waves["shop"]).status == "In progress"
    assert cmf.wave(site.waves["billing"]).status == "Not started"


def test_the_statuses_that_an_administrator_allows_are_read_where_the_settings_say_where(site: Site) -> None:
    assert site.connect().wave_statuses() == WAVE_STATUSES
    assert site.connect(admin_api=None).wave_statuses() == ()


def test_a_write_that_another_writer_has_overwritten_is_made_again(site: Site, cmf: CloudMigrationFactory) -> None:
    """CMF reads the item, merges and puts it: what was written in between is lost."""
    server_id = first_server(cmf)
    token = site.token()
    site.cmf.meanwhile = lambda: cmf.update_server(server_id, {"migration_status": "ours"})
    site.call("PUT", f"user/server/{server_id}", token, json={"replication_status": "theirs"})
    assert "migration_status" not in site.cmf.item("server", server_id), "the stand-in loses no update"
    cmf.update_server(server_id, {"migration_status": "ours"})
    item = site.cmf.item("server", server_id)
    assert (item["migration_status"], item["replication_status"]) == ("ours", "theirs")


def test_a_lost_update_is_noticed_by_reading_back(site: Site, cmf: CloudMigrationFactory) -> None:
    server_id = first_server(cmf)

    class Overwriting(FaultPlan):
        def take(self, *, service: str, operation: str, targets: Any) -> Rule | None:
            if operation == "readServer":
                site.cmf.change("server", server_id, migration_status="theirs")
            return None

    site.cmf._faults = Overwriting()
    with pytest.raises(Unavailable, match=r"another writer of server/\d+ has overwritten migration_status"):
        cmf.update_server(server_id, {"migration_status": "ours"})
    assert site.cmf.item("server", server_id)["migration_status"] == "theirs"


# --- errors ------------------------------------------------------------------------------------------------------

Write = Callable[[CloudMigrationFactory], object]


@pytest.mark.parametrize(
    ("write", "error", "words"),
    [
        (lambda cmf: cmf.wave("99"), NotFound, "GET /prod/user/wave/99 with 400: wave Id 99 does not exist"),
        (lambda cmf: cmf.set_wave_status("99", "Blocked"), NotFound, "PUT /prod/user/wave/99 .*wave Id: 99 does not"),
        (lambda cmf: cmf.set_wave_status("1", "Failed"), Conflict, "wave_status's value does not match any of"),
        (lambda cmf: cmf.update_server("1", {"foo": "x"}), Conflict, "Attribute foo is not defined in the schema"),
        (lambda cmf: cmf.update_server("1", {"server_id": "2"}), Conflict, "You cannot modify server_id"),
        (
            lambda cmf: cmf.update_server("1", {"server_name": "billing-web-02"}),
            Conflict,
            "billing-web-02 already exist",
        ),
        (lambda cmf: cmf.update_server("1", {}), Conflict, "401: There are no attributes to update"),
        (lambda cmf: cmf._call("GET", "waves"), Conflict, "Invalid schema provided :waves"),
        (lambda cmf: cmf._call("GET", "wave/1/more"), Conflict, "403: Missing Authentication Token"),
    ],
)
def test_what_cmf_refuses_is_said_in_its_words_with_the_path(
    cmf: CloudMigrationFactory, write: Write, error: type[MigrationError], words: str
) -> None:
    with pytest.raises(error, match=words) as refused:
        write(cmf)
    assert not refused.value.retryable
    assert refused.value.action or error is NotFound


def test_an_account_without_a_policy_is_refused_and_no_new_login_is_tried(site: Site, aws: Cloud) -> None:
    account = json.dumps({"username": READER, "password": PASSWORD})
    aws.sessions.client("secretsmanager").create_secret(Name="reader", SecretString=account)
    reader = site.connect(credential="secretsmanager:reader")
    assert reader.wave("1").name == "wave-billing"  # reads are not checked
    site.faults.add(Rule("cmf", "login", "refuse", times=1))
    with pytest.raises(Conflict, match="You do not have permission to update attributes : wave_status") as refused:
        reader.set_wave_status("1", "Blocked")
    assert "policy" in (refused.value.action or "")
    assert site.faults.rules(), "it has logged in again"


@pytest.mark.parametrize(
    ("status", "error"),
    [(403, Conflict), (429, Unavailable), (500, Unavailable), (502, Unavailable), (504, Unavailable), (418, Conflict)],
)
def test_the_gateways_answers_are_tried_again_where_that_can_help(
    site: Site, cmf: CloudMigrationFactory, status: int, error: type[MigrationError]
) -> None:
    site.refuse("readWave", status, seconds=7)
    with pytest.raises(error, match=f"with {status}") as refused:
        cmf.wave("1")
    if status == 429:
        assert isinstance(refused.value, Unavailable)
        assert refused.value.retry_after is not None
        assert refused.value.retry_after.seconds == 7
    if status == 403:
        assert "endpoint policy" in (refused.value.action or "")


@pytest.mark.parametrize("operation", ["readWave", "login"])
def test_a_connection_that_is_closed_is_worth_another_try(
    site: Site, cmf: CloudMigrationFactory, operation: str
) -> None:
    site.faults.add(Rule("cmf", operation, "replyLost", times=1))
    with pytest.raises(Unavailable, match="closed without a whole answer"):
        cmf.wave("1")
    assert cmf.wave("1").name == "wave-billing"


def test_a_page_for_people_is_no_answer(site: Site) -> None:
    def page(request: Request) -> Reply:
        return Reply(200, b"<html>sign in</html>", {"Content-Type": "text/html"})

    proxy = HttpServer(page, name="proxy", host="127.0.0.1", port=0)
    proxy.start()
    try:
        with pytest.raises(Unavailable, match="with something else"):
            site.connect(user_api=proxy.url).wave("1")
        with pytest.raises(Unavailable, match="and no token"):
            site.connect(login_api=proxy.url).wave("1")
    finally:
        proxy.stop()


# --- login -------------------------------------------------------------------------------------------------------


def test_both_ways_to_log_in_give_a_token_that_may_write(site: Site) -> None:
    site.connect().set_wave_status("1", "Planning")
    site.connect(user_pool_client_id=site.pool.client_id, login_api=None).set_wave_status("1", "In progress")
    assert site.writes("updateWave") == [{"wave_status": "Planning"}, {"wave_status": "In progress"}]


def test_one_login_lasts_for_many_calls_and_is_renewed_before_it_ends(site: Site, cmf: CloudMigrationFactory) -> None:
    site.faults.add(Rule("cmf", "login", "refuse", after=100))
    for _ in range(3):
        cmf.wave("1")
    assert site.logins(1)
    site.now = 3600 - 121
    cmf.wave("1")
    assert site.logins(1)
    site.now = 3600 - 119
    cmf.wave("1")
    assert site.logins(2)


def test_a_token_that_is_not_taken_any_more_is_renewed_once(site: Site, cmf: CloudMigrationFactory) -> None:
    cmf.wave("1")
    site.cmf.refuse_token(cmf._token or "")
    assert cmf.wave("1").name == "wave-billing"
    site.faults.add(Rule("cmf", "login", "refuse", after=100))
    site.faults.add(Rule("cmf", "readWave", "refuse", status=401, message="Unauthorized"))
    with pytest.raises(Conflict, match="401: Unauthorized") as refused:
        cmf.wave("1")
    assert site.pool.secret_name in (refused.value.action or "")
    assert next(iter(site.faults.rules().values())).after == 99, "it logs in once"


@pytest.mark.parametrize("through", ["login_api", "cognito"])
def test_a_wrong_password_is_told_without_the_password(site: Site, aws: Cloud, through: str) -> None:
    account = json.dumps({"username": SERVICE_ACCOUNT, "password": "Wrong-horse-1"})
    aws.sessions.client("secretsmanager").create_secret(Name=f"wrong-{through}", SecretString=account)
    cognito = {"user_pool_client_id": site.pool.client_id, "login_api": None}
    cmf = site.connect(credential=f"secretsmanager:wrong-{through}", **(cognito if through == "cognito" else {}))
    with pytest.raises((Conflict, MigrationExecutionError)) as refused:
        cmf.wave("1")
    assert not refused.value.retryable
    assert refused.value.action
    assert "horse" not in f"{refused.value} {refused.value.action}"


@pytest.mark.parametrize("secret", ["not JSON: Correct-horse-1", '["Correct-horse-1"]', '{"username": "horse"}'])
def test_a_secret_of_another_shape_is_told_and_not_shown(
    site: Site, monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    monkeypatch.setenv("CMF_ACCOUNT", secret)
    with pytest.raises(Conflict, match="the secret env:CMF_ACCOUNT is no JSON object") as refused:
        site.connect(credential="env:CMF_ACCOUNT").wave("1")
    assert "horse" not in str(refused.value)
    assert refused.value.__suppress_context__


def test_a_login_that_asks_for_a_second_factor_is_refused_in_words(site: Site) -> None:
    def challenge(request: Request) -> Reply:
        return Reply.json(200, {"ChallengeName": "SMS_MFA", "Session": "AYABe"})

    login = HttpServer(challenge, name="login", host="127.0.0.1", port=0)
    login.start()
    try:
        with pytest.raises(Conflict, match="SMS_MFA") as refused:
            site.connect(login_api=login.url).wave("1")
        assert "multi-factor" in (refused.value.action or "")
    finally:
        login.stop()


def test_a_login_that_the_gateway_fails_is_tried_again(site: Site, cmf: CloudMigrationFactory) -> None:
    site.refuse("login", 502)
    with pytest.raises(Unavailable, match="login answered with 502"):
        cmf.wave("1")
    assert cmf.wave("1")


def test_the_token_is_shown_by_nothing(site: Site, cmf: CloudMigrationFactory) -> None:
    cmf.wave("1")
    token = cmf._token or ""
    site.refuse("readWave", 403)
    with pytest.raises(Conflict) as refused:
        cmf.wave("1")
    assert token not in repr(cmf) + repr(refused.value) + str(refused.value.action)


def test_a_call_with_its_login_stays_within_the_longest_call_of_an_adapter() -> None:
    assert 2 * CALL_WITHIN + LOGIN_WITHIN <= policies.LONGEST_CALL


def test_a_private_deployment_is_reached_by_its_endpoint() -> None:
    public = "https://abc123.execute-api.eu-central-1.amazonaws.com"
    assert endpoint(public, None) == f"{public}/prod"
    private = "https://abc123-vpce-0a1.execute-api.eu-central-1.amazonaws.com/prod"
    assert endpoint(f"{public}/", "vpce-0a1") == private


def test_a_connection_needs_a_way_to_log_in() -> None:
    with pytest.raises(ValueError, match="login_api, or user_pool_client_id"):
        FactoryConnection(user_api="https://abc123.execute-api.eu-central-1.amazonaws.com", user_pool_id="r_1")


# --- the stand-in ------------------------------------------------------------------------------------------------


def test_only_a_bare_id_token_that_cognito_has_signed_and_that_lasts_is_taken(site: Site) -> None:
    good = site.token()
    head, body, _ = good.split(".")
    claims = jwt.decode(good, options={"verify_signature": False})
    ended = jwt.encode({**claims, "exp": 1}, "x" * 32)
    for token in ("", f"Bearer {good}", site.token(kind="AccessToken"), f"{head}.{body}.AAAA", ended, "nonsense"):
        answer = site.call("GET", "user/wave", token)
        assert (answer.status_code, answer.json()) == (401, {"message": "Unauthorized"}), token[:20]
    assert site.call("GET", "user/wave", good).status_code == 200


def test_errors_have_the_shapes_of_the_real_one(site: Site) -> None:
    wrong = site.call("PUT", "user/wave/1", json={"wave_status": "Failed", "foo": "x", "_note": "kept"}).json()
    assert [len(errors) for errors in wrong["errors"]] == [2], "a list in the list"
    denied = site.call("PUT", "user/wave/1", site.token(READER), json={"wave_status": "Blocked"}).json()
    assert denied["errors"][0]["action"] == "deny"
    assert site.call("PUT", "user/wave/1", content=b"{").status_code == 502
    login = httpx.post(f"{site.cmf.url}/prod/login", json={"username": "nobody", "password": "x"}, trust_env=False)
    assert (login.status_code, login.text) == (400, "Incorrect username or password")


def test_the_whole_table_comes_sorted_by_name(site: Site) -> None:
    names = [wave["wave_name"] for wave in site.call("GET", "user/wave").json()]
    assert names == sorted(names) == ["wave-billing", "wave-shop"]
    assert urlsplit(site.cmf.url).path == ""
