"""Write what is generated from the models, or with `--check` exit 1 when a committed file has drifted from them."""

import argparse
import sys

from migration.schema import drifted, write_files


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m migration.schema", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 on drift")
    check: bool = parser.parse_args(arguments).check
    names = drifted() if check else write_files()
    for name in names:
        sys.stdout.write(f"{name} {'has drifted from the models' if check else 'written'}\n")
    return 1 if check and names else 0


if __name__ == "__main__":
    sys.exit(main())
