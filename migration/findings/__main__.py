"""Write `docs/findings.md`, or with `--check` exit 1 when it has drifted from the catalogue."""

import argparse
import sys
from pathlib import Path

from migration.findings.catalogue import document

PAGE = Path(__file__).parents[2] / "docs" / "findings.md"


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m migration.findings", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 on drift")
    check: bool = parser.parse_args(arguments).check
    if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == document():
        return 0
    if not check:
        PAGE.write_text(document(), encoding="utf-8")
    sys.stdout.write(f"docs/findings.md {'has drifted from the catalogue' if check else 'written'}\n")
    return 1 if check else 0


if __name__ == "__main__":
    sys.exit(main())
