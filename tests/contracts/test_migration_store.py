"""What any store of claims and rows does: DynamoDB's, and the one in memory that other tests use."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from adapters.dynamodb import DynamoMigrations
from adapters.dynamodb_table import ensure_table
from migration.errors import Conflict, ValidationError
from migration.ports import Claim, MigrationStore, RowsWanted
from migration.status import Phase
from tests.contracts.aws_cloud import local_aws
from tests.fakes.store import FakeStore

TABLE = "migrator-state"
ROW = {
    "migrationId": "mig-billing",
    "status": "TESTING",
    "appName": "billing",
    "updatedAt": "2026-11-23T10:00:00+00:00",
    "document": "{}",
}
_numbers = count(1)


@pytest.fixture(scope="module", params=["DynamoDB", "in memory"])
def store(request: pytest.FixtureRequest) -> Iterator[MigrationStore]:
    if request.param == "in memory":
        yield FakeStore()
        return
    with local_aws() as cloud:
        ensure_table(cloud.sessions, TABLE)
        yield DynamoMigrations(cloud.sessions, TABLE)


@pytest.fixture
def name() -> str:
    return f"mig-billing-{next(_numbers)}"


def asked(name: str, *, run: str = "run-1", request: str = "hash-1") -> Claim:
    return Claim(migration_id=name, generation=0, request_hash=request, workflow_run=run)


def keys_of(name: str) -> list[str]:
    return [f"vcenter-1/{name}-1", f"vcenter-1/{name}-2"]


def test_a_first_claim_is_generation_one_and_its_own_run_gets_it_back(store: MigrationStore, name: str) -> None:
    first = store.claim(asked(name), keys_of(name), again=False)
    assert first.generation == 1
    assert store.claim(asked(name), keys_of(name), again=False) == first


def test_a_claim_can_be_looked_up_while_it_lives_and_after_its_end(store: MigrationStore, name: str) -> None:
    assert store.claim_of(name) is None
    granted = store.claim(asked(name), keys_of(name), again=False)
    assert store.claim_of(name) == granted
    store.finish(name, granted.generation, "ROLLED_BACK", keys_of(name))
    assert store.claim_of(name) == granted.model_copy(update={"status": "ROLLED_BACK"})


def test_a_live_claim_is_refused_to_any_other_run_even_with_again(store: MigrationStore, name: str) -> None:
    store.claim(asked(name), keys_of(name), again=False)
    with pytest.raises(Conflict, match="held by the run run-1"):
        store.claim(asked(name, run="run-2"), keys_of(name), again=True)


@pytest.mark.parametrize("status", ["ROLLED_BACK", "REJECTED", "CANCELLED"])
def test_what_was_undone_starts_again_as_the_next_generation_only_when_asked(
    store: MigrationStore, name: str, status: str
) -> None:
    store.claim(asked(name), keys_of(name), again=False)
    store.finish(name, 1, status, keys_of(name))
    with pytest.raises(Conflict, match="not started again by itself"):
        store.claim(asked(name, run="run-2"), keys_of(name), again=False)
    with pytest.raises(Conflict, match="another request"):
        store.claim(asked(name, run="run-2", request="hash-2"), keys_of(name), again=True)
    assert store.claim(asked(name, run="run-2"), keys_of(name), again=True).generation == 2


def test_a_completed_migration_never_starts_again(store: MigrationStore, name: str) -> None:
    store.claim(asked(name), keys_of(name), again=False)
    store.finish(name, 1, "COMPLETED", keys_of(name))
    with pytest.raises(Conflict, match="cannot be started again"):
        store.claim(asked(name, run="run-2"), keys_of(name), again=True)


def test_a_refused_migration_starts_again_with_any_request(store: MigrationStore, name: str) -> None:
    store.claim(asked(name), keys_of(name), again=False)
    store.finish(name, 1, "FAILED", keys_of(name))
    assert store.claim(asked(name, run="run-2", request="hash-2"), keys_of(name), again=False).generation == 2


def test_a_claim_that_ended_in_this_very_run_is_not_taken_up_again(store: MigrationStore, name: str) -> None:
    store.claim(asked(name), keys_of(name), again=False)
    store.finish(name, 1, "FAILED", keys_of(name))
    with pytest.raises(Conflict, match="has ended as FAILED in this very run"):
        store.claim(asked(name), keys_of(name), again=True)


def test_a_server_belongs_to_one_live_migration_and_is_free_when_that_has_ended(
    store: MigrationStore, name: str
) -> None:
    other = f"{name}-other"
    store.claim(asked(name), keys_of(name), again=False)
    with pytest.raises(Conflict, match=f"vcenter-1/{name}-1 by {name} \\(generation 1\\)"):
        store.claim(asked(other), [keys_of(name)[0], f"vcenter-1/{other}"], again=False)
    store.finish(name, 1, "COMPLETED", keys_of(name))
    assert store.claim(asked(other), keys_of(name), again=False).generation == 1


def test_a_refused_claim_is_no_claim_and_holds_no_server(store: MigrationStore, name: str) -> None:
    other, third = f"{name}-other", f"{name}-third"
    store.claim(asked(name), keys_of(name)[:1], again=False)
    with pytest.raises(Conflict, match=name):
        store.claim(asked(other), keys_of(name), again=False)
    assert store.claim(asked(third), keys_of(name)[1:], again=False).generation == 1
    assert store.claim(asked(other, run="run-2"), [f"vcenter-1/{other}"], again=False).generation == 1


def test_ending_an_earlier_generation_gives_nothing_of_the_later_one_back(store: MigrationStore, name: str) -> None:
    store.claim(asked(name), keys_of(name), again=False)
    store.finish(name, 1, "ROLLED_BACK", keys_of(name))
    store.claim(asked(name, run="run-2"), keys_of(name), again=True)
    store.finish(name, 1, "ROLLED_BACK", keys_of(name))
    with pytest.raises(Conflict, match=f"by {name} \\(generation 2\\)"):
        store.claim(asked(f"{name}-other"), keys_of(name), again=False)
    assert store.claim(asked(name, run="run-2"), keys_of(name), again=False).generation == 2


def test_an_end_that_is_told_twice_is_one_end_and_the_last_word_counts(store: MigrationStore, name: str) -> None:
    store.claim(asked(name), keys_of(name), again=False)
    for status in ("CANCELLED", "CANCELLED", "COMPLETED"):
        store.finish(name, 1, status, keys_of(name))
    with pytest.raises(Conflict, match="has ended as COMPLETED"):
        store.claim(asked(name, run="run-2"), keys_of(name), again=True)


def test_ending_what_was_never_claimed_does_nothing(store: MigrationStore, name: str) -> None:
    store.finish(name, 1, "FAILED", keys_of(name))
    assert store.claim(asked(name), keys_of(name), again=False).generation == 1


def test_a_row_is_read_as_it_was_saved(store: MigrationStore, name: str) -> None:
    assert store.get(name) is None
    assert store.save(name, 1, ROW, expires_at=None)
    assert store.get(name) == ROW


def test_a_late_write_never_moves_a_row_back_and_a_repeated_one_counts_as_written(
    store: MigrationStore, name: str
) -> None:
    newer = ROW | {"status": "CUTTING_OVER"}
    assert store.save(name, 5, newer, expires_at=None)
    assert not store.save(name, 4, ROW, expires_at=None)
    assert store.save(name, 5, newer, expires_at=None)
    assert store.get(name) == newer


# --- lists -------------------------------------------------------------------------------------------------------


def save(store: MigrationStore, name: str, number: int, status: str, **parts: str) -> str:
    """Save the `number`-th row of a list, a minute later than the one before; returns its id."""
    updated = datetime(2026, 11, 23, tzinfo=UTC) + timedelta(minutes=number)
    migration_id = f"{name}-{number:02}"
    row = {
        "migrationId": migration_id,
        "status": status,
        "appName": name,
        "environment": "prod",
        "servedBy": "source",
        "updatedAt": updated.isoformat(),
        "document": "{}",
    }
    store.save(migration_id, 1, row | parts, expires_at=None)
    return migration_id


def listed(store: MigrationStore, limit: int = 50, **wanted: Any) -> list[Sequence[str]]:
    """The ids of a whole list, page by page."""
    pages, after = list[Sequence[str]](), None
    while True:
        page = store.find(RowsWanted(limit=limit, after=after, **wanted))
        pages.append([row["migrationId"] for row in page.rows])
        after = page.next
        if after is None:
            return pages


def test_a_wave_is_listed_with_its_latest_change_first_and_without_documents(store: MigrationStore, name: str) -> None:
    ids = [save(store, name, number, "TESTING", waveId=name) for number in range(3)]
    save(store, name, 3, "TESTING", waveId=f"{name}-other")
    page = store.find(RowsWanted(wave_id=name))
    assert [row["migrationId"] for row in page.rows] == ids[::-1]
    assert page.next is None
    assert page.rows[0] == {
        "migrationId": ids[2],
        "status": "TESTING",
        "appName": name,
        "environment": "prod",
        "servedBy": "source",
        "waveId": name,
        "updatedAt": "2026-11-23T00:02:00+00:00",
    }


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 6])
def test_pages_leave_nothing_out_and_say_nothing_twice(store: MigrationStore, name: str, limit: int) -> None:
    ids = [save(store, name, number, "TESTING", waveId=name) for number in range(5)]
    pages = listed(store, limit, wave_id=name)
    assert [each for page in pages for each in page] == ids[::-1]
    assert {len(page) for page in pages[:-1]} <= {limit}
    assert pages[-1] != []


def test_a_wave_is_sifted_by_application_and_status(store: MigrationStore, name: str) -> None:
    wanted = [save(store, name, number, "SOAKING", waveId=name) for number in (1, 3)]
    for number, status, app in ((2, "TESTING", name), (4, "SOAKING", "other"), (5, "COMPLETED", name)):
        save(store, name, number, status, waveId=name, appName=app)
    asked = {"wave_id": name, "app_name": name, "statuses": (Phase.SOAKING, Phase.FAILED)}
    assert listed(store, 1, **asked) == [[wanted[1]], [wanted[0]]]


def test_an_application_is_listed_status_by_status_over_pages(store: MigrationStore, name: str) -> None:
    ids = [save(store, name, number, status) for number, status in enumerate(("COMPLETED", "TESTING", "COMPLETED"))]
    assert listed(store, 2, app_name=name) == [[ids[1], ids[2]], [ids[0]]]
    assert listed(store, app_name=name, statuses=(Phase.COMPLETED,)) == [[ids[2], ids[0]]]
    assert listed(store, app_name=name, statuses=(Phase.SOAKING,)) == [[]]


def test_rows_of_a_status_are_listed_and_a_row_is_in_one_status_at_a_time(store: MigrationStore, name: str) -> None:
    migration_id = save(store, name, 1, "SWITCHING")
    assert migration_id in listed(store, statuses=(Phase.SWITCHING,))[0]
    later = {
        "migrationId": migration_id,
        "status": "SOAKING",
        "appName": name,
        "updatedAt": "2026-11-24T00:00:00+00:00",
    }
    store.save(migration_id, 2, later, expires_at=None)
    assert migration_id not in listed(store, statuses=(Phase.SWITCHING,))[0]
    assert migration_id in listed(store, statuses=(Phase.SOAKING,))[0]
    assert migration_id in [each for page in listed(store, 3) for each in page]


def test_a_page_of_another_list_and_no_page_at_all_are_refused(store: MigrationStore, name: str) -> None:
    for number in range(2):
        save(store, name, number, "TESTING", waveId=name)
    after = store.find(RowsWanted(wave_id=name, limit=1)).next
    for wrong in (after, "bm8gcGFnZQ==", "\N{SNOWMAN}"):
        with pytest.raises(ValidationError, match="no page of this list"):
            store.find(RowsWanted(wave_id=f"{name}-other", after=wrong))
