"""The undo stack as data: its order, its depths, and that it survives a trip through JSON."""

from datetime import UTC, datetime
from typing import get_args

import pytest

from activities.cmdb import RestoreItems
from activities.looks import HealthTarget
from activities.prerequisites import SourceFacts
from migration.marks import Mark
from migration.ports import ConfigurationItem
from migration.request import RollbackTo
from migration.status import MigrationStatus
from migration.steps import Step
from tests.fakes.checks import a_check
from workflows.carried import Carried
from workflows.saga import (
    AwaitSourceHealth,
    EndCutover,
    EndTest,
    FenceTarget,
    HooksAfterRollback,
    HooksBeforeRollback,
    Rank,
    RemoveReplication,
    RemoveSnapshots,
    RestoreInventory,
    RestoreNames,
    RestoreSource,
    Undo,
    UndoRecord,
    UnprotectTarget,
    register,
    rollback_order,
)

IDS = ("s-0123456789abcdef0",)
SOURCES = (SourceFacts(server="billing-web-01", vm="billing-web-01", user_provided_id="vcenter-1:1", powered_on=True),)


def mark(step: Step, entry: int = 1) -> Mark:
    return Mark(migration_id="mig-billing-1", generation=1, step=step, entry=entry, correlation_id="corr-1")


def whole_stack() -> list[Undo]:
    """One of each, as a migration registers them."""
    health = HealthTarget(check=a_check("billing-web-01"), address="10.1.0.11")
    items = RestoreItems(
        connection="servicenow-1",
        mark=mark(Step.SWITCH),
        items=(ConfigurationItem(id="5f0c8a1e", fields={"ip_address": "10.1.0.11"}),),
    )
    cutover, switch = mark(Step.CUTOVER), mark(Step.SWITCH)
    return [
        RemoveReplication(step=Step.PREPARE, what="a", mark=mark(Step.PREPARE), user_provided_ids=("vcenter-1:1",)),
        EndTest(step=Step.TEST, what="b", mark=mark(Step.TEST), source_server_ids=IDS),
        RestoreNames(step=Step.APPROVE, what="c", mark=mark(Step.APPROVE), changes=()),
        RemoveSnapshots(step=Step.CUTOVER, what="d", mark=cutover, sources=SOURCES),
        EndCutover(step=Step.CUTOVER, what="e", mark=cutover, source_server_ids=IDS),
        AwaitSourceHealth(step=Step.CUTOVER, what="f", targets=(health,)),
        RestoreSource(step=Step.CUTOVER, what="g", sources=SOURCES),
        HooksAfterRollback(step=Step.CUTOVER, what="2", mark=cutover),
        HooksBeforeRollback(step=Step.CUTOVER, what="1", mark=cutover),
        FenceTarget(step=Step.CUTOVER, what="h", source_server_ids=IDS),
        UnprotectTarget(step=Step.SWITCH, what="i", instance_ids=("i-0123456789abcdef0",)),
        RestoreNames(step=Step.SWITCH, what="j", mark=switch, changes=()),
        RestoreInventory(step=Step.SWITCH, what="k", request=items),
    ]


def test_there_is_one_of_each_kind_in_these_tests() -> None:
    kinds = set(get_args(get_args(Undo)[0]))
    assert {type(undo) for undo in whole_stack()} == kinds
    assert all(issubclass(kind, UndoRecord) for kind in kinds)


def test_everything_is_undone_by_rank_and_newest_first_within_one() -> None:
    order = rollback_order(whole_stack(), RollbackTo.START)
    assert "".join(undo.what for undo in order) == "1hg2fjciebkda"
    assert [undo.rank for undo in order] == sorted(undo.rank for undo in order)


def test_a_rollback_to_ready_leaves_replication_and_test_alone() -> None:
    order = rollback_order(whole_stack(), RollbackTo.READY)
    assert "".join(undo.what for undo in order) == "1hg2fjciekd"


def test_the_target_is_fenced_before_the_source_comes_back_and_that_before_anything_else() -> None:
    for stack in (whole_stack(), whole_stack()[::-1]):
        acts = [undo for undo in rollback_order(stack, RollbackTo.READY) if undo.rank is not Rank.LAST_WORDS]
        assert [undo.kind for undo in acts[:4]] == [
            *("fenceTarget", "restoreSource", "hooksAfterRollback", "awaitSourceHealth"),
        ]


def test_the_order_of_a_rollback_leaves_the_stack_as_it_is() -> None:
    stack = whole_stack()
    rollback_order(stack, RollbackTo.START)
    assert stack == whole_stack()


def test_a_step_that_is_entered_again_registers_the_same_undo_once() -> None:
    stack: list[Undo] = []
    for undo in (*whole_stack(), *whole_stack()):
        register(stack, undo)
    assert stack == whole_stack()


def test_the_undo_of_another_entry_is_another_undo() -> None:
    stack: list[Undo] = []
    for entry in (1, 2):
        launch = EndCutover(step=Step.CUTOVER, what="e", mark=mark(Step.CUTOVER, entry), source_server_ids=IDS)
        register(stack, launch)
    assert [undo.mark.entry for undo in stack if isinstance(undo, EndCutover)] == [1, 2]


@pytest.mark.parametrize("undo", whole_stack(), ids=lambda undo: undo.kind)
def test_an_undo_survives_continue_as_new_with_everything_it_knows(undo: Undo) -> None:
    now = datetime(2026, 11, 28, 20, tzinfo=UTC)
    status = MigrationStatus(
        migration_id="mig-billing-1",
        app_name="billing",
        environment="dev",
        correlation_id="corr-1",
        requested_by="requester@example.com",
        started=now,
        updated=now,
    )
    text = Carried(request="{}", status=status, undo=[undo]).model_dump_json(by_alias=True)
    (back,) = Carried.model_validate_json(text).undo
    assert back == undo
    assert type(back) is type(undo)
