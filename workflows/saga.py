"""The undo stack, as plain data: it survives continue-as-new, and the query shows it.

Every record is registered before its step acts, takes inputs that do not depend on the act's result, and is
tolerant of there being nothing to undo. A rollback works through them newest first within one order:
fence the target, then bring the source back, then its health, then DNS, then MGN, then clean up. The request's own
hooks for a rollback come before the fence, and between the source and its health.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from activities.cmdb import RestoreItems
from activities.dns import RecordChange
from activities.looks import HealthTarget
from activities.prerequisites import SourceFacts
from migration.marks import Mark
from migration.models import Model
from migration.request import HookTime, RollbackTo
from migration.status import Phase
from migration.steps import Step


class Stop(Model):
    """Why the way forward ended, how deep the way back goes, and what the migration will then be called."""

    outcome: Phase
    to: RollbackTo
    reason: str
    by: str | None = None


class Rank(IntEnum):
    """The order of a rollback: at no instant may both sides accept work.

    What the application itself does comes while it still runs on the target, and when its source machines are back:
    what a hook has stopped there has to run before the application can be healthy.
    """

    LAST_WORDS = 0
    FENCE = 1
    SOURCE = 2
    APPLICATION = 3
    HEALTH = 4
    NAMES = 5
    REPLICATION = 6
    CLEAN_UP = 7


class UndoRecord(Model):
    """What every undo says: which step made it necessary, and what it will do, in words.

    Attributes:
        where: Where what it concerns is found, for the person who finishes it by hand.
        who: Who that person is.
    """

    rank: ClassVar[Rank]
    where: ClassVar[str]
    who: ClassVar[str]
    step: Step
    what: str

    @property
    def resources(self) -> tuple[str, ...]:
        """What it concerns, by the names used there."""
        return ()


class RollbackHooks(UndoRecord):
    """The hooks of the request for a rollback, at one of its two places."""

    place: ClassVar[HookTime]
    where = "the application's own hooks, as the request has them"
    who = "who operates the application"
    mark: Mark


class HooksBeforeRollback(RollbackHooks):
    """The hooks that run before anything is undone."""

    rank = Rank.LAST_WORDS
    place = HookTime.BEFORE_ROLLBACK
    kind: Literal["hooksBeforeRollback"] = "hooksBeforeRollback"


class HooksAfterRollback(RollbackHooks):
    """The hooks that run when the source machines are back, such as to start what a hook has stopped."""

    rank = Rank.APPLICATION
    place = HookTime.AFTER_ROLLBACK
    kind: Literal["hooksAfterRollback"] = "hooksAfterRollback"


class FenceTarget(UndoRecord):
    """Stop whatever the cutover launched, before anything else."""

    rank = Rank.FENCE
    where = "EC2: the instances that MGN names as launched for these source servers"
    who = "who may stop instances in the target account"
    kind: Literal["fenceTarget"] = "fenceTarget"
    source_server_ids: tuple[str, ...]

    @property
    def resources(self) -> tuple[str, ...]:
        """The source servers whose launched instances must not run."""
        return self.source_server_ids


class RestoreSource(UndoRecord):
    """Network cards and power of the source machines as they were."""

    rank = Rank.SOURCE
    where = "vCenter: power and network cards of these machines"
    who = "who operates the data centre"
    kind: Literal["restoreSource"] = "restoreSource"
    sources: tuple[SourceFacts, ...]

    @property
    def resources(self) -> tuple[str, ...]:
        """The machines that are to run."""
        return _machines(self.sources)


class AwaitSourceHealth(UndoRecord):
    """The application answers on the source again."""

    rank = Rank.HEALTH
    where = "the application on its source machines"
    who = "who operates the application"
    kind: Literal["awaitSourceHealth"] = "awaitSourceHealth"
    targets: tuple[HealthTarget, ...]

    @property
    def resources(self) -> tuple[str, ...]:
        """The checks that have to succeed."""
        return tuple(target.what for target in self.targets)


class RestoreNames(UndoRecord):
    """Records as they were, where they are still ours."""

    rank = Rank.NAMES
    where = "the DNS zones of these records"
    who = "who may change the zone"
    kind: Literal["restoreNames"] = "restoreNames"
    mark: Mark
    changes: tuple[RecordChange, ...]

    @property
    def resources(self) -> tuple[str, ...]:
        """The records, and what they are to say."""
        return tuple(
            f"{change.key.name} {change.key.type} {' '.join(change.after.values) if change.after else 'absent'}"
            for change in self.changes
        )


class EndTest(UndoRecord):
    """Back to READY_FOR_TEST, then terminate the test instances (MGN refuses the other order)."""

    rank = Rank.REPLICATION
    where = "MGN: source servers, and their test instances"
    who = "who may use MGN in the target account"
    kind: Literal["endTest"] = "endTest"
    mark: Mark
    source_server_ids: tuple[str, ...]

    @property
    def resources(self) -> tuple[str, ...]:
        """The source servers."""
        return self.source_server_ids


class EndCutover(UndoRecord):
    """Back to READY_FOR_CUTOVER, then terminate the launched instances; after the switch they are kept instead."""

    rank = Rank.REPLICATION
    where = "MGN: source servers, and the instances of their cutover"
    who = "who may use MGN in the target account"
    kind: Literal["endCutover"] = "endCutover"
    mark: Mark
    source_server_ids: tuple[str, ...]

    @property
    def resources(self) -> tuple[str, ...]:
        """The source servers."""
        return self.source_server_ids


class UnprotectTarget(UndoRecord):
    """Termination protection off."""

    rank = Rank.REPLICATION
    where = "EC2: termination protection of these instances"
    who = "who may modify instances in the target account"
    kind: Literal["unprotectTarget"] = "unprotectTarget"
    instance_ids: tuple[str, ...]

    @property
    def resources(self) -> tuple[str, ...]:
        """The instances."""
        return self.instance_ids


class RestoreInventory(UndoRecord):
    """CMDB fields as they were, where they still carry our mark."""

    rank = Rank.CLEAN_UP
    where = "the CMDB: these items"
    who = "who may edit the CMDB"
    kind: Literal["restoreInventory"] = "restoreInventory"
    request: RestoreItems

    @property
    def resources(self) -> tuple[str, ...]:
        """The items."""
        return tuple(item.id for item in self.request.items)


class RemoveSnapshots(UndoRecord):
    """The source snapshots that the cutover took."""

    rank = Rank.CLEAN_UP
    where = "vCenter: snapshots of these machines, named by our mark"
    who = "who operates the data centre"
    kind: Literal["removeSnapshots"] = "removeSnapshots"
    mark: Mark
    sources: tuple[SourceFacts, ...]

    @property
    def resources(self) -> tuple[str, ...]:
        """The machines and the snapshot's name."""
        return (*_machines(self.sources), str(self.mark))


class RemoveReplication(UndoRecord):
    """Disconnect and archive the records that this migration registered."""

    rank = Rank.CLEAN_UP
    where = "MGN: source servers by their user-provided id"
    who = "who may use MGN in the target account"
    kind: Literal["removeReplication"] = "removeReplication"
    mark: Mark
    user_provided_ids: tuple[str, ...]

    @property
    def resources(self) -> tuple[str, ...]:
        """The records' user-provided ids."""
        return self.user_provided_ids


def _machines(sources: Sequence[SourceFacts]) -> tuple[str, ...]:
    return tuple(source.vm for source in sources)


Undo = Annotated[
    HooksBeforeRollback
    | FenceTarget
    | RestoreSource
    | HooksAfterRollback
    | AwaitSourceHealth
    | RestoreNames
    | EndTest
    | EndCutover
    | UnprotectTarget
    | RestoreInventory
    | RemoveSnapshots
    | RemoveReplication,
    Field(discriminator="kind"),
]

_BEFORE_THE_GATE = frozenset({Step.VALIDATE, Step.PREPARE, Step.REPLICATE, Step.TEST})


def register(stack: list[Undo], undo: Undo) -> None:
    """Put an undo on the stack, once: a step that is entered again registers the same record again."""
    if undo not in stack:
        stack.append(undo)


def rollback_order(stack: Sequence[Undo], depth: RollbackTo) -> list[Undo]:
    """What a rollback of this depth does, in order: by rank, newest first within a rank."""
    concerned = [undo for undo in stack if depth is RollbackTo.START or undo.step not in _BEFORE_THE_GATE]
    newest_first = concerned[::-1]
    return sorted(newest_first, key=lambda undo: undo.rank)
