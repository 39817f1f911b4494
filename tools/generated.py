"""Write every file that comes from code, or with `--check` exit 1 and name those that are behind it."""

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from localcloud.aws.mgn import fidelity, switches
from migration import schema
from migration.findings import catalogue
from tools import terraform_permissions
from tools.pages import cli, metrics, payload, settings, steps

ROOT = Path(__file__).resolve().parents[1]
COMMAND = "make generated"

FILES: Mapping[str, Callable[[], str]] = {
    **schema.FILES,
    "docs/cli.md": cli.document,
    "docs/findings.md": catalogue.document,
    "docs/metrics.md": metrics.document,
    "docs/mgn-fidelity.md": fidelity.document,
    "docs/mgn-switches.md": switches.document,
    "docs/payload.md": payload.document,
    "docs/settings.md": settings.document,
    "docs/steps.md": steps.document,
    "deploy/terraform/modules/policies/permissions.json": terraform_permissions.document,
}
"""Each file by its path in the checkout, and what writes its text."""


def stale(files: Mapping[str, Callable[[], str]], root: Path) -> dict[str, str]:
    """The files that are not what the code says, each with the text that it should have."""
    texts = ((name, generate()) for name, generate in files.items())
    return {name: text for name, text in texts if _held(root / name) != text}


def _held(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


def main(arguments: list[str] | None = None, files: Mapping[str, Callable[[], str]] = FILES, root: Path = ROOT) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.generated", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file is behind")
    check: bool = parser.parse_args(arguments).check
    behind = stale(files, root)
    for name, text in behind.items():
        if not check:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text, encoding="utf-8")
        sys.stdout.write(f"{name} {f'is behind the code: {COMMAND}' if check else 'written'}\n")
    return 1 if check and behind else 0


if __name__ == "__main__":
    sys.exit(main())
