"""The collector's configuration: what goes to CloudWatch, with which dimensions."""

from typing import Any

import yaml

from tests.deploy.promql import ROOT, Selected

CONFIGURATION = ROOT / "deploy" / "telemetry" / "collector.yaml"
INSTALLATION = "installation"
"""The dimension that the collector adds."""


def configuration() -> dict[str, Any]:
    """The whole of it."""
    read: dict[str, Any] = yaml.safe_load(CONFIGURATION.read_text(encoding="utf-8"))
    return read


def declared() -> list[Selected]:
    """Each metric that goes to CloudWatch, and the labels that become its dimensions."""
    return [
        Selected(selector.removeprefix("^").removesuffix("$"), frozenset(dimensions) - {INSTALLATION})
        for declaration in configuration()["exporters"]["awsemf"]["metric_declarations"]
        for dimensions in declaration["dimensions"]
        for selector in declaration["metric_name_selectors"]
    ]
