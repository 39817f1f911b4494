from datetime import UTC, datetime, timedelta

import pytest

from activities.health import ApplicationHealth, AwaitHealth, HealthTarget, WatchHealth
from migration.ports import HealthLook
from tests.fakes.environment import Attempts
from tests.fakes.messages import FakeProbe

OK, BROKEN = HealthLook(status=200), HealthLook(status=503)
WEB = HealthTarget(server="web", url="http://10.2.0.5/", expect_status=200, within=timedelta(minutes=10))
API = HealthTarget(server="api", url="http://10.2.0.6/", expect_status=204, within=timedelta(minutes=20))
POLL, SOAK_POLL = timedelta(seconds=10), timedelta(seconds=60)


def health(**answers: list[HealthLook]) -> ApplicationHealth:
    urls = {"web": WEB.url, "api": API.url}
    return ApplicationHealth(FakeProbe({urls[name]: looks for name, looks in answers.items()}), POLL, SOAK_POLL)


def wait(*targets: HealthTarget, since: timedelta = timedelta(0)) -> AwaitHealth:
    return AwaitHealth(targets=targets, since=datetime.now(UTC) - since)


def watch(
    *, until: timedelta = timedelta(days=2), failures: int = 3, over: timedelta = timedelta(minutes=10)
) -> WatchHealth:
    return WatchHealth(targets=(WEB,), until=datetime.now(UTC) + until, failures=failures, over=over)


def test_every_target_must_be_healthy_at_the_same_look() -> None:
    activities = health(web=[OK, BROKEN, OK], api=[BROKEN, HealthLook(status=204)])
    environment, request = Attempts(), wait(WEB, API)
    assert environment.not_yet(activities.await_health, request).next_retry_delay == POLL
    assert "web http://10.2.0.5/: 503" in environment.not_yet(activities.await_health, request).message
    results = environment.attempt(activities.await_health, request)
    assert [(r.server, r.healthy, r.status) for r in results.results] == [("web", True, 200), ("api", True, 204)]


def test_a_target_that_is_not_healthy_in_its_time_is_named_with_its_last_answer() -> None:
    activities = health(web=[BROKEN])
    error = Attempts().error(activities.await_health, wait(WEB, API, since=timedelta(minutes=11)))
    assert (error.type, error.non_retryable) == ("VerificationError", True)
    assert error.message == "not healthy in time: web http://10.2.0.5/: 503"


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
    assert watched.results[0].status == 503


def test_failures_that_lie_too_far_apart_are_not_counted_together() -> None:
    environment, request = Attempts(), watch(failures=2)
    long_ago = datetime.now(UTC) - timedelta(minutes=11)
    environment.beats.append(({"at": {f"web {WEB.url}": [long_ago.isoformat()]}},))
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
