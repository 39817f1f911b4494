import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr
from pyVmomi import vim

from adapters.vcenter import VCenter
from localcloud.faults import FaultPlan, Rule
from localcloud.ledger import Ledger
from localcloud.vcenter import PASSWORD, USERNAME, VCenterSimulator
from localcloud.world import SourceMachine, build_world
from migration.errors import Conflict, NotFound, PrerequisiteError, SourcePreparationError, Unavailable
from migration.ports import PowerState, SourceHypervisor
from migration.settings import Connection

MACHINES = build_world(250, applications=12, servers=3).machines
SNAPSHOT = "migrator-mig-billing-20261123_1_cutover_1"


class DataCentre:
    """A running vCenter, what it told, and what it is told to do wrong."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.faults = FaultPlan()
        self.changes: list[tuple[str, bool, bool, float]] = []
        self.simulator = VCenterSimulator(
            MACHINES, self.ledger, self.faults, on_change=lambda *change: self.changes.append(change)
        )

    def connection(self, password: str = PASSWORD) -> Connection:
        return Connection(url=self.simulator.url, username=USERNAME, password=SecretStr(password))

    def count(self, operation: str, vm: str) -> int:
        return len(self.ledger.entries(service="vcenter", operation=operation, target=vm))

    def plan(self, operation: str, action: Any, vm: str | None, code: str | None = None) -> None:
        self.faults.add(Rule("vcenter", operation, action, target=vm, times=1, code=code))


@pytest.fixture(scope="module")
def data_centre() -> Iterator[DataCentre]:
    data_centre = DataCentre()
    data_centre.simulator.start()
    yield data_centre
    data_centre.simulator.stop()


@pytest.fixture
def vcenter(data_centre: DataCentre) -> Iterator[VCenter]:
    data_centre.faults.clear()
    vcenter = VCenter(data_centre.connection())
    yield vcenter
    vcenter.close()


@pytest.fixture(scope="module")
def unused() -> Iterator[SourceMachine]:
    return iter(MACHINES)


@pytest.fixture
def machine(unused: Iterator[SourceMachine]) -> SourceMachine:
    """A machine that no other test touches."""
    return next(unused)


def eventually(is_so: Callable[[], bool], within: float = 5.0) -> bool:
    deadline = time.monotonic() + within
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def unplugged(vcenter: VCenter, vm: str) -> list[bool]:
    return [not card.connected for card in vcenter.find(vm).nics]


def test_the_adapter_is_a_source_hypervisor(vcenter: VCenter) -> None:
    hypervisor: SourceHypervisor = vcenter
    assert hypervisor.find(MACHINES[-1].name).vm == MACHINES[-1].name


def test_a_running_machine_is_found_with_its_facts(vcenter: VCenter, machine: SourceMachine) -> None:
    found = vcenter.find(machine.name)

    assert (found.vm, found.uuid, found.power) == (machine.name, machine.uuid, PowerState.ON)
    assert found.id.startswith("vm-")
    assert found.tools_running
    assert found.addresses == (machine.address,)
    assert [(card.mac, card.connected) for card in found.nics] == [(machine.mac, True)]
    assert [disk.size_bytes for disk in found.disks] == [10 * 1024**3]
    assert found.guest_os == "Ubuntu Linux (64-bit)"
    assert found.snapshots == ()


def test_every_name_lands_on_its_own_machine(vcenter: VCenter) -> None:
    assert [vcenter.find(machine.name).uuid for machine in MACHINES] == [machine.uuid for machine in MACHINES]


def test_an_unknown_machine_is_not_found(vcenter: VCenter) -> None:
    with pytest.raises(NotFound, match="no machine named ledger-web-01"):
        vcenter.find("ledger-web-01")


def test_a_guest_that_is_asked_to_shut_down_ends_powered_off(
    vcenter: VCenter, machine: SourceMachine, data_centre: DataCentre
) -> None:
    vcenter.shut_down_guest(machine.name)

    assert eventually(lambda: vcenter.find(machine.name).power is PowerState.OFF)
    found = vcenter.find(machine.name)
    assert not found.tools_running
    assert found.addresses == ()
    vcenter.shut_down_guest(machine.name)
    vcenter.power_off(machine.name)
    assert data_centre.count("ShutdownGuest", machine.name) == 1
    assert data_centre.count("PowerOffVM_Task", machine.name) == 0


def test_power_off_and_on_act_once_each(vcenter: VCenter, machine: SourceMachine, data_centre: DataCentre) -> None:
    vcenter.power_on(machine.name)
    assert data_centre.count("PowerOnVM_Task", machine.name) == 0

    vcenter.power_off(machine.name)
    vcenter.power_off(machine.name)
    assert vcenter.find(machine.name).power is PowerState.OFF

    vcenter.power_on(machine.name)
    vcenter.power_on(machine.name)
    found = vcenter.find(machine.name)
    assert (found.power, found.tools_running, found.addresses) == (PowerState.ON, True, (machine.address,))
    assert data_centre.count("PowerOffVM_Task", machine.name) == 1
    assert data_centre.count("PowerOnVM_Task", machine.name) == 1


def test_a_running_machine_is_unplugged_and_plugged_in_once_each(
    vcenter: VCenter, machine: SourceMachine, data_centre: DataCentre
) -> None:
    for _ in range(2):
        vcenter.connect_nics(machine.name, [machine.mac.upper()], connected=False)
    found = vcenter.find(machine.name)
    assert [card.connected for card in found.nics] == [False]
    assert found.addresses == ()

    for _ in range(2):
        vcenter.connect_nics(machine.name, [machine.mac], connected=True)
    found = vcenter.find(machine.name)
    assert [card.connected for card in found.nics] == [True]
    assert found.addresses == (machine.address,)
    assert data_centre.count("ReconfigVM_Task", machine.name) == 2


def test_a_card_unplugged_while_off_stays_unplugged_at_power_on(
    vcenter: VCenter, machine: SourceMachine, data_centre: DataCentre
) -> None:
    vcenter.power_off(machine.name)
    assert unplugged(vcenter, machine.name) == [False]
    vcenter.connect_nics(machine.name, [machine.mac], connected=False)
    assert unplugged(vcenter, machine.name) == [True]

    vcenter.power_on(machine.name)
    assert unplugged(vcenter, machine.name) == [True]

    vcenter.power_off(machine.name)
    vcenter.connect_nics(machine.name, [machine.mac], connected=True)
    vcenter.power_on(machine.name)
    assert unplugged(vcenter, machine.name) == [False]
    assert data_centre.count("ReconfigVM_Task", machine.name) == 2


def test_a_card_that_is_gone_is_unplugged_but_cannot_be_plugged_in(vcenter: VCenter, machine: SourceMachine) -> None:
    vcenter.connect_nics(machine.name, ["00:50:56:3f:ff:ff"], connected=False)

    with pytest.raises(NotFound, match="00:50:56:3f:ff:ff"):
        vcenter.connect_nics(machine.name, [machine.mac, "00:50:56:3F:FF:FF"], connected=True)


def test_a_snapshot_is_taken_once_and_found_by_its_name(
    vcenter: VCenter, machine: SourceMachine, data_centre: DataCentre
) -> None:
    taken = vcenter.create_snapshot(machine.name, SNAPSHOT, "before the cutover")
    assert taken.startswith("snapshot-")

    assert vcenter.create_snapshot(machine.name, SNAPSHOT, "before the cutover") == taken
    assert vcenter.find(machine.name).snapshots == (SNAPSHOT,)
    assert data_centre.count("CreateSnapshot_Task", machine.name) == 1


def test_removing_a_snapshot_leaves_its_children(
    vcenter: VCenter, machine: SourceMachine, data_centre: DataCentre
) -> None:
    vcenter.create_snapshot(machine.name, SNAPSHOT, "")
    child = vcenter.create_snapshot(machine.name, "nightly", "")
    assert vcenter.find(machine.name).snapshots == (SNAPSHOT, "nightly")

    for _ in range(2):
        vcenter.remove_snapshot(machine.name, SNAPSHOT)
    assert vcenter.find(machine.name).snapshots == ("nightly",)
    assert vcenter.create_snapshot(machine.name, "nightly", "") == child
    assert data_centre.count("RemoveSnapshot_Task", machine.name) == 1


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (None, Unavailable),
        ("TaskInProgress", Unavailable),
        ("InvalidState", Conflict),
        ("NoPermission", PrerequisiteError),
        ("GenericVmConfigFault", SourcePreparationError),
    ],
)
def test_a_refused_call_is_told_in_our_words_and_can_be_repeated(
    vcenter: VCenter, machine: SourceMachine, data_centre: DataCentre, code: str | None, error: type[Exception]
) -> None:
    data_centre.plan("PowerOffVM_Task", "refuse", machine.name, code)

    with pytest.raises(error, match=f"{machine.name}: vCenter answered {code or 'SystemError'}"):
        vcenter.power_off(machine.name)
    assert vcenter.find(machine.name).power is PowerState.ON
    assert data_centre.count("PowerOffVM_Task", machine.name) == 0

    vcenter.power_off(machine.name)
    assert data_centre.count("PowerOffVM_Task", machine.name) == 1


def test_a_shutdown_without_tools_may_be_tried_again(
    vcenter: VCenter, machine: SourceMachine, data_centre: DataCentre
) -> None:
    data_centre.plan("ShutdownGuest", "refuse", machine.name, "ToolsUnavailable")

    with pytest.raises(Conflict) as caught:
        vcenter.shut_down_guest(machine.name)
    assert caught.value.retryable


@pytest.mark.parametrize(
    ("operation", "act"),
    [
        ("ShutdownGuest", lambda vcenter, machine: vcenter.shut_down_guest(machine.name)),
        ("PowerOffVM_Task", lambda vcenter, machine: vcenter.power_off(machine.name)),
        (
            "ReconfigVM_Task",
            lambda vcenter, machine: vcenter.connect_nics(machine.name, [machine.mac], connected=False),
        ),
        ("CreateSnapshot_Task", lambda vcenter, machine: vcenter.create_snapshot(machine.name, SNAPSHOT, "")),
    ],
)
def test_an_effect_whose_reply_was_lost_is_seen_and_not_repeated(
    vcenter: VCenter,
    machine: SourceMachine,
    data_centre: DataCentre,
    operation: str,
    act: Callable[[VCenter, SourceMachine], Any],
) -> None:
    data_centre.plan(operation, "replyLost", machine.name)

    act(vcenter, machine)
    act(vcenter, machine)

    assert data_centre.faults.rules() == {}
    assert data_centre.count(operation, machine.name) == 1


def test_a_read_whose_reply_was_lost_is_made_again(
    vcenter: VCenter, machine: SourceMachine, data_centre: DataCentre
) -> None:
    vcenter.find(machine.name)
    data_centre.plan("RetrievePropertiesEx", "replyLost", None)

    assert vcenter.find(machine.name).vm == machine.name
    assert data_centre.faults.rules() == {}


def test_a_session_that_has_ended_is_renewed(vcenter: VCenter, machine: SourceMachine) -> None:
    vcenter.find(machine.name)
    vcenter._session.run(lambda content: content.sessionManager.Logout())  # as vCenter does after half an hour

    vcenter.power_off(machine.name)

    assert vcenter.find(machine.name).power is PowerState.OFF


def test_a_session_that_ends_just_before_the_act_is_renewed(
    vcenter: VCenter, machine: SourceMachine, data_centre: DataCentre
) -> None:
    data_centre.plan("PowerOffVM_Task", "refuse", machine.name, "NotAuthenticated")

    vcenter.power_off(machine.name)

    assert data_centre.faults.rules() == {}
    assert data_centre.count("PowerOffVM_Task", machine.name) == 1


def test_a_wrong_password_is_a_matter_for_a_person(data_centre: DataCentre, machine: SourceMachine) -> None:
    with (
        closing(VCenter(data_centre.connection("wrong"))) as vcenter,
        pytest.raises(PrerequisiteError, match="refused the login of 'migrator'") as caught,
    ):
        vcenter.find(machine.name)
    assert caught.value.action
    assert "wrong" not in str(caught.value)


def test_a_vcenter_that_does_not_answer_is_worth_a_retry(machine: SourceMachine) -> None:
    nowhere = Connection(url="http://127.0.0.1:9/sdk", username=USERNAME, password=SecretStr(PASSWORD))

    with pytest.raises(Unavailable, match="did not answer"):
        VCenter(nowhere, call_within=timedelta(seconds=2)).find(machine.name)


def test_threads_share_a_session_and_a_machine(
    vcenter: VCenter, machine: SourceMachine, data_centre: DataCentre
) -> None:
    before = len(data_centre.ledger.entries())
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: vcenter.power_off(machine.name), range(8)))
        found = list(threads.map(lambda other: vcenter.find(other.name).vm, MACHINES))

    assert found == [other.name for other in MACHINES]
    assert [entry.operation for entry in data_centre.ledger.entries(since=before)] == ["PowerOffVM_Task"]


def test_a_task_that_fails_is_not_in_the_ledger(
    vcenter: VCenter, machine: SourceMachine, data_centre: DataCentre
) -> None:
    reference = vcenter._look(machine.name).reference  # the adapter does not switch on what runs
    vcenter._session.run(lambda _: reference.PowerOnVM_Task())

    assert data_centre.count("PowerOnVM_Task", machine.name) == 0


def test_changes_are_told_in_order_before_the_call_is_answered(
    vcenter: VCenter, machine: SourceMachine, data_centre: DataCentre
) -> None:
    began = time.time()
    vcenter.power_off(machine.name)
    vcenter.connect_nics(machine.name, [machine.mac], connected=False)
    vcenter.create_snapshot(machine.name, SNAPSHOT, "")
    vcenter.power_on(machine.name)

    told = [change for change in data_centre.changes if change[0] == machine.name]
    assert [change[1:3] for change in told] == [(False, True), (False, False), (True, False)]
    times = [change[3] for change in told]
    assert times == sorted(times)
    assert began - 1 < times[0] <= times[-1] < time.time() + 1


def test_two_machines_of_one_name_are_a_conflict_and_nothing_is_done_to_either(
    vcenter: VCenter, machine: SourceMachine, data_centre: DataCentre
) -> None:
    create_beside(vcenter, machine.name, machine.name)

    with pytest.raises(Conflict, match=f"2 machines are named {machine.name}: vm-.*, vm-") as caught:
        vcenter.power_off(machine.name)
    assert caught.value.action
    assert data_centre.count("PowerOffVM_Task", machine.name) == 0


def test_a_name_is_given_as_inventories_show_it(vcenter: VCenter, machine: SourceMachine) -> None:
    create_beside(vcenter, machine.name, "finance/ledger-01")

    assert vcenter.find("finance/ledger-01").power is PowerState.OFF


def create_beside(vcenter: VCenter, vm: str, name: str) -> None:
    """Create a machine in a folder of its own, as an operator would."""
    session = vcenter._session  # the adapter has no business creating machines
    original = vcenter._look(vm).reference
    folder = session.run(lambda _: original.parent.CreateFolder(f"archive-{name}"))
    spec = vim.vm.ConfigSpec(name=name, guestId="otherGuest", files=vim.vm.FileInfo(vmPathName="[LocalDS_0]"))
    vcenter._finish(vm, session.run(lambda _: folder.CreateVM_Task(spec, original.resourcePool)))
