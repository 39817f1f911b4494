from datetime import timedelta

import pytest

from activities.cmdb import Inventory, ItemMoved, ReadItems, RecordMove, RestoreItems, RetireItems
from migration.marks import Mark
from migration.steps import Step
from tests.fakes.environment import Attempts
from tests.fakes.inventory import FakeDatabase

MARK = Mark(migration_id="mig-a", generation=1, step=Step.SWITCH, entry=1, correlation_id="mig-a")
BEFORE = {"name": "web", "ip_address": "10.1.0.11", "operational_status": "2", "comments": "Ask the billing team"}
MOVED = ItemMoved(item_id="ci-1", instance_id="i-1", address="10.2.0.5")
MOVE = RecordMove(connection="sn", mark=MARK, items=(MOVED,))
READ = ReadItems(connection="sn", item_ids=("ci-1",))


@pytest.fixture
def database() -> FakeDatabase:
    return FakeDatabase({"ci-1": BEFORE})


@pytest.fixture
def inventory(database: FakeDatabase) -> Inventory:
    return Inventory(lambda _: database, timedelta(minutes=2))


def test_a_move_writes_address_status_mark_and_instance_and_keeps_what_people_wrote(
    database: FakeDatabase, inventory: Inventory
) -> None:
    Attempts().attempt(inventory.record_move, MOVE)
    assert database.items["ci-1"] == {
        "name": "web",
        "ip_address": "10.2.0.5",
        "operational_status": "1",
        "correlation_id": "mig-a/1/switch/1",
        "comments": "Runs in AWS as i-1 at 10.2.0.5 (mig-a/1/switch/1)\nAsk the billing team",
    }


def test_a_move_whose_reply_was_lost_is_written_once(database: FakeDatabase, inventory: Inventory) -> None:
    database.lose_reply("update")
    environment = Attempts()
    environment.error(inventory.record_move, MOVE)
    environment.attempt(inventory.record_move, MOVE)
    assert database.count("update") == 1


def test_what_is_read_beforehand_restores_the_item_exactly(database: FakeDatabase, inventory: Inventory) -> None:
    before = Attempts().attempt(inventory.read_items, READ)
    Attempts().attempt(inventory.record_move, MOVE)
    undo = RestoreItems(connection="sn", mark=MARK, items=before.items)
    for _ in range(2):
        Attempts().attempt(inventory.restore_items, undo)
    assert database.items["ci-1"] == {**BEFORE, "correlation_id": ""}
    assert database.count("update") == 2


def test_an_item_that_no_longer_carries_our_mark_is_left_as_it_is(database: FakeDatabase, inventory: Inventory) -> None:
    before = Attempts().attempt(inventory.read_items, READ)
    Attempts().attempt(inventory.record_move, MOVE)
    database.items["ci-1"]["correlation_id"] = "somebody else's"
    after = dict(database.items["ci-1"])
    Attempts().attempt(inventory.restore_items, RestoreItems(connection="sn", mark=MARK, items=before.items))
    assert database.items["ci-1"] == after


def test_an_item_that_is_gone_needs_no_restoring_but_cannot_be_moved(
    database: FakeDatabase, inventory: Inventory
) -> None:
    before = Attempts().attempt(inventory.read_items, READ)
    database.items.clear()
    Attempts().attempt(inventory.restore_items, RestoreItems(connection="sn", mark=MARK, items=before.items))
    error = Attempts().error(inventory.record_move, MOVE)
    assert (error.type, error.non_retryable) == ("CutoverError", True)


def test_retirement_is_noted_once_and_leaves_the_live_item_operational(
    database: FakeDatabase, inventory: Inventory
) -> None:
    Attempts().attempt(inventory.record_move, MOVE)
    mark = MARK.model_copy(update={"step": Step.DECOMMISSION})
    request = RetireItems(connection="sn", mark=mark, item_ids=("ci-1", "ci-gone"))
    for _ in range(2):
        Attempts().attempt(inventory.retire_items, request)
    item = database.items["ci-1"]
    assert item["comments"].splitlines()[0] == "The source machine is retired (mig-a/1/decommission/1)"
    assert (item["operational_status"], item["correlation_id"]) == ("1", str(MARK))
    assert database.count("update") == 2
