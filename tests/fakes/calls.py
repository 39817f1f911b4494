"""What every fake has in common: it remembers what took effect, and goes wrong as it is told."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from migration.errors import MigrationError, Unavailable


class Faulty:
    """A system that can refuse a call before its effect, or lose the reply after it."""

    def __init__(self) -> None:
        """Everything works."""
        self.effects: list[tuple[Any, ...]] = []
        self._refusals: dict[str, list[MigrationError]] = {}
        self._lost: Counter[str] = Counter()

    def refuse(self, operation: str, error: MigrationError | None = None, *, times: int = 1) -> None:
        """Refuse the next calls of this operation, without an effect."""
        self._refusals.setdefault(operation, []).extend([error or Unavailable(f"{operation} was refused")] * times)

    def lose_reply(self, operation: str, *, times: int = 1) -> None:
        """Let the next calls of this operation take effect, and lose the reply."""
        self._lost[operation] += times

    def count(self, operation: str) -> int:
        """How often this operation took effect."""
        return sum(1 for effect in self.effects if effect[0] == operation)

    @contextmanager
    def effect(self, operation: str, *arguments: Any) -> Iterator[None]:
        """One mutating call: the body is its effect."""
        self.look(operation)
        yield
        self.effects.append((operation, *arguments))
        if self._lost[operation]:
            self._lost[operation] -= 1
            raise Unavailable(f"the reply of {operation} was lost")

    def look(self, operation: str) -> None:
        """One reading call."""
        if waiting := self._refusals.get(operation):
            raise waiting.pop(0)
