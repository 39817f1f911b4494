"""Runs the programs that `make check` and `make audit` run, in a directory that something was planted in."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run(program: str, *arguments: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run a program of the project's environment."""
    command = [Path(sys.executable).with_name(program), *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=60)


def recipe(target: str, *variables: str) -> str:
    """What `make` would run for a target, without what `setup` does."""
    command = ["make", "--dry-run", "--no-print-directory", target, *variables]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout


def make_targets() -> set[str]:
    """Every target that says what it is for."""
    lines = ROOT.joinpath("Makefile").read_text().splitlines()
    return {line.partition(":")[0] for line in lines if "##" in line and ":" in line and not line.startswith("#")}
