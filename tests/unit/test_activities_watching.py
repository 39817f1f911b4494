"""What is watched while approvals wait: another record, or replication that is behind for longer than patience has."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from activities.watching import BehindSince, ReplicationWatch, WatchReplication
from migration.errors import Unavailable
from migration.ports import Where
from tests.fakes.environment import Attempts
from tests.fakes.mgn import FakeReplication

POLL = timedelta(minutes=1)
PATIENCE = timedelta(minutes=10)
WATCH = WatchReplication(
    where=Where(account_id="123456789012", region="eu-central-1"),
    user_provided_ids=("vc:s-1", "vc:s-2"),
    source_server_ids=("s-1", "s-2"),
    max_lag=timedelta(minutes=5),
    patience=PATIENCE,
)


@pytest.fixture
def mgn() -> FakeReplication:
    mgn = FakeReplication()
    mgn.add("s-1", "READY_FOR_CUTOVER")
    mgn.add("s-2", "READY_FOR_CUTOVER", lag=timedelta(minutes=5))
    return mgn


@pytest.fixture
def watch(mgn: FakeReplication) -> ReplicationWatch:
    return ReplicationWatch(lambda _: mgn, POLL)


def behind_for(time: timedelta) -> Attempts:
    """The attempts of a watch that found replication behind so long ago."""
    environment = Attempts()
    environment.beats.append((BehindSince(since=datetime.now(UTC) - time).model_dump(mode="json"),))
    return environment


def since(environment: Attempts) -> datetime | None:
    return BehindSince.model_validate(environment.beats[-1][0]).since


def test_replication_that_is_as_it_was_is_looked_at_again(watch: ReplicationWatch) -> None:
    look = Attempts().not_yet(watch.watch_replication, WATCH)
    assert (look.message, look.next_retry_delay) == ("replication is as it was", POLL)


def test_a_machine_with_another_record_was_replaced(mgn: FakeReplication, watch: ReplicationWatch) -> None:
    mgn.edit("s-2", archived=True)
    mgn.add("s-9", user_provided_id="vc:s-2")
    changed = Attempts().attempt(watch.watch_replication, WATCH)
    assert changed.replaced
    assert changed.reason == "replaced in MGN: vc:s-2 is s-9 now, not s-2"


def test_a_machine_without_a_record_was_replaced_too(mgn: FakeReplication, watch: ReplicationWatch) -> None:
    mgn.edit("s-1", life_cycle="DISCONNECTED")
    changed = Attempts().attempt(watch.watch_replication, WATCH)
    assert (changed.replaced, changed.reason) == (True, "replaced in MGN: vc:s-1 is no record now, not s-1")


@pytest.mark.parametrize(
    "fields",
    [
        {"lag": timedelta(minutes=5, seconds=1)},
        {"lag": None},
        {"replication_state": "STALLED"},
        {"life_cycle": "NOT_READY"},
    ],
)
def test_replication_that_is_behind_for_longer_than_patience_has_changed(
    mgn: FakeReplication, watch: ReplicationWatch, fields: dict[str, Any]
) -> None:
    mgn.edit("s-2", **fields)
    patient, over = behind_for(PATIENCE - POLL), behind_for(PATIENCE)
    assert patient.not_yet(watch.watch_replication, WATCH).message.startswith("behind: s-2")
    changed = over.attempt(watch.watch_replication, WATCH)
    assert not changed.replaced
    assert changed.reason.startswith("replication is behind since ")
    assert "s-2" in changed.reason
    assert "s-1" not in changed.reason


def test_since_when_it_is_behind_travels_from_look_to_look(mgn: FakeReplication, watch: ReplicationWatch) -> None:
    mgn.edit("s-1", lag=timedelta(hours=1))
    environment = Attempts()
    environment.not_yet(watch.watch_replication, WATCH)
    first = since(environment)
    environment.not_yet(watch.watch_replication, WATCH)
    assert since(environment) == first is not None


def test_replication_that_has_caught_up_is_forgiven(mgn: FakeReplication, watch: ReplicationWatch) -> None:
    environment = behind_for(PATIENCE - POLL)
    environment.not_yet(watch.watch_replication, WATCH)
    assert since(environment) is None
    mgn.edit("s-1", lag=timedelta(hours=1))
    environment.not_yet(watch.watch_replication, WATCH)
    again = since(environment)
    assert again is not None
    assert datetime.now(UTC) - again < POLL


def test_a_look_that_mgn_does_not_answer_is_made_again(mgn: FakeReplication, watch: ReplicationWatch) -> None:
    mgn.refuse("find", Unavailable("throttled"))
    error = Attempts().error(watch.watch_replication, WATCH)
    assert (error.type, error.non_retryable) == ("Unavailable", False)
