"""The look at what the MGN agent needs: its script on this machine, and through Systems Manager."""

import contextlib
import socket
import subprocess
from collections.abc import Iterator
from datetime import timedelta

import pytest
from moto.ssm.models import ssm_backends

from activities.agent import AGENT_BUCKET
from activities.checks.looks import answers, look_lines
from adapters.ssm import Ssm
from localcloud.world import SourceMachine
from migration.errors import Unavailable
from migration.ports import CommandResult
from tests.contracts.aws_cloud import ACCOUNT, REGION, Cloud, local_aws

SOON = timedelta(seconds=20)


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with local_aws() as cloud:
        yield cloud


def ran(staging_address: str | None) -> dict[str, str]:
    """Run the script here, with AWS's hosts on a loopback address where nobody listens on 443."""
    script = "\n".join(look_lines("linux", REGION, staging_address))
    for host in (f"mgn.{REGION}.amazonaws.com", AGENT_BUCKET.format(region=REGION)):
        script = script.replace(host, "127.0.0.2")
    shell = subprocess.run(["/bin/sh"], input=script, capture_output=True, text=True, timeout=60, check=True)
    found = answers(shell.stdout)
    assert found is not None, shell.stdout
    return dict(found)


def test_the_script_answers_everything_that_is_asked_on_a_real_linux() -> None:
    found = ran(None)
    assert found["root"] in ("yes", "no")
    assert int(found["free_root"]) > 0
    assert int(found["free_tmp"]) > 0
    assert found["dhcp"] in ("yes", "no")
    assert (found["mgn"], found["s3"], found["staging"]) == ("refused", "refused", "unknown")


def test_the_script_tells_an_open_port_from_a_closed_one() -> None:
    with contextlib.closing(socket.create_server(("127.0.0.3", 1500))):
        assert ran("127.0.0.3")["staging"] == "open"
    assert ran("127.0.0.3")["staging"] == "refused"


def looked(cloud: Cloud, machine: SourceMachine, mark: str) -> CommandResult:
    """Look into a machine through Systems Manager."""
    commands, lines = Ssm(cloud.sessions, cloud.where), look_lines(machine.os, REGION, "127.0.0.1")
    return commands.run(machine.managed_instance_id, lines, os=machine.os, comment=mark, within=SOON)


def test_a_look_through_systems_manager_is_no_change_in_the_ledger(cloud: Cloud) -> None:
    found = answers(looked(cloud, cloud.machines[0], "mig-billing/1/validate/1").output)
    assert found is not None
    assert (found["root"], found["mgn"], found["dhcp"]) == ("yes", "open", "yes")
    assert cloud.calls("SendCommand") == []


def test_a_look_whose_reply_is_lost_is_found_again(cloud: Cloud) -> None:
    machine, mark = cloud.machines[1], "mig-shop/1/validate/1"
    cloud.lose_reply("ssm", "LookupAgentPrerequisites", machine.name)
    with pytest.raises(Unavailable):
        looked(cloud, machine, mark)
    assert answers(looked(cloud, machine, mark).output) is not None
    commands = ssm_backends[ACCOUNT][REGION]._commands
    assert [command.comment for command in commands if machine.managed_instance_id in command.instance_ids] == [mark]


def test_another_entry_of_the_step_looks_anew(cloud: Cloud) -> None:
    marks = ("mig-stock/1/validate/1", "mig-stock/1/validate/2")
    first, later = (looked(cloud, cloud.machines[3], mark).command_id for mark in marks)
    assert first != later


def test_a_machine_answers_what_a_test_plants(cloud: Cloud) -> None:
    machine = cloud.machines[2]
    cloud.aws.look_answers[machine.name] = {"free_root": "1024", "staging": "unreachable"}
    found = answers(looked(cloud, machine, "mig-crm/1/validate/1").output)
    assert found is not None
    assert (found["free_root"], found["staging"], found["free_tmp"]) == ("1024", "unreachable", "4096")


def test_a_look_that_came_to_no_end_has_no_answers() -> None:
    assert answers("root=yes\nfree_root=20480\n") is None
    assert answers("") is None


def test_the_windows_look_names_the_endpoints_of_the_region() -> None:
    script = "\n".join(look_lines("windows", REGION, "10.2.0.4"))
    assert "Connects 'mgn.eu-central-1.amazonaws.com' 443" in script
    assert "Connects 'aws-application-migration-service-eu-central-1.s3.eu-central-1.amazonaws.com' 443" in script
    assert "Connects '10.2.0.4' 1500" in script
    assert "{" + "{" not in script
