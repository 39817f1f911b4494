"""What PromQL speaks of: the metrics that it selects, and the labels that it goes by."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import promql_parser
import yaml

ROOT = Path(__file__).resolve().parents[2]
GRAFANA = ROOT / "deploy" / "grafana"
DASHBOARDS = sorted(GRAFANA.glob("dashboards/*.json"))
RULES = GRAFANA / "rules.yaml"

Expression = Any
"""A node of the parser's tree, whose types are not exported for annotations."""


@dataclass(frozen=True)
class Selected:
    """A metric as an expression names it, and each label that it filters or groups it by."""

    metric: str
    labels: frozenset[str]


def alerts() -> list[dict[str, Any]]:
    """Every alert rule."""
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    """Every panel of every dashboard."""
    return [panel for path in DASHBOARDS for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]]


def expressions() -> list[str]:
    """Every PromQL expression of dashboards and rules."""
    queries = [target["expr"] for panel in panels() for target in panel.get("targets", ())]
    return [*queries, *(rule["expr"] for rule in alerts())]


def selected(text: str) -> list[Selected]:
    """What an expression selects. Raises `ValueError` when it is no PromQL."""
    return list(_selected(promql_parser.parse(text), frozenset()))


def _selected(node: Expression, grouped: frozenset[str]) -> Iterator[Selected]:
    match node:
        case promql_parser.VectorSelector():
            yield Selected(str(node.name), grouped | {matcher.name for matcher in node.matchers.matchers})
        case promql_parser.MatrixSelector():
            yield from _selected(node.vector_selector, grouped)
        case promql_parser.AggregateExpr():
            by = frozenset(node.modifier.labels) if node.modifier else frozenset[str]()
            yield from _selected(node.expr, grouped | by)
        case promql_parser.BinaryExpr():
            yield from _selected(node.lhs, grouped)
            yield from _selected(node.rhs, grouped)
        case promql_parser.ParenExpr() | promql_parser.UnaryExpr() | promql_parser.SubqueryExpr():
            yield from _selected(node.expr, grouped)
        case promql_parser.Call():
            for argument in node.args:
                yield from _selected(argument, grouped)
        case promql_parser.NumberLiteral() | promql_parser.StringLiteral():
            return
        case _:
            raise ValueError(f"an expression that is not looked into: {type(node).__name__}")
