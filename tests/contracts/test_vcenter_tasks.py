"""Tasks that take their time, as they do in life: seen here without the proxy, which answers when they have ended."""

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from adapters.vcenter import VCenter
from localcloud.vcenter import PASSWORD, USERNAME
from localcloud.vcenter.build import vcenter_binary
from localcloud.vcenter.program import Program
from localcloud.world import build_world
from migration.errors import Unavailable
from migration.ports import PowerState
from migration.settings import Connection

MACHINES = build_world(250, applications=4).machines
TASK_TAKES = timedelta(milliseconds=400)


@pytest.fixture(scope="module")
def connection() -> Iterator[Connection]:
    program = Program(MACHINES, lambda *_: None, task_takes=TASK_TAKES)
    program.start(vcenter_binary())
    yield Connection(url=program.address, username=USERNAME, password=SecretStr(PASSWORD))
    program.stop()


@pytest.fixture
def vcenter(connection: Connection) -> Iterator[VCenter]:
    with closing(VCenter(connection)) as vcenter:
        yield vcenter


def begin(vcenter: VCenter, vm: str, task: str, *args: Any) -> None:
    """Start a task and go away, as a worker does that dies or gets no reply."""
    reference = vcenter._look(vm).reference  # the adapter always waits for its tasks
    vcenter._session.run(lambda _: getattr(reference, task)(*args))


def test_an_act_is_done_when_its_task_has_ended(vcenter: VCenter) -> None:
    vcenter.power_off(MACHINES[0].name)

    assert vcenter.find(MACHINES[0].name).power is PowerState.OFF


def test_a_snapshot_that_somebody_has_begun_is_waited_for_and_not_taken_twice(vcenter: VCenter) -> None:
    vm = MACHINES[1].name
    begin(vcenter, vm, "CreateSnapshot_Task", "mark", "", False, False)
    assert vcenter.find(vm).snapshots == ()

    vcenter.create_snapshot(vm, "mark", "")

    assert vcenter.find(vm).snapshots == ("mark",)


def test_a_machine_that_is_on_its_way_off_is_waited_for(vcenter: VCenter) -> None:
    vm = MACHINES[2].name
    begin(vcenter, vm, "PowerOffVM_Task")
    assert vcenter.find(vm).power is PowerState.ON

    vcenter.power_on(vm)

    assert vcenter.find(vm).power is PowerState.ON
    vcenter.power_off(vm)
    assert vcenter.find(vm).power is PowerState.OFF


def test_a_task_that_takes_too_long_is_worth_another_attempt(connection: Connection, vcenter: VCenter) -> None:
    vm = MACHINES[3].name
    with closing(VCenter(connection, task_within=TASK_TAKES / 10)) as impatient:
        with pytest.raises(Unavailable, match=f"{vm}: a task of vCenter still runs"):
            impatient.power_off(vm)
        with pytest.raises(Unavailable, match="still runs"):
            impatient.power_off(vm)

    vcenter.power_off(vm)
    assert vcenter.find(vm).power is PowerState.OFF
