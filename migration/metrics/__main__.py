"""Write `docs/metrics.md`, or with `--check` exit 1 when it has drifted from the definitions."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from migration.metrics import METRICS, By, Metric

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"

_MARK = "<!-- `python -m migration.metrics` writes what follows -->\n"


_COUNTED = {
    By.MIGRATION: "Counted by migrations, in workers",
    By.CALLBACKS: "Counted by callbacks, in workers",
    By.WORKER: "Measured by workers",
    By.INGRESS: "Counted by the ingress",
}
_MOST_VALUES = 14


def document(before: str) -> str:
    """The page: what people wrote above the mark, and every metric below it."""
    return before.partition(_MARK)[0] + _MARK + "".join(_tables())


def _tables() -> Iterator[str]:
    for by, metrics in groupby(sorted(METRICS, key=lambda one: list(By).index(one.by)), lambda one: one.by):
        yield f"\n### {_COUNTED[by]}\n\n| metric | kind | labels | meaning |\n|---|---|---|---|\n"
        yield from (f"| `{one.exported}` | {one.kind} | {_labels(one)} | {one.means} |\n" for one in metrics)


def _labels(metric: Metric) -> str:
    return "; ".join(f"{name}{_values(values)}" for name, values in metric.labels.items())


def _values(values: Sequence[str]) -> str:
    return f" ({', '.join(values)})" if 0 < len(values) < _MOST_VALUES else ""


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m migration.metrics", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 on drift")
    check: bool = parser.parse_args(arguments).check
    before = PAGE.read_text(encoding="utf-8") if PAGE.is_file() else ""
    if before == document(before):
        return 0
    if not check:
        PAGE.write_text(document(before), encoding="utf-8")
    sys.stdout.write(f"docs/metrics.md {'has drifted from the definitions' if check else 'written'}\n")
    return 1 if check else 0


if __name__ == "__main__":
    sys.exit(main())
