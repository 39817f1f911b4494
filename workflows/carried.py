"""What a migration carries from one run to the next: the request as it came, and its state.

The next run is its own (continue-as-new), or one that takes over from a run that was terminated or timed out.
"""

from datetime import datetime
from typing import Literal

from pydantic import Field

from activities.prerequisites import RecordedName, SourceFacts
from migration.changes import Changed
from migration.messages import Message
from migration.models import Model
from migration.status import MigrationStatus
from workflows.factory import FactoryTold
from workflows.saga import Stop, Undo


class Carried(Model):
    """The state of a migration between two runs.

    Attributes:
        claimed: A claim was asked for, and may have been granted.
        first_run_id: Of the run that claimed the migration's id and servers.
        landed_by: When nothing that a failed act which fell silent may still begin can land any more.
        settled_by: The same of any act, those included that another attempt has done.
        stop: Why it was turning back, if it was; a run that ends by itself heeds a stop first.
        then: What a run that takes over does: go on where the old one stood, or turn back to the start.
    """

    request: str
    status: MigrationStatus
    undo: list[Undo] = Field(default_factory=list)
    sources: tuple[SourceFacts, ...] = ()
    names: tuple[RecordedName, ...] = ()
    outbox: list[Message] = Field(default_factory=list)
    sent: int = 0
    events: list[Message] = Field(default_factory=list)
    emitted: int = 0
    factory: FactoryTold = FactoryTold()
    changes: list[Changed] = Field(default_factory=list)
    renewed: str | None = None
    claimed: bool = False
    committed_by: str | None = None
    first_run_id: str = ""
    landed_by: datetime | None = None
    settled_by: datetime | None = None
    stop: Stop | None = None
    then: Literal["continue", "rollback"] = "continue"
