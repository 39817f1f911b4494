"""The application's health, by the launched instance's address or through DNS."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from temporalio import activity

from migration.models import Model
from migration.ports import HealthProbe


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


@dataclass
class ApplicationHealth:
    """Looks at applications."""

    probe: HealthProbe
    poll: timedelta
    soak_poll: timedelta

    @activity.defn
    def await_health(self, request: AwaitHealth) -> HealthResults:
        """One short look an attempt; fails with VerificationError, naming the last answers."""
        raise NotImplementedError

    @activity.defn
    def watch_health(self, request: WatchHealth) -> HealthWatched:
        """One short look an attempt, counters in heartbeat details: no history however long it watches."""
        raise NotImplementedError
