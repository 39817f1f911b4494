"""The sweep's worker, with less patience where `IMPATIENT` is set: for calls that hang for good.

Then a step's acts are given up after seconds instead of hours, the clients hang up after seconds instead of minutes,
and a silent act is waited out for seconds: in the same proportions as in `worker.py`.
"""

import asyncio
import functools
import os
from datetime import timedelta

import worker
from adapters import aws, servicenow
from adapters.vcenter import VCenter
from migration import policies
from tests.sweep.quick_worker import hurry

IMPATIENT = "MATRIX_IMPATIENT"
"""The environment variable that asks for it."""

ACT_BOUND = timedelta(seconds=8)
_GIVEN_UP_AFTER = timedelta(seconds=15)
_HANGS_UP_AFTER = timedelta(seconds=3)
_LONGEST_CALL = timedelta(seconds=8)
"""Two attempts of a client, and the pause between them."""
_NO_LOOK_FOR = timedelta(seconds=10)


def lose_patience() -> None:
    """Shorten how long a step, a call and a wait for a silent act take."""
    for policy in (policies.READ, policies.ACT, policies.ACT_WHILE_DOWN, policies.CLAIM):
        policy["schedule_to_close_timeout"] = _GIVEN_UP_AFTER
    # Constants, read where they are used.
    vars(policies).update(
        ACT_BOUND=ACT_BOUND,
        LONGEST_CALL=_LONGEST_CALL,
        JOB_ENDS_WITHIN=_GIVEN_UP_AFTER,
        STATUS_CHECKS_WITHIN=_GIVEN_UP_AFTER,
        POST_LAUNCH_WITHIN=_GIVEN_UP_AFTER,
        NO_LOOK_FOR=_NO_LOOK_FOR,
    )
    vars(aws)["_READ_SECONDS"] = _HANGS_UP_AFTER.total_seconds()
    vars(servicenow)["_WITHIN"] = _HANGS_UP_AFTER
    vars(worker)["VCenter"] = functools.partial(VCenter, call_within=_HANGS_UP_AFTER)


if __name__ == "__main__":
    hurry()
    if os.environ.get(IMPATIENT):
        lose_patience()
    asyncio.run(worker.main())
