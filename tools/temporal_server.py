"""The Temporal server as it is run in production, built once into the cache: the server, and its schema tool.

`python -m tools.temporal_server` builds both and says where they are; the local cloud needs neither.
"""

import os
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from localcloud.toolchain import BuildError, cache_dir, exclusively, go_environment, go_toolchain, run_with_progress

BUILT = "1.31.2"
"""The version that deploy/docker runs, too."""

_MODULE = "go.temporal.io/server/cmd"


class Programs(NamedTuple):
    """`server` is Temporal; `sql` sets up and updates the schema of its databases."""

    server: Path
    sql: Path


def find_server() -> Programs:
    """Those of the cache, built at the first time, which takes some minutes.

    Raises:
        BuildError: They could not be built.
    """
    kept = cache_dir() / f"temporal-server-{BUILT}"
    with exclusively(kept.name, _say):
        if not kept.exists():
            _build(kept)
    return Programs(kept / "server", kept / "sql")


def _build(kept: Path) -> None:
    go = go_toolchain(_say)
    _say(f"building the Temporal server {BUILT}; the first time this takes some minutes")
    with tempfile.TemporaryDirectory(dir=cache_dir(), prefix=f"{kept.name}-") as scratch:
        bin_directory = Path(scratch, "bin")
        packages = [f"{_MODULE}/{name}@v{BUILT}" for name in ("server", "tools/sql")]
        run_with_progress(
            [go, "install", "-ldflags", "-s -w", *packages],
            go_environment() | {"GOBIN": str(bin_directory)},
            _say,
            cwd=Path(scratch),
            what="building the Temporal server",
        )
        # Moved when both are whole, so that an interrupted build leaves nothing half done.
        bin_directory.rename(kept)


def _say(line: str) -> None:
    sys.stderr.write(f"temporal server: {line}\n")
    sys.stderr.flush()


def main() -> int:
    """Find them, and say where they are."""
    try:
        programs = find_server()
    except BuildError as error:
        _say(str(error))
        return 1
    sys.stdout.write("".join(f"{program}{os.linesep}" for program in programs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
