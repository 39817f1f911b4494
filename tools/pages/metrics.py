"""`docs/metrics.md`: what people wrote of the metrics, and each of them from its definition."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from migration.metrics import METRICS, By, Metric

_PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
_MARK = "<!-- `make generated` writes what follows -->\n"
_COUNTED = {
    By.MIGRATION: "Counted by migrations, in workers",
    By.CALLBACKS: "Counted by callbacks, in workers",
    By.WORKER: "Measured by workers",
    By.INGRESS: "Counted by the ingress",
}
_MOST_VALUES = 14


def document() -> str:
    """The page: what people wrote above the mark, and every metric below it."""
    return _PAGE.read_text(encoding="utf-8").partition(_MARK)[0] + _MARK + "".join(_tables())


def _tables() -> Iterator[str]:
    for by, metrics in groupby(sorted(METRICS, key=lambda one: list(By).index(one.by)), lambda one: one.by):
        yield f"\n### {_COUNTED[by]}\n\n| metric | kind | labels | meaning |\n|---|---|---|---|\n"
        yield from (f"| `{one.exported}` | {one.kind} | {_labels(one)} | {one.means} |\n" for one in metrics)


def _labels(metric: Metric) -> str:
    return "; ".join(f"{name}{_values(values)}" for name, values in metric.labels.items())


def _values(values: Sequence[str]) -> str:
    return f" ({', '.join(values)})" if 0 < len(values) < _MOST_VALUES else ""
