"""What is safe to do about a migration that nobody runs any more, judged from its traces alone."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from activities.machines import snapshot_name
from activities.target import KEEP_UNTIL_TAG
from adapters.claims import HeldId, HeldServer
from adapters.inventory import Kind, Marked
from migration.errors import ValidationError
from migration.marks import Mark
from migration.ports import Where
from migration.status import MigrationStatus, Phase, Preserved, ServerProgress, Side, StepProgress, StepState, UndoLine
from migration.steps import Step
from starter.reconcile import Reconciled, place
from starter.reconcile.mend import Mended, inheritance
from starter.reconcile.orphans import Action, DeadRun, Traces, judge, migration_of_snapshot, where_of
from starter.reconcile.table import as_dict, table

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ID = "mig-billing"
SERVER = HeldServer(key="vcenter-1/billing-web-01", migration_id=ID, generation=1)
INSTANCE = Marked(
    kind=Kind.INSTANCE, id="i-1", migration_id=ID, state="running", place="123456789012/eu-central-1", tags={}
)
RECORD = INSTANCE.model_copy(update={"kind": Kind.SOURCE_SERVER, "id": "s-1", "state": "READY_FOR_CUTOVER"})
SNAPSHOT = INSTANCE.model_copy(update={"kind": Kind.VOLUME_SNAPSHOT, "id": "snap-1", "state": "completed"})
SOURCE_SNAPSHOT = INSTANCE.model_copy(update={"kind": Kind.SOURCE_SNAPSHOT, "id": "migrator-mig-billing_1_cutover_1"})


def status(phase: Phase = Phase.REPLICATING, **more: Any) -> MigrationStatus:
    told = {
        "migration_id": ID,
        "app_name": "billing",
        "environment": "test",
        "correlation_id": ID,
        "requested_by": "requester@example.com",
        "generation": 1,
        "phase": phase,
        "started": NOW,
        "updated": NOW,
    }
    return MigrationStatus.model_validate({**told, **more})


def claim(ended_as: str | None = None, generation: int = 1) -> HeldId:
    return HeldId(migration_id=ID, generation=generation, workflow_run="run-1", ended_as=ended_as)


def dead(*, claimed: bool = True, **more: Any) -> DeadRun:
    told = {
        "migration_id": ID,
        "run_id": "run-1",
        "latest": "run-1",
        "ended": "terminated",
        "closed": NOW,
        "task_queue": "migrations",
        "carried": {"claimed": claimed, "request": "{}"},
    }
    return DeadRun(**{**told, **more})


def kept_until(one: Marked, until: datetime) -> Marked:
    return one.model_copy(update={"tags": {KEEP_UNTIL_TAG: until.isoformat()}})


def test_a_terminated_migration_is_taken_over_and_rolled_back() -> None:
    undo = [UndoLine(kind="removeReplication", step=Step.PREPARE, what="take the servers out of replication")]
    traces = Traces(ID, dead(), status=status(undo=undo), claim=claim(), servers=(SERVER,), left=(RECORD,))
    orphan = judge(traces, NOW)
    assert orphan is not None
    assert (orphan.action, orphan.served_by) == (Action.ROLL_BACK, Side.SOURCE)
    assert orphan.words == "1 things to undo, and the claims are given back"
    assert orphan.held == (ID, "vcenter-1/billing-web-01")
    assert orphan.left == (RECORD,)
    assert orphan.stands == "terminated 2026-11-23 12:00:00 in REPLICATING"


def test_after_the_switch_a_rollback_says_what_becomes_of_the_targets_writes() -> None:
    traces = Traces(ID, dead(), status=status(Phase.SOAKING, divergence_since=NOW), claim=claim())
    orphan = judge(traces, NOW)
    assert orphan is not None
    assert orphan.action is Action.ROLL_BACK
    assert "what the target wrote since 2026-11-23 12:00:00 UTC is kept in snapshots" in orphan.words


@pytest.mark.parametrize("forward", [True, False])
def test_past_the_point_of_no_return_it_only_goes_on(*, forward: bool) -> None:
    traces = Traces(ID, dead(), status=status(Phase.DECOMMISSIONING, past_point_of_no_return=True), claim=claim())
    orphan = judge(traces, NOW, forward=forward)
    assert orphan is not None
    assert orphan.action is Action.GO_ON
    assert "only forward" in orphan.words


def test_before_the_point_of_no_return_it_goes_on_when_asked_to() -> None:
    orphan = judge(Traces(ID, dead(), status=status(), claim=claim()), NOW, forward=True)
    assert orphan is not None
    assert orphan.action is Action.GO_ON


def test_a_state_that_cannot_be_read_is_for_a_person_as_long_as_something_is_held() -> None:
    unreadable = dead(carried=None, trouble="no worker answers")
    orphan = judge(Traces(ID, unreadable, claim=claim(), left=(INSTANCE,)), NOW)
    assert orphan is not None
    assert (orphan.action, orphan.left) == (Action.BY_HAND, (INSTANCE,))
    assert "no worker answers" in orphan.words
    assert judge(Traces(ID, unreadable), NOW) is None


def test_a_run_that_ended_before_its_claim_has_touched_nothing() -> None:
    before = dead(claimed=False)
    assert judge(Traces(ID, before, status=status(Phase.VALIDATING, generation=0)), NOW) is None
    landed = judge(Traces(ID, before, status=status(Phase.VALIDATING, generation=0), claim=claim()), NOW)
    assert landed is not None
    assert (landed.action, landed.ends_as) == (Action.RELEASE, Phase.FAILED)


def test_what_an_earlier_try_left_is_not_undone_by_a_later_one_that_never_began() -> None:
    traces = Traces(ID, dead(claimed=False), status=status(Phase.VALIDATING, generation=0), left=(INSTANCE,))
    orphan = judge(traces, NOW)
    assert orphan is not None
    assert orphan.action is Action.BY_HAND


def test_a_claim_that_nobody_remembers_is_released_only_when_its_account_was_searched() -> None:
    forgotten = Traces(ID, forgotten=True, claim=claim(), servers=(SERVER,))
    released = judge(forgotten, NOW)
    assert released is not None
    assert (released.action, released.ends_as) == (Action.RELEASE, Phase.CANCELLED)
    unsearched = judge(Traces(ID, forgotten=True, claim=claim(), servers=(SERVER,), searched=False), NOW)
    assert unsearched is not None
    assert unsearched.action is Action.BY_HAND
    assert "--where" in unsearched.words


def test_what_temporal_has_forgotten_is_for_a_person_and_keeps_its_claims() -> None:
    traces = Traces(ID, forgotten=True, status=status(Phase.CUTTING_OVER), claim=claim(), left=(INSTANCE, RECORD))
    orphan = judge(traces, NOW)
    assert orphan is not None
    assert orphan.action is Action.BY_HAND
    assert orphan.left == (INSTANCE, RECORD)
    assert orphan.held == (ID,)


def test_what_nobody_here_ever_knew_may_be_another_installations() -> None:
    orphan = judge(Traces(ID, forgotten=True, left=(INSTANCE,), searched=False), NOW)
    assert orphan is not None
    assert orphan.action is Action.BY_HAND
    assert "another installation" in orphan.words


@pytest.mark.parametrize(("action", "then"), [(Action.ROLL_BACK, "rollback"), (Action.GO_ON, "continue")])
def test_the_next_run_gets_all_that_the_dead_one_had_and_waits_out_its_last_act(action: Action, then: str) -> None:
    carried = {"request": "{}", "claimed": True, "then": "other", "aFieldOfTomorrow": 1}
    given = inheritance(dead(), carried, action, timedelta(minutes=2))
    assert given == {**carried, "then": then, "landedBy": "2026-11-23T12:02:00+00:00"}
    later = inheritance(dead(), {**carried, "landedBy": "2026-11-23T13:00:00Z"}, action, timedelta(minutes=2))
    assert later["landedBy"] == "2026-11-23T13:00:00+00:00"


def test_claims_that_an_ended_migration_still_holds_are_released_as_it_ended() -> None:
    orphan = judge(Traces(ID, status=status(Phase.ROLLED_BACK), claim=claim(), servers=(SERVER,)), NOW)
    assert orphan is not None
    assert (orphan.action, orphan.ends_as) == (Action.RELEASE, Phase.ROLLED_BACK)


def test_a_claim_says_how_a_migration_ended_when_its_row_lags_behind() -> None:
    traces = Traces(ID, dead(), status=status(Phase.ROLLING_BACK), claim=claim("ROLLED_BACK"))
    assert judge(traces, NOW) is None


def test_a_claim_of_an_earlier_generation_says_nothing_of_this_one() -> None:
    traces = Traces(ID, dead(), status=status(generation=2), claim=claim("ROLLED_BACK", generation=1))
    orphan = judge(traces, NOW)
    assert orphan is not None
    assert orphan.action is Action.ROLL_BACK


def test_the_serving_instance_of_a_completed_migration_is_no_orphan_and_another_one_is() -> None:
    done = status(Phase.COMPLETED, servers=[ServerProgress(name="billing-web-01", instance_id="i-1")])
    other = INSTANCE.model_copy(update={"id": "i-2"})
    assert judge(Traces(ID, status=done, claim=claim("COMPLETED"), left=(INSTANCE, RECORD)), NOW) is None
    orphan = judge(Traces(ID, status=done, claim=claim("COMPLETED"), left=(INSTANCE, other)), NOW)
    assert orphan is not None
    assert (orphan.action, orphan.left) == (Action.BY_HAND, (other,))


def test_a_completed_migration_without_a_row_is_believed_by_its_claim() -> None:
    assert judge(Traces(ID, forgotten=True, claim=claim("COMPLETED"), left=(INSTANCE,)), NOW) is None


def test_a_source_snapshot_outlives_a_completed_migration_only_without_its_decommission() -> None:
    traces = Traces(ID, status=status(Phase.COMPLETED), claim=claim("COMPLETED"), left=(SOURCE_SNAPSHOT,))
    assert judge(traces, NOW) is None
    steps = [StepProgress(step=Step.DECOMMISSION, state=StepState.DONE)]
    decommissioned = status(Phase.COMPLETED, steps=steps)
    assert judge(Traces(ID, status=decommissioned, left=(SOURCE_SNAPSHOT,)), NOW) is not None


@pytest.mark.parametrize("left", [INSTANCE, RECORD, SNAPSHOT, SOURCE_SNAPSHOT], ids=lambda one: one.kind)
def test_nothing_outlives_a_migration_that_was_rolled_back(left: Marked) -> None:
    orphan = judge(Traces(ID, status=status(Phase.ROLLED_BACK), claim=claim("ROLLED_BACK"), left=(left,)), NOW)
    assert orphan is not None
    assert (orphan.action, orphan.left) == (Action.BY_HAND, (left,))


@pytest.mark.parametrize("ended", [Phase.ROLLED_BACK, Phase.COMPLETED])
def test_what_holds_the_targets_writes_is_kept_until_its_time_has_passed(ended: Phase) -> None:
    left = (kept_until(INSTANCE, NOW), kept_until(SNAPSHOT, NOW))
    before, after = NOW - timedelta(seconds=1), NOW + timedelta(seconds=1)
    assert judge(Traces(ID, status=status(ended), left=left), before) is None
    orphan = judge(Traces(ID, status=status(ended), left=left), after)
    assert orphan is not None
    assert orphan.action is Action.BY_HAND
    assert "i-1 kept until 2026-11-23 12:00 UTC, which has passed" in orphan.words


def test_the_status_says_what_is_kept_where_the_tags_do_not() -> None:
    preserved = Preserved(
        since=NOW, until=NOW, instance_ids=("i-1",), snapshot_ids=("snap-1",), keep_until=NOW + timedelta(days=7)
    )
    kept = status(Phase.ROLLED_BACK, preserved=[preserved])
    assert judge(Traces(ID, status=kept, left=(INSTANCE, SNAPSHOT)), NOW) is None
    assert judge(Traces(ID, status=kept, left=(INSTANCE,)), NOW + timedelta(days=8)) is not None


def test_a_source_snapshots_name_says_whose_it_is() -> None:
    mark = Mark(migration_id="mig-a-1", generation=2, step=Step.CUTOVER, entry=1, correlation_id="corr")
    assert migration_of_snapshot(snapshot_name(mark)) == "mig-a-1"
    assert migration_of_snapshot("before the migrator came") is None


def test_an_account_is_read_from_a_request_or_from_an_option() -> None:
    role = "arn:aws:iam::123456789012:role/migrator"
    wanted = Where(account_id="123456789012", region="eu-central-1", role_arn=role)
    target = {"accountId": "123456789012", "region": "eu-central-1", "roleArn": role}
    assert where_of({"request": json.dumps({"migrationId": ID, "target": target})}) == wanted
    assert where_of({"request": json.dumps({"target": {}})}) is None
    assert where_of({"request": "not JSON"}) is None
    assert where_of(None) is None
    assert place(f"123456789012/eu-central-1={role}") == wanted
    assert place("123456789012/eu-central-1").role_arn is None


@pytest.mark.parametrize("text", ["", "123456789012", "eu-central-1/123456789012", "1/2/3"])
def test_an_account_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="ACCOUNT/REGION"):
        place(text)


def test_it_is_clean_when_everything_was_searched_and_mended() -> None:
    orphan = judge(Traces(ID, dead(), status=status(), claim=claim()), NOW)
    assert orphan is not None
    assert Reconciled((), (), ()).clean
    assert Reconciled((orphan,), (Mended(orphan, done="the run run-2 rolls it back"),), ()).clean
    assert not Reconciled((orphan,), (), ()).clean
    assert not Reconciled((orphan,), (Mended(orphan, error="somebody was faster"),), ()).clean
    assert not Reconciled((), (), ("vcenter-1: no answer",)).clean


def test_people_and_programs_are_told_the_same() -> None:
    orphan = judge(Traces(ID, dead(), status=status(), claim=claim(), servers=(SERVER,), left=(RECORD,)), NOW)
    assert orphan is not None
    found = Reconciled(
        (orphan,), (Mended(orphan, done="the run run-2 rolls it back", run_id="run-2"),), ("vcenter-1: x",)
    )
    console = Console(width=200)
    with console.capture() as printed:
        console.print(table(found))
    (listed,) = json.loads(json.dumps(as_dict(found)))["orphans"]
    assert listed["left"] == [
        {
            "kind": "MGN source server",
            "id": "s-1",
            "state": "READY_FOR_CUTOVER",
            "place": "123456789012/eu-central-1",
            "tags": {},
        }
    ]
    assert listed["fix"] == {"done": "the run run-2 rolls it back", "runId": "run-2", "error": None}
    for words in (ID, "s-1", "adopt and roll back", "vcenter-1/billing-web-01", "run-2 rolls it back", "vcenter-1: x"):
        assert words in printed.get()
