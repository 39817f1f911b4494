"""What a migration says of itself: the answer of the query `status`, the row of the read model, the Web UI's table."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from migration.findings import Finding, Severity
from migration.hooks import HookResult
from migration.models import Model
from migration.steps import Step


class Phase(StrEnum):
    """A migration's status; also the search attribute MigrationPhase."""

    VALIDATING = "VALIDATING"
    PREPARING = "PREPARING"
    REPLICATING = "REPLICATING"
    TESTING = "TESTING"
    AWAITING_APPROVAL = "AWAITING_APPROVAL"
    CUTTING_OVER = "CUTTING_OVER"
    VERIFYING = "VERIFYING"
    SWITCHING = "SWITCHING"
    SOAKING = "SOAKING"
    FINALIZING = "FINALIZING"
    DECOMMISSIONING = "DECOMMISSIONING"
    AWAITING_DECISION = "AWAITING_DECISION"
    ROLLING_BACK = "ROLLING_BACK"
    ROLLBACK_INCOMPLETE = "ROLLBACK_INCOMPLETE"
    COMPLETED = "COMPLETED"
    REJECTED = "REJECTED"
    ROLLED_BACK = "ROLLED_BACK"
    CANCELLED = "CANCELLED"
    FAILED = "FAILED"

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self in ENDED


ENDED = frozenset({Phase.COMPLETED, Phase.REJECTED, Phase.ROLLED_BACK, Phase.CANCELLED, Phase.FAILED})

PHASE_OF_STEP = {
    Step.VALIDATE: Phase.VALIDATING,
    Step.PREPARE: Phase.PREPARING,
    Step.REPLICATE: Phase.REPLICATING,
    Step.TEST: Phase.TESTING,
    Step.APPROVE: Phase.AWAITING_APPROVAL,
    Step.CUTOVER: Phase.CUTTING_OVER,
    Step.VERIFY: Phase.VERIFYING,
    Step.SWITCH: Phase.SWITCHING,
    Step.SOAK: Phase.SOAKING,
    Step.FINALIZE: Phase.FINALIZING,
    Step.DECOMMISSION: Phase.DECOMMISSIONING,
}


class StepState(StrEnum):
    """Where one step stands."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"
    UNDONE = "undone"


class Side(StrEnum):
    """Who serves the application's users. NOBODY between quiesce and switch: the downtime.

    UNKNOWN is the word of a run whose claim was refused: another migration has the id or a server, and knows.
    """

    SOURCE = "source"
    TARGET = "target"
    NOBODY = "nobody"
    UNKNOWN = "unknown"


class Live(BaseModel):
    """The base of the parts that change while a migration runs."""

    model_config = ConfigDict(extra="ignore", alias_generator=to_camel, populate_by_name=True, serialize_by_alias=True)


class Failure(Model):
    """What went wrong, of which kind, and what a person can do."""

    type: str
    message: str
    action: str | None = None


class StepProgress(Live):
    """One step's timeline. `entry` counts how often it was entered in this generation."""

    step: Step
    state: StepState = StepState.PENDING
    entry: int = 0
    started: datetime | None = None
    ended: datetime | None = None
    failure: Failure | None = None


class ServerProgress(Live):
    """One server: its MGN record, its replication as last seen, its launched instances."""

    name: str
    user_provided_id: str | None = None
    source_server_id: str | None = None
    life_cycle: str | None = None
    replication_state: str | None = None
    lag: timedelta | None = None
    observed_at: datetime | None = None
    test_instance_id: str | None = None
    instance_id: str | None = None
    address: str | None = None
    source_off: bool = False


class Awaiting(Model):
    """Who must act, how many of them, what they may decide, and until when; `step` is the one that failed, if any."""

    what: str
    step: Step | None = None
    message: str
    who: tuple[str, ...] = ()
    needed: int = 1
    choices: tuple[str, ...] = ()
    until: datetime | None = None


class Approval(Model):
    """A person's consent to the cutover, and the evidence it was given on."""

    approver: str
    at: datetime
    comment: str | None = None
    evidence_hash: str | None = None


class Acknowledgement(Model):
    """A person knows this warning, as it was worded then: another one of the same code is not covered by it."""

    code: str
    subject: str | None = None
    message: str
    by: str
    at: datetime
    comment: str | None = None

    def covers(self, finding: Finding) -> bool:
        """Whether it is about this very finding."""
        return (self.code, self.subject, self.message) == (finding.code, finding.subject, finding.message)


class DecisionRecord(Model):
    """A decision as it came: accepted, or refused and why.

    Attributes:
        update_id: Of the Temporal update that brought it; None for a signal.
    """

    name: str
    at: datetime
    accepted: bool
    message: str
    by: str | None = None
    comment: str | None = None
    update_id: str | None = None


class UndoLine(Model):
    """One thing that a rollback would do now, in words."""

    kind: str
    step: Step
    what: str


class UndoResult(Model):
    """What became of one undo."""

    kind: str
    what: str
    done: bool
    at: datetime
    error: str | None = None


class LeftUndone(Model):
    """An undo that could not succeed: what it concerns, where that is found, and who acts."""

    kind: str
    step: Step
    what: str
    error: str | None = None
    resources: tuple[str, ...] = ()
    where: str
    who: str


class CheckResult(Model):
    """What one check of a launched instance found last, and when.

    Attributes:
        kind: `http`, `tcp`, `ssm`, `ec2` (status checks) or `postLaunch` (an action of MGN).
        check: What was looked at, in words.
    """

    server: str
    kind: str
    check: str
    healthy: bool
    found: str
    at: datetime


class TestLaunch(Model):
    """The test launch that counts: its job, its instances, and what was seen of them.

    Attributes:
        took: From its start until its instances were found healthy: how long a launch of this application takes.
    """

    __test__ = False  # not a test class, whatever its name says to pytest

    job_id: str
    at: datetime
    took: timedelta
    checks: tuple[CheckResult, ...] = ()


class Window(Model):
    """When the cutover may take place.

    Attributes:
        latest_start: Later the cutover, and a rollback after it, would not fit.
        latest_turn_back: A cutover that has not switched by then is rolled back to the gate.
    """

    not_before: datetime
    not_after: datetime
    latest_start: datetime
    latest_turn_back: datetime

    @classmethod
    def between(cls, not_before: datetime, not_after: datetime, launch_takes: timedelta) -> "Window":
        """The window of an application whose launch, and whose way back, take so long each."""
        turn_back = not_after - launch_takes
        return cls(
            not_before=not_before,
            not_after=not_after,
            latest_start=turn_back - launch_takes,
            latest_turn_back=turn_back,
        )


class Preserved(Model):
    """What holds the writes that the target took before a rollback: nothing of it is deleted."""

    since: datetime
    until: datetime
    instance_ids: tuple[str, ...]
    snapshot_ids: tuple[str, ...]
    keep_until: datetime


class MigrationStatus(Live):
    """The whole state of a migration as a person may want to see it."""

    migration_id: str
    app_name: str
    environment: str
    wave_id: str | None = None
    correlation_id: str
    requested_by: str
    generation: int = 0
    phase: Phase = Phase.VALIDATING
    served_by: Side = Side.SOURCE
    message: str = ""
    started: datetime
    updated: datetime
    ended: datetime | None = None
    version: int = 0

    steps: list[StepProgress] = []
    servers: list[ServerProgress] = []
    awaiting: Awaiting | None = None
    findings: list[Finding] = []
    acknowledged: list[Acknowledgement] = []
    failure: Failure | None = None

    test: TestLaunch | None = None
    checks: list[CheckResult] = []
    hooks: list[HookResult] = []
    evidence: dict[str, Any] | None = None
    evidence_hash: str | None = None
    approvals: list[Approval] = []
    decisions: list[DecisionRecord] = []
    window: Window | None = None
    paused_by: str | None = None
    used_signatures: list[str] = []

    undo: list[UndoLine] = []
    undone: list[UndoResult] = []
    left: list[LeftUndone] = []
    past_point_of_no_return: bool = False
    cancel_requested: bool = False
    down_since: datetime | None = None
    downtime: timedelta = timedelta(0)
    divergence_since: datetime | None = None
    preserved: list[Preserved] = []
    source_kept_by: str | None = None
    source_retiring: bool = False
    deletion_approvals: list[Approval] = []

    @property
    def open_warnings(self) -> list[Finding]:
        """The warnings that nobody has acknowledged yet."""
        warnings = (finding for finding in self.findings if finding.severity is Severity.WARNING)
        return [one for one in warnings if not any(known.covers(one) for known in self.acknowledged)]


class MigrationResult(Model):
    """How a migration ended, and who serves the application."""

    migration_id: str
    generation: int
    status: Phase
    served_by: Side
    message: str
    failure: Failure | None = None
    preserved: tuple[Preserved, ...] = ()
