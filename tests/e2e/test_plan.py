"""`migrator plan`: every check by the real worker, and nothing changed anywhere."""

import asyncio
from typing import Any

from tests.e2e.local_cloud import LocalCloud

SERVICES = ("mgn", "ec2", "route53", "dynamodb", "ssm", "vcenter", "servicenow", "callback", "application")


async def accepted(cloud: LocalCloud) -> dict[str, list[dict[str, Any]]]:
    """Every mutating call that any system has accepted so far."""
    return dict(zip(SERVICES, await asyncio.gather(*(cloud.ledger(service) for service in SERVICES)), strict=True))


async def test_a_plan_shows_everything_and_changes_nothing(quiet_cloud: LocalCloud) -> None:
    cloud = quiet_cloud
    good = cloud.written(cloud.request("docs", warnings="acknowledge"), "plan")
    target = {**cloud.request("docs")["target"], "subnetId": "subnet-00000000"}
    blocked = cloud.written(cloud.request("docs") | {"target": target}, "blocked")
    bad = cloud.written(cloud.request("docs") | {"appName": ""}, "bad-plan")
    before = await accepted(cloud)

    shown, told, stopped, refused = await asyncio.gather(
        cloud.migrator("plan", good),
        cloud.migrator("plan", good, "-o", "json"),
        cloud.migrator("plan", blocked, "-o", "json"),
        cloud.migrator("plan", bad, "-o", "json"),
    )

    assert await accepted(cloud) == before
    assert (shown.code, told.code, told.json["blocked"]) == (0, 0, False)
    assert told.json["findings"] == []
    assert "nothing was changed" in shown.out
    address = next(vm["address"] for vm in cloud.local["vms"] if vm["name"] == "docs-web-01")
    switched = [touch for touch in told.json["touches"] if touch["system"] == "route53" and touch["step"] == "switch"]
    assert [touch["resource"] for touch in switched] == ["docs.example.internal A"]
    assert address in switched[0]["undo"]
    assert {touch["step"] for touch in told.json["touches"]} == {
        *("validate", "prepare", "test", "approve", "cutover", "switch", "finalize", "decommission")
    }
    assert stopped.code == 1
    assert [finding["code"] for finding in stopped.json["findings"]] == ["SUBNET_MISSING"]
    assert refused.code == 2
    assert [error["path"] for error in refused.json["errors"]] == ["$.appName"]
