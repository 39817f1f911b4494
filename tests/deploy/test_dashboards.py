"""Dashboards and alerts speak of what there is: metrics and labels as they are defined, sections of the runbook."""

import re

import pytest

from migration.metrics import METRICS, Histogram
from tests.deploy.collector import configuration, declared
from tests.deploy.promql import DASHBOARDS, ROOT, Selected, alerts, expressions, panels, selected

_ADDED = {"namespace", "task_queue", "workflow_type", "service_name", "instance", "job"}
"""By the SDK to what workflows count, and by Prometheus itself."""


def series() -> dict[str, set[str]]:
    """The labels of ours, by each name that a scrape has of it."""
    labels: dict[str, set[str]] = {}
    for metric in METRICS:
        own = set(metric.labels) | _ADDED
        parts = ("_sum", "_count") if isinstance(metric, Histogram) else ("",)
        labels |= {metric.exported + part: own for part in parts}
        if isinstance(metric, Histogram):
            labels[f"{metric.exported}_bucket"] = own | {"le"}
    return labels


def ours() -> list[Selected]:
    found = [one for text in expressions() for one in selected(text)]
    return [one for one in found if one.metric.startswith("migrator_")]


def test_each_metric_and_label_of_ours_is_defined() -> None:
    there = series()
    assert ours()
    assert [one for one in ours() if one.metric not in there or not one.labels <= there[one.metric]] == []


def test_every_metric_of_ours_is_looked_at() -> None:
    named = {one.metric for one in ours()}
    unseen = [metric.name for metric in METRICS if not any(name.startswith(metric.exported) for name in named)]
    assert unseen == []


def test_a_value_that_is_filtered_by_is_one_that_there_is() -> None:
    values = {metric.exported: metric.labels for metric in METRICS}
    wrong = [
        (name, label, value)
        for text in expressions()
        for name, matchers in re.findall(r"(migrator_\w+?)(?:_bucket|_count|_sum)?\{(.+?)\}", text)
        for label, said in re.findall(r'(\w+)(?:=~|!~|!=|=)"(.+?)"', matchers)
        for value in said.split("|")
        if value not in values[name][label]
    ]
    assert wrong == []


@pytest.mark.parametrize("text", ["sum(", "rate(migrator_calls_total)", "migrator_calls_total{result=}"])
def test_what_is_no_promql_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        selected(text)


def test_each_alert_says_how_grave_it_is_and_has_a_section_of_its_name_in_the_runbook() -> None:
    headings = re.findall(r"^#+ (.+)$", ROOT.joinpath("docs", "RUNBOOK.md").read_text(encoding="utf-8"), re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    for alert in alerts():
        assert alert["labels"]["severity"] in {"critical", "warning", "info"}
        assert alert["annotations"]["summary"].endswith(".")
        page, _, anchor = alert["annotations"]["runbook"].partition("#")
        assert (page, anchor) == ("docs/RUNBOOK.md", alert["alert"].lower())
        assert anchor in anchors, alert["alert"]


def test_no_two_alerts_or_dashboards_have_the_same_name() -> None:
    names = [alert["alert"] for alert in alerts()]
    assert len(set(names)) == len(names)
    assert len(DASHBOARDS) == 2
    assert all(panel.get("targets") for panel in panels() if panel["type"] != "row")


def test_what_the_collector_brings_to_cloudwatch_is_defined_and_each_pipeline_has_its_parts() -> None:
    there = series()
    assert [one for one in declared() if one.metric not in there or not one.labels <= there[one.metric]] == []
    whole = configuration()
    for pipeline in whole["service"]["pipelines"].values():
        for kind, names in pipeline.items():
            assert set(names) <= whole[kind].keys()
