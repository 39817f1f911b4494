"""Builds the vCenter simulator once, and keeps the program in the cache."""

import hashlib
import tempfile
from pathlib import Path

from localcloud.toolchain import Say, cache_dir, exclusively, go_environment, go_toolchain, run_with_progress

_SOURCE = Path(__file__).parent
_SOURCE_FILES = ("main.go", "watcher.go", "go.mod", "go.sum")


def vcenter_binary(say: Say = print) -> Path:
    """The simulator's program, built from this package's Go source unless the cache has it already.

    Raises:
        BuildError: There is no Go and none could be installed, or the build failed.
    """
    home = cache_dir() / f"vcenter-{_fingerprint()}"
    program = home / "vcenter"
    if program.exists():
        return program
    with exclusively(home.name, say):
        if not program.exists():
            say("building the vCenter simulator (once; a minute or two)")
            _build(home, say)
    return program


def _fingerprint() -> str:
    digest = hashlib.sha256()
    for name in _SOURCE_FILES:
        digest.update((_SOURCE / name).read_bytes())
    return digest.hexdigest()[:16]


def _build(home: Path, say: Say) -> None:
    go = go_toolchain(say)
    with tempfile.TemporaryDirectory(dir=home.parent, prefix=f"{home.name}-") as scratch:
        finished = Path(scratch) / "finished"
        finished.mkdir()
        command: list[str | Path] = [
            go,
            "build",
            "-trimpath",
            "-buildvcs=false",
            "-ldflags=-s -w",
            "-o",
            finished / "vcenter",
            ".",
        ]
        run_with_progress(command, go_environment(), say, cwd=_SOURCE, what="building the vCenter simulator")
        finished.rename(home)
