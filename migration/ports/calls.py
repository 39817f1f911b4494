"""What adapters tell of the calls they make, to whoever counts them."""

from collections.abc import Callable
from datetime import timedelta

from migration.models import Model


class CallMade(Model):
    """A call, its repeats included, and what came of it: one of `migration.metrics.CALL_RESULTS`."""

    system: str
    operation: str
    result: str
    took: timedelta


CallObserver = Callable[[CallMade], None]
"""Hears of each call when it has ended. It never fails."""
