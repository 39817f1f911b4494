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


READ = ActivityPolicy(
    start_to_close_timeout=5 * _MINUTE,
    schedule_to_close_timeout=_HOUR,
    retry_policy=RetryPolicy(initial_interval=_SECOND, maximum_interval=_MINUTE),
)
"""A look that changes nothing."""

PLAN: ActivityPolicy = {**READ, "schedule_to_close_timeout": 10 * _MINUTE}
"""The same for somebody who waits for it at a terminal."""

PLANNED_WITHIN = 12 * _MINUTE
"""How long a plan may take in all. Its workflow may have an end, unlike a migration's: it leaves nothing to undo."""

PLAN_TAKEN_WITHIN = 20 * _SECOND
"""How long a plan waits for a worker to take it up."""

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

VERIFY_SIGNATURE = ActivityPolicy(
    start_to_close_timeout=10 * _SECOND, retry_policy=RetryPolicy(initial_interval=_SECOND, maximum_attempts=3)
)
"""Between the acceptance of a signed decision and its effect. Nothing outside the worker is asked, and a person waits.

It is no local activity: a query that comes while one runs makes its update replay otherwise than it was taken.
"""

WAIT = ActivityPolicy(
    start_to_close_timeout=90 * _SECOND,
    retry_policy=RetryPolicy(initial_interval=_SECOND, maximum_interval=_MINUTE),
)
"""A wait: one activity whose attempts are looks, spaced by what each look asks for. It ends by its own deadline, or by
that of `waiting` where not even a look is to be had.

A look that got lost (with its worker, or on its way to one) is missed only after this time, perhaps while nobody
serves the application: so it is little more than the longest look, 200 commands of 10 s, 32 at a time.
"""

JOB_ENDS_WITHIN = 2 * _HOUR
"""How long an MGN job may take; the launch of large disks, with their conversion, takes up to an hour."""

STATUS_CHECKS_WITHIN = _HOUR
"""How long EC2's status checks of a launched instance may take. EC2 itself decides within minutes; Cloud Migration
Factory gives up after the same hour."""

POST_LAUNCH_WITHIN = _HOUR
"""How long MGN's post-launch actions that must succeed may take together; one alone has an hour by default."""

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

TELL_FACTORY = ActivityPolicy(
    start_to_close_timeout=30 * _MINUTE,
    heartbeat_timeout=30 * _SECOND,
    retry_policy=RetryPolicy(initial_interval=_SECOND, maximum_interval=5 * _MINUTE),
)
"""Statuses in Cloud Migration Factory, of up to 200 servers: they catch up whenever it is back."""

SIGNAL_FACTORY_WAVE = ActivityPolicy(
    start_to_close_timeout=30 * _SECOND,
    schedule_to_close_timeout=5 * _MINUTE,
    retry_policy=RetryPolicy(initial_interval=_SECOND, maximum_interval=30 * _SECOND),
)
"""A signal to the workflow of a wave: Temporal alone is asked."""

DELIVER = ActivityPolicy(
    start_to_close_timeout=30 * _SECOND,
    retry_policy=RetryPolicy(maximum_attempts=1),
)
"""One delivery of a callback; when to try again is `CallbackWorkflow`'s to say."""

PUBLISH_AT_END = 30 * _SECOND
"""How long an ended migration waits for its last state and messages to leave."""

FACTORY_SETTLES_WITHIN = 5 * _SECOND
"""How long a migration that continues as new, or has ended, lets words to Cloud Migration Factory land."""

FACTORY_WAVE_LOOKS = 12 * _HOUR
"""How often a wave's workflow looks whether its migrations still run: a terminated one tells nobody."""

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
CALLBACK_LONGEST_HISTORY = 2000
"""In events: a run of the callbacks that has become so long goes on as a new one."""

READ_MODEL_KEPT = timedelta(days=400)
"""How long the row of an ended migration stays in the read model."""

PUBLISH_BEFORE_RENEWAL = 15 * _SECOND
"""How long a migration that continues as new waits for what is just leaving; the rest is carried over."""

EVENTS_AT_ONCE = 10
"""How many events one activity sends: what EventBridge takes in one request, so that each request counts."""

EVENTS_PAUSE = 5 * _MINUTE
"""How long events wait after the bus refused them in a way that no retry of a call helps against."""

EVENTS_KEPT = 500
"""How many events wait for the bus; the oldest are given up, so that what a migration carries stays below Temporal's
2 MB (a message has about 1 KB)."""

EVENTS_KEPT_WITHOUT_A_BUS = 100
"""The same where the settings name no bus."""

DECISIONS_KEPT = 50
"""How many decisions a migration remembers, the refused ones included."""
