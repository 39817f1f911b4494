"""When two requests are the same."""

from typing import Any

from migration.canonical import sha256_hex
from migration.request.choices import CheckTime
from migration.request.request import MigrationRequest


def normal_form(request: MigrationRequest) -> dict[str, Any]:
    """Write a request as plain JSON in which everything that means the same reads the same.

    Defaults are spelt out, times are in UTC, durations canonical, DNS names and addresses in one spelling (the
    models see to that); here references that null stands for are filled in, and lists without an order are sorted.
    """
    document = request.model_dump(mode="json")
    document["correlationId"] = request.correlation_id or request.migration_id
    document["replication"]["stagingSubnetId"] = request.staging_subnet_id
    _sort(document["target"], "securityGroupIds")
    _sort(document["target"]["test"] or {}, "securityGroupIds")
    _sort(document["approval"] or {}, "approvers")
    for server in document["source"]["servers"]:
        _sort(server["launch"], "securityGroupIds")
    for record in document["dns"]:
        _sort(record["to"], "servers")
    for check in document["healthChecks"]:
        check["during"] = [time for time in CheckTime if time in check["during"]]
    return document


def _sort(part: dict[str, Any], field: str) -> None:
    if part.get(field):
        part[field] = sorted(set(part[field]))


def request_hash(request: MigrationRequest) -> str:
    """Hash a request for deduplication: SHA-256 over the canonical JSON of its normal form, in hexadecimal."""
    return sha256_hex(normal_form(request))
