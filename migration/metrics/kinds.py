"""What a metric of ours is: a name, a kind, a unit, labels, and what it means to the person who looks at it.

Names follow Prometheus ("Metric and label naming"): base units, `_total` for what is counted. The SDK's exporter adds
`_total` to counters and the unit to histograms; `exported` is the name that a scrape has.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from itertools import product

from temporalio.common import MetricMeter

Labels = Mapping[str, Sequence[str]]
"""The values of each label, as far as they are known beforehand."""


class By(StrEnum):
    """Whose code counts. What workflows count also carries the labels that the SDK adds there."""

    MIGRATION = "MigrationWorkflow"
    CALLBACKS = "CallbackWorkflow"
    WORKER = "worker"
    INGRESS = "ingress"


@dataclass(frozen=True)
class Metric:
    """What every kind has. Labels never name a migration: there are as many series as there are values."""

    name: str
    by: By
    means: str
    labels: Labels = field(default_factory=dict)

    @property
    def exported(self) -> str:
        """The name that a scrape has."""
        return self.name

    @property
    def kind(self) -> str:
        """Its type, as Prometheus calls it."""
        return type(self).__name__.lower()


@dataclass(frozen=True)
class Counter(Metric):
    """How often something has happened."""

    @property
    def exported(self) -> str:
        """The name that a scrape has."""
        return f"{self.name}_total"

    def add(self, meter: MetricMeter, **labels: str) -> None:
        """Count it once more."""
        meter.create_counter(self.name, self.means).add(1, labels)

    def begin(self, meter: MetricMeter, **labels: str) -> None:
        """Begin every series at 0 that is known beforehand, so that its first event is an increase.

        Args:
            meter: As the one that will count.
            labels: Values that are known now.
        """
        known = {name: (labels[name],) if name in labels else values for name, values in self.labels.items()}
        for values in product(*known.values()):
            meter.create_counter(self.name, self.means).add(0, dict(zip(known, values, strict=True)))


@dataclass(frozen=True)
class Gauge(Metric):
    """How much there is of something now."""

    def set(self, meter: MetricMeter, value: float, **labels: str) -> None:
        """Say how much."""
        meter.create_gauge_float(self.name, self.means).set(value, labels)


@dataclass(frozen=True)
class Histogram(Metric):
    """How long something takes; `buckets` are upper bounds."""

    buckets: Sequence[timedelta] = ()

    @property
    def exported(self) -> str:
        """The name that a scrape has, before `_bucket`, `_sum` and `_count`."""
        return f"{self.name}_seconds"

    def record(self, meter: MetricMeter, took: timedelta, **labels: str) -> None:
        """Say how long it took once."""
        meter.create_histogram_timedelta(self.name, self.means).record(took, labels)


def minutes(*numbers: float) -> Iterator[timedelta]:
    """Durations of so many minutes."""
    return (timedelta(minutes=number) for number in numbers)
