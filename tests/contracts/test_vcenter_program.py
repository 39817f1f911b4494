import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from localcloud import toolchain
from localcloud.toolchain import BuildError, cache_dir, exclusively, run_with_progress
from localcloud.vcenter.build import vcenter_binary
from localcloud.vcenter.program import Program
from localcloud.world import build_world

MACHINES = build_world(250, applications=1).machines

A_PARENT = """
import sys, threading
from localcloud.vcenter.build import vcenter_binary
from localcloud.vcenter.program import Program
from localcloud.world import build_world
program = Program(build_world(250, applications=1).machines, lambda *_: None)
starter = threading.Thread(target=lambda: program.start(vcenter_binary(lambda _: None)))
starter.start()
starter.join()
print(program.pid, flush=True)
sys.stdin.read()
"""


def test_the_simulator_ends_with_its_killed_parent_and_not_with_the_thread_that_started_it() -> None:
    vcenter_binary()
    with subprocess.Popen(
        [sys.executable, "-c", A_PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        simulator = psutil.Process(int(parent.stdout.readline()))
        with pytest.raises(psutil.TimeoutExpired):
            simulator.wait(timeout=0.8)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        assert ended(simulator)


def ended(process: psutil.Process) -> bool:
    """Whether it ends within seconds; whoever inherits an orphan may leave it a zombie."""
    try:
        process.wait(timeout=5)
    except psutil.TimeoutExpired:
        return process.status() == psutil.STATUS_ZOMBIE
    return True


def test_a_stopped_simulator_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    program = Program(MACHINES, lambda *_: None)
    program.start(vcenter_binary())
    pid = program.pid
    assert list(tmp_path.glob("govcsim-*"))

    program.stop()
    program.stop()

    assert not psutil.pid_exists(pid)
    assert not list(tmp_path.iterdir())


def test_a_simulator_that_cannot_start_says_why() -> None:
    program = Program([replace(MACHINES[0], os="plan9")], lambda *_: None)

    with pytest.raises(RuntimeError, match='billing-web-01: unknown guest "plan9"'):
        program.start(vcenter_binary())


def test_the_simulator_is_built_once_and_kept_outside_the_checkout() -> None:
    program = vcenter_binary()
    said: list[str] = []

    assert vcenter_binary(said.append) == program
    assert said == []
    assert program.is_relative_to(cache_dir())


def test_the_cache_follows_the_environment_but_not_a_relative_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "named"))
    assert cache_dir() == tmp_path / "named" / "migrator"

    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_dir() == tmp_path / "home" / ".cache" / "migrator"
    assert cache_dir().is_dir()


def test_a_long_command_says_that_it_still_runs() -> None:
    said: list[str] = []

    run_with_progress(["sh", "-c", "sleep 0.5"], os.environ, said.append, what="building", every=0.1)

    assert said
    assert all(line.startswith("building: ") for line in said)


def test_a_failed_command_is_told_with_its_last_lines() -> None:
    with pytest.raises(BuildError, match=r"building failed with exit code 3(.|\n)*no space left$") as caught:
        run_with_progress(["sh", "-c", "seq 1000; echo no space left >&2; exit 3"], os.environ, print, what="building")
    assert len(str(caught.value).splitlines()) < 50


def test_a_command_that_is_not_there_is_told() -> None:
    with pytest.raises(BuildError, match="nothing could not be started"):
        run_with_progress(["/does/not/exist"], os.environ, print, what="nothing")


@pytest.mark.parametrize(("version", "taken"), [("go1.20.14", False), ("go1.25.0", True), ("go1.30rc1", True)])
def test_the_machines_go_is_used_when_it_is_new_enough(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str, taken: bool
) -> None:
    go = tmp_path / "go"
    go.write_text(f"#!/bin/sh\necho go version {version} linux/amd64\n")
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    assert toolchain._machine_go() == (go if taken else None)


def test_one_builds_while_the_other_waits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    waits = (
        "from localcloud.toolchain import exclusively\n"
        "with exclusively('thing', lambda line: print(line, flush=True)):\n"
        "    print('mine', flush=True)\n"
    )
    with exclusively("thing", print):
        other = subprocess.Popen([sys.executable, "-c", waits], stdout=subprocess.PIPE, text=True)
        assert other.stdout is not None
        assert other.stdout.readline() == "waiting for another process that prepares thing\n"
        assert other.poll() is None
    assert other.communicate(timeout=10)[0] == "mine\n"
