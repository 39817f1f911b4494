"""What is written to Cloud Migration Factory: only what differs, once, whatever gets lost."""

from datetime import timedelta

import pytest

from activities.cmf import FactoryUpdates, FactoryWaveKey, TellServers, WriteWave, wave_workflow_id
from migration.errors import Conflict
from migration.factory_words import ServerWords
from tests.fakes.environment import Attempts
from tests.fakes.factory import WAVE, FakeFactory

KEY = FactoryWaveKey(wave_id=WAVE)
INSTALLED = ServerWords(names=("billing-web-01", "web"), migration_status="Agent Install - Success")
MOVED = {
    "migration_status": "2/2 status checks : Passed",
    "replication_status": "Archived - Please reinstall agent",
    "target_instance_id": "i-1",
}


@pytest.fixture
def factory() -> FakeFactory:
    return FakeFactory(("billing-web-01", "billing-web-02"))


def updates(factory: FakeFactory, bound: timedelta = timedelta(minutes=2)) -> FactoryUpdates:
    return FactoryUpdates(lambda _: factory, lambda name: name or "cmf-1", bound)


def tell(*words: ServerWords) -> TellServers:
    return TellServers(wave=KEY, servers=words)


def test_a_server_is_told_once_though_the_reply_is_lost(factory: FakeFactory) -> None:
    act, attempts = updates(factory).tell_servers, Attempts()
    factory.lose_reply("update_server")
    assert not attempts.error(act, tell(INSTALLED)).non_retryable
    attempts.attempt(act, tell(INSTALLED))
    assert factory.effects == [("update_server", "1", {"migration_status": "Agent Install - Success"})]


def test_servers_that_cmf_has_are_told_when_others_are_missing(factory: FakeFactory) -> None:
    missing = ServerWords(names=("nobody",), migration_status="Agent Install - Success")
    error = Attempts().error(updates(factory).tell_servers, tell(missing, INSTALLED))
    assert (error.type, error.non_retryable) == ("MigrationExecutionError", True)
    assert "no server nobody" in error.message
    assert factory.count("update_server") == 1


def test_an_attempt_that_is_too_old_begins_no_write(factory: FakeFactory) -> None:
    old = Attempts(age=timedelta(minutes=3))
    assert old.error(updates(factory).tell_servers, tell(INSTALLED)).type == "Unavailable"
    assert old.error(updates(factory).write_wave, WriteWave(wave=KEY, blocked=False)).type == "Unavailable"
    assert factory.effects == []


def test_a_wave_is_written_once_and_only_when_its_status_differs(factory: FakeFactory) -> None:
    act, attempts, request = updates(factory).write_wave, Attempts(), WriteWave(wave=KEY, blocked=False)
    factory.lose_reply("set_wave_status")
    assert not attempts.error(act, request).non_retryable
    attempts.attempt(act, request)
    assert factory.effects == [("set_wave_status", WAVE, "In progress")]
    attempts.attempt(act, WriteWave(wave=KEY, blocked=True))
    assert factory.waves[WAVE].status == "Blocked"


def test_what_a_migration_has_left_is_told_before_the_wave_is_judged(factory: FakeFactory) -> None:
    left = tuple(ServerWords(names=(server.name,), **MOVED) for server in factory.known.values())
    Attempts().attempt(updates(factory).write_wave, WriteWave(wave=KEY, blocked=False, left=left))
    assert [effect[0] for effect in factory.effects] == ["update_server", "update_server", "set_wave_status"]
    assert factory.waves[WAVE].status == "Completed"


def test_a_refused_write_is_not_repeated(factory: FakeFactory) -> None:
    factory.refuse("set_wave_status", Conflict("no such value", action="Add it"))
    error = Attempts().error(updates(factory).write_wave, WriteWave(wave=KEY, blocked=True))
    assert (error.type, error.non_retryable) == ("MigrationExecutionError", True)


def test_a_wave_has_one_workflow_however_its_connection_is_called() -> None:
    assert wave_workflow_id(FactoryWaveKey(connection="cmf-1", wave_id="7")) == "cmf-wave/cmf-1/7"
