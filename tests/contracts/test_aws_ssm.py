"""Run Command against Systems Manager: machines found, commands waited for, and never sent twice."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from moto.ssm.models import ssm_backends

from adapters.ssm import Ssm
from localcloud.world import SourceMachine
from migration.errors import Conflict, MigrationExecutionError, NotFound, SourcePreparationError, Unavailable
from migration.marks import Mark
from migration.steps import Step
from tests.contracts.aws_cloud import ACCOUNT, REGION, Cloud, local_aws

SOON = timedelta(seconds=20)
_marks = count(1)


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with local_aws(servers=5) as cloud:  # more than one page of machines
        yield cloud


@pytest.fixture
def commands(cloud: Cloud) -> Ssm:
    return Ssm(cloud.sessions, cloud.where)


@pytest.fixture
def machine(cloud: Cloud) -> SourceMachine:
    return cloud.machines[0]


@pytest.fixture
def mark() -> str:
    number = next(_marks)
    return str(Mark(migration_id="mig-billing", generation=1, step=Step.PREPARE, entry=number, correlation_id="c"))


@contextmanager
def after_sending(cloud: Cloud, change: Callable[[dict[str, Any]], object]) -> Iterator[None]:
    """Change each command's invocation once SendCommand has answered, as time does in life."""

    def changed(parsed: Any, **_: Any) -> None:
        change(invocation(parsed["Command"]["CommandId"]))

    events = cloud.sessions.client("ssm", where=cloud.where, once=True).meta.events
    events.register("after-call.ssm.SendCommand", changed)
    yield
    events.unregister("after-call.ssm.SendCommand", changed)


def invocation(command_id: str) -> dict[str, Any]:
    command = ssm_backends[ACCOUNT][REGION].get_command_by_id(command_id)
    found: dict[str, Any] = command.invocations[0]
    return found


def sent(cloud: Cloud, mark: str) -> int:
    return sum(entry.detail.get("Comment") == mark for entry in cloud.calls("SendCommand"))


def test_a_machine_is_found_by_its_id(commands: Ssm, machine: SourceMachine) -> None:
    found = commands.find(instance_id=machine.managed_instance_id, name="anything")
    assert (found.id, found.name, found.online) == (machine.managed_instance_id, machine.name, True)
    assert found.platform == "linux"


def test_a_machine_is_found_by_its_name_in_any_case_on_any_page(commands: Ssm, cloud: Cloud) -> None:
    last = cloud.machines[-1]
    assert commands.find(instance_id=None, name=last.name.upper()).id == last.managed_instance_id


def test_a_machine_that_is_not_managed_is_not_found(commands: Ssm) -> None:
    with pytest.raises(NotFound, match="no-such"):
        commands.find(instance_id=None, name="no-such")
    with pytest.raises(NotFound, match="mi-0123456789abcdef0"):
        commands.find(instance_id="mi-0123456789abcdef0", name="billing-web-01")


def test_two_machines_of_one_name_are_a_conflict(commands: Ssm, cloud: Cloud) -> None:
    def doubled(parsed: Any, **_: Any) -> None:
        parsed["InstanceInformationList"] *= 2

    events = cloud.sessions.client("ssm", where=cloud.where).meta.events
    events.register("after-call.ssm.DescribeInstanceInformation", doubled)
    with pytest.raises(Conflict, match="several managed instances"):
        commands.find(instance_id=None, name=cloud.machines[0].name)
    events.unregister("after-call.ssm.DescribeInstanceInformation", doubled)


def test_the_installer_runs_and_its_output_comes_back(
    commands: Ssm, cloud: Cloud, machine: SourceMachine, mark: str
) -> None:
    line = f"./aws-replication-installer-init --region {REGION} --no-prompt --user-provided-id id-1"
    result = commands.run(machine.managed_instance_id, [line], os="linux", comment=mark, within=SOON)
    assert result.exit_code == 0
    assert "The following is the source server ID: s-" in result.output


def test_a_failed_script_is_an_answer_with_its_code_and_words(commands: Ssm, machine: SourceMachine, mark: str) -> None:
    line = f"./aws-replication-installer-init --region {REGION} --user-provided-id id-1"
    result = commands.run(machine.managed_instance_id, [line], os="linux", comment=mark, within=SOON)
    assert result.exit_code == 1
    assert "--no-prompt" in result.error


def test_a_command_whose_reply_was_lost_is_adopted(
    commands: Ssm, cloud: Cloud, machine: SourceMachine, mark: str
) -> None:
    cloud.lose_reply("ssm", "SendCommand", machine.managed_instance_id)
    with pytest.raises(Unavailable):
        commands.run(machine.managed_instance_id, ["true"], os="linux", comment=mark, within=SOON)
    result = commands.run(machine.managed_instance_id, ["true"], os="linux", comment=mark, within=SOON)
    assert result.exit_code == 0
    assert sent(cloud, mark) == 1


def test_other_lines_another_mark_and_a_failure_are_sent_again(
    commands: Ssm, cloud: Cloud, machine: SourceMachine, mark: str
) -> None:
    broken = f"./aws-replication-installer-init --region {REGION}"
    for lines in (["true"], ["false"], [broken], [broken]):
        commands.run(machine.managed_instance_id, lines, os="linux", comment=mark, within=SOON)
    assert sent(cloud, mark) == 4


def test_a_long_mark_still_tells_effects_apart(commands: Ssm, cloud: Cloud, machine: SourceMachine, mark: str) -> None:
    long = [f"{mark}/{'x' * 120}/{part}" for part in ("a", "b")]
    ids = {
        commands.run(machine.managed_instance_id, ["true"], os="linux", comment=one, within=SOON).command_id
        for one in (*long, *long)
    }
    assert len(ids) == 2


def test_the_end_of_a_slow_command_is_waited_for(
    commands: Ssm, cloud: Cloud, machine: SourceMachine, mark: str
) -> None:
    timers: list[threading.Timer] = []

    def slow(one: dict[str, Any]) -> None:
        one["Status"] = "InProgress"
        timer = threading.Timer(0.5, one.update, kwargs={"Status": "Success", "StandardOutputContent": "late"})
        timers.append(timer)
        timer.start()

    with after_sending(cloud, slow):
        result = commands.run(machine.managed_instance_id, ["true"], os="linux", comment=mark, within=SOON)
    for timer in timers:
        timer.join()
    assert result.output == "late"


def test_a_command_that_does_not_end_in_time_is_ended(
    commands: Ssm, cloud: Cloud, machine: SourceMachine, mark: str
) -> None:
    within = timedelta(milliseconds=200)
    with (
        after_sending(cloud, lambda one: one.update(Status="InProgress")),
        pytest.raises(SourcePreparationError, match="did not end within"),
    ):
        commands.run(machine.managed_instance_id, ["sleep 1000"], os="linux", comment=mark, within=within)


@pytest.mark.parametrize("details", ["DeliveryTimedOut", "Undeliverable", "Terminated"])
def test_a_machine_out_of_reach_is_worth_a_retry(
    commands: Ssm, cloud: Cloud, machine: SourceMachine, mark: str, details: str
) -> None:
    status = {"Status": "TimedOut", "StatusDetails": details}
    with after_sending(cloud, lambda one: one.update(status)), pytest.raises(Unavailable, match=details):
        commands.run(machine.managed_instance_id, ["true"], os="linux", comment=mark, within=SOON)


@pytest.mark.parametrize(("status", "details"), [("TimedOut", "ExecutionTimedOut"), ("Cancelled", "Cancelled")])
def test_a_command_that_was_ended_is_somebodys_to_look_at(
    commands: Ssm, cloud: Cloud, machine: SourceMachine, mark: str, status: str, details: str
) -> None:
    ended = {"Status": status, "StatusDetails": details}
    with after_sending(cloud, lambda one: one.update(ended)), pytest.raises(SourcePreparationError, match=details):
        commands.run(machine.managed_instance_id, ["true"], os="linux", comment=mark, within=SOON)


def test_an_instance_that_takes_no_commands_is_worth_a_retry(commands: Ssm, mark: str) -> None:
    with pytest.raises(Unavailable, match="takes no commands now"):
        commands.run("mi-0123456789abcdef0", ["true"], os="linux", comment=mark, within=SOON)


def test_an_invocation_may_show_up_late(commands: Ssm, cloud: Cloud, machine: SourceMachine, mark: str) -> None:
    cloud.refuse("ssm", "GetCommandInvocation", 400, "InvocationDoesNotExist")
    result = commands.run(machine.managed_instance_id, ["true"], os="linux", comment=mark, within=SOON)
    assert result.exit_code == 0


def test_windows_lines_run_in_powershell(commands: Ssm, cloud: Cloud, machine: SourceMachine, mark: str) -> None:
    commands.run(machine.managed_instance_id, ["Get-Date"], os="windows", comment=mark, within=SOON)
    assert cloud.calls("SendCommand")[-1].detail["DocumentName"] == "AWS-RunPowerShellScript"


# --- documents ---------------------------------------------------------------------------------------------------

STOP = {"commands": ["systemctl stop billing"]}


def send(commands: Ssm, machine: SourceMachine, mark: str, document: str = "AWS-RunShellScript") -> str:
    return commands.send(machine.managed_instance_id, document, STOP, comment=mark, within=SOON)


def test_a_document_is_sent_with_its_parameters_and_ends(
    commands: Ssm, cloud: Cloud, machine: SourceMachine, mark: str
) -> None:
    seen = commands.look_at(send(commands, machine, mark), machine.managed_instance_id)
    assert (seen.status, seen.ended, seen.succeeded, seen.exit_code) == ("Success", True, True, 0)
    assert cloud.calls("SendCommand")[-1].detail["DocumentName"] == "AWS-RunShellScript"


def test_a_document_whose_reply_was_lost_is_found_by_its_comment_and_only_on_its_machine(
    commands: Ssm, cloud: Cloud, machine: SourceMachine, mark: str
) -> None:
    key = f"{mark}/{'x' * 120}"
    assert commands.find_command(machine.managed_instance_id, key) is None
    cloud.lose_reply("ssm", "SendCommand", machine.managed_instance_id)
    with pytest.raises(Unavailable):
        send(commands, machine, key)
    found = commands.find_command(machine.managed_instance_id, key)
    assert found is not None
    assert commands.look_at(found, machine.managed_instance_id).succeeded
    assert commands.find_command(cloud.machines[1].managed_instance_id, key) is None
    assert commands.find_command(machine.managed_instance_id, f"{mark}/other") is None


@pytest.mark.parametrize("status", ["Failed", "TimedOut", "Cancelled"])
def test_a_document_that_ended_badly_is_found_as_it_ended(
    commands: Ssm, cloud: Cloud, machine: SourceMachine, mark: str, status: str
) -> None:
    with after_sending(cloud, lambda one: one.update(Status=status, StatusDetails=status, ResponseCode=3)):
        command_id = send(commands, machine, mark)
    assert commands.find_command(machine.managed_instance_id, mark) == command_id
    seen = commands.look_at(command_id, machine.managed_instance_id)
    assert (seen.status, seen.ended, seen.succeeded, seen.exit_code) == (status, True, False, 3)


def test_a_document_that_goes_on_is_no_end_and_may_be_told_to_stop(
    commands: Ssm, cloud: Cloud, machine: SourceMachine, mark: str
) -> None:
    with after_sending(cloud, lambda one: one.update(Status="InProgress", StatusDetails="InProgress")):
        command_id = send(commands, machine, mark)
    assert not commands.look_at(command_id, machine.managed_instance_id).ended
    commands.stop(command_id, machine.managed_instance_id)


def test_a_document_that_there_is_not_is_refused_for_good(commands: Ssm, machine: SourceMachine, mark: str) -> None:
    with pytest.raises(MigrationExecutionError, match="InvalidDocument"):
        send(commands, machine, mark, "Stop-Nothing")


def test_a_machine_that_is_not_there_takes_no_document_now(commands: Ssm, mark: str) -> None:
    with pytest.raises(Unavailable, match="takes no commands now"):
        commands.send("mi-0123456789abcdef0", "AWS-RunShellScript", STOP, comment=mark, within=SOON)
