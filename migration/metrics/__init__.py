"""Every metric of ours, defined once; `docs/metrics.md` is written from here.

Workflow code counts through `workflow.metric_meter()`, which is silent on replay and makes no commands; all others
through the meter of the process's one runtime. Without the setting `metrics_address` each of these meters does nothing.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Final

from temporalio.common import MetricMeter

from migration.decisions import DECISIONS
from migration.metrics.kinds import By, Counter, Gauge, Histogram, Metric, minutes
from migration.request import RollbackTo
from migration.status import ENDED, Phase, StepState
from migration.steps import STEPS

__all__ = ["METRICS", "By", "Counter", "Gauge", "Histogram", "Metric", "Watched", "begin", "buckets"]

RUNNING: Final = tuple(phase for phase in Phase if not phase.ended)
"""The phases of migrations that have not ended."""

UNDOS: Final = (
    "awaitSourceHealth",
    "endCutover",
    "endTest",
    "fenceTarget",
    "hooksAfterRollback",
    "hooksBeforeRollback",
    "removeReplication",
    "removeSnapshots",
    "restoreInventory",
    "restoreNames",
    "restoreSource",
    "unprotectTarget",
)
"""The kinds of undo; a test compares them with those of `workflows/saga.py`."""

QUESTIONS: Final = (
    "acknowledge",
    "approve",
    "change",
    "commit",
    "delete",
    "failure",
    "reschedule",
    "resume",
    "undo",
)
"""What persons are asked for; a test compares them with those that the workflows ask."""

CALL_RESULTS: Final = ("ok", "refused", "throttled", "denied", "unavailable")
"""`refused`: the system answered that this call is wrong now. `unavailable`: no answer, or an error of its own."""


class Watched(StrEnum):
    """Why replication is looked at. From the cutover on the source is off: its lag means nothing, and nobody looks."""

    CATCHING_UP = "catching_up"
    AT_THE_GATE = "at_the_gate"


_TRUTH = ("true", "false")
_HOURS = (1 * 60, 4 * 60, 12 * 60)
_DAYS = tuple(days * 24 * 60 for days in (1, 3, 7, 14, 28))

# --- what migrations go through --------------------------------------------------------------------------------------

STARTED = Counter("migrator_migrations_started", By.MIGRATION, "Migrations that have started.")
ENDED_AS = Counter(
    "migrator_migrations_ended",
    By.MIGRATION,
    "Migrations that have ended, by how.",
    {"ending": sorted(ENDED)},
)
STEP_DURATION = Histogram(
    "migrator_step_duration",
    By.MIGRATION,
    "How long one entry of a step lasted, waits for persons and windows included.",
    {"step": STEPS, "outcome": (StepState.DONE, StepState.FAILED, StepState.SKIPPED)},
    (timedelta(seconds=10), *minutes(1, 5, 15, *_HOURS, *_DAYS)),
)
DOWNTIME = Histogram(
    "migrator_downtime",
    By.MIGRATION,
    "How long nobody served an application's users, by who served then.",
    {"served_by": ("source", "target")},
    (timedelta(seconds=30), *minutes(1, 2, 5, 10, 20, 30, 60, 120, 240, 480)),
)
ROLLBACKS = Counter(
    "migrator_rollbacks",
    By.MIGRATION,
    "Rollbacks that have begun. after_switch: the target may hold writes that the source lacks.",
    {"depth": tuple(RollbackTo), "after_switch": _TRUTH},
)
UNDO_FAILURES = Counter(
    "migrator_undo_failures",
    By.MIGRATION,
    "Undos that failed; each is an entry of ROLLBACK_INCOMPLETE, or the reason for some.",
    {"undo": UNDOS},
)
ASKED = Counter(
    "migrator_decisions_asked",
    By.MIGRATION,
    "Questions put to persons. past_pivot: after the point of no return, where nothing leads back.",
    {"what": QUESTIONS, "past_pivot": _TRUTH},
)
DECISIONS_MADE = Counter(
    "migrator_decisions",
    By.MIGRATION,
    "Decisions of persons, taken or refused.",
    {"decision": tuple(DECISIONS), "result": ("taken", "refused")},
)

# --- where migrations stand: the census ------------------------------------------------------------------------------

MIGRATIONS = Gauge("migrator_migrations", By.WORKER, "Running migrations by phase.", {"phase": RUNNING})
PHASE_AGE = Gauge(
    "migrator_phase_age_seconds",
    By.WORKER,
    "How long a phase's longest-standing migration has been there, or waited for a person there; 0: there is none.",
    {"phase": RUNNING},
)
WAITING = Gauge(
    "migrator_decisions_waiting",
    By.WORKER,
    "Migrations that wait for a person, by phase; for approvals it is AWAITING_APPROVAL.",
    {"phase": RUNNING},
)
DECISION_WAIT = Gauge(
    "migrator_decision_wait_seconds",
    By.WORKER,
    "How long it is that somebody has been waited for there; 0: nobody is.",
    {"phase": RUNNING},
)
CENSUS_TIME = Gauge(
    "migrator_census_timestamp_seconds",
    By.WORKER,
    "When this worker last counted migrations, in Unix time: the four gauges above are as old as that.",
)
LAG = Gauge(
    "migrator_replication_lag_seconds",
    By.WORKER,
    "The worst lag among the servers that this worker has looked at in the last five minutes; 0: at none. "
    "catching_up: a step waits for it. at_the_gate: approvals rest on it.",
    {"watched": tuple(Watched)},
)
STALLED = Gauge(
    "migrator_replication_stalled_servers",
    By.WORKER,
    "How many of those servers MGN called STALLED.",
    {"watched": tuple(Watched)},
)

# --- what the product calls, and who calls it ------------------------------------------------------------------------

CALLS = Counter(
    "migrator_calls",
    By.WORKER,
    "Calls of workers and ingresses to other systems; the repeats of one call are one. AWS: its service and operation. "
    "vcenter, servicenow, cmf: what was asked of the port (`migration/ports`).",
    {"system": (), "operation": (), "result": CALL_RESULTS},
)
CALL_DURATION = Histogram(
    "migrator_call_duration",
    By.WORKER,
    "How long those calls took, repeats included.",
    {"system": (), "operation": ()},
    tuple(timedelta(seconds=seconds) for seconds in (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40)),
)
DELIVERIES = Counter(
    "migrator_callback_deliveries",
    By.CALLBACKS,
    "Tries to deliver a callback, by what came of them.",
    {"result": ("delivered", "retry", "gone")},
)
DEAD_LETTERS = Counter(
    "migrator_callback_dead_letters",
    By.CALLBACKS,
    "Callbacks that were given up, after a day or since the endpoint is gone.",
)
MESSAGES = Counter(
    "migrator_ingress_messages",
    By.INGRESS,
    "Messages of the request queue: accepted; refused, into the dead-letter queue; ignored, being no request; "
    "or back for another try, since a system did not answer.",
    {"result": ("accepted", "refused", "ignored", "back")},
)

METRICS: Final[tuple[Metric, ...]] = tuple(one for one in list(globals().values()) if isinstance(one, Metric))
"""All of them, in the order of this file."""


def buckets() -> Mapping[str, Sequence[float]]:
    """The bounds of each histogram, by the name that the SDK's exporter goes by."""
    return {one.name: [bound.total_seconds() for bound in one.buckets] for one in METRICS if isinstance(one, Histogram)}


def begin(meter: MetricMeter, *whose: By) -> None:
    """Begin at 0 what is counted there, as far as its series are known beforehand."""
    for metric in METRICS:
        if isinstance(metric, Counter) and metric.by in whose:
            metric.begin(meter)
