import json
import shlex
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import psutil
import pytest

from localcloud.documents import request_for
from localcloud.temporal import answers
from migration.offer import unoffered
from migration.parsing import parse_request
from migration.settings import Settings

pytestmark = pytest.mark.local
ROOT = Path(__file__).resolve().parents[2]
GONE_WITHIN = 15.0


class Cloud:
    """A local cloud of its own process."""

    def __init__(self, state_dir: Path, *options: str, workers: bool = False) -> None:
        self.state_dir = state_dir
        chosen = options if workers else ("--no-worker", *options)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "localcloud", "up", "--state-dir", state_dir, *chosen],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.said: list[str] = []

    @property
    def output(self) -> IO[str]:
        assert self.process.stdout
        return self.process.stdout

    def ready(self) -> "Cloud":
        for line in self.output:
            self.said.append(line.rstrip())
            if line == "ready\n":
                return self
        pytest.fail("\n".join(["never ready:", *self.said]))

    def read(self, name: str) -> str:
        return self.state_dir.joinpath(name).read_text()

    @property
    def local(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.read("local.json"))
        return document

    def family(self) -> list[psutil.Process]:
        supervisor = psutil.Process(self.process.pid)
        return [supervisor, *supervisor.children(recursive=True)]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.output.close()


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Cloud]]:
    started: list[Cloud] = []

    def start(*options: str, workers: bool = False) -> Cloud:
        started.append(Cloud(tmp_path_factory.mktemp("cloud"), *options, workers=workers))
        return started[-1]

    yield start
    for each in started:
        each.close()


@pytest.fixture(scope="module")
def first(cloud: Callable[..., Cloud]) -> Cloud:
    return cloud().ready()


@pytest.fixture(scope="module")
def second(cloud: Callable[..., Cloud], first: Cloud) -> Cloud:
    return cloud("--applications", "2", "--servers", "3").ready()


def get(url: str) -> Any:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(url, timeout=10) as reply:
        return json.load(reply) if "json" in reply.headers["Content-Type"] else reply.read()


def test_local_json_has_everything_that_a_client_needs(first: Cloud) -> None:
    local = first.local
    addresses = ("temporal", "web_ui", "aws", "vcenter", "dns", "servicenow", "cmf", "receiver", "ledger", "faults")
    assert [name for name in (*addresses, "applications") if not local[name]] == []
    assert local["account_id"] == "123456789012"
    assert set(local["subnets"]) == {"production", "test", "staging"}
    assert set(local["security_groups"]) == {"production", "test"}
    assert set(local["queues"]) == {"requests", "dead_letters"}
    assert list(local["dns_names"]) == ["billing", "shop", "crm", "stock"]
    assert all(vm["managed_instance_id"].startswith("mi-") and vm["cmdb_id"] and vm["address"] for vm in local["vms"])


def test_every_part_answers_at_its_address(first: Cloud) -> None:
    local = first.local
    assert answers(local["temporal"])
    assert b"<!doctype html" in get(local["web_ui"]).lower()
    assert get(local["applications"])["billing"]["servers"][0]["servedBy"] == "source"
    assert get(local["receiver"] + "/deliveries")["deliveries"] == []
    assert get(local["faults"]) == []
    assert get(f"http://{local['vms'][0]['address']}:8080/health")["server"] == "billing-web-01"


def test_request_json_is_a_valid_request_that_asks_for_nothing_unoffered(first: Cloud) -> None:
    request = parse_request(first.read("request.json"))
    assert request.app_name == "billing"
    assert unoffered(request) == []


def test_a_request_can_be_had_for_every_application_with_changes(second: Cloud) -> None:
    document = request_for(second.local, "shop", migrationId="mig-shop-7", rollback={"to": "start"})
    request = parse_request(json.dumps(document))
    assert [server.name for server in request.servers] == ["shop-web-01", "shop-web-02", "shop-web-03"]
    assert (request.migration_id, request.rollback.to, request.rollback.after_switch) == ("mig-shop-7", "start", "ask")
    with pytest.raises(ValueError, match="no application crm: there are billing, shop"):
        request_for(second.local, "crm")


def test_the_settings_lead_to_the_clouds_own_systems(first: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIGRATOR_SETTINGS", str(first.state_dir / "settings.toml"))
    settings, local = Settings(), first.local
    assert settings.vcenters["vcenter-1"].url == local["vcenter"]
    assert settings.servicenows["servicenow-1"].url == local["servicenow"]
    assert settings.factories["cmf-1"].user_api == local["cmf"]
    assert settings.dns_servers == (local["dns"],)
    assert settings.request_queue_url == local["queues"]["requests"]


def test_a_shell_that_sources_env_talks_to_this_cloud(first: Cloud) -> None:
    script = f". {shlex.quote(str(first.state_dir / 'env'))}; echo $AWS_ENDPOINT_URL $TEMPORAL_ADDRESS $AWS_PROFILE"
    done = subprocess.run(
        ["/bin/sh", "-c", script], env={"AWS_PROFILE": "mine"}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [first.local["aws"], first.local["temporal"]]


def test_two_clouds_at_once_share_nothing(first: Cloud, second: Cloud) -> None:
    one, other = first.local, second.local
    names = ("temporal", "web_ui", "aws", "vcenter", "dns", "servicenow", "receiver", "ledger", "network")
    assert [name for name in names if one[name] == other[name]] == []
    assert {vm["address"] for vm in one["vms"]}.isdisjoint(vm["address"] for vm in other["vms"])


def test_a_state_directory_belongs_to_one_cloud(cloud: Callable[..., Cloud], first: Cloud) -> None:
    local = first.local
    intruder = Cloud(first.state_dir)
    try:
        assert "another local cloud runs in" in intruder.output.read()
        assert intruder.process.wait(GONE_WITHIN) == 1
    finally:
        intruder.close()
    assert first.local == local


def test_a_temporal_address_that_does_not_answer_is_an_error_and_none_is_started(cloud: Callable[..., Cloud]) -> None:
    refused = cloud("--temporal", "127.0.0.1:1")
    assert "no Temporal server with the namespace default answers at 127.0.0.1:1" in refused.output.read()
    assert refused.process.wait(GONE_WITHIN) == 1


def test_a_given_temporal_server_is_used_and_outlives_the_cloud(cloud: Callable[..., Cloud], first: Cloud) -> None:
    guest = cloud("--temporal", first.local["temporal"]).ready()
    assert guest.local["temporal"] == first.local["temporal"]
    family = guest.family()
    assert [child.name() for child in family[1:]] == ["vcenter"]
    guest.process.send_signal(signal.SIGTERM)
    assert guest.process.wait(GONE_WITHIN) == 0
    assert psutil.wait_procs(family, timeout=GONE_WITHIN)[1] == []
    assert answers(first.local["temporal"])


def test_ctrl_c_ends_with_0_and_leaves_no_process(cloud: Callable[..., Cloud]) -> None:
    stopped = cloud().ready()
    family = stopped.family()
    assert {process.name() for process in family[1:]} == {"temporal", "vcenter"}
    stopped.process.send_signal(signal.SIGINT)
    assert stopped.process.wait(GONE_WITHIN) == 0
    assert psutil.wait_procs(family, timeout=GONE_WITHIN)[1] == []


def test_a_killed_worker_is_started_again_and_a_killed_supervisor_leaves_no_process(
    cloud: Callable[..., Cloud],
) -> None:
    killed = cloud(workers=True).ready()
    worker = next(process for process in killed.family() if "worker.py" in process.cmdline()[-1])
    worker.kill()
    assert killed.output.readline().startswith("the worker ended with -9 and was started again")
    children = killed.family()[1:]
    assert len(children) == len(("temporal", "vcenter", "worker", "ingress"))
    killed.process.kill()
    assert psutil.wait_procs(children, timeout=GONE_WITHIN)[1] == []


def test_an_interrupt_during_the_start_leaves_no_process(cloud: Callable[..., Cloud]) -> None:
    hasty = cloud()
    assert hasty.output.readline() == "starting the local cloud\n"
    family = hasty.family()
    hasty.process.send_signal(signal.SIGINT)
    assert hasty.process.wait(GONE_WITHIN) == 0
    assert psutil.wait_procs(family, timeout=GONE_WITHIN)[1] == []
