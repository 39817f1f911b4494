"""Counts the calls that adapters tell of."""

from threading import Lock

from temporalio.common import MetricMeter

from migration import metrics
from migration.ports import CallMade


class CallCounter:
    """Counts calls to AWS, and how long they take. Safe to share between threads."""

    def __init__(self, meter: MetricMeter) -> None:
        """Nothing is counted yet."""
        self._meter = meter
        self._known: set[tuple[str, str]] = set()
        self._lock = Lock()

    def __call__(self, call: CallMade) -> None:
        """Count a call; with the first one of an operation all that may come of it begin at 0."""
        labels = {"service": call.service, "operation": call.operation}
        with self._lock:
            if (call.service, call.operation) not in self._known:
                self._known.add((call.service, call.operation))
                metrics.CALLS.begin(self._meter, **labels)
        metrics.CALLS.add(self._meter, result=call.result, **labels)
        metrics.CALL_DURATION.record(self._meter, call.took, **labels)
