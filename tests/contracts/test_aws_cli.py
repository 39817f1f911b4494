"""AWS's own command line takes source servers through their whole life in the local cloud."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from localcloud.world import SourceMachine
from tests.contracts.aws_cloud import REGION, Cloud, local_aws

AWS = Path(sys.executable).with_name("aws")
WITHIN = 60.0
REFUSED = 255
"""The exit code of version 1, which PyPI has, when the service answered with an error; version 2 exits with 254."""

INSTALLER = f"./aws-replication-installer-init --no-prompt --region {REGION}"
TEMPLATE = (
    *("--staging-area-subnet-id", "subnet-0123456789abcdef0", "--associate-default-security-group"),
    *("--replication-servers-security-groups-ids", "[]", "--replication-server-instance-type", "t3.small"),
    *("--no-use-dedicated-replication-server", "--default-large-staging-disk-type", "GP3"),
    *("--ebs-encryption", "DEFAULT", "--bandwidth-throttling", "0", "--data-plane-routing", "PRIVATE_IP"),
    *("--no-create-public-ip", "--staging-area-tags", "owner=migrations"),
)


class Cli:
    """The `aws` command of this environment, and the local cloud that it reaches."""

    def __init__(self, cloud: Cloud, home: Path) -> None:
        self.cloud = cloud
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "AWS_ENDPOINT_URL": cloud.aws.url,
            "AWS_ACCESS_KEY_ID": "AKIATEST",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_PAGER": "",
        }

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [AWS, *words], env=self._environment, capture_output=True, text=True, timeout=WITHIN, check=False
        )

    def __call__(self, *words: str) -> Any:
        """The JSON that the command prints, or None; it must succeed."""
        done = self.run(*words)
        assert (done.returncode, done.stderr) == (0, ""), words
        return json.loads(done.stdout) if done.stdout else None

    def mgn(self, *words: str) -> Any:
        return self("mgn", *words)

    def until(self, wanted: Any, *words: str) -> None:
        """Repeat the command until it prints that."""
        deadline = time.monotonic() + WITHIN
        while (answer := self(*words)) != wanted:
            assert time.monotonic() < deadline, f"{answer} and never {wanted}"


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Cli]:
    with local_aws(clock=time.time, factor=2000) as cloud:
        yield Cli(cloud, tmp_path)


def install_agents(cli: Cli, *machines: SourceMachine) -> list[str]:
    """Run the agent's installer on the machines; the source servers' ids, once their copies are whole."""
    names = [machine.name for machine in machines]
    ids = [machine.managed_instance_id for machine in machines]
    document = ("--document-name", "AWS-RunShellScript", "--parameters", json.dumps({"commands": [INSTALLER]}))
    cli("ssm", "send-command", "--instance-ids", *ids, *document)
    listed = ("mgn", "describe-source-servers", "--filters", "{}", "--query")
    cli.until(["READY_FOR_TEST"] * len(names), *listed, "items[].lifeCycle.state")
    found = dict(cli(*listed, "items[].[userProvidedID, sourceServerID]"))
    return [found[name] for name in names]


def launch(cli: Cli, operation: str, server_id: str) -> str:
    """Start a launch and see it succeed; the job's id."""
    job = cli.mgn(operation, "--source-server-ids", server_id, "--tags", "migrator:mark=mig-1")["job"]
    assert (job["status"], job["participatingServers"][0]["launchStatus"]) == ("PENDING", "PENDING")
    said = "items[0].[status, participatingServers[0].launchStatus]"
    jobs = ("mgn", "describe-jobs", "--filters", f"jobIDs={job['jobID']}", "--query")
    cli.until(["COMPLETED", "LAUNCHED"], *jobs, said)
    return str(job["jobID"])


def mark_ready(cli: Cli, server_id: str) -> None:
    ready = cli.mgn(
        "change-server-life-cycle-state", "--source-server-id", server_id, "--life-cycle", "state=READY_FOR_CUTOVER"
    )
    assert ready["lifeCycle"]["state"] == "READY_FOR_CUTOVER"


def refusal(cli: Cli, *words: str) -> str:
    """What the CLI says when the service refuses."""
    done = cli.run("mgn", *words)
    assert (done.returncode, done.stdout) == (REFUSED, "")
    return done.stderr.strip()


def leave(cli: Cli, server_id: str) -> None:
    """Archive and delete the record."""
    assert cli.mgn("mark-as-archived", "--source-server-id", server_id)["isArchived"] is True
    assert cli.mgn("delete-source-server", "--source-server-id", server_id) is None


def test_the_aws_cli_takes_servers_through_their_whole_life(cli: Cli) -> None:
    assert cli.mgn("initialize-service") is None
    template = cli.mgn("create-replication-configuration-template", *TEMPLATE)
    assert template["replicationConfigurationTemplateID"].startswith("rct-")
    one, other = install_agents(cli, *cli.cloud.machines[:2])

    arn = f"arn:aws:mgn:{REGION}:{cli.cloud.world.account_id}:source-server/{one}"
    assert cli.mgn("tag-resource", "--resource-arn", arn, "--tags", "wave=7") is None
    described = cli.mgn("describe-source-servers", "--filters", f"sourceServerIDs={one}", "--query", "items[0].tags")
    assert described == {"wave": "7"}
    configured = cli.mgn("update-launch-configuration", "--source-server-id", one, "--boot-mode", "UEFI")
    assert configured["bootMode"] == "UEFI"

    tested = launch(cli, "start-test", one)
    mark_ready(cli, one)
    cut_over = launch(cli, "start-cutover", one)

    first = cli.mgn("describe-jobs", "--filters", "{}", "--max-items", "1")
    assert [job["jobID"] for job in first["items"]] == [cut_over]
    second = cli.mgn("describe-jobs", "--filters", "{}", "--starting-token", first["NextToken"])
    assert [job["jobID"] for job in second["items"]] == [tested]
    events = cli.mgn("describe-job-log-items", "--job-id", cut_over, "--page-size", "2", "--query", "items[].event")
    assert (events[0], events[1], events[-1]) == ("JOB_START", "CLEANUP_START", "JOB_END")

    finalized = cli.mgn("finalize-cutover", "--source-server-id", one, "--query", "lifeCycle.state")
    assert finalized == "CUTOVER"
    assert refusal(cli, "disconnect-from-service", "--source-server-id", one).endswith(
        "An error occurred (ConflictException) when calling the DisconnectFromService operation: "
        "DisconnectFromService needs lifecycle state DISCOVERED or PENDING_INSTALLATION or STOPPED or NOT_READY or "
        "READY_FOR_TEST or TESTING or READY_FOR_CUTOVER or CUTTING_OVER, not CUTOVER"
    )
    leave(cli, one)
    disconnected = cli.mgn("disconnect-from-service", "--source-server-id", other, "--query", "lifeCycle.state")
    assert disconnected == "DISCONNECTED"
    leave(cli, other)
    assert cli.mgn("describe-source-servers", "--filters", "{}") == {"items": []}
    done = [entry.operation for entry in cli.cloud.ledger.entries(service="mgn", target=one)]
    assert done == [
        "TagResource",
        "UpdateLaunchConfiguration",
        "StartTest",
        "ChangeServerLifeCycleState",
        "StartCutover",
        "FinalizeCutover",
        "MarkAsArchived",
        "DeleteSourceServer",
    ]
