"""The product's worker, quick to find out that another one died: for sweeps that kill it often.

Only how long a dead attempt is waited for differs from `worker.py`.
"""

import asyncio
import functools
import os
from datetime import timedelta

from temporalio.worker import Worker

import worker
from migration import policies
from tests.sweep.mutations import VARIABLE, mutate

_SILENCE = timedelta(seconds=3)
_LONGEST_LOOK = timedelta(seconds=12)
_LONGEST_PAUSE = timedelta(seconds=4)
_STICKY = timedelta(seconds=0.5)


def hurry() -> None:
    """Shorten the silence after which an attempt counts as dead, and the pauses between attempts."""
    for policy in vars(policies).values():
        if not isinstance(policy, dict) or "retry_policy" not in policy:
            continue
        if "heartbeat_timeout" in policy:
            policy["heartbeat_timeout"] = _SILENCE
        else:
            policy["start_to_close_timeout"] = _LONGEST_LOOK
        policy["retry_policy"].maximum_interval = _LONGEST_PAUSE
    # The composition root has no parameter for it.
    vars(worker)["Worker"] = functools.partial(Worker, sticky_queue_schedule_to_start_timeout=_STICKY)


if __name__ == "__main__":
    hurry()
    mutate(os.environ.get(VARIABLE, ""))
    asyncio.run(worker.main())
