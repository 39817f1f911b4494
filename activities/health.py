"""The application's health, by the launched instance's address or through DNS."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from temporalio import activity

from activities.errors import translated
from activities.running import in_words, look_again, now, remembered, side_by_side
from migration.errors import VerificationError
from migration.models import Model
from migration.ports import HealthProbe

_LOOKS_AT_ONCE = 16


class HealthTarget(Model):
    """One URL and the answer that is healthy; `within` is how long it may take to become so."""

    server: str
    url: str
    expect_status: int
    within: timedelta


class AwaitHealth(Model):
    """Wait until every target is healthy at the same look, or until one's patience since `since` is over."""

    targets: tuple[HealthTarget, ...]
    since: datetime


class HealthResult(Model):
    """What one look at one target gave."""

    server: str
    url: str
    healthy: bool
    status: int | None = None
    error: str | None = None


class HealthResults(Model):
    """All targets at one moment."""

    at: datetime
    results: tuple[HealthResult, ...]


class WatchHealth(Model):
    """Watch until `until`; unhealthy means `failures` looks in a row failed within `over`."""

    targets: tuple[HealthTarget, ...]
    until: datetime
    failures: int
    over: timedelta


class HealthWatched(Model):
    """How a watch ended: healthy at its end, or the results that made it unhealthy."""

    healthy: bool
    results: tuple[HealthResult, ...]


class FailedLooks(Model):
    """Per server and URL, when its latest looks failed, as far as they followed each other without a success."""

    at: Mapping[str, tuple[datetime, ...]] = {}


@dataclass
class ApplicationHealth:
    """Looks at applications."""

    probe: HealthProbe
    poll: timedelta
    soak_poll: timedelta

    @activity.defn
    @translated(VerificationError)
    def await_health(self, request: AwaitHealth) -> HealthResults:
        """One short look an attempt; fails with VerificationError, naming the last answers."""
        results, at = self._look(request.targets), now()
        unhealthy = [result for result in results if not result.healthy]
        if not unhealthy:
            return HealthResults(at=at, results=results)
        patience = {_key(target): target.within for target in request.targets}
        late = [result for result in unhealthy if at >= request.since + patience[_key(result)]]
        if not late:
            look_again(f"not healthy yet: {in_words([_in_brief(result) for result in unhealthy])}", self.poll)
        raise VerificationError(
            f"not healthy in time: {in_words([_in_brief(result) for result in late])}",
            action="Look at the application on the launched instance, then retry or roll back.",
        )

    @activity.defn
    @translated(VerificationError)
    def watch_health(self, request: WatchHealth) -> HealthWatched:
        """One short look an attempt, counters in heartbeat details: no history however long it watches.

        An application that fails at the end of the time is watched on until it has recovered or failed for good.
        """
        results, at = self._look(request.targets), now()
        failed = _failed_in_a_row(remembered(FailedLooks), results, at, request.failures)
        if any(len(times) == request.failures and times[-1] - times[0] <= request.over for times in failed.at.values()):
            return HealthWatched(healthy=False, results=results)
        if at < request.until or failed.at:
            look_again(_watched(results, request.until), self._next_look(request, failed, at), remember=failed)
        return HealthWatched(healthy=True, results=results)

    def _look(self, targets: Sequence[HealthTarget]) -> tuple[HealthResult, ...]:
        return tuple(side_by_side(self._result, targets, most=_LOOKS_AT_ONCE))

    def _result(self, target: HealthTarget) -> HealthResult:
        look = self.probe.look(target.url)
        return HealthResult(
            server=target.server,
            url=target.url,
            healthy=look.error is None and look.status == target.expect_status,
            status=look.status,
            error=look.error,
        )

    def _next_look(self, request: WatchHealth, failed: FailedLooks, at: datetime) -> timedelta:
        """Look often enough, once something fails, for `failures` looks to fit into `over`; end on time otherwise."""
        if failed.at:
            return min(self.soak_poll, request.over / (request.failures + 1))
        return min(self.soak_poll, request.until - at)


def _failed_in_a_row(before: FailedLooks, results: Sequence[HealthResult], at: datetime, most: int) -> FailedLooks:
    failing = [_key(result) for result in results if not result.healthy]
    return FailedLooks(at={key: (*before.at.get(key, ()), at)[-most:] for key in failing})


def _key(of: HealthTarget | HealthResult) -> str:
    return f"{of.server} {of.url}"


def _in_brief(result: HealthResult) -> str:
    return f"{result.server} {result.url}: {result.error or result.status}"


def _watched(results: Sequence[HealthResult], until: datetime) -> str:
    failing = [_in_brief(result) for result in results if not result.healthy]
    state = f"failing now: {in_words(failing)}" if failing else "healthy"
    return f"watched until {until:%Y-%m-%d %H:%M:%S %Z}; {state}"
