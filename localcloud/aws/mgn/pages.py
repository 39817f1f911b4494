"""Write the pages about the local MGN, or with `--check` exit 1 when one has drifted from the code."""

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from . import fidelity, switches

FOLDER = Path(__file__).parents[3] / "docs"
PAGES: Mapping[str, Callable[[], str]] = {
    "mgn-fidelity.md": fidelity.document,
    "mgn-switches.md": switches.document,
}


def drifted() -> list[str]:
    """Name the pages that are not what the code says."""
    return [
        name
        for name, generate in PAGES.items()
        if not (page := FOLDER / name).is_file() or page.read_text(encoding="utf-8") != generate()
    ]


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m localcloud.aws.mgn.pages", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 on drift")
    check: bool = parser.parse_args(arguments).check
    names = drifted()
    for name in names:
        if not check:
            (FOLDER / name).write_text(PAGES[name](), encoding="utf-8")
        sys.stdout.write(f"docs/{name} {'has drifted from the code' if check else 'written'}\n")
    return 1 if check and names else 0


if __name__ == "__main__":
    sys.exit(main())
