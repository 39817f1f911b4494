"""Counts the calls that adapters tell of, and those to systems whose adapters tell of none."""

import functools
import time
from collections.abc import Callable
from datetime import timedelta
from threading import Lock
from typing import Any, TypeVar, cast

from temporalio.common import MetricMeter

from migration import metrics
from migration.errors import MigrationError, Unavailable
from migration.ports import CallMade, CallObserver

Port = TypeVar("Port")


class CallCounter:
    """Counts calls, and how long they take. Safe to share between threads."""

    def __init__(self, meter: MetricMeter) -> None:
        """Nothing is counted yet."""
        self._meter = meter
        self._known: set[tuple[str, str]] = set()
        self._lock = Lock()

    def __call__(self, call: CallMade) -> None:
        """Count a call; with the first one of an operation all that may come of it begin at 0."""
        labels = {"system": call.system, "operation": call.operation}
        with self._lock:
            if (call.system, call.operation) not in self._known:
                self._known.add((call.system, call.operation))
                metrics.CALLS.begin(self._meter, **labels)
        metrics.CALLS.add(self._meter, result=call.result, **labels)
        metrics.CALL_DURATION.record(self._meter, call.took, **labels)


def listened_to(port: Port, system: str, observe: CallObserver) -> Port:
    """The same port; what it is asked for is heard of by the names of its methods."""
    return cast("Port", _ListenedTo(port, system, observe))


class _ListenedTo:
    def __init__(self, port: Any, system: str, observe: CallObserver) -> None:
        self._port, self._system, self._observe = port, system, observe

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        return self._heard(name, found) if callable(found) and name != "close" else found

    def _heard(self, operation: str, ask: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(ask)
        def asked(*args: Any, **kwargs: Any) -> Any:
            began, result = time.monotonic(), "ok"
            try:
                return ask(*args, **kwargs)
            except MigrationError as error:
                result = "unavailable" if isinstance(error, Unavailable) else "refused"
                raise
            finally:
                took = timedelta(seconds=time.monotonic() - began)
                self._observe(CallMade(system=self._system, operation=operation, result=result, took=took))

        return asked
