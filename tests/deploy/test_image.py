import importlib.util
import re
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from temporalio.api.taskqueue.v1 import PollerInfo
from typer.main import get_command

from starter.alive import FRESH, polls_from
from starter.cli import app
from tests.deploy.programs import ROOT, run

DOCKERFILE = ROOT / "deploy" / "docker" / "Dockerfile"
PROJECT = tomllib.loads(ROOT.joinpath("pyproject.toml").read_text())
COMPOSE: dict[str, Any] = yaml.safe_load(ROOT.joinpath("deploy", "docker", "compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = ("localcloud", "worker", "ingress")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def instructions(text: str) -> list[tuple[str, str]]:
    """Each instruction with its arguments, on one line."""
    joined = re.sub(r"\\\n\s*", "", re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE))
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def stages() -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    for word, rest in instructions(DOCKERFILE.read_text()):
        if word == "FROM":
            found[rest.partition(" AS ")[2]] = []
        elif found:
            found[list(found)[-1]].append((word, rest))
    return found


# --- the Dockerfile ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("planted", ["FROM python:latest", "RUN apt-get install curl", "RUN cd /tmp && sudo true"])
def test_hadolint_finds_nothing_in_it_and_something_in_a_worse_one(tmp_path: Path, planted: str) -> None:
    worse = tmp_path / "Dockerfile"
    worse.write_text(f"{DOCKERFILE.read_text()}\n{planted}\n")
    assert run("hadolint", DOCKERFILE).stdout == ""
    assert run("hadolint", worse).returncode == 1


def test_nothing_comes_from_elsewhere_but_by_its_digest() -> None:
    text = DOCKERFILE.read_text()
    known = {"${PYTHON}", *stages()}
    assert re.search(r"^ARG PYTHON=python:3\.\d+\.\d+-slim-\w+@sha256:[0-9a-f]{64}$", text, re.MULTILINE)
    assert [rest for word, rest in instructions(text) if word == "FROM" and rest.split()[0] not in known] == []
    copied = re.findall(r"--from=(\S+)", text)
    assert set(copied) <= set(stages())


def test_it_is_built_with_the_projects_python_and_uv() -> None:
    text = DOCKERFILE.read_text()
    (minor,) = re.findall(r"PYTHON=python:3\.(\d+)\.", text)
    (least, limit) = re.findall(r"3\.(\d+)", PROJECT["project"]["requires-python"])
    assert int(least) <= int(minor) < int(limit)
    setup = ROOT.joinpath("tools", "setup.sh").read_text()
    assert re.findall(r"UV_VERSION=([\d.]+)", text) == re.findall(r"UV_VERSION=([\d.]+)", setup)


def test_the_engine_is_sent_what_is_packed_and_nothing_else() -> None:
    packed = set(PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"])
    wanted = packed | {"pyproject.toml", "uv.lock", "README.md"}
    copies = [rest.split()[:-1] for word, rest in stages()["build"] if word == "COPY"]
    sent = ROOT.joinpath(".dockerignore").read_text().splitlines()
    assert {name for names in copies for name in names} == wanted
    assert {line[1:] for line in sent if line.startswith("!")} == wanted
    assert sent[1] == "*"
    assert all(ROOT.joinpath(name).exists() for name in wanted)


def test_it_can_trace_where_it_is_told_to() -> None:
    synced = [
        rest for stage in ("build", "build-local") for word, rest in stages()[stage] if word == "RUN" and "sync" in rest
    ]
    assert len(synced) == 3
    assert all("--extra telemetry" in rest for rest in synced)


@pytest.mark.parametrize("stage", ["migrator", "localcloud"])
def test_what_runs_is_nobody_in_particular(stage: str) -> None:
    users = [rest for word, rest in stages()[stage] if word == "USER"]
    assert users == ["10001:10001"]
    after = [word for word, _ in stages()[stage]]
    assert "RUN" not in after[after.index("USER") :]


def test_the_image_is_the_worker_unless_something_else_is_asked_of_it() -> None:
    last = dict(stages()["migrator"])
    assert list(stages())[-1] == "migrator"
    assert last["CMD"] == '["python", "-m", "worker"]'
    assert importlib.util.find_spec("worker")
    assert last["HEALTHCHECK"].endswith('CMD ["migrator", "alive"]')
    assert {"alive", "ingress"} <= set(getattr(get_command(app), "commands", ()))


# --- its health --------------------------------------------------------------------------------------------------


def seen(identity: str, ago: timedelta) -> PollerInfo:
    poller = PollerInfo(identity=identity)
    poller.last_access_time.FromDatetime(NOW - ago)
    return poller


def test_a_worker_of_this_host_that_polled_just_now_is_alive() -> None:
    others = [seen("1@host-2", timedelta(0)), seen("7@host-1", timedelta(seconds=61))]
    assert polls_from("host-1", others, NOW) == "7@host-1"


@pytest.mark.parametrize("poller", [seen("1@host-1", FRESH), seen("1@other-host-1", timedelta(0))])
def test_a_silent_worker_and_that_of_another_host_are_not(poller: PollerInfo) -> None:
    assert polls_from("host-1", [poller], NOW) is None


# --- the compose file --------------------------------------------------------------------------------------------


def test_it_has_temporal_on_postgresql_with_its_ui_the_local_cloud_a_worker_and_an_ingress() -> None:
    assert {"postgresql", "temporal", "temporal-ui", *OURS} <= set(SERVICES)
    assert SERVICES["temporal"]["environment"]["POSTGRES_SEEDS"] == "postgresql"
    assert SERVICES["worker"]["image"] == SERVICES["ingress"]["image"] == "migrator:local"
    targets = {SERVICES[name]["build"]["target"] for name in OURS}
    assert targets == {"migrator", "localcloud"} <= set(stages())


def test_whoever_is_waited_for_exists_and_can_be_waited_for() -> None:
    for name, service in SERVICES.items():
        for other, how in service.get("depends_on", {}).items():
            assert other in SERVICES, name
            if how["condition"] == "service_healthy":
                assert "test" in SERVICES[other]["healthcheck"], (name, other)


@pytest.mark.parametrize("name", OURS)
def test_what_is_ours_can_write_nowhere_and_has_no_privileges(name: str) -> None:
    service = SERVICES[name]
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service


def test_images_of_others_have_exact_versions_and_nothing_is_open_to_the_network() -> None:
    foreign = {name: service["image"] for name, service in SERVICES.items() if "build" not in service}
    assert all(re.search(r":\d+\.\d+", image) for image in foreign.values())
    unpinned = {image for image in foreign.values() if not re.search(r"@sha256:[0-9a-f]{64}$", image)}
    assert unpinned == {"temporalio/ui:2.53.1"}
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_what_it_mounts_is_there() -> None:
    mounts = [mount.split(":")[0] for service in SERVICES.values() for mount in service.get("volumes", ())]
    files = [mount for mount in mounts if mount.startswith(".")]
    assert files == ["../temporal/dynamicconfig.yaml"]
    assert DOCKERFILE.parent.joinpath(files[0]).is_file()
    assert set(mounts) - set(files) == set(COMPOSE["volumes"])
