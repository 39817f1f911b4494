"""The application's health: waited for after a launch, watched during the soak."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from temporalio import activity

from activities.errors import translated
from activities.looks import HealthResult, HealthTarget, Looks, result_of
from activities.running import in_words, look_again, now, remembered, side_by_side
from migration.errors import VerificationError
from migration.marks import Mark
from migration.models import Model
from migration.ports import Where
from migration.request import SsmCheck

_LOOKS_AT_ONCE = 32
_NOT_RUN = "not run before the other checks are healthy"


class AwaitHealth(Model):
    """Wait until every target is healthy at the same look, or until one's patience since `since` is over."""

    where: Where
    mark: Mark
    targets: tuple[HealthTarget, ...]
    since: datetime


class HealthResults(Model):
    """All targets at one moment."""

    at: datetime
    results: tuple[HealthResult, ...]


class WatchHealth(Model):
    """Watch until `until`; unhealthy means `failures` looks in a row failed within `over`."""

    where: Where
    mark: Mark
    targets: tuple[HealthTarget, ...]
    until: datetime
    failures: int
    over: timedelta


class HealthWatched(Model):
    """How a watch ended: healthy at its end, or not; and what was found last."""

    healthy: bool
    at: datetime
    results: tuple[HealthResult, ...]


class Looked(Model):
    """What a look leaves to the next one.

    Attributes:
        rounds: How many rounds of commands have ended: one whose end was not seen is looked for again, not repeated.
        failed: Per server and target, when its latest looks failed, as far as they followed each other without a
            success. A look that was not to be had counts for nothing.
    """

    rounds: int = 0
    failed: Mapping[str, tuple[datetime, ...]] = {}


@dataclass
class ApplicationHealth:
    """Looks at applications."""

    looks: Looks
    poll: timedelta
    soak_poll: timedelta

    @activity.defn
    @translated(VerificationError)
    def await_health(self, request: AwaitHealth) -> HealthResults:
        """One short look an attempt; fails with VerificationError, naming what was found last."""
        rounds = remembered(Looked).rounds
        results, at = self._look(request, rounds), now()
        unhealthy = [result for result in results if not result.healthy]
        if not unhealthy:
            return HealthResults(at=at, results=results)
        patience = {_key(target.server, target.what): target.check.within for target in request.targets}
        late = [one for one in unhealthy if at >= request.since + patience[_key(one.server, one.target)]]
        if not late:
            words = f"not healthy yet: {in_words([_in_brief(result) for result in unhealthy])}"
            look_again(words, self.poll, remember=Looked(rounds=_rounds(rounds, results)))
        raise VerificationError(
            f"not healthy in time: {in_words([_in_brief(result) for result in late])}",
            action="Look at the application on the launched instance, then retry or roll back.",
        )

    @activity.defn
    @translated(VerificationError)
    def watch_health(self, request: WatchHealth) -> HealthWatched:
        """One short look an attempt, counters in heartbeat details: no history however long it watches.

        An application that fails at the end of the time, or cannot be looked at, is watched on until that is clear.
        """
        before = remembered(Looked)
        results, at = self._look(request, before.rounds), now()
        failed = _failed_in_a_row(before, results, at, request.failures)
        if any(len(times) == request.failures and times[-1] - times[0] <= request.over for times in failed.values()):
            return HealthWatched(healthy=False, at=at, results=results)
        if at < request.until or not all(result.healthy for result in results):
            after = Looked(rounds=_rounds(before.rounds, results), failed=failed)
            look_again(_watched(results, request.until), self._next_look(request, after, at), remember=after)
        return HealthWatched(healthy=True, at=at, results=results)

    def _look(self, request: AwaitHealth | WatchHealth, rounds: int) -> tuple[HealthResult, ...]:
        """Look at every target; commands are run only where everything that costs less is healthy."""
        comment = f"{request.mark} {activity.info().scheduled_time:%Y%m%dT%H%M%S}/{rounds}"

        def look(target: HealthTarget) -> HealthResult:
            return self.looks.at(target, request.where, comment)

        commands = [target for target in request.targets if isinstance(target.check, SsmCheck)]
        others = [target for target in request.targets if not isinstance(target.check, SsmCheck)]
        results = side_by_side(look, others, most=_LOOKS_AT_ONCE)
        if all(result.healthy for result in results):
            return (*results, *side_by_side(look, commands, most=_LOOKS_AT_ONCE))
        waiting = [result_of(target, healthy=False, found=_NOT_RUN, seen=False) for target in commands]
        return (*results, *waiting)

    def _next_look(self, request: WatchHealth, looked: Looked, at: datetime) -> timedelta:
        """Look often enough, once something fails, for `failures` looks to fit into `over`; end on time otherwise."""
        if looked.failed:
            return min(self.soak_poll, request.over / (request.failures + 1))
        return min(self.soak_poll, request.until - at) if at < request.until else self.poll


def _failed_in_a_row(
    before: Looked, results: Sequence[HealthResult], at: datetime, most: int
) -> dict[str, tuple[datetime, ...]]:
    """When the targets that do not succeed now have failed; only those that were looked at fail once more."""
    failed = {}
    for result in results:
        if not result.healthy:
            times = before.failed.get(_key(result.server, result.target), ())
            failed[_key(result.server, result.target)] = (*times, at)[-most:] if result.seen else times
    return {key: times for key, times in failed.items() if times}


def _rounds(rounds: int, results: Sequence[HealthResult]) -> int:
    return rounds + all(result.seen for result in results if result.kind == "ssm")


def _key(server: str, target: str) -> str:
    return f"{server} {target}"


def _in_brief(result: HealthResult) -> str:
    return f"{result.server} {result.target}: {result.found}"


def _watched(results: Sequence[HealthResult], until: datetime) -> str:
    failing = [_in_brief(result) for result in results if not result.healthy]
    state = f"failing now: {in_words(failing)}" if failing else "healthy"
    return f"watched until {until:%Y-%m-%d %H:%M:%S %Z}; {state}"
