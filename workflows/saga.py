"""The undo stack, as plain data: it survives continue-as-new, and the query shows it.

Every record is registered before its step acts, takes inputs that do not depend on the act's result, and is
tolerant of there being nothing to undo. A rollback works through them newest first within one order:
fence the target, then bring the source back, then its health, then DNS, then MGN, then clean up.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from activities.cmdb import RestoreItems
from activities.dns import RecordChange
from activities.health import HealthTarget
from activities.prerequisites import SourceFacts
from migration.marks import Mark
from migration.models import Model
from migration.request import RollbackTo
from migration.status import Phase
from migration.steps import Step


class Stop(Model):
    """Why the way forward ended, how deep the way back goes, and what the migration will then be called."""

    outcome: Phase
    to: RollbackTo
    reason: str
    by: str | None = None


class Rank(IntEnum):
    """The order of a rollback: at no instant may both sides accept work."""

    FENCE = 0
    SOURCE = 1
    HEALTH = 2
    NAMES = 3
    REPLICATION = 4
    CLEAN_UP = 5


class UndoRecord(Model):
    """What every undo says: which step made it necessary, and what it will do, in words."""

    rank: ClassVar[Rank]
    step: Step
    what: str


class FenceTarget(UndoRecord):
    """Stop whatever the cutover launched, before anything else."""

    rank = Rank.FENCE
    kind: Literal["fenceTarget"] = "fenceTarget"
    source_server_ids: tuple[str, ...]


class RestoreSource(UndoRecord):
    """Network cards and power of the source machines as they were."""

    rank = Rank.SOURCE
    kind: Literal["restoreSource"] = "restoreSource"
    sources: tuple[SourceFacts, ...]


class AwaitSourceHealth(UndoRecord):
    """The application answers on the source again."""

    rank = Rank.HEALTH
    kind: Literal["awaitSourceHealth"] = "awaitSourceHealth"
    targets: tuple[HealthTarget, ...]


class RestoreNames(UndoRecord):
    """Records as they were, where they are still ours."""

    rank = Rank.NAMES
    kind: Literal["restoreNames"] = "restoreNames"
    mark: Mark
    changes: tuple[RecordChange, ...]


class EndTest(UndoRecord):
    """Back to READY_FOR_TEST, then terminate the test instances (MGN refuses the other order)."""

    rank = Rank.REPLICATION
    kind: Literal["endTest"] = "endTest"
    mark: Mark
    source_server_ids: tuple[str, ...]


class EndCutover(UndoRecord):
    """Back to READY_FOR_CUTOVER, then terminate the launched instances; after the switch they are kept instead."""

    rank = Rank.REPLICATION
    kind: Literal["endCutover"] = "endCutover"
    mark: Mark
    source_server_ids: tuple[str, ...]


class UnprotectTarget(UndoRecord):
    """Termination protection off."""

    rank = Rank.REPLICATION
    kind: Literal["unprotectTarget"] = "unprotectTarget"
    instance_ids: tuple[str, ...]


class RestoreInventory(UndoRecord):
    """CMDB fields as they were, where they still carry our mark."""

    rank = Rank.CLEAN_UP
    kind: Literal["restoreInventory"] = "restoreInventory"
    request: RestoreItems


class RemoveSnapshots(UndoRecord):
    """The source snapshots that the cutover took."""

    rank = Rank.CLEAN_UP
    kind: Literal["removeSnapshots"] = "removeSnapshots"
    mark: Mark
    sources: tuple[SourceFacts, ...]


class RemoveReplication(UndoRecord):
    """Disconnect and archive the records that this migration registered."""

    rank = Rank.CLEAN_UP
    kind: Literal["removeReplication"] = "removeReplication"
    mark: Mark
    user_provided_ids: tuple[str, ...]


Undo = Annotated[
    FenceTarget
    | RestoreSource
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
