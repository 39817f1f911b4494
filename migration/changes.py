"""What a person may change of a request when a failed step is tried again."""

import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from migration.formats import (
    BodyPattern,
    Duration,
    HealthUrl,
    InstanceType,
    Sentence,
    ServerName,
    SubnetId,
    mismatch,
)
from migration.models import Model
from migration.parsing import parse_request
from migration.request import MigrationRequest
from migration.steps import Step

_CLOSED = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)


class ChangedCheck(Model):
    """What is new of the health checks of the kind that has such a setting; `within` alone is that of all kinds."""

    model_config = _CLOSED

    url: HealthUrl | None = None
    expect_status: Annotated[int, Field(ge=100, le=599)] | None = None
    expect_body: Sentence | None = None
    expect_body_pattern: BodyPattern | None = None
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    command: Sentence | None = None
    within: Duration | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> "ChangedCheck":
        if not self.model_dump(exclude_none=True):
            raise mismatch(f"at least one of {', '.join(_names(ChangedCheck.model_fields))}")
        return self


class Change(Model):
    """Settings that replace those of the request, from the retry on.

    Attributes:
        server: The server that is meant; None: all of them.
        subnet_id: The subnet of the launch that failed: the test network's for a test, the production one else.
        health_check: Replaces parts of the server's health checks.
    """

    model_config = _CLOSED

    server: ServerName | None = None
    instance_type: InstanceType | None = None
    subnet_id: SubnetId | None = None
    health_check: ChangedCheck | None = None
    max_lag: Duration | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> "Change":
        if not self.names:
            raise mismatch(f"at least one of {', '.join(_names(_SETTINGS))}")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Which settings it changes, by their JSON names."""
        return _names(name for name in _SETTINGS if getattr(self, name) is not None)


_SETTINGS = ("instance_type", "subnet_id", "health_check", "max_lag")

_LAUNCH = frozenset({"instanceType", "subnetId"})

_KIND = {
    "url": "http",
    "expectStatus": "http",
    "expectBody": "http",
    "expectBodyPattern": "http",
    "port": "tcp",
    "command": "ssm",
}
"""Which kind of health check has a setting that not all of them have."""

_SENSIBLE: Mapping[Step, frozenset[str]] = {
    Step.REPLICATE: frozenset({"maxLag"}),
    Step.TEST: _LAUNCH | {"healthCheck"},
    Step.CUTOVER: _LAUNCH,
    Step.VERIFY: frozenset({"healthCheck"}),
    Step.SOAK: frozenset({"healthCheck"}),
}


class Changed(Model):
    """A change, and the step that was tried again with it."""

    step: Step
    change: Change


def _names(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(to_camel(name) for name in names)


def changed(text: str, changes: Iterable[Changed]) -> MigrationRequest:
    """The request with these changes in force.

    Args:
        text: The request as it came.
        changes: In the order in which they were decided.

    Raises:
        ValueError: A change does not help the step, or names a server or a check that the request does not have.
        RequestErrors: What comes out is no valid request.
    """
    document = json.loads(text)
    for one in changes:
        _apply(document, one)
    return parse_request(json.dumps(document))


def _apply(document: dict[str, Any], changed: Changed) -> None:
    step, change = changed.step, changed.change
    sensible = _SENSIBLE.get(step, frozenset())
    if useless := [name for name in change.names if name not in sensible]:
        allowed = ", ".join(sorted(sensible)) or "none"
        raise ValueError(f"{step} is not helped by another {', '.join(useless)}; settings to change here: {allowed}")
    if change.max_lag is not None:
        document["replication"] = {**(document.get("replication") or {}), "maxLag": _json(change)["maxLag"]}
    servers = _chosen(document["source"]["servers"], "name", change.server, "server")
    of_the_test = step is Step.TEST and document["target"].get("test") is not None and change.subnet_id is not None
    if of_the_test and change.server is not None:
        raise ValueError("the test network has one subnet for all servers: change it without naming a server")
    for server in servers:
        own = {name: value for name, value in _json(change).items() if name in _LAUNCH}
        if of_the_test:
            document["target"]["test"]["subnetId"] = own.pop("subnetId")
        server["launch"] = {**(server.get("launch") or {}), **own}
    if change.health_check is not None:
        _apply_to_checks(document.get("healthChecks") or [], change.server, _json(change)["healthCheck"])


def _apply_to_checks(checks: list[dict[str, Any]], server: str | None, new: dict[str, Any]) -> None:
    kinds = sorted({_KIND[name] for name in new if name in _KIND})
    for kind in kinds or [""]:
        of_kind = [check for check in checks if kind in ("", check["type"])]
        own = {name: value for name, value in new.items() if _KIND.get(name, kind) == kind}
        for check in _chosen(of_kind, "server", server, f"{kind} health check of".lstrip()):
            check.update(own)


def _chosen(items: list[dict[str, Any]], field: str, name: str | None, what: str) -> list[dict[str, Any]]:
    chosen = [item for item in items if name is None or item[field] == name]
    if not chosen:
        raise ValueError(f"the request has no {what} {name or 'any server'}")
    return chosen


def _json(change: Change) -> dict[str, Any]:
    return change.model_dump(mode="json", by_alias=True, exclude_none=True)
