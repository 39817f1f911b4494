"""How careful the migration is: tests, approval, window, quiesce, soak, rollback."""

from datetime import timedelta
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from migration.formats import Duration, Person, Sentence, Timestamp
from migration.request.base import Part
from migration.request.choices import AfterSwitch, FailureAction, QuiesceMethod, RollbackTo, SoakEnd, TestMode

_SKIPPING_NEEDS_A_REASON: dict[str, Any] = {
    "if": {"properties": {"mode": {"const": "skip"}}, "required": ["mode"]},
    "then": {"required": ["reason"], "properties": {"reason": {"type": "string"}}},
}


class TestPlan(Part):
    """The test launch before the cutover."""

    __test__ = False  # not a test class, whatever its name says to pytest
    model_config = ConfigDict(json_schema_extra=_SKIPPING_NEEDS_A_REASON)

    mode: TestMode = Field(TestMode.LAUNCH, description="`skip` leaves the test launch out, and needs a reason.")
    reason: Sentence | None = Field(None, description="Why the test launch is left out.")
    max_age: Duration = Field(timedelta(days=30), description="How long a successful test launch counts.")


class Approval(Part):
    """Who must agree before the source is stopped."""

    approvers: Annotated[tuple[Person, ...], Field(min_length=1)] = Field(
        description="Who may approve; each once, whatever the case of the letters.",
        json_schema_extra={"uniqueItems": True},
    )
    minimum: Annotated[int, Field(ge=1)] = Field(1, description="How many of them must approve.")
    requester_may_approve: bool = Field(False, description="False: four eyes, the requester's own approval is void.")
    expires_after: Duration | None = Field(
        None, description="How long an approval holds. Null: until evidence changes."
    )
    signed: bool = Field(False, description="True: only signed approvals count.")


class CutoverWindow(Part):
    """When the source may be stopped."""

    not_before: Timestamp = Field(description="The cutover waits for this time.")
    not_after: Timestamp = Field(description="The cutover never starts after this time.")


class Quiesce(Part):
    """How the source stops accepting work before the last of its data is replicated."""

    method: QuiesceMethod = Field(
        QuiesceMethod.SHUTDOWN, description="`hookOnly`: the hooks alone stop the application."
    )
    within: Duration = Field(
        timedelta(minutes=15), description="How long it may take until the source is quiet and its lag is zero."
    )
    disconnect_nics: bool = Field(True, description="True: the source's network cards are disconnected as well.")


class Soak(Part):
    """How long the target is watched while a way back still exists."""

    for_: Duration = Field(
        timedelta(days=2),
        alias="for",
        description="How long the target is watched. Default: P2D in prod, P1D in staging, PT4H in test, PT1H in dev.",
    )
    end: SoakEnd = Field(SoakEnd.WAIT, description="`wait`: a person commits; `commit`: the end of the time does.")
    failures: Annotated[int, Field(ge=1)] = Field(3, description="So many failed checks within `over` are a failure.")
    over: Duration = Field(timedelta(minutes=10), description="The time over which failed checks are counted.")


class Rollback(Part):
    """What a rollback does."""

    to: RollbackTo = Field(
        RollbackTo.READY, description="`ready`: back to the gate, replication goes on; `start`: everything undone."
    )
    after_switch: AfterSwitch = Field(
        AfterSwitch.ASK, description="`auto` declares that the target's writes since the switch may be lost."
    )
    keep_target: Duration = Field(
        timedelta(days=14),
        description="How long a target that took writes is kept. Default: P14D in prod, P7D in staging, P3D elsewhere.",
    )


class OnFailure(Part):
    """What a failed step leads to."""

    action: FailureAction = Field(FailureAction.ROLLBACK, description="`pause`: the migration waits for a decision.")
    remind_every: Duration = Field(timedelta(hours=4), description="How often a pending decision is called to mind.")
    deadline: Duration | None = Field(
        None,
        description="How long a pending decision may take before it becomes a rollback. Null: as long as it takes.",
    )
