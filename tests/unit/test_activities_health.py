from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from activities.health import ApplicationHealth, AwaitHealth, WatchHealth
from activities.looks import HealthTarget, LeadingName, Looks
from migration.errors import PrerequisiteError, SourcePreparationError, Unavailable
from migration.marks import Mark
from migration.ports import HealthLook, RecordKey, RecordSet, Where
from migration.steps import Step
from tests.fakes.checks import a_check
from tests.fakes.environment import Attempts
from tests.fakes.messages import FakeProbe
from tests.fakes.mgn import FakeReplication
from tests.fakes.names import FakeNames
from tests.fakes.ssm import FakeCommands

OK, BROKEN = HealthLook(status=200), HealthLook(status=503)
WEB = HealthTarget(check=a_check("web", within="PT10M"), address="10.2.0.5")
API = HealthTarget(check=a_check("api", expectStatus=204, within="PT20M"), address="10.2.0.6")
COMMAND = HealthTarget(check=a_check("web", "ssm", command="check it"), address="10.2.0.5", instance_id="i-1")
PORT = HealthTarget(check=a_check("web", "tcp", port=5432), address="10.2.0.5")
POLL, SOAK_POLL = timedelta(seconds=10), timedelta(seconds=60)
WHERE = Where(account_id="123456789012", region="eu-central-1")
MARK = Mark(migration_id="mig-billing", generation=1, step=Step.VERIFY, entry=1, correlation_id="c")


class Site:
    """An application and the systems through which it is looked at; the activities over them."""

    def __init__(self, **answers: list[HealthLook]) -> None:
        """Answers of the servers `web` and `api`, and of the port `port`; without any a server refuses."""
        places = {"web": WEB.what, "api": API.what, "port": PORT.what}
        self.probe = FakeProbe({places[name]: looks for name, looks in answers.items()})
        self.commands = FakeCommands(FakeReplication())
        self.commands.add("i-1", "web")
        self.names = FakeNames("example.internal")
        looks = Looks(self.probe, lambda _: self.commands, lambda _: self.names)
        self.activities = ApplicationHealth(looks, POLL, SOAK_POLL)

    def found(self, target: HealthTarget) -> tuple[bool, str]:
        """What one look at the target says."""
        result = self.activities.looks.at(target, WHERE, str(MARK))
        return result.healthy, result.found


def health(**answers: list[HealthLook]) -> ApplicationHealth:
    return Site(**answers).activities


def wait(*targets: HealthTarget, since: timedelta = timedelta(0)) -> AwaitHealth:
    return AwaitHealth(where=WHERE, mark=MARK, targets=targets, since=datetime.now(UTC) - since)


def watch(
    *targets: HealthTarget,
    until: timedelta = timedelta(days=2),
    failures: int = 3,
    over: timedelta = timedelta(minutes=10),
) -> WatchHealth:
    return WatchHealth(
        where=WHERE,
        mark=MARK,
        targets=targets or (WEB,),
        until=datetime.now(UTC) + until,
        failures=failures,
        over=over,
    )


# --- waited for, and watched -------------------------------------------------------------------------------------


def test_every_target_must_be_healthy_at_the_same_look() -> None:
    activities = health(web=[OK, BROKEN, OK], api=[BROKEN, HealthLook(status=204)])
    environment, request = Attempts(), wait(WEB, API)
    assert environment.not_yet(activities.await_health, request).next_retry_delay == POLL
    assert "web http://10.2.0.5/: HTTP 503" in environment.not_yet(activities.await_health, request).message
    results = environment.attempt(activities.await_health, request)
    assert [(r.server, r.kind, r.target, r.healthy, r.found) for r in results.results] == [
        ("web", "http", "http://10.2.0.5/", True, "HTTP 200"),
        ("api", "http", "http://10.2.0.6/", True, "HTTP 204"),
    ]


def test_a_target_that_is_not_healthy_in_its_time_is_named_with_its_last_answer() -> None:
    activities = health(web=[BROKEN])
    error = Attempts().error(activities.await_health, wait(WEB, API, since=timedelta(minutes=11)))
    assert (error.type, error.non_retryable) == ("VerificationError", True)
    assert error.message == "not healthy in time: web http://10.2.0.5/: HTTP 503"


def test_an_application_that_cannot_be_reached_is_not_healthy() -> None:
    assert "connection refused" in Attempts().not_yet(health().await_health, wait(WEB)).message


def test_without_checks_there_is_nothing_to_wait_for() -> None:
    assert Attempts().attempt(health().await_health, wait()).results == ()


def test_a_watch_ends_healthy_at_its_end() -> None:
    activities = health(web=[OK])
    environment = Attempts()
    assert environment.not_yet(activities.watch_health, watch()).next_retry_delay == SOAK_POLL
    assert environment.attempt(activities.watch_health, watch(until=timedelta(0))).healthy


def test_so_many_failures_in_a_row_end_a_watch() -> None:
    activities = health(web=[BROKEN, BROKEN, OK, BROKEN, BROKEN, BROKEN])
    environment, request = Attempts(), watch(failures=3)
    for _ in range(5):
        environment.not_yet(activities.watch_health, request)
    watched = environment.attempt(activities.watch_health, request)
    assert not watched.healthy
    assert watched.results[0].found == "HTTP 503"


def test_failures_that_lie_too_far_apart_are_not_counted_together() -> None:
    environment, request = Attempts(), watch(failures=2)
    long_ago = datetime.now(UTC) - timedelta(minutes=11)
    environment.beats.append(({"failed": {f"web {WEB.what}": [long_ago.isoformat()]}},))
    activities = health(web=[BROKEN])
    environment.not_yet(activities.watch_health, request)
    assert not environment.attempt(activities.watch_health, request).healthy


def test_a_failing_application_is_looked_at_often_enough_to_be_judged() -> None:
    delay = Attempts().not_yet(health().watch_health, watch(over=timedelta(seconds=8))).next_retry_delay
    assert delay == timedelta(seconds=2)


def test_an_application_that_fails_at_the_end_of_the_time_is_watched_until_it_is_clear() -> None:
    activities = health(web=[BROKEN, OK])
    environment, request = Attempts(), watch(until=timedelta(0))
    environment.not_yet(activities.watch_health, request)
    assert environment.attempt(activities.watch_health, request).healthy


@pytest.mark.parametrize("seconds", [5, 90])
def test_a_watch_ends_on_time(seconds: int) -> None:
    until = timedelta(seconds=seconds)
    delay = Attempts().not_yet(health(web=[OK]).watch_health, watch(until=until)).next_retry_delay
    assert delay is not None
    assert delay <= min(until, SOAK_POLL)


def test_a_look_that_was_not_to_be_had_is_no_failure_and_no_success() -> None:
    site, environment, request = Site(), Attempts(), watch(COMMAND, failures=2)
    site.commands.exit_codes["check it"] = [1]
    environment.not_yet(site.activities.watch_health, request)
    site.commands.refuse("run", times=3)
    for _ in range(3):
        environment.not_yet(site.activities.watch_health, request)
    assert not environment.attempt(site.activities.watch_health, request).healthy


def test_a_watch_does_not_end_before_it_has_seen_the_application() -> None:
    site, environment, request = Site(), Attempts(), watch(COMMAND, until=timedelta(0))
    site.commands.refuse("run")
    assert environment.not_yet(site.activities.watch_health, request).next_retry_delay == POLL
    assert environment.attempt(site.activities.watch_health, request).healthy


# --- http --------------------------------------------------------------------------------------------------------


def http(**fields: Any) -> HealthTarget:
    return HealthTarget(check=a_check("web", **fields), address="10.2.0.5")


def answer(body: str = "", **headers: str) -> HealthLook:
    return HealthLook(status=200, body=body, headers=headers)


@pytest.mark.parametrize(
    ("fields", "look", "healthy", "found"),
    [
        ({"expectBody": "all is well"}, answer("so all is well"), True, "HTTP 200"),
        ({"expectBody": "ok"}, answer("OK"), False, "HTTP 200, but the body lacks the text that is expected"),
        ({"expectBodyPattern": "^(ok|ready)$"}, answer("ready"), True, "HTTP 200"),
        ({"expectBodyPattern": "v[0-9]+"}, answer("at v12 now"), True, "HTTP 200"),
        (
            {"expectBodyPattern": "^ok$", "expectBody": "no"},
            answer("no"),
            False,
            "HTTP 200, but the body does not match the pattern that is expected",
        ),
        ({"expectHeaders": {"X-Role": "primary"}}, answer(**{"x-role": "primary"}), True, "HTTP 200"),
        ({"expectHeaders": {"X-Role": "primary"}}, answer(), False, "HTTP 200, but without the header X-Role"),
        (
            {"expectHeaders": {"X-Role": "primary"}},
            answer(**{"x-role": "replica"}),
            False,
            "HTTP 200, but with another X-Role: 'replica'",
        ),
        ({"expectStatus": 503}, HealthLook(status=503), True, "HTTP 503"),
        ({"expectBody": "ok"}, HealthLook(status=404, body="ok"), False, "HTTP 404"),
    ],
)
def test_an_answer_is_healthy_when_all_of_it_is_as_expected(
    fields: dict[str, Any], look: HealthLook, healthy: bool, found: str
) -> None:
    assert Site(web=[look]).found(http(**fields)) == (healthy, found)


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "(.*)*x", "(?:a?){50}a{2}b", "([a-z]+)*[0-9]"])
def test_no_pattern_takes_long_whatever_the_body_says(pattern: str) -> None:
    began = datetime.now(UTC)
    Site(web=[answer("a" * 65535 + "!")]).found(http(expectBodyPattern=pattern))
    assert datetime.now(UTC) - began < timedelta(seconds=2)


def test_what_an_application_says_is_told_in_few_words_and_plain_characters() -> None:
    look = answer(**{"x-role": "\x1b[31m" + "r" * 10_000})
    healthy, found = Site(web=[look]).found(http(expectHeaders={"X-Role": "primary"}))
    assert (healthy, len(found) < 200, "\x1b" in found) == (False, True, False)


@pytest.mark.parametrize(
    ("url", "address", "asked"),
    [
        ("http://{privateIp}:8080/health", "10.2.0.5", "http://10.2.0.5:8080/health"),
        ("http://[{privateIp}]:8080/", "2001:db8::5", "http://[2001:db8::5]:8080/"),
        ("http://{privateIp}/", "2001:db8::5", "http://[2001:db8::5]/"),
        ("http://[{privateIp}]/", "10.2.0.5", "http://10.2.0.5/"),
        ("https://{privateIp}/up?of={privateIp}", "10.2.0.5", "https://10.2.0.5/up?of=10.2.0.5"),
    ],
)
def test_the_address_is_where_the_url_wants_it(url: str, address: str, asked: str) -> None:
    site = Site()
    site.found(HealthTarget(check=a_check("web", url=url), address=address))
    assert site.probe.looks[0].url == asked


def test_a_name_for_tls_is_asked_for_and_verified_and_nothing_is_read_that_nobody_wants() -> None:
    site, tls = Site(), {"serverName": "billing.example.internal", "verify": False}
    site.found(http(url="https://{privateIp}:8443/", tls=tls, headers={"Accept": "text/plain"}))
    (look,) = site.probe.looks
    assert (look.server_name, look.host) == ("billing.example.internal", "billing.example.internal:8443")
    assert (look.verify, look.ca, look.read_body, look.headers) == (False, None, False, {"Accept": "text/plain"})


# --- tcp ---------------------------------------------------------------------------------------------------------


def test_a_port_is_healthy_when_it_accepts_a_connection() -> None:
    assert Site(port=[HealthLook()]).found(PORT) == (True, "accepts connections")
    assert Site().found(PORT) == (False, "connection refused")


# --- ssm ---------------------------------------------------------------------------------------------------------


def test_a_command_is_healthy_when_it_ends_with_zero() -> None:
    site = Site()
    assert site.found(COMMAND) == (True, "exit code 0 (command c-1)")
    site.commands.exit_codes["check it"] = [3]
    assert site.activities.looks.at(COMMAND, WHERE, "another look").found == "exit code 3 (command c-2)"


def test_an_instance_that_is_not_managed_or_not_in_contact_is_not_healthy() -> None:
    site = Site()
    site.commands.add("i-1", "web", online=False)
    assert site.found(COMMAND) == (False, "Systems Manager has no contact with it")
    site.commands.instances.clear()
    assert site.found(COMMAND) == (False, "Systems Manager does not manage it yet")
    assert site.commands.effects == []


def test_a_command_that_does_not_end_is_not_healthy() -> None:
    site = Site()
    site.commands.refuse("run", SourcePreparationError("the command c-1 on i-1 did not end within 0:00:10"))
    assert site.found(COMMAND) == (False, "the command c-1 on i-1 did not end within 0:00:10")


def test_commands_wait_until_everything_else_is_healthy() -> None:
    site, environment, request = Site(web=[BROKEN, OK]), Attempts(), wait(COMMAND, WEB)
    assert "not run before" in environment.not_yet(site.activities.await_health, request).message
    assert site.commands.effects == []
    assert [r.kind for r in environment.attempt(site.activities.await_health, request).results] == ["http", "ssm"]
    assert site.commands.count("run") == 1


def test_each_look_runs_its_command_once_whatever_becomes_of_the_look() -> None:
    site, environment, request = Site(), Attempts(), wait(COMMAND)
    site.commands.lose_reply("run")
    environment.not_yet(site.activities.await_health, request)
    environment.attempt(site.activities.await_health, request)
    assert site.commands.count("run") == 1, "the command whose reply was lost is adopted"


def test_the_next_look_runs_the_command_anew() -> None:
    site, environment, request = Site(), Attempts(), watch(COMMAND)
    for _ in range(3):
        environment.not_yet(site.activities.watch_health, request)
    comments = [effect[2] for effect in site.commands.effects]
    assert len(set(comments)) == 3
    assert all(comment.startswith("mig-billing/1/verify/1 ") for comment in comments)


def test_a_look_that_nobody_may_have_is_a_persons_matter_at_once() -> None:
    site = Site()
    site.commands.refuse("run", PrerequisiteError("SendCommand: access denied"))
    error = Attempts().error(site.activities.await_health, wait(COMMAND))
    assert (error.type, error.non_retryable) == ("PrerequisiteError", True)


# --- through DNS -------------------------------------------------------------------------------------------------

NAME = "billing.example.internal"


def by_name(target: HealthTarget, *addresses: str) -> HealthTarget:
    key = RecordKey(zone="example.internal", name=NAME, type="A")
    name = LeadingName(provider="route53", key=key, addresses=addresses or ("10.2.0.5",))
    return target.model_copy(update={"name": name})


def say(site: Site, *values: str) -> None:
    site.names.edit(NAME, "A", RecordSet(ttl=60, values=values) if values else None)


def test_users_way_is_taken_to_the_address_that_dns_answers_under_the_name() -> None:
    site, target = Site(web=[OK]), by_name(WEB)
    say(site, "10.2.0.5")
    assert site.found(target) == (True, "HTTP 200")
    (look,) = site.probe.looks
    assert (look.url, look.host, look.server_name) == ("http://10.2.0.5/", NAME, NAME)
    assert target.what == f"http://{NAME}/"


def test_a_port_is_reached_through_dns_too() -> None:
    site = Site(port=[HealthLook()])
    say(site, "10.2.0.5")
    assert site.found(by_name(PORT)) == (True, "accepts connections")


def test_of_several_launched_addresses_the_servers_own_is_taken() -> None:
    site = Site(web=[OK])
    say(site, "10.2.0.4", "10.2.0.5")
    assert site.found(by_name(WEB, "10.2.0.4", "10.2.0.5")) == (True, "HTTP 200")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (("192.0.2.99",), "DNS says 192.0.2.99 (192.0.2.1:53)"),
        (("10.2.0.5", "192.0.2.99"), "DNS says 10.2.0.5, 192.0.2.99 (192.0.2.1:53)"),
        ((), "DNS says nothing (192.0.2.1:53)"),
    ],
)
def test_dns_that_leads_elsewhere_is_not_healthy_and_nothing_is_connected_to(
    values: tuple[str, ...], said: str
) -> None:
    site = Site(web=[OK])
    say(site, *values)
    assert site.found(by_name(WEB)) == (False, said)
    assert site.probe.looks == []


def test_one_server_of_the_zone_that_leads_elsewhere_is_enough() -> None:
    site = Site(web=[OK])
    say(site, "10.2.0.5")
    site.names.lagging["192.0.2.2:53"] = ("10.1.0.11",)
    assert site.found(by_name(WEB)) == (False, "DNS says 10.1.0.11 (192.0.2.2:53)")


def test_a_dns_server_that_does_not_answer_says_nothing_of_the_application() -> None:
    site, environment, request = Site(web=[OK]), Attempts(), watch(by_name(WEB), failures=1)
    site.names.refuse("authoritative_answer", Unavailable("DNS server 192.0.2.1:53 does not answer"))
    environment.not_yet(site.activities.watch_health, request)
    say(site, "192.0.2.99")
    assert not environment.attempt(site.activities.watch_health, request).healthy
