"""How long things may take, and how they are tried again. The one home of every timeout and retry."""

from datetime import timedelta
from typing import TypedDict

from temporalio.common import RetryPolicy
from temporalio.workflow import ActivityCancellationType

_SECOND = timedelta(seconds=1)
_MINUTE = timedelta(minutes=1)
_HOUR = timedelta(hours=1)


class ActivityPolicy(TypedDict, total=False):
    """The options of one kind of activity, as `workflow.execute_activity` takes them."""

    start_to_close_timeout: timedelta
    schedule_to_close_timeout: timedelta
    heartbeat_timeout: timedelta
    retry_policy: RetryPolicy
    cancellation_type: ActivityCancellationType


class LocalActivityPolicy(TypedDict, total=False):
    """The options of an activity that runs beside its workflow, as `workflow.execute_local_activity` takes them."""

    schedule_to_close_timeout: timedelta
    retry_policy: RetryPolicy


READ = ActivityPolicy(
    start_to_close_timeout=5 * _MINUTE,
    schedule_to_close_timeout=_HOUR,
    retry_policy=RetryPolicy(initial_interval=_SECOND, maximum_interval=_MINUTE),
)
"""A look that changes nothing."""

ACT = ActivityPolicy(
    start_to_close_timeout=30 * _MINUTE,
    schedule_to_close_timeout=4 * _HOUR,
    heartbeat_timeout=30 * _SECOND,
    retry_policy=RetryPolicy(initial_interval=_SECOND, maximum_interval=_MINUTE),
    cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
)
"""A side effect. A cancelled attempt is waited for, so that its undo never overtakes it."""

ACT_WHILE_DOWN: ActivityPolicy = {**ACT, "schedule_to_close_timeout": 30 * _MINUTE}
"""The same while nobody serves the application: a quota or an outage that holds it up for longer ends the step."""

ACT_BOUND = 2 * _MINUTE
"""No attempt begins a mutating call later than this after its start; a setting may shorten it, and not prolong it.

So when an attempt fell silent (its worker stood still, and may go on), its undo waits until the last such call can
have landed.
"""

LONGEST_CALL = _MINUTE
"""How long one call of an adapter may take, its client's own repeats included."""

CLAIM = ActivityPolicy(
    start_to_close_timeout=_MINUTE,
    schedule_to_close_timeout=_HOUR,
    retry_policy=RetryPolicy(initial_interval=_SECOND, maximum_interval=_MINUTE),
    cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
)
"""A short side effect of our own: its answer is waited for, so that what was granted can be given back."""

VERIFY_SIGNATURE = LocalActivityPolicy(
    schedule_to_close_timeout=10 * _SECOND, retry_policy=RetryPolicy(maximum_attempts=3)
)
"""A signature is verified beside the workflow: nothing outside the worker is asked."""

WAIT = ActivityPolicy(
    start_to_close_timeout=90 * _SECOND,
    retry_policy=RetryPolicy(initial_interval=_SECOND, maximum_interval=_MINUTE),
)
"""A wait: one activity whose attempts are looks, spaced by what each look asks for. It ends by its own deadline, or by
that of `waiting` where not even a look is to be had.

A look that got lost (with its worker, or on its way to one) is missed only after this time, perhaps while nobody
serves the application: so it is little more than the longest look, 200 health checks of 5 s, 16 at a time.
"""

JOB_ENDS_WITHIN = 2 * _HOUR
"""How long an MGN job may take; the launch of large disks, with their conversion, takes up to an hour."""

STATUS_CHECKS_WITHIN = _HOUR
"""How long EC2's status checks of a launched instance may take. EC2 itself decides within minutes; Cloud Migration
Factory gives up after the same hour."""

NO_LOOK_FOR = 10 * _MINUTE
"""How long after its own deadline a wait ends that cannot even look."""


def waiting(within: timedelta) -> ActivityPolicy:
    """A wait that fails some time after its own deadline, when no look at all came back in time to say so."""
    return {**WAIT, "schedule_to_close_timeout": max(within, timedelta(0)) + NO_LOOK_FOR}


def hook(within: timedelta) -> ActivityPolicy:
    """An act of the application's own: over when the request says so, or somewhat later when nobody can tell."""
    return {**ACT, "schedule_to_close_timeout": within + NO_LOOK_FOR}


UNDO = ActivityPolicy(
    start_to_close_timeout=30 * _MINUTE,
    schedule_to_close_timeout=24 * _HOUR,
    heartbeat_timeout=30 * _SECOND,
    retry_policy=RetryPolicy(initial_interval=_SECOND, maximum_interval=5 * _MINUTE),
    cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
)
"""A compensation: tried for a day before a person is asked."""

FORWARD = ActivityPolicy(
    start_to_close_timeout=30 * _MINUTE,
    heartbeat_timeout=30 * _SECOND,
    retry_policy=RetryPolicy(initial_interval=_SECOND, maximum_interval=5 * _MINUTE),
    cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
)
"""A step after the point of no return: no end to its retries."""

RECORD = ActivityPolicy(
    start_to_close_timeout=_MINUTE,
    retry_policy=RetryPolicy(initial_interval=_SECOND, maximum_interval=5 * _MINUTE),
)
"""The read model: it catches up whenever its store is back."""

DELIVER = ActivityPolicy(
    start_to_close_timeout=30 * _SECOND,
    retry_policy=RetryPolicy(maximum_attempts=1),
)
"""One delivery of a callback; when to try again is `CallbackWorkflow`'s to say."""

PUBLISH_AT_END = 30 * _SECOND
"""How long an ended migration waits for its last state and messages to leave."""

AGENT_REGISTERS_WITHIN = 30 * _MINUTE
"""How long after its installation an agent may take to appear in MGN."""

NO_LAG = timedelta(0)

LAG_PATIENCE = 10 * _MINUTE
"""How long replication may be behind, while approvals wait, before the evidence counts as changed."""

WATCH_AT_ONCE = timedelta(days=7)
"""How long one watch lasts while a commit is waited for."""

DNS_MARGIN = 2 * _SECOND
"""Added to an old TTL that is waited out, for clocks and the provider's own propagation."""

CALLBACK_HAND_OVER_PAUSE = 10 * _SECOND
CALLBACK_FIRST_BACKOFF = 2 * _SECOND
CALLBACK_LONGEST_BACKOFF = _HOUR
CALLBACK_GIVE_UP_AFTER = 24 * _HOUR
CALLBACK_KEEP_DEAD_LETTERS = timedelta(days=30)

READ_MODEL_KEPT = timedelta(days=400)
"""How long the row of an ended migration stays in the read model."""

EVENTS_KEPT = 100
"""How many events wait for a bus; the oldest are given up."""

DECISIONS_KEPT = 50
"""How many decisions a migration remembers, the refused ones included."""
