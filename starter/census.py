"""The census: where all migrations stand, asked of Temporal now and then, for the metrics that say so.

Each worker takes it and says the same; a dashboard shows the maximum.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import structlog
from temporalio.client import Client, WorkflowExecution
from temporalio.common import MetricMeter, SearchAttributeKey
from temporalio.service import RPCError

from activities.lags import LagsSeen
from migration import metrics

logger = structlog.get_logger("census")

EVERY = timedelta(seconds=30)
SHARE = 20
"""A census may take this part of the time: where there are very many migrations, it comes more seldom."""

RUNNING_MIGRATIONS = "WorkflowType = 'MigrationWorkflow' AND ExecutionStatus = 'Running'"
_PHASE = SearchAttributeKey.for_keyword("MigrationPhase")
_AWAITING = SearchAttributeKey.for_bool("AwaitingDecision")
_SINCE = SearchAttributeKey.for_datetime("PhaseSince")


@dataclass
class Count:
    """What one census found, by phase: how many there are and wait for a person, and since when the first of them."""

    now: datetime
    migrations: Counter[str] = field(default_factory=Counter)
    waiting: Counter[str] = field(default_factory=Counter)
    longest: dict[str, timedelta] = field(default_factory=dict)
    longest_wait: dict[str, timedelta] = field(default_factory=dict)

    def add(self, migration: WorkflowExecution) -> None:
        """Count a migration; one whose first task has not been done has no phase yet."""
        said = migration.typed_search_attributes
        phase = said.get(_PHASE)
        if phase is None:
            return
        since = said.get(_SINCE) or migration.start_time
        age = max(self.now - since, timedelta(0))
        self.migrations[phase] += 1
        self.longest[phase] = max(age, self.longest.get(phase, age))
        if said.get(_AWAITING):
            self.waiting[phase] += 1
            self.longest_wait[phase] = max(age, self.longest_wait.get(phase, age))


@dataclass(frozen=True)
class Census:
    """Counts migrations, and tells the gauges, also what replication this worker has looked at."""

    client: Client
    meter: MetricMeter
    lags: LagsSeen
    every: timedelta = EVERY

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[None]:
        """Take it again and again meanwhile."""
        counting = asyncio.create_task(self._repeat(), name="census")
        try:
            yield
        finally:
            counting.cancel()
            with suppress(asyncio.CancelledError):
                await counting

    async def _repeat(self) -> None:
        while True:
            began = asyncio.get_running_loop().time()
            try:
                await self.take()
            except RPCError as error:
                logger.warning("the census was not taken", reason=error.message)
            except Exception:
                logger.exception("the census was not taken")
            took = asyncio.get_running_loop().time() - began
            await asyncio.sleep(max(self.every.total_seconds(), SHARE * took))

    async def take(self) -> None:
        """Take it once. Raises `RPCError`; what replication was seen is told in any case."""
        for watched in metrics.Watched:
            metrics.LAG.set(self.meter, self.lags.worst(watched).total_seconds(), watched=watched)
            metrics.STALLED.set(self.meter, self.lags.stalled(watched), watched=watched)
        count = Count(datetime.now(UTC))
        async for migration in self.client.list_workflows(RUNNING_MIGRATIONS):
            count.add(migration)
        self._tell(count)

    def _tell(self, count: Count) -> None:
        """Of every phase, so that none stays at an old value."""
        nothing = timedelta(0)
        for phase in metrics.RUNNING:
            metrics.MIGRATIONS.set(self.meter, count.migrations[phase], phase=phase)
            metrics.PHASE_AGE.set(self.meter, count.longest.get(phase, nothing).total_seconds(), phase=phase)
            metrics.WAITING.set(self.meter, count.waiting[phase], phase=phase)
            wait = count.longest_wait.get(phase, nothing)
            metrics.DECISION_WAIT.set(self.meter, wait.total_seconds(), phase=phase)
        metrics.CENSUS_TIME.set(self.meter, count.now.timestamp())
