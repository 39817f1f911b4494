from datetime import UTC, datetime, timedelta

import pytest

from activities.mgn import ApplicationMigration, AwaitReplication, FindSourceServers, ObserveReplication
from migration.ports import Where
from tests.fakes.ec2 import PopulatedCloud
from tests.fakes.environment import Attempts
from tests.fakes.mgn import FakeReplication

WHERE = Where(account_id="123456789012", region="eu-central-1")
POLL = timedelta(minutes=1)
HOUR = timedelta(hours=1)


@pytest.fixture
def mgn() -> FakeReplication:
    return FakeReplication()


@pytest.fixture
def activities(mgn: FakeReplication) -> ApplicationMigration:
    cloud = PopulatedCloud()
    return ApplicationMigration(lambda _: mgn, lambda _: cloud, timedelta(minutes=2), POLL, timedelta(seconds=20))


def wait(*ids: str, looks: int = 1, max_lag: timedelta = timedelta(minutes=5), **more: datetime) -> AwaitReplication:
    return AwaitReplication(where=WHERE, source_server_ids=ids, max_lag=max_lag, stable_observations=looks, **more)


def test_the_gate_opens_after_so_many_good_looks_in_a_row(
    mgn: FakeReplication, activities: ApplicationMigration
) -> None:
    mgn.add("s-1", lag=timedelta(minutes=4))
    environment, request = Attempts(), wait("s-1", looks=2)
    environment.not_yet(activities.await_replication, request)
    observed = environment.attempt(activities.await_replication, request)
    assert [(s.source_server_id, s.state, s.lag) for s in observed.servers] == [
        ("s-1", "CONTINUOUS", timedelta(minutes=4))
    ]


def test_one_bad_look_starts_the_count_again(mgn: FakeReplication, activities: ApplicationMigration) -> None:
    mgn.add("s-1")
    environment, request = Attempts(), wait("s-1", looks=2)
    environment.not_yet(activities.await_replication, request)
    mgn.edit("s-1", lag=timedelta(minutes=6))
    assert "0 of 2" in environment.not_yet(activities.await_replication, request).message
    mgn.edit("s-1", lag=timedelta(minutes=5))
    assert "1 of 2" in environment.not_yet(activities.await_replication, request).message
    environment.attempt(activities.await_replication, request)


@pytest.mark.parametrize(
    "fields",
    [
        {"life_cycle": "NOT_READY"},
        {"lag": None},
        {"replication_state": "RESCAN"},
        {"replication_state": "DISCONNECTED"},
        {"lag": timedelta(minutes=5, seconds=1)},
    ],
)
def test_a_record_that_could_not_be_launched_with_little_lag_is_waited_for(
    mgn: FakeReplication, activities: ApplicationMigration, fields: dict[str, object]
) -> None:
    mgn.add("s-0")
    mgn.add("s-1")
    mgn.edit("s-1", **fields)
    assert Attempts().not_yet(activities.await_replication, wait("s-0", "s-1")).next_retry_delay == POLL


def test_the_wait_says_state_progress_and_lag_of_each_server(
    mgn: FakeReplication, activities: ApplicationMigration
) -> None:
    mgn.add(
        "s-1",
        "NOT_READY",
        replication_state="INITIAL_SYNC",
        lag=None,
        replicated_bytes=45,
        total_bytes=100,
    )
    error = Attempts().not_yet(activities.await_replication, wait("s-1", looks=3))
    assert error.message == "0 of 3 good looks: s-1 NOT_READY INITIAL_SYNC 45 % not launchable"


def test_no_lag_at_all_means_no_backlog_either(mgn: FakeReplication, activities: ApplicationMigration) -> None:
    mgn.add("s-1", backlog_bytes=1)
    Attempts().attempt(activities.await_replication, wait("s-1"))
    environment = Attempts()
    environment.not_yet(activities.await_replication, wait("s-1", max_lag=timedelta(0)))
    mgn.edit("s-1", backlog_bytes=0)
    observed = environment.attempt(activities.await_replication, wait("s-1", max_lag=timedelta(0)))
    assert [(server.lag, server.backlog_bytes) for server in observed.servers] == [(timedelta(0), 0)]


def test_a_stalled_record_is_retried_once_and_its_second_stall_is_somebodys_decision(
    mgn: FakeReplication, activities: ApplicationMigration, monkeypatch: pytest.MonkeyPatch
) -> None:
    mgn.add("s-1", replication_state="STALLED", replication_error="FAILED_TO_PAIR_REPLICATION_SERVER_WITH_AGENT")
    environment, request = Attempts(), wait("s-1")
    environment.not_yet(activities.await_replication, request)
    environment.not_yet(activities.await_replication, request)
    assert mgn.count("retry_replication") == 1
    later = datetime.now(UTC) + 11 * POLL
    monkeypatch.setattr("activities.replicating.now", lambda: later)
    error = environment.error(activities.await_replication, request)
    assert (error.type, error.non_retryable) == ("SourcePreparationError", True)
    assert "FAILED_TO_PAIR" in error.message
    assert mgn.count("retry_replication") == 1


def test_a_stall_that_the_retry_cured_is_forgiven(mgn: FakeReplication, activities: ApplicationMigration) -> None:
    mgn.add("s-1", replication_state="STALLED")
    environment, request = Attempts(), wait("s-1")
    environment.not_yet(activities.await_replication, request)
    mgn.edit("s-1", replication_state="CONTINUOUS")
    observed = environment.attempt(activities.await_replication, request)
    assert [server.state for server in observed.servers] == ["CONTINUOUS"]
    assert mgn.count("retry_replication") == 1


@pytest.mark.parametrize("fields", [{"archived": True}, {"life_cycle": "DISCONNECTED"}, {"life_cycle": "CUTOVER"}])
def test_a_record_out_of_service_is_not_waited_for(
    mgn: FakeReplication, activities: ApplicationMigration, fields: dict[str, object]
) -> None:
    mgn.add("s-1")
    mgn.edit("s-1", **fields)
    error = Attempts().error(activities.await_replication, wait("s-1"))
    assert (error.type, error.non_retryable) == ("SourcePreparationError", True)


def test_a_record_that_is_gone_is_not_waited_for(activities: ApplicationMigration) -> None:
    error = Attempts().error(activities.await_replication, wait("s-gone"))
    assert (error.type, error.non_retryable) == ("SourcePreparationError", True)
    assert "s-gone" in error.message


def test_patience_ends_at_the_given_moment_but_not_for_what_is_ready_then(
    mgn: FakeReplication, activities: ApplicationMigration
) -> None:
    mgn.add("s-1")
    over = datetime.now(UTC) - timedelta(seconds=1)
    Attempts().attempt(activities.await_replication, wait("s-1", until=over))
    mgn.edit("s-1", lag=HOUR)
    error = Attempts().error(activities.await_replication, wait("s-1", until=over))
    assert (error.type, error.non_retryable) == ("SourcePreparationError", True)


def test_the_last_look_is_not_later_than_the_deadline(mgn: FakeReplication, activities: ApplicationMigration) -> None:
    mgn.add("s-1", lag=HOUR)
    soon = datetime.now(UTC) + timedelta(seconds=5)
    delay = Attempts().not_yet(activities.await_replication, wait("s-1", until=soon)).next_retry_delay
    assert delay is not None
    assert delay <= timedelta(seconds=5)


def test_one_observation_tells_every_record_in_the_order_asked(
    mgn: FakeReplication, activities: ApplicationMigration
) -> None:
    mgn.add("s-1")
    mgn.add("s-2", backlog_bytes=7)
    request = ObserveReplication(where=WHERE, source_server_ids=("s-2", "s-1"))
    observed = Attempts().attempt(activities.observe_replication, request)
    assert [(s.source_server_id, s.backlog_bytes) for s in observed.servers] == [("s-2", 7), ("s-1", 0)]


def find(*ids: str, since: datetime) -> FindSourceServers:
    return FindSourceServers(where=WHERE, user_provided_ids=ids, since=since, within=timedelta(minutes=15))


def test_machines_are_waited_for_until_mgn_knows_them_all(
    mgn: FakeReplication, activities: ApplicationMigration
) -> None:
    mgn.add("s-1")
    mgn.add("s-2", "PENDING_INSTALLATION")
    environment, request = Attempts(), find("vc:s-2", "vc:s-1", since=datetime.now(UTC))
    assert "vc:s-2" in environment.not_yet(activities.find_source_servers, request).message
    mgn.edit("s-2", life_cycle="STOPPED")
    found = environment.attempt(activities.find_source_servers, request)
    assert found.source_server_ids == ("s-2", "s-1")


def test_a_machine_that_does_not_register_in_time_is_named(activities: ApplicationMigration) -> None:
    request = find("vc:s-1", since=datetime.now(UTC) - HOUR)
    error = Attempts().error(activities.find_source_servers, request)
    assert (error.type, error.non_retryable) == ("SourcePreparationError", True)
    assert "vc:s-1" in error.message
