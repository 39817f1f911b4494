"""What a rollback could not undo: it is listed by name, place and person until somebody has dealt with it."""

from dataclasses import dataclass
from typing import Any, get_args

import pytest

from migration.status import MigrationStatus, Phase, Side
from migration.steps import Step
from tests.workflows.migration_requests import APPROVER, a_record
from tests.workflows.stage import Migration, Stage, until
from tests.workflows.worlds import World
from workflows.saga import Rank, Undo, UndoRecord

KINDS: list[type[UndoRecord]] = list(get_args(get_args(Undo)[0]))


@dataclass(frozen=True)
class Position:
    """One undo of a complete stack: its kind, and which call of which activity it is that fails."""

    kind: str
    name: str
    call: int = 1

    def __str__(self) -> str:
        return f"{self.kind} {self.name} {self.call}"


# A migration that fails in its soak, and whose DNS TTL was lowered before, has registered all of these.
WHOLE_STACK = [
    Position("fenceTarget", "fence_targets"),
    Position("restoreSource", "restore_sources"),
    Position("awaitSourceHealth", "await_health", call=3),
    Position("restoreNames", "restore_records", call=1),
    Position("restoreNames", "restore_records", call=2),
    Position("unprotectTarget", "unprotect_targets"),
    Position("endCutover", "preserve_targets"),
    Position("endTest", "change_life_cycle", call=3),
    Position("restoreInventory", "restore_items"),
    Position("removeSnapshots", "remove_source_snapshots"),
    Position("removeReplication", "remove_records"),
]
OTHERS = [position for position in WHOLE_STACK if position.kind != "fenceTarget"]
HOOKS = {"hooksBeforeRollback", "hooksAfterRollback"}
"""Only of a request that has them: they are in `test_migration_hooks.py`."""

PAIRS = [*zip(OTHERS[: len(OTHERS) // 2], OTHERS[len(OTHERS) // 2 :], strict=True), (OTHERS[2], OTHERS[3])]
"""Each undo with one of another half of the rollback, and two of the same kind."""


def kind_of(undo: type[UndoRecord]) -> str:
    return str(undo.model_fields["kind"].default)


def failing(*positions: Position) -> World:
    """A world in which the soak fails, and then these undos."""
    world = World(old_ttl=2)
    world.unhealthy_watches = 1
    for position in positions:
        world.fail(position.name, call=position.call)
    return world


async def left_incomplete(stage: Stage, *positions: Position, **parts: Any) -> Migration:
    """A migration that is rolled back after its switch, and cannot undo these."""
    complete = {"rollback": {"to": "start", "afterSwitch": "auto"}, "dns": [a_record("billing-web-01", ttl=1)]}
    migration = await stage.start(failing(*positions), **(complete | parts))
    await migration.approve()
    await migration.stands(Phase.ROLLBACK_INCOMPLETE, "undo")
    return migration


def undone(status: MigrationStatus) -> list[str]:
    return [result.kind for result in status.undone if result.done]


def test_every_kind_of_undo_has_its_position() -> None:
    assert {position.kind for position in WHOLE_STACK} | HOOKS == {kind_of(kind) for kind in KINDS}
    rank_of = {kind_of(kind): kind.rank for kind in KINDS}
    ranks = [rank_of[position.kind] for position in WHOLE_STACK]
    assert ranks == sorted(ranks)
    assert {position for pair in PAIRS for position in pair} == set(OTHERS)


def test_every_kind_of_undo_says_where_its_resources_are_and_who_acts() -> None:
    assert all(kind.where and kind.who for kind in KINDS)
    assert [kind_of(kind) for kind in KINDS if kind.rank is Rank.FENCE] == ["fenceTarget"]


# --- each position of the stack ----------------------------------------------------------------------------------


@pytest.mark.parametrize("position", OTHERS, ids=str)
async def test_an_undo_that_fails_for_good_is_listed_and_ends_clean_after_its_repair(
    stage: Stage, position: Position
) -> None:
    migration = await left_incomplete(stage, position)
    status = await migration.status()
    (left,) = status.left
    assert (left.kind, left.error) == (position.kind, f"{position.name} failed")
    assert left.resources
    assert all(left.resources)
    assert left.where
    assert left.who
    assert status.awaiting is not None
    assert status.awaiting.who == (left.who,)
    assert [line.kind for line in status.undo] == [position.kind]
    assert undone(status) == [other.kind for other in WHOLE_STACK if other is not position]
    done = len(migration.world.acted())
    await migration.decide("retry")
    result = await migration.ends()
    assert (result.status, result.served_by) == (Phase.ROLLED_BACK, Side.SOURCE)
    assert migration.world.acted()[done] == position.name
    status = await migration.status()
    assert (status.left, status.undo) == ([], [])


async def test_a_fence_that_fails_leaves_everything_and_the_rest_follows_it(stage: Stage) -> None:
    fence = WHOLE_STACK[0]
    migration = await left_incomplete(stage, fence)
    status = await migration.status()
    assert [left.kind for left in status.left] == [position.kind for position in WHOLE_STACK]
    assert [left.error for left in status.left] == ["fence_targets failed", *[None] * len(OTHERS)]
    assert all(left.resources and left.where and left.who for left in status.left)
    assert status.served_by is Side.TARGET, "the target was not stopped, and nobody claims that it was"
    assert migration.world.since("fence_targets") == []
    await migration.decide("retry")
    assert (await migration.ends()).served_by is Side.SOURCE
    assert undone(await migration.status()) == [position.kind for position in WHOLE_STACK]


# --- two at a time -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: " and ".join(map(str, pair)))
async def test_two_undos_that_fail_are_listed_in_order_and_tried_again_together(
    stage: Stage, pair: tuple[Position, Position]
) -> None:
    migration = await left_incomplete(stage, *pair)
    status = await migration.status()
    assert [left.kind for left in status.left] == [position.kind for position in pair]
    assert [left.error for left in status.left] == [f"{position.name} failed" for position in pair]
    assert status.awaiting is not None
    assert "2 of the rollback's steps are left" in status.awaiting.message
    await migration.decide("retry")
    assert (await migration.ends()).served_by is Side.SOURCE
    assert (await migration.status()).left == []


async def test_an_undo_that_fails_again_is_asked_about_again(stage: Stage) -> None:
    position = Position("restoreInventory", "restore_items")
    migration = await left_incomplete(stage, position)
    migration.world.fail("restore_items", call=2)
    await migration.decide("retry", undo="restoreInventory")
    await migration.is_reached("restore_items", 2)

    def asked_again() -> bool:
        seen = migration.world.seen()
        results = [result.done for result in seen.undone if result.kind == "restoreInventory"] if seen else []
        return seen is not None and seen.phase is Phase.ROLLBACK_INCOMPLETE and results == [False, False]

    await until(asked_again, "the question is asked again")
    await migration.decide("retry")
    assert (await migration.ends()).status is Phase.ROLLED_BACK


# --- left to a person --------------------------------------------------------------------------------------------


async def test_one_undo_is_left_to_a_person_by_name_and_with_a_reason(stage: Stage) -> None:
    snapshots, records = WHOLE_STACK[-2:]
    migration = await left_incomplete(stage, snapshots, records)
    assert "$.reason" in await migration.refuses("skip", undo="removeReplication")
    refused = await migration.refuses("skip", undo="fenceTarget", reason="stopped by hand")
    assert refused == "there is no undo fenceTarget left; left are removeSnapshots, removeReplication"
    await migration.decide("skip", undo="removeReplication", reason="archived in the console")
    assert (await migration.ends()).status is Phase.ROLLED_BACK
    status = await migration.status()
    words = [result.error for result in status.undone if result.kind == "removeReplication"]
    assert words == ["remove_records failed", "left to operator-1@example.com: archived in the console"]
    assert migration.world.acted("remove_records") == ["remove_records"]
    assert migration.world.acted("remove_source_snapshots") == ["remove_source_snapshots"] * 2
    assert (status.left, status.undo) == ([], [])


async def test_a_rollback_to_ready_that_was_completed_by_hand_stands_at_the_gate(stage: Stage) -> None:
    position = Position("removeSnapshots", "remove_source_snapshots")
    migration = await left_incomplete(stage, position, rollback={"to": "ready", "afterSwitch": "auto"})
    await migration.decide("skip", reason="removed in vCenter")

    def again() -> Any:
        seen = migration.world.seen()
        return seen and next(line for line in seen.steps if line.step is Step.APPROVE).entry > 1

    await until(again, "the gate is entered again")
    status = await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    assert (status.left, [line.kind for line in status.undo]) == ([], ["endTest", "removeReplication"])
    await migration.decide("approve", APPROVER)
    assert (await migration.ends()).served_by is Side.TARGET


async def test_a_rollback_that_waits_for_a_person_takes_no_other_decision(stage: Stage) -> None:
    migration = await left_incomplete(stage, WHOLE_STACK[1])
    for name, fields in {"rollback": {}, "abandon": {"reason": "enough"}, "pause": {}}.items():
        assert await migration.refuses(name, **fields) == f"{name} is refused: the migration is ROLLBACK_INCOMPLETE"
    refused = await migration.refuses("retry", change={"instanceType": "m5.xlarge"})
    assert refused == "a setting is changed with the retry of a failed step; none waits for one"
