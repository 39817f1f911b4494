"""`python -m tools.vulnerabilities FILE`: known vulnerabilities of locked packages, and whether anybody could be asked.

pip-audit asks PyPI about each package. Behind a mirror that passes packages alone on, nobody answers, and pip-audit
takes that for "no such package" and is content; here it is said, and in CI (the variable `CI`) it is a failure.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

FAILED = 1
SHOWN = 5
"""How many packages are named in a line."""


class Report(NamedTuple):
    """What pip-audit found: sentences about vulnerable packages, and the packages that nobody could say anything of."""

    vulnerable: list[str]
    unknown: list[str]


def read_report(text: str) -> Report:
    """Read pip-audit's JSON. Raises `ValueError` when it is none."""
    packages = json.loads(text)["dependencies"]
    return Report(
        vulnerable=[line for one in packages for line in _sentences(one["name"], one.get("version"), one)],
        unknown=[one["name"] for one in packages if "skip_reason" in one],
    )


def _sentences(name: str, version: str | None, package: dict[str, list[dict[str, list[str]]]]) -> Iterable[str]:
    for found in package.get("vulns", ()):
        mended = ", ".join(found["fix_versions"]) or "no version yet"
        yield f"{name} {version}: {found['id']}, mended in {mended}"


def verdict(report: Report, *, in_ci: bool) -> tuple[list[str], int]:
    """The lines to show and the exit code."""
    lines = list(report.vulnerable)
    if report.unknown:
        some = ", ".join(report.unknown[:SHOWN]) + (", …" if len(report.unknown) > SHOWN else "")
        lines.append(f"vulnerabilities: nobody answered for {len(report.unknown)} packages: {some}")
        lines.append(
            "vulnerabilities: run it where https://pypi.org is reached" + ("" if in_ci else "; CI insists on it")
        )
    if not lines:
        lines.append("vulnerabilities: none known")
    return lines, FAILED if report.vulnerable or (report.unknown and in_ci) else 0


def main(requirements: Path, *, in_ci: bool) -> int:
    """Audit the file of locked requirements, print what was found, and return the exit code."""
    options = ["--disable-pip", "--require-hashes", "--progress-spinner", "off", "--format", "json"]
    done = subprocess.run(  # noqa: S603  our own environment's program
        [sys.executable, "-m", "pip_audit", *options, "--requirement", requirements],
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        report = read_report(done.stdout)
    except ValueError:
        # Without a network at all it ends in words.
        sys.stderr.write(f"vulnerabilities: nobody could be asked: {_last_line(done.stderr)}\n")
        return FAILED if in_ci else 0
    lines, code = verdict(report, in_ci=in_ci)
    sys.stdout.write("\n".join(lines) + "\n")
    return code


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["pip-audit said nothing"])[-1]


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), in_ci=bool(os.environ.get("CI"))))
