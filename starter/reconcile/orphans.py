"""What a migration left when nobody runs it any more, and what is safe to do about it. Pure: nothing is called."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import ValidationError

from activities.target import KEEP_UNTIL_TAG
from adapters.claims import HeldId, HeldServer
from adapters.inventory import Kind, Marked
from migration.models import Model
from migration.ports import Where
from migration.status import MigrationStatus, Phase, Side, StepState
from migration.steps import Step

_SNAPSHOT_OF = re.compile(r"migrator-(mig-[a-z0-9-]+)_\d+_")
"""As `activities.machines.snapshot_name` writes a mark; ids have no underscore."""

_GOES_ON_LIVING = frozenset({Kind.SOURCE_SERVER, Kind.JOB})
"""What a completed migration may rightly leave in MGN, when its steps end before the decommission."""


class _Request(Model):
    """Of a request, where it goes."""

    target: Where


class Action(StrEnum):
    """What is safe."""

    ROLL_BACK = "adopt and roll back"
    GO_ON = "adopt and go on"
    RELEASE = "release claim"
    BY_HAND = "by hand"


@dataclass(frozen=True)
class DeadRun:
    """A run that ended without its own code: terminated, timed out, or failed on its way.

    Attributes:
        latest: The migration's latest run: this one, or one after it that was refused.
        ended: How, in Temporal's word.
        carried: What its query `carried` answers, as it came: a field that only a newer worker knows is kept. Of a
            run that ended before its first task, what it was started with.
        trouble: Why there is no `carried`.
    """

    migration_id: str
    run_id: str
    latest: str
    ended: str
    closed: datetime
    task_queue: str
    carried: Mapping[str, Any] | None = None
    trouble: str = ""

    @property
    def claimed(self) -> bool:
        """Whether it knew that its claim was granted."""
        return bool(self.carried and self.carried.get("claimed"))

    @property
    def where(self) -> Where | None:
        """The account and region that its request names, when it could be read."""
        return where_of(self.carried)


@dataclass(frozen=True)
class Traces:
    """Everything known of one migration that no run works on.

    Attributes:
        dead: The run that could be taken over; None: it ended in order, or Temporal has forgotten it.
        forgotten: Whether Temporal knows no run of it.
        status: Its last word, from the run itself or from the read model.
        searched: Whether the account that it went to is known, and was searched.
    """

    migration_id: str
    dead: DeadRun | None = None
    forgotten: bool = False
    status: MigrationStatus | None = None
    claim: HeldId | None = None
    servers: tuple[HeldServer, ...] = ()
    left: tuple[Marked, ...] = ()
    searched: bool = True

    @property
    def ended(self) -> Phase | None:
        """How it ended, if it did; the claim outlives the row, and is not moved by a later start that was refused."""
        claim, status = self.claim, self.status
        if claim and claim.ended_as and (status is None or claim.generation >= status.generation):
            return Phase(claim.ended_as)
        return status.phase if status and status.phase.ended else None

    @property
    def held(self) -> tuple[str, ...]:
        """Which claims stand."""
        own = (self.migration_id,) if self.claim and not self.claim.ended_as else ()
        return (*own, *(server.key for server in self.servers))


@dataclass(frozen=True)
class Orphan:
    """A migration that somebody has to look after.

    Attributes:
        ends_as: With which status its claim is to be ended, when it is released.
    """

    migration_id: str
    action: Action
    words: str
    stands: str
    served_by: Side | None
    left: tuple[Marked, ...] = ()
    held: tuple[str, ...] = ()
    dead: DeadRun | None = None
    claim: HeldId | None = None
    servers: tuple[HeldServer, ...] = ()
    ends_as: Phase = Phase.CANCELLED


def migration_of_snapshot(name: str) -> str | None:
    """Whose a source snapshot is, by its name."""
    found = _SNAPSHOT_OF.match(name)
    return found.group(1) if found else None


def where_of(carried: Mapping[str, Any] | None) -> Where | None:
    """The account and region that the request in it names; None when there is none that could be read."""
    try:
        return _Request.model_validate_json(carried["request"]).target if carried else None
    except ValidationError:
        return None


def judge(traces: Traces, now: datetime, *, forward: bool = False) -> Orphan | None:
    """Say what is left of a migration that no run works on, and what is safe; None when all is in order.

    Args:
        traces: What is known of it.
        now: For what is kept only until some time.
        forward: Whether a run that can be taken over should go on, also before the point of no return.
    """
    ended = traces.ended
    if ended is not None:
        return _after_the_end(traces, ended, now)
    if traces.dead is None:
        return _forgotten(traces)
    if traces.dead.carried is None:
        return _unreadable(traces, traces.dead)
    if not traces.dead.claimed:
        return _untouched(traces)
    return _adoptable(traces, forward=forward)


def _unreadable(traces: Traces, dead: DeadRun) -> Orphan | None:
    if not traces.left and not traces.held:
        return None
    return _orphan(traces, Action.BY_HAND, f"its state cannot be read: {dead.trouble}", traces.left)


def _adoptable(traces: Traces, *, forward: bool) -> Orphan:
    status = traces.status
    if status is not None and status.past_point_of_no_return:
        return _orphan(traces, Action.GO_ON, "past the point of no return: only forward", traces.left)
    if forward:
        return _orphan(traces, Action.GO_ON, "goes on where it stood", traces.left)
    return _orphan(traces, Action.ROLL_BACK, _rollback_words(status), traces.left)


def _rollback_words(status: MigrationStatus | None) -> str:
    if status is not None and status.divergence_since is not None:
        since = status.divergence_since
        return f"the source serves again; what the target wrote since {since:%Y-%m-%d %H:%M:%S %Z} is kept in snapshots"
    return f"{len(status.undo) if status else 0} things to undo, and the claims are given back"


def _untouched(traces: Traces) -> Orphan | None:
    """A run that ended before its claim was granted, as far as it knew, has touched nothing."""
    if traces.left:
        return _orphan(traces, Action.BY_HAND, "made by an earlier try of this id", traces.left)
    if not traces.held:
        return None
    return _orphan(traces, Action.RELEASE, "nothing was touched", ends_as=Phase.FAILED)


def _forgotten(traces: Traces) -> Orphan | None:
    """Nobody can take it over: what there is, is for a person."""
    how = "its run has ended in order, its row says otherwise"
    if traces.forgotten:
        known = traces.claim or traces.status
        how = "Temporal has forgotten it" if known else "nothing is known of it here; another installation may know it"
    if traces.left:
        return _orphan(traces, Action.BY_HAND, how, traces.left)
    if not traces.held:
        return None
    if not traces.searched:
        return _orphan(traces, Action.BY_HAND, f"{how}, and its account is not known: name it with --where")
    return _orphan(traces, Action.RELEASE, f"{how}, and nothing else is left")


def _after_the_end(traces: Traces, ended: Phase, now: datetime) -> Orphan | None:
    """What an ended migration keeps by right is no orphan; its claims and everything else are."""
    kept = _kept(traces)
    left = tuple(one for one in traces.left if not _by_right(one, traces.status, ended, kept, now))
    if left:
        over = sorted(
            f"{one.id} kept until {kept[one.id]:%Y-%m-%d %H:%M %Z}, which has passed" for one in left if one.id in kept
        )
        return _orphan(
            traces, Action.BY_HAND, "; ".join(over) or f"left by a migration that ended {ended}", left, ends_as=ended
        )
    if traces.held:
        return _orphan(traces, Action.RELEASE, f"it has ended as {ended}", ends_as=ended)
    return None


def _kept(traces: Traces) -> dict[str, datetime]:
    """Until when instances and snapshots that hold the target's writes are kept, by id."""
    kept = {one.id: datetime.fromisoformat(until) for one in traces.left if (until := one.tags.get(KEEP_UNTIL_TAG))}
    for preserved in traces.status.preserved if traces.status else ():
        for name in (*preserved.instance_ids, *preserved.snapshot_ids):
            kept.setdefault(name, preserved.keep_until)
    return kept


def _by_right(
    one: Marked, status: MigrationStatus | None, ended: Phase, kept: Mapping[str, datetime], now: datetime
) -> bool:
    if one.id in kept:
        return kept[one.id] > now
    if ended is not Phase.COMPLETED:
        return False
    match one.kind:
        case Kind.INSTANCE:
            return status is None or one.id in {server.instance_id for server in status.servers}
        case Kind.SOURCE_SNAPSHOT:
            return status is None or _state(status, Step.DECOMMISSION) is not StepState.DONE
    return one.kind in _GOES_ON_LIVING


def _state(status: MigrationStatus, step: Step) -> StepState:
    return next((line.state for line in status.steps if line.step is step), StepState.PENDING)


def _orphan(
    traces: Traces,
    action: Action,
    words: str,
    left: tuple[Marked, ...] = (),
    *,
    ends_as: Phase = Phase.CANCELLED,
) -> Orphan:
    status = traces.status
    return Orphan(
        migration_id=traces.migration_id,
        action=action,
        words=words,
        stands=" ".join(_stands(traces)),
        served_by=status.served_by if status else None,
        left=left,
        held=traces.held,
        dead=traces.dead,
        claim=traces.claim,
        servers=traces.servers,
        ends_as=ends_as,
    )


def _stands(traces: Traces) -> Iterator[str]:
    if traces.dead:
        yield f"{traces.dead.ended} {traces.dead.closed:%Y-%m-%d %H:%M:%S}"
    elif traces.forgotten:
        yield "no run"
    if ended := traces.ended:
        yield ended
    elif traces.status:
        yield f"in {traces.status.phase}"
