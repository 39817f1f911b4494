"""`migrator doctor`: whether everything that migrations need is there and lets us in, before a migration finds out.

It changes nothing. Every check runs, whatever the others find, and within a few seconds.
"""

from collections.abc import Sequence

from adapters.permissions import Part
from migration.on_behalf import on_behalf_of
from migration.ports import Where
from starter.doctor.checks import Line, State, examine
from starter.doctor.plan import planned
from starter.doctor.settings import read_settings

__all__ = ["Line", "State", "doctor", "healthy"]


async def doctor(places: Sequence[Where] = (), part: Part = Part.ALL) -> tuple[Line, ...]:
    """Look at everything, in the order of a table.

    Args:
        places: The accounts and regions that migrations go to.
        part: What runs with our AWS identity: only its permissions are asked for.
    """
    settings, lines = read_settings()
    # Roles are assumed as a migration does it: one that may not be tagged is found out here.
    with on_behalf_of("doctor"):
        return (*lines, *await examine(planned(settings, places, part)))


def healthy(lines: Sequence[Line]) -> bool:
    """Whether nothing is wrong, as far as it could be looked at."""
    return all(line.verdict.state is not State.WRONG for line in lines)
