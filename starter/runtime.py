"""The one engine that the SDK runs in this process, and what it serves of it: metrics, where somebody asks for them."""

import logging
from functools import cache

from temporalio.client import Client
from temporalio.common import MetricMeter
from temporalio.runtime import (
    LogForwardingConfig,
    LoggingConfig,
    PrometheusConfig,
    Runtime,
    TelemetryConfig,
    TelemetryFilter,
)

from migration.errors import PrerequisiteError
from migration.metrics import buckets


@cache
def runtime(metrics_address: str | None = None) -> Runtime:
    """The engine. Without us it writes its log lines to standard output, between our answers.

    Args:
        metrics_address: ADDRESS:PORT at which it answers `GET /metrics`; None: it measures nothing.

    Raises:
        PrerequisiteError: It cannot listen there.
    """
    forwarding = LogForwardingConfig(logging.getLogger("temporalio.core"))
    level = TelemetryFilter(core_level="WARN", other_level="ERROR")
    metrics = _served_at(metrics_address) if metrics_address else None
    try:
        return Runtime(telemetry=TelemetryConfig(logging=LoggingConfig(level, forwarding=forwarding), metrics=metrics))
    except ValueError as error:
        raise PrerequisiteError(
            f"metrics cannot be served at {metrics_address}: {error}",
            action="set MIGRATOR_METRICS_ADDRESS to an ADDRESS:PORT of this machine where nothing else listens",
        ) from error


def _served_at(address: str) -> PrometheusConfig:
    return PrometheusConfig(
        bind_address=address,
        counters_total_suffix=True,
        unit_suffix=True,
        durations_as_seconds=True,
        histogram_bucket_overrides=buckets(),
    )


def meter_of(client: Client) -> MetricMeter:
    """The meter of the client's engine; it does nothing where no metrics are served."""
    engine = client.service_client.config.runtime
    return engine.metric_meter if engine else MetricMeter.noop
