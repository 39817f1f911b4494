"""`migrator reconcile`: finds what workflows left that were ended from outside, and puts it right.

Terminate and timeouts run no code. What they leave is found by the claims in the state table, by the tags of AWS
resources, by the names of source snapshots; the state to go on from is asked of the dead run itself.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from migration.errors import ValidationError
from migration.ports import Where
from migration.settings import Settings
from starter.client import connect
from starter.reconcile.mend import Mended, Mending
from starter.reconcile.orphans import Action, Orphan
from starter.reconcile.search import Search

__all__ = ["Action", "Mended", "Orphan", "Reconciled", "place", "reconcile"]


@dataclass(frozen=True)
class Reconciled:
    """What was found, what was done about it, and where nobody could look."""

    orphans: tuple[Orphan, ...]
    mended: tuple[Mended, ...]
    not_searched: tuple[str, ...]

    @property
    def clean(self) -> bool:
        """Whether nothing is left to be done by anybody."""
        open_ones = {one.migration_id for one in self.orphans} - {
            one.orphan.migration_id for one in self.mended if one.done
        }
        return not open_ones and not self.not_searched


def place(text: str) -> Where:
    """Read `ACCOUNT/REGION`, or `ACCOUNT/REGION=ROLE_ARN`. Raises `ValidationError`."""
    where, _, role = text.partition("=")
    account, _, region = where.partition("/")
    if not account.isdigit() or not region or "/" in region:
        raise ValidationError(f"{text!r} is not ACCOUNT/REGION or ACCOUNT/REGION=ROLE_ARN")
    return Where(account_id=account, region=region, role_arn=role or None)


async def reconcile(
    settings: Settings,
    *,
    fix: bool = False,
    forward: bool = False,
    only: Sequence[str] = (),
    also: Sequence[Where] = (),
) -> Reconciled:
    """Find what is left behind; with `fix`, do the safe action for each.

    Args:
        settings: As the worker has them.
        fix: Whether to act.
        forward: Take over to go on, instead of rolling back, also before the point of no return.
        only: These migrations; none: all.
        also: Accounts to search besides those that Temporal knows of.

    Raises:
        Unavailable: Temporal or the state table does not answer.
    """
    client = await connect(settings)
    found = await Search(client, settings, also=also).find(only=frozenset(only), forward=forward)
    mending = Mending(client, settings)
    mended = await asyncio.gather(*(mending.mend(orphan) for orphan in found.orphans)) if fix else []
    return Reconciled(found.orphans, tuple(mended), found.not_searched)
