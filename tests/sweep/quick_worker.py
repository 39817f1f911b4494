"""The product's worker, quick to find out that another one died: for sweeps that kill it often.

Only how long a dead attempt is waited for differs from `worker.py`.
"""

import asyncio
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from temporalio.client import Client
from temporalio.worker import Worker

import worker
from activities.running import Attempt
from migration import policies
from tests.sweep import orders
from tests.sweep.mutations import VARIABLE, mutate

_SILENCE = timedelta(seconds=3)
_LONGEST_LOOK = timedelta(seconds=12)
_LONGEST_PAUSE = timedelta(seconds=4)
_LONGEST_CALL = timedelta(seconds=5)
_STICKY = timedelta(seconds=0.5)
_FEW = 2
"""Polls of a worker that may stand still: each takes a task with it."""


def hurry() -> None:
    """Shorten the silence after which an attempt counts as dead, what is waited out then, the pauses of retries."""
    # Constants, read where they are used.
    vars(policies).update(ACT_BOUND=orders.ACT_BOUND, LONGEST_CALL=_LONGEST_CALL)
    for policy in vars(policies).values():
        if not isinstance(policy, dict) or "retry_policy" not in policy:
            continue
        if "heartbeat_timeout" in policy:
            policy["heartbeat_timeout"] = _SILENCE
        else:
            policy["start_to_close_timeout"] = _LONGEST_LOOK
        policy["retry_policy"].maximum_interval = _LONGEST_PAUSE
    # The composition root has no parameter for an interceptor.
    vars(worker)["Worker"] = _worker


def _worker(client: Client, **options: Any) -> Worker:
    """The composition root's worker; it obeys orders where a sweep gives them."""
    if directory := os.environ.get(orders.VARIABLE):
        given = orders.Orders(Path(directory))
        options["interceptors"] = [*options["interceptors"], orders.Obedient(given)]
        _stand_still_before_calls(given)
    if os.environ.get(orders.STALLS):
        options |= {"max_concurrent_workflow_task_polls": _FEW, "max_concurrent_activity_task_polls": _FEW}
    return Worker(client, **options | {"sticky_queue_schedule_to_start_timeout": _STICKY})


def _stand_still_before_calls(given: orders.Orders) -> None:
    """Let an attempt stand still where it has decided to act, and before it looks at its age."""
    before_call = Attempt.before_call

    def stopped_before_call(attempt: Attempt) -> None:
        given.stand_still()
        before_call(attempt)

    setattr(Attempt, "before_call", stopped_before_call)  # noqa: B010  a method may not be assigned to


if __name__ == "__main__":
    hurry()
    mutate(os.environ.get(VARIABLE, ""))
    asyncio.run(worker.main())
