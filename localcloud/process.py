"""Child processes that never outlive the local cloud."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

FOREIGN_VARIABLES = ("AWS_", "TEMPORAL_", "MIGRATOR_")
"""Beginnings of the environment variables that could lead a part of the local cloud to somebody's real systems."""

# The kernel ties a parent-death signal to the *thread* that started the child, so one thread that lives as long as
# this process starts them all.
_parent = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawn")

# A launcher instead of `preexec_fn`, which is unsafe in a process with threads. It ends itself when its parent died
# before the kernel was told, and becomes the program (same pid) otherwise.
_LAUNCHER = """\
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != int(sys.argv[1]):
    os._exit(1)
os.execvp(sys.argv[2], sys.argv[2:])
"""


def spawn(
    command: Sequence[str | Path], env: Mapping[str, str], log: Path, *, cwd: Path | None = None
) -> subprocess.Popen[bytes]:
    """Start a program that the kernel kills when this process ends in any way (Linux; elsewhere call `stop_process`).

    It runs in a session of its own, so that Ctrl-C reaches this process alone, which then stops it in order.

    Args:
        command: The program and its arguments.
        env: The program's whole environment.
        log: Where its output goes, appended.
        cwd: Where to run it.
    """
    words = [str(word) for word in command]
    if sys.platform == "linux":
        words = [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), *words]
    return _parent.submit(_start, words, dict(env), log, cwd).result()


def _start(command: list[str], env: dict[str, str], log: Path, cwd: Path | None) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603  the callers' own commands
            command,
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def stop_process(process: subprocess.Popen[bytes], *, within: float = 10.0) -> None:
    """End a program: SIGTERM, and SIGKILL when it is still there after `within` seconds."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(timeout=within)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def last_lines(log: Path, count: int = 15) -> str:
    """What a program wrote last, for a message that says why it failed."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-count:])
    except FileNotFoundError:
        return ""
