"""For which migration systems are called, so that AWS knows its calls by it: in CloudTrail, and in policies."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_migration: ContextVar[str | None] = ContextVar("migration", default=None)


@contextmanager
def on_behalf_of(migration_id: str | None) -> Iterator[None]:
    """Call systems for this migration inside, in this thread and in those that get a copy of its context."""
    token = _migration.set(migration_id)
    try:
        yield
    finally:
        _migration.reset(token)


def migration_served() -> str | None:
    """The migration that systems are called for; None: none in particular."""
    return _migration.get()
