"""What a sweep orders its workers to do at an activity, and what each attempt tells: files, for they outlive a worker.

A worker dies after the activity's function has returned and before its result is sent, or it stands still after the
activity has decided and before its next call.
"""

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import Any, Literal
from urllib.parse import quote

from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from localcloud.ledger import Entry

VARIABLE = "SWEEP_ORDERS"
"""The environment variable that names the directory of the files."""

STALLS = "SWEEP_STALLS"
"""The environment variable of workers that stand still: two of them share a task queue, and hear of it soon."""

ACT_BOUND = timedelta(seconds=9)
"""Of a sweep's workers: as much longer than the silence after which an attempt counts as dead as in `policies.py`."""

_STOPPED_WITHIN = 0.05
_BESIDE = frozenset({"dynamodb", "callback", "events", "cmf", "change", "sqs", "application"})
"""Services whose entries are no calls of an activity that acts."""

Event = Literal["began", "returned", "raised", "obeyed"]
What = Literal["die", "stand still"]


@dataclass(frozen=True)
class Order:
    """What a worker is to do, once, at the nth activity of this type in one workflow."""

    activity: str
    nth: int
    what: What


@dataclass(frozen=True)
class Told:
    """One line of what a workflow's attempts tell.

    Attributes:
        task: Run and activity id: the same for all attempts of one activity.
        acts: The activity is one whose thread must not be interrupted: it makes calls that change something.
    """

    event: Event
    time: str
    activity: str
    task: str
    attempt: int
    pid: int
    acts: bool


class Orders:
    """The files of one cloud's workers: one with orders and one with what was told for each workflow."""

    def __init__(self, directory: Path) -> None:
        """Keep where they are."""
        self._directory = directory
        self._lock = Lock()

    def give(self, workflow_id: str, orders: Iterable[Order]) -> None:
        """Write the orders of a workflow before it starts."""
        self._directory.mkdir(exist_ok=True)
        self._file(workflow_id, "orders").write_text(json.dumps([asdict(order) for order in orders]))

    def told(self, workflow_id: str) -> list[Told]:
        """What the attempts of a workflow have told so far."""
        file = self._file(workflow_id, "told")
        return [Told(**json.loads(line)) for line in file.read_text().splitlines()] if file.exists() else []

    def obeyed(self, workflow_id: str) -> list[Told]:
        """The orders that were carried out."""
        return [told for told in self.told(workflow_id) if told.event == "obeyed"]

    # --- in the worker -------------------------------------------------------------------------------------------

    def tell(self, event: Event, *, acts: bool) -> None:
        """Add a line about the attempt that is under way here."""
        info = activity.info()
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        told = Told(event, now, info.activity_type, _task(info), info.attempt, os.getpid(), acts)
        with self._file(info.workflow_id or "", "told").open("a") as file:
            file.write(json.dumps(asdict(told)) + "\n")

    def due(self, what: What) -> bool:
        """Whether that was ordered for the activity that is under way here, and was not yet done."""
        info = activity.info()
        file = self._file(info.workflow_id or "", "orders")
        if not file.exists():
            return False
        told = self.told(info.workflow_id or "")
        tasks = list(dict.fromkeys(one.task for one in told if one.activity == info.activity_type))
        order = Order(info.activity_type, tasks.index(_task(info)) + 1, what)
        done = any(one.event == "obeyed" and one.task == _task(info) for one in told)
        return not done and order in [Order(**order) for order in json.loads(file.read_text())]

    def stand_still(self) -> None:
        """Stop this process until somebody lets it go on, if that is due."""
        with self._lock:
            if self.due("stand still"):
                self.tell("obeyed", acts=True)
                os.kill(os.getpid(), signal.SIGSTOP)
                time.sleep(_STOPPED_WITHIN)  # the signal may reach this thread a moment after the others

    def die(self, *, acts: bool) -> None:
        """Kill this process, if that is due."""
        if self.due("die"):
            self.tell("obeyed", acts=acts)
            os.kill(os.getpid(), signal.SIGKILL)

    def _file(self, workflow_id: str, kind: str) -> Path:
        return self._directory / f"{quote(workflow_id, safe='')}.{kind}"


def _task(info: activity.Info) -> str:
    return f"{info.workflow_run_id}/{info.activity_id}"


class Obedient(Interceptor):
    """Tells of every attempt, and obeys."""

    def __init__(self, orders: Orders) -> None:
        """Keep the files."""
        self._orders = orders

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002  the SDK's signature
        """Wrap every activity."""
        return _Obeying(super().intercept_activity(next), self._orders)


class _Obeying(ActivityInboundInterceptor):
    def __init__(self, after: ActivityInboundInterceptor, orders: Orders) -> None:
        super().__init__(after)
        self._orders = orders

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002  the SDK's signature
        definition = activity._Definition.from_callable(input.fn)
        acts = bool(definition and definition.no_thread_cancel_exception)
        self._orders.tell("began", acts=acts)
        try:
            result = await super().execute_activity(input)
        except BaseException as error:
            self._orders.tell("raised", acts=acts)
            # A wait ends each look so, and dies at its first one; an act that is tried again has had no result yet.
            if not acts or (isinstance(error, ApplicationError) and error.non_retryable):
                self._orders.die(acts=acts)
            raise
        self._orders.tell("returned", acts=acts)
        self._orders.die(acts=acts)
        return result


@dataclass(frozen=True)
class Act:
    """One activity that acted: when, by the clock of its workers, and which calls of it were accepted."""

    activity: str
    nth: int
    began: str
    returned: str
    calls: tuple[tuple[str, str], ...]


def acts(told: Sequence[Told], entries: Iterable[Entry]) -> list[Act]:
    """The activities that act, each with the calls that fell into its time; records go on beside them."""
    known = list(entries)
    seen: Counter[str] = Counter()
    found = []
    for began in told:
        if began.event != "began" or not began.acts or began.attempt > 1:
            continue
        seen[began.activity] += 1
        returned = max((t.time for t in told if t.task == began.task and t.event == "returned"), default="")
        calls = [(e.service, e.operation) for e in known if began.time <= e.time <= returned]
        own = tuple(call for call in calls if call[0] not in _BESIDE)
        found.append(Act(began.activity, seen[began.activity], began.time, returned, own))
    return found
