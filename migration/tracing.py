"""What workflows show of themselves in a trace, in words that need no library of traces."""

from collections.abc import Mapping
from datetime import datetime

from migration.models import Model

STRETCH = "migrator_stretch"
"""The function by which a workflow tells of a stretch, where its worker traces (temporalio's extern functions)."""


class Stretch(Model):
    """A part of a migration's way, such as a step: what is done in it is shown below it.

    Attributes:
        name: As a person knows it.
        began: When, by the workflow's clock; with the name it tells the stretches of a migration apart.
        facts: What else is shown of it.
    """

    name: str
    began: datetime
    facts: Mapping[str, str | int] = {}
