"""How orphans look: a table for people, plain values for programs."""

from collections.abc import Iterable
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from adapters.inventory import Marked
from starter.reconcile import Reconciled
from starter.reconcile.mend import Mended
from starter.reconcile.orphans import Orphan


def table(found: Reconciled) -> RenderableType:
    """Everything that was found, and what was done about it."""
    lines = [Text(f"not searched: {where}", style="yellow") for where in found.not_searched]
    if not found.orphans:
        return Group(
            *lines, Text("nothing is left behind" if not lines else "nothing is left behind where it was looked")
        )
    shown = Table(expand=False, show_lines=True)
    for column in ("migration", "stands", "serves", "what is left", "safe action"):
        shown.add_column(column, overflow="fold")
    for orphan in found.orphans:
        action = f"{orphan.action}: {orphan.words}"
        serves = orphan.served_by or "not known"
        shown.add_row(orphan.migration_id, orphan.stands, serves, "\n".join(_left(orphan)), action)
    return Group(shown, *lines, *(Text(_outcome(one)) for one in found.mended))


def as_dict(found: Reconciled) -> dict[str, Any]:
    """The same for programs."""
    outcomes = {one.orphan.migration_id: one for one in found.mended}
    return {
        "orphans": [_orphan(orphan, outcomes.get(orphan.migration_id)) for orphan in found.orphans],
        "notSearched": list(found.not_searched),
    }


def _orphan(orphan: Orphan, mended: Mended | None) -> dict[str, Any]:
    done = {"done": mended.done or None, "runId": mended.run_id, "error": mended.error or None} if mended else None
    return {
        "migrationId": orphan.migration_id,
        "stands": orphan.stands,
        "servedBy": orphan.served_by,
        "left": [one.model_dump(mode="json", exclude={"migration_id"}) for one in orphan.left],
        "claims": list(orphan.held),
        "action": orphan.action,
        "words": orphan.words,
        "fix": done,
    }


def _outcome(one: Mended) -> str:
    return f"{one.orphan.migration_id}: {one.done or f'not mended: {one.error}'}"


def _left(orphan: Orphan) -> Iterable[str]:
    for place in sorted({one.place for one in orphan.left}):
        yield f"in {place}:"
        yield from (f"  {_named(one)}" for one in orphan.left if one.place == place)
    if orphan.held:
        yield "claims:"
        yield from (f"  {key}" for key in orphan.held)


def _named(one: Marked) -> str:
    return f"{one.kind} {one.id}, {one.state}"
