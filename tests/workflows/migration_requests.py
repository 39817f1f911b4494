"""Requests of workflow tests: small, complete, and without a wait that a test does not ask for."""

from datetime import UTC, datetime, timedelta
from typing import Any

ALL_STEPS = (
    *("validate", "prepare", "replicate", "test", "approve", "cutover"),
    *("verify", "switch", "soak", "finalize", "decommission"),
)
REQUESTER = "requester@example.com"
APPROVER = "approver-1@example.com"
OTHER_APPROVER = "approver-2@example.com"


def a_request(migration_id: str, **parts: Any) -> dict[str, Any]:
    """One server, one record, one CMDB item, all steps, no window and no callbacks; `parts` replace what is given."""
    return {
        "schemaVersion": "1.0",
        "migrationId": migration_id,
        "appName": "billing",
        "environment": "dev",
        "requestedBy": REQUESTER,
        "migrationType": "cutover",
        "steps": list(ALL_STEPS),
        "source": {"type": "vmware", "connection": "vcenter-1", "servers": [a_server("billing-web-01")]},
        "target": {
            "type": "aws-mgn",
            "accountId": "123456789012",
            "region": "eu-central-1",
            "subnetId": "subnet-0a1b2c3d",
            "securityGroupIds": ["sg-0a1b2c3d"],
        },
        "healthChecks": [a_health_check("billing-web-01")],
        "approval": {"approvers": [APPROVER, OTHER_APPROVER]},
        "dns": [a_record("billing-web-01")],
        "cmdb": {
            "system": "servicenow",
            "connection": "servicenow-1",
            "items": [{"server": "billing-web-01", "id": "5f0c8a1e"}],
        },
        "soak": {"for": "PT0S", "end": "commit"},
        "grace": "PT0S",
        **parts,
    }


def a_server(name: str, tier: int = 1) -> dict[str, Any]:
    """A source server."""
    return {"name": name, "vm": name, "os": "linux", "address": "10.1.0.11", "tier": tier}


def a_health_check(server: str) -> dict[str, Any]:
    """A check of every step that has checks."""
    return {"type": "http", "server": server, "url": "http://{privateIp}:8080/health"}


def a_record(*servers: str, ttl: int = 60) -> dict[str, Any]:
    """A DNS record that is switched to these servers."""
    return {
        "provider": "route53",
        "zone": "example.internal",
        "name": "billing.example.internal",
        "type": "A",
        "ttl": ttl,
        "to": {"servers": list(servers)},
    }


def a_window(begins: timedelta, ends: timedelta) -> dict[str, str]:
    """A cutover window, from now."""
    now = datetime.now(UTC)
    return {"notBefore": _text(now + begins), "notAfter": _text(now + ends)}


def _text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
