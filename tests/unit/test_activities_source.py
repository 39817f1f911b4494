from datetime import UTC, datetime, timedelta

import pytest

from activities.machines import snapshot_name
from activities.prerequisites import SourceFacts
from activities.source import (
    AgentTarget,
    InstallAgents,
    ShutDownSources,
    SnapshotSources,
    SourceMachines,
    Sources,
)
from localcloud.aws.installer import find_installation
from migration.marks import Mark
from migration.ports import NetworkCard, PowerState, Where
from migration.steps import Step
from tests.fakes.environment import Attempts
from tests.fakes.mgn import FakeReplication
from tests.fakes.ssm import FakeCommands
from tests.fakes.vcenter import FakeHypervisor

WHERE = Where(account_id="123456789012", region="eu-central-1")
MARK = Mark(migration_id="mig-a", generation=1, step=Step.CUTOVER, entry=1, correlation_id="mig-a")
MAC, SPARE = "00:50:56:00:00:01", "00:50:56:00:00:02"
CARDS = (NetworkCard(key=4000, mac=MAC, connected=True), NetworkCard(key=4001, mac=SPARE, connected=False))
FACTS = SourceFacts(server="web", vm="web", user_provided_id="vc:1", powered_on=True, connected_macs=(MAC,))


@pytest.fixture
def hypervisor() -> FakeHypervisor:
    return FakeHypervisor()


@pytest.fixture
def mgn() -> FakeReplication:
    return FakeReplication()


@pytest.fixture
def commands(mgn: FakeReplication) -> FakeCommands:
    return FakeCommands(mgn)


@pytest.fixture
def sources(hypervisor: FakeHypervisor, commands: FakeCommands, mgn: FakeReplication) -> Sources:
    return Sources(
        lambda _: hypervisor, lambda _: commands, lambda _: mgn, timedelta(minutes=2), timedelta(milliseconds=1)
    )


def shut_down(*, within: timedelta = timedelta(minutes=15), nics: bool = True, vm: str = "web") -> ShutDownSources:
    facts = FACTS.model_copy(update={"vm": vm})
    return ShutDownSources(connection="vc", sources=(facts,), within=within, disconnect_nics=nics)


def snapshots() -> SnapshotSources:
    return SnapshotSources(connection="vc", sources=(FACTS,), mark=MARK)


def machines(facts: SourceFacts = FACTS) -> SourceMachines:
    return SourceMachines(connection="vc", sources=(facts,))


# --- off -------------------------------------------------------------------------------------------------------


def test_a_guest_is_asked_to_shut_down_and_only_then_unplugged(hypervisor: FakeHypervisor, sources: Sources) -> None:
    hypervisor.add("web", nics=CARDS)
    Attempts().attempt(sources.shut_down_sources, shut_down())
    assert hypervisor.effects == [("shut_down_guest", "web"), ("connect_nics", "web", (MAC,), False)]


def test_a_guest_whose_application_hooks_have_stopped_loses_its_power_unasked(
    hypervisor: FakeHypervisor, sources: Sources
) -> None:
    hypervisor.add("web", nics=CARDS)
    for _ in range(2):
        Attempts().attempt(sources.shut_down_sources, shut_down().model_copy(update={"ask_guests": False}))
    assert hypervisor.effects == [("power_off", "web"), ("connect_nics", "web", (MAC,), False)]


def test_network_cards_stay_plugged_in_when_the_request_says_so(hypervisor: FakeHypervisor, sources: Sources) -> None:
    hypervisor.add("web")
    Attempts().attempt(sources.shut_down_sources, shut_down(nics=False))
    assert hypervisor.effects == [("shut_down_guest", "web")]


@pytest.mark.parametrize("fields", [{"tools_running": False}, {"power": PowerState.SUSPENDED}])
def test_a_guest_that_cannot_be_asked_loses_its_power(
    hypervisor: FakeHypervisor, sources: Sources, fields: dict[str, object]
) -> None:
    hypervisor.add("web", **fields)
    Attempts().attempt(sources.shut_down_sources, shut_down(nics=False))
    assert hypervisor.effects == [("power_off", "web")]


def test_a_guest_that_does_not_obey_in_time_loses_its_power(hypervisor: FakeHypervisor, sources: Sources) -> None:
    hypervisor.add("web")
    hypervisor.guests_obey = False
    Attempts().attempt(sources.shut_down_sources, shut_down(within=timedelta(milliseconds=20)))
    assert [effect[0] for effect in hypervisor.effects] == ["shut_down_guest", "power_off", "connect_nics"]


def test_a_guest_is_asked_once_and_its_time_runs_on_over_attempts(hypervisor: FakeHypervisor, sources: Sources) -> None:
    hypervisor.add("web")
    hypervisor.guests_obey = False
    environment = Attempts(age=timedelta(minutes=2) - timedelta(milliseconds=50))
    environment.not_yet(sources.shut_down_sources, shut_down())
    asked = environment.beats[-1][0]["at"]["web"]
    environment.beats.append(({"at": {"web": str(datetime.fromisoformat(asked) - timedelta(minutes=15))}},))
    environment.age = timedelta(0)
    environment.attempt(sources.shut_down_sources, shut_down())
    assert hypervisor.count("shut_down_guest") == 1
    assert hypervisor.count("power_off") == 1


def test_a_shutdown_whose_reply_was_lost_does_nothing_twice(hypervisor: FakeHypervisor, sources: Sources) -> None:
    hypervisor.add("web")
    hypervisor.lose_reply("shut_down_guest")
    hypervisor.lose_reply("connect_nics")
    environment = Attempts()
    environment.error(sources.shut_down_sources, shut_down())
    environment.error(sources.shut_down_sources, shut_down())
    environment.attempt(sources.shut_down_sources, shut_down())
    assert [effect[0] for effect in hypervisor.effects] == ["shut_down_guest", "connect_nics"]


def test_a_machine_that_is_gone_cannot_be_fenced(sources: Sources) -> None:
    error = Attempts().error(sources.shut_down_sources, shut_down(vm="gone"))
    assert (error.type, error.non_retryable) == ("CutoverError", True)


def test_a_retired_machine_is_off_and_off_the_network_or_gone(hypervisor: FakeHypervisor, sources: Sources) -> None:
    hypervisor.add("web", nics=CARDS)
    Attempts().attempt(sources.retire_sources, machines())
    assert hypervisor.machines["web"].power is PowerState.OFF
    assert not any(card.connected for card in hypervisor.machines["web"].nics)
    del hypervisor.machines["web"]
    Attempts().attempt(sources.retire_sources, machines())


# --- deleted ---------------------------------------------------------------------------------------------------


def test_a_source_is_deleted_once_though_the_reply_was_lost(hypervisor: FakeHypervisor, sources: Sources) -> None:
    hypervisor.add("web", uuid="1", power=PowerState.OFF)
    hypervisor.lose_reply("delete")
    environment = Attempts()
    environment.error(sources.delete_sources, machines())
    environment.attempt(sources.delete_sources, machines())
    assert hypervisor.effects == [("delete", "web")]


def test_a_source_that_is_gone_does_not_hold_the_deletion_of_the_others(
    hypervisor: FakeHypervisor, sources: Sources
) -> None:
    hypervisor.add("db", uuid="2", power=PowerState.OFF)
    db = FACTS.model_copy(update={"vm": "db", "user_provided_id": "vc:2"})
    Attempts().attempt(sources.delete_sources, SourceMachines(connection="vc", sources=(FACTS, db)))
    assert hypervisor.effects == [("delete", "db")]


@pytest.mark.parametrize("fields", [{"uuid": "2", "power": PowerState.OFF}, {"uuid": "1", "power": PowerState.ON}])
def test_a_machine_made_or_put_to_use_since_is_left_to_a_person(
    hypervisor: FakeHypervisor, sources: Sources, fields: dict[str, object]
) -> None:
    hypervisor.add("web", **fields)
    error = Attempts().error(sources.delete_sources, machines())
    assert (error.type, error.non_retryable) == ("MigrationExecutionError", True)
    assert error.details[0]["action"]
    assert not hypervisor.effects


def test_nothing_is_deleted_by_an_attempt_that_is_too_old(hypervisor: FakeHypervisor, sources: Sources) -> None:
    hypervisor.add("web", uuid="1", power=PowerState.OFF)
    assert Attempts(age=timedelta(minutes=3)).error(sources.delete_sources, machines()).type == "Unavailable"
    assert not hypervisor.effects


# --- back ------------------------------------------------------------------------------------------------------


def test_a_source_is_restored_to_what_it_was_and_to_nothing_else(hypervisor: FakeHypervisor, sources: Sources) -> None:
    unplugged = tuple(card.model_copy(update={"connected": False}) for card in CARDS)
    hypervisor.add("web", power=PowerState.OFF, nics=unplugged)
    for _ in range(2):
        Attempts().attempt(sources.restore_sources, machines())
    assert hypervisor.effects == [("connect_nics", "web", (MAC,), True), ("power_on", "web")]


def test_a_source_that_was_off_stays_off(hypervisor: FakeHypervisor, sources: Sources) -> None:
    hypervisor.add("web", power=PowerState.OFF)
    Attempts().attempt(sources.restore_sources, machines(FACTS.model_copy(update={"powered_on": False})))
    assert not hypervisor.effects


def test_a_source_that_is_gone_is_a_failed_undo(sources: Sources) -> None:
    error = Attempts().error(sources.restore_sources, machines())
    assert (error.type, error.non_retryable) == ("RollbackError", True)


# --- snapshots -------------------------------------------------------------------------------------------------


def test_a_powered_off_source_is_snapshotted_once_under_the_mark(hypervisor: FakeHypervisor, sources: Sources) -> None:
    hypervisor.add("web", power=PowerState.OFF)
    hypervisor.lose_reply("create_snapshot")
    environment = Attempts()
    environment.error(sources.snapshot_sources, snapshots())
    environment.attempt(sources.snapshot_sources, snapshots())
    assert hypervisor.effects == [("create_snapshot", "web", "migrator-mig-a_1_cutover_1")]


def test_a_running_source_is_not_snapshotted(hypervisor: FakeHypervisor, sources: Sources) -> None:
    hypervisor.add("web")
    assert Attempts().error(sources.snapshot_sources, snapshots()).non_retryable
    assert not hypervisor.effects


def test_a_snapshots_name_has_no_slash_which_vsphere_would_escape() -> None:
    assert "/" not in snapshot_name(MARK)
    assert snapshot_name(MARK) != snapshot_name(MARK.model_copy(update={"entry": 2}))


def test_only_the_marks_snapshot_is_removed_and_absence_is_no_error(
    hypervisor: FakeHypervisor, sources: Sources
) -> None:
    hypervisor.add("web", snapshots=("before-upgrade", snapshot_name(MARK)))
    for _ in range(2):
        Attempts().attempt(sources.remove_source_snapshots, snapshots())
    assert hypervisor.machines["web"].snapshots == ("before-upgrade",)
    del hypervisor.machines["web"]
    Attempts().attempt(sources.remove_source_snapshots, snapshots())


# --- the agent -------------------------------------------------------------------------------------------------


def install(*targets: AgentTarget) -> InstallAgents:
    return InstallAgents(where=WHERE, mark=MARK, targets=targets)


def target(name: str = "web", os: str = "linux") -> AgentTarget:
    return AgentTarget(server=name, managed_instance_id=f"mi-{name}", os=os, user_provided_id=f"vc:{name}")


def test_the_agent_is_installed_only_where_mgn_does_not_know_the_machine(
    mgn: FakeReplication, commands: FakeCommands, sources: Sources
) -> None:
    mgn.add("s-known", user_provided_id="vc:known")
    mgn.add("s-imported", "PENDING_INSTALLATION", user_provided_id="vc:imported")
    Attempts().attempt(sources.install_agents, install(target(), target("known"), target("imported")))
    assert sorted(effect[1] for effect in commands.effects) == ["mi-imported", "mi-web"]


def test_an_installation_whose_reply_was_lost_is_not_repeated(commands: FakeCommands, sources: Sources) -> None:
    commands.lose_reply("run")
    environment = Attempts()
    assert environment.error(sources.install_agents, install(target())).type == "Unavailable"
    environment.attempt(sources.install_agents, install(target()))
    assert commands.count("run") == 1


@pytest.mark.parametrize("os", ["linux", "windows"])
def test_the_installer_registers_in_the_region_under_the_machines_id_without_replicating(
    commands: FakeCommands, sources: Sources, os: str
) -> None:
    Attempts().attempt(sources.install_agents, install(target(os=os)))
    installation = find_installation(commands.scripts, windows=os == "windows")
    assert installation is not None
    assert (installation.region, installation.user_provided_id) == ("eu-central-1", "vc:web")
    assert installation.no_replication


def test_an_installer_that_says_it_failed_is_believed_over_its_exit_code(
    commands: FakeCommands, sources: Sources
) -> None:
    commands.failing.add("mi-web")
    error = Attempts().error(sources.install_agents, install(target(), target("db")))
    assert (error.type, error.non_retryable) == ("SourcePreparationError", True)
    assert "no space" in error.message
    assert commands.count("run") == 1


def test_times_in_heartbeats_carry_their_offset(hypervisor: FakeHypervisor, sources: Sources) -> None:
    hypervisor.add("web")
    environment = Attempts()
    environment.attempt(sources.shut_down_sources, shut_down())
    asked = datetime.fromisoformat(environment.beats[-1][0]["at"]["web"])
    assert datetime.now(UTC) - asked < timedelta(minutes=1)
