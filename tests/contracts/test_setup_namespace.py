"""`migrator setup-namespace` against a real server."""

import asyncio
import json
from typing import Any

import pytest
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, RemoveSearchAttributesRequest
from temporalio.client import Client
from typer.testing import CliRunner

from migration.errors import PrerequisiteError
from starter.cli import app
from starter.namespace import _TYPES, SEARCH_ATTRIBUTES, ensure_search_attributes, search_attribute_problems


async def setup(address: str, namespace: str, *words: str) -> dict[str, Any]:
    variables = {"TEMPORAL_ADDRESS": address, "TEMPORAL_NAMESPACE": namespace}
    words = ("setup-namespace", *words, "--output", "json")
    ran = await asyncio.to_thread(CliRunner().invoke, app, list(words), env=variables)
    told: dict[str, Any] = json.loads(ran.output)
    return told | {"code": ran.exit_code}


async def test_a_namespace_is_made_brought_up_to_date_and_else_left_alone(temporal_address: str) -> None:
    made = await setup(temporal_address, "production-1")
    again = await setup(temporal_address, "production-1")
    longer = await setup(temporal_address, "production-1", "--retention", "60")
    attributes = list(SEARCH_ATTRIBUTES)
    before = {"namespace": "production-1", "created": True, "retentionDays": 30, "retentionChanged": False}
    assert made == before | {"registered": attributes, "code": 0}
    assert again == before | {"created": False, "registered": [], "code": 0}
    assert longer == before | {
        "created": False,
        "retentionDays": 60,
        "retentionChanged": True,
        "registered": [],
        "code": 0,
    }
    client = await Client.connect(temporal_address, namespace="production-1")
    assert await search_attribute_problems(client) == []
    assert (await client.count_workflows("MigrationPhase = 'SOAKING' AND AwaitingDecision = true")).count == 0


async def test_a_search_attribute_of_another_type_is_named_and_stays(temporal_address: str) -> None:
    await setup(temporal_address, "production-2")
    client = await Client.connect(temporal_address, namespace="production-2")
    operator = client.operator_service
    await operator.remove_search_attributes(
        RemoveSearchAttributesRequest(namespace="production-2", search_attributes=["WaveId"])
    )
    await operator.add_search_attributes(
        AddSearchAttributesRequest(namespace="production-2", search_attributes={"WaveId": _TYPES["Bool"]})
    )
    refused = await setup(temporal_address, "production-2")
    assert (refused["code"], refused["error"]) == (1, "WaveId is not of the type Keyword")
    assert "search-attribute remove" in refused["action"]
    with pytest.raises(PrerequisiteError, match="WaveId is not of the type Keyword"):
        await ensure_search_attributes(client)


@pytest.mark.parametrize(
    "address", ["production.a1b2c.tmprl.cloud:7233", "eu-central-1.aws.api.temporal.io:7233"], ids=["own", "region"]
)
async def test_on_temporal_cloud_the_commands_are_said(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPORAL_API_KEY", "planted-key-1")
    told = await setup(address, "production.a1b2c", "--retention", "45")
    assert told["code"] == 1
    assert "is Temporal Cloud" in told["error"]
    lines = told["action"].splitlines()
    assert "  tcld namespace retention set --namespace production.a1b2c --retention-days 45" in lines
    assert (
        "  tcld namespace search-attributes add --namespace production.a1b2c "
        + " ".join(f"--search-attribute {name}={kind}" for name, kind in SEARCH_ATTRIBUTES.items())
    ) in lines
    assert "planted-key-1" not in str(told)
