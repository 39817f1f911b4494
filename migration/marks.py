"""The mark by which an effect is found again: migration id / generation / step / entry.

Never a run id or an attempt number (they change when the same effect is tried again), and never the migration
id alone (a second test launch would adopt the first one's job).
"""

from migration.models import Model
from migration.steps import Step

MARK_TAG = "migrator:mark"
MIGRATION_TAG = "migrator:migration-id"
SERVER_TAG = "migrator:server"
CORRELATION_TAG = "migrator:correlation-id"


class Mark(Model):
    """Whose effect this is. `part` tells several effects of one entry apart: a tier, or a clean-up."""

    migration_id: str
    generation: int
    step: Step
    entry: int
    part: str | None = None
    correlation_id: str

    def __str__(self) -> str:
        """The text that is written into tags, names and comments."""
        text = f"{self.migration_id}/{self.generation}/{self.step}/{self.entry}"
        return f"{text}/{self.part}" if self.part else text

    def tags(self) -> dict[str, str]:
        """The tags that carry the mark."""
        return {MARK_TAG: str(self), MIGRATION_TAG: self.migration_id, CORRELATION_TAG: self.correlation_id}


def user_provided_id(connection: str, machine_uuid: str) -> str:
    """How a source machine is named to MGN: one record a machine, whoever migrates it."""
    return f"{connection}:{machine_uuid}"
