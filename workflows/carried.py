"""What a migration carries from one run to the next (continue-as-new): the request as it came, and its state."""

from pydantic import Field

from activities.prerequisites import RecordedName, SourceFacts
from migration.messages import Message
from migration.models import Model
from migration.status import MigrationStatus
from workflows.saga import Undo


class Carried(Model):
    """The state of a migration between two runs."""

    request: str
    status: MigrationStatus
    undo: list[Undo] = Field(default_factory=list)
    sources: tuple[SourceFacts, ...] = ()
    names: tuple[RecordedName, ...] = ()
    outbox: list[Message] = Field(default_factory=list)
    sent: int = 0
    renewed: str | None = None
    claimed: bool = False
    committed_by: str | None = None
