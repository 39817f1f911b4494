"""The world of one migration, in memory: it remembers what was called, in order, and fails or waits as a test wants."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.callbacks import DeliverCallback
from activities.mgn import LaunchedServer
from activities.state import SaveState
from activities.tickets import TicketState
from activities.watching import ReplicationChanged
from migration.findings import Finding
from migration.messages import Message
from migration.ports import Delivery, PostLaunchAction
from migration.status import MigrationStatus

BOOKKEEPING = frozenset(
    {
        "save_state",
        "deliver_callback",
        "put_events",
        "claim_migration",
        "finish_claim",
        "await_ticket",
        "record_on_ticket",
        "observe_replication",
        "watch_replication",
        "watch_records",
    }
)
"""Calls that leave the application's machines, names and records alone."""

BEAT = 0.2
WITHIN = 120.0


@dataclass
class Hold:
    """One call that waits until it is released; a cancelled one goes on waiting unless it is `obedient`."""

    call: int
    obedient: bool
    about: Callable[[Any], bool] | None = None
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)

    async def is_reached(self) -> None:
        """Wait until the call has come."""
        await asyncio.wait_for(self.reached.wait(), WITHIN)

    async def is_cancelled(self) -> None:
        """Wait until the call was told that it is cancelled."""
        await asyncio.wait_for(self.cancelled.wait(), WITHIN)

    def release(self) -> None:
        """Let the call go on."""
        self.released.set()

    async def wait(self) -> None:
        """Be held, with heartbeats, which is how a cancellation arrives."""
        self.reached.set()
        waiting = asyncio.ensure_future(self.released.wait())
        try:
            while not waiting.done():
                activity.heartbeat()
                try:
                    await asyncio.wait({waiting}, timeout=BEAT)
                except asyncio.CancelledError:
                    self.cancelled.set()
                    if self.obedient:
                        raise
        finally:
            waiting.cancel()


@dataclass
class _Failure:
    calls: range
    error: ApplicationError
    workflow: str | None = None
    """None: of whichever workflow."""


class World:
    """What one migration touches: `fail` and `hold` make single calls fail or wait."""

    def __init__(
        self,
        *,
        findings: Sequence[Finding] = (),
        old_ttl: int = 60,
        deliveries: Sequence[Delivery] = (),
        generation: int = 1,
        bus: bool = False,
        taken_at_first: Sequence[int] = (),
    ) -> None:
        """Begin with a world in which everything works.

        Args:
            findings: What the pre-flight checks find.
            old_ttl: The time to live, in seconds, that the DNS records have before the migration.
            deliveries: What becomes of the first callbacks; the later ones are delivered.
            generation: Which try of the migration id the claim grants.
            bus: There is an event bus.
            taken_at_first: How many events each of the first requests gets rid of.
        """
        self.calls: list[str] = []
        self.moments: list[tuple[str, datetime]] = []
        self.attempts: Counter[str] = Counter()
        self.arguments: list[tuple[str, Any]] = []
        self.rows: list[SaveState] = []
        self.delivered: list[DeliverCallback] = []
        self.findings = tuple(findings)
        self.old_ttl = old_ttl
        self.deliveries = list(deliveries)
        self.generation = generation
        self.bus = bus
        self.taken_at_first = list(taken_at_first)
        self.events: list[Message] = []
        self.unhealthy_watches = 0
        self.changed_evidence: list[ReplicationChanged] = []
        self.wrong_names: str | None = None
        self.post_launch: tuple[PostLaunchAction, ...] = ()
        self.tickets: list[TicketState] = [TicketState()]
        self.launched: dict[str, tuple[LaunchedServer, ...]] = {}
        self._failures: dict[str, list[_Failure]] = {}
        self._holds: dict[str, list[Hold]] = {}
        self._held: list[Hold] = []
        self._seen: tuple[int, MigrationStatus | None] = (0, None)

    # --- what tests ask for ----------------------------------------------------------------------------------

    def fail(self, name: str, error: ApplicationError | None = None, *, call: int = 1, times: int = 1) -> None:
        """Let calls of this activity fail (past retrying, when no error is given), from the `call`-th on."""
        error = error or ApplicationError(f"{name} failed", type="MigrationExecutionError", non_retryable=True)
        self._failures.setdefault(name, []).append(_Failure(range(call, call + times), error))

    def repair(self, name: str, *, but_for: str | None = None) -> None:
        """Let every call of this activity succeed from now on, but those of this workflow."""
        failures = self._failures.pop(name, [])
        if but_for:
            self._failures[name] = [replace(failure, workflow=but_for) for failure in failures]

    def hold(
        self, name: str, *, call: int = 1, obedient: bool = False, about: Callable[[Any], bool] | None = None
    ) -> Hold:
        """Let the `call`-th call of this activity wait until it is released, or each with an argument `about` that."""
        hold = Hold(call, obedient, about)
        self._holds.setdefault(name, []).append(hold)
        self._held.append(hold)
        return hold

    def release_all(self) -> None:
        """Let everything go on, for the end of a test."""
        for hold in self._held:
            hold.release()

    def acted(self, *names: str) -> list[str]:
        """The calls, without the bookkeeping; only these when names are given."""
        return [call for call in self.calls if (call in names if names else call not in BOOKKEEPING)]

    def since(self, name: str, *, call: int = 1) -> list[str]:
        """The acts after the `call`-th call of this activity."""
        places = [i for i, called in enumerate(self.calls) if called == name]
        return [called for called in self.calls[places[call - 1] + 1 :] if called not in BOOKKEEPING]

    def asked(self, name: str) -> list[Any]:
        """The arguments of this activity's calls."""
        return [argument for called, argument in self.arguments if called == name]

    def moment(self, name: str, *, call: int = 1) -> datetime:
        """When the `call`-th call of this activity came."""
        return [at for called, at in self.moments if called == name][call - 1]

    def seen(self) -> MigrationStatus | None:
        """The status that the read model has, which lags behind but comes to rest with the migration."""
        if len(self.rows) != self._seen[0]:
            document = self.rows[-1].row["document"]
            self._seen = (len(self.rows), MigrationStatus.model_validate_json(document))
        return self._seen[1]

    # --- what activities do ----------------------------------------------------------------------------------

    async def called(self, name: str, argument: Any) -> None:
        """Remember a call, whose later attempts count as the same one; wait and fail as the test wants it."""
        self.attempts[name] += 1
        if activity.info().attempt == 1:
            self.calls.append(name)
            self.arguments.append((name, argument))
            self.moments.append((name, datetime.now(UTC)))
        number = self.calls.count(name)
        for hold in self._holds.get(name, ()):
            if hold.about(argument) if hold.about else hold.call == number:
                await hold.wait()
        for failure in self._failures.get(name, ()):
            if number in failure.calls and failure.workflow in (None, activity.info().workflow_id):
                raise failure.error


def looked_in_vain(message: str, after: timedelta = timedelta(milliseconds=500)) -> ApplicationError:
    """How a look ends that has to be repeated."""
    return ApplicationError(message, type="NotYet", category=ApplicationErrorCategory.BENIGN, next_retry_delay=after)
