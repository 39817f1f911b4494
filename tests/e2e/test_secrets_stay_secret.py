"""Planted secrets are found nowhere that people or other systems read."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Any

import pytest_asyncio

from localcloud.aws.seed import STATE_TABLE
from migration.redaction import REDACTED
from tests.e2e.local_cloud import LocalCloud, until
from tests.e2e.secrets import SAID, found_in
from tests.e2e.stories import Stories
from tests.e2e.test_migrator_cli import is_led_by_the_cli
from tests.e2e.test_rollback import goes_back_to_the_start
from tests.fakes.collector import Collector

MIGRATIONS = ("mig-mail", "mig-shop")


@pytest_asyncio.fixture(loop_scope="session")
async def told(cloud: LocalCloud, stories: Stories) -> tuple[Any, Any]:
    """A migration that completed and one that was rolled back, each of which met errors full of secrets."""
    return await stories.told(is_led_by_the_cli), await stories.told(goes_back_to_the_start)


async def histories(cloud: LocalCloud, migration_id: str) -> AsyncIterator[tuple[str, bytes]]:
    """Every run of a migration and of what goes on beside it, and what the server says of each."""
    client = await cloud.client()
    beside = (f"{migration_id}/", f"callbacks/{migration_id}", f"afterword/{migration_id}", "cmf-wave/")
    ids = " OR ".join([f"WorkflowId = '{migration_id}'", *(f"WorkflowId STARTS_WITH '{one}'" for one in beside)])
    async for run in client.list_workflows(ids):
        handle = client.get_workflow_handle(run.id, run_id=run.run_id)
        events = (await handle.fetch_history()).events
        described = (await handle.describe()).raw_description
        yield f"{run.id} {run.run_id}", b"\n".join(one.SerializeToString() for one in (*events, described))


async def test_no_history_holds_a_secret(cloud: LocalCloud, told: tuple[Any, Any]) -> None:
    read = {name: text for migration in MIGRATIONS async for name, text in histories(cloud, migration)}
    assert {name: held for name, text in read.items() if (held := found_in(cloud, text))} == {}
    for migration in (*MIGRATIONS, *(f"callbacks/{one}" for one in MIGRATIONS)):
        of_it = [text for name, text in read.items() if name.startswith(f"{migration} ")]
        assert any(REDACTED.encode() in text for text in of_it), f"{migration} met no error with secrets"


async def test_no_log_holds_a_secret(cloud: LocalCloud, told: tuple[Any, Any]) -> None:
    logs = {path.name: path.read_bytes() for path in (*cloud.state_dir.glob("logs/*.log"), cloud.log)}
    assert logs.keys() >= {"worker.log", "ingress.log", "up.log"}
    assert {name: held for name, text in logs.items() if (held := found_in(cloud, text))} == {}
    assert REDACTED.encode() in logs["worker.log"]


async def test_no_span_holds_a_secret(cloud: LocalCloud, told: tuple[Any, Any], collector: Collector) -> None:
    async def sent() -> bool:
        ended = {span.attributes.get("migration_id") for span in collector.named("CompleteWorkflow:MigrationWorkflow")}
        return ended >= set(MIGRATIONS)

    await until("the spans of both are sent", sent, within=60)
    spans = collector.spans
    assert {span.name: held for span in spans if (held := found_in(cloud, span.raw))} == {}
    assert any(REDACTED.encode() in span.raw for span in spans)


async def test_no_row_of_the_read_model_holds_a_secret(cloud: LocalCloud, told: tuple[Any, Any]) -> None:
    pages = cloud.systems.aws("dynamodb").get_paginator("scan").paginate(TableName=STATE_TABLE)
    items = await asyncio.to_thread(lambda: [item for page in pages for item in page["Items"]])
    rows = {item["pk"]["S"]: json.dumps(item).encode() for item in items}
    assert rows.keys() >= {f"migration#{migration}" for migration in MIGRATIONS}
    assert {name: held for name, text in rows.items() if (held := found_in(cloud, text))} == {}


async def test_no_callback_holds_a_secret(cloud: LocalCloud, told: tuple[Any, Any]) -> None:
    for migration in MIGRATIONS:
        deliveries = await asyncio.to_thread(cloud.systems.deliveries, migration)
        assert deliveries
        assert found_in(cloud, json.dumps(deliveries).encode()) == []


async def test_no_event_holds_a_secret(cloud: LocalCloud, told: tuple[Any, Any]) -> None:
    for migration in MIGRATIONS:
        events = await cloud.events(migration)
        assert events
        assert found_in(cloud, json.dumps(events).encode()) == []


async def test_no_dead_letter_holds_a_secret(cloud: LocalCloud, told: tuple[Any, Any]) -> None:
    letters = await cloud.dead_letters()
    said = json.dumps([asdict(letter) for found in letters.values() for letter in found])
    assert found_in(cloud, said.encode()) == []


async def test_no_answer_to_people_holds_a_secret(cloud: LocalCloud, told: tuple[Any, Any]) -> None:
    by_cli, rolled_back = told
    status = await (await cloud.migrations()).status("mig-mail")
    shown = await cloud.migrator("status", "mig-shop")
    assert shown.code == 0
    said = [repr(by_cli), rolled_back.model_dump_json(), status.model_dump_json(), repr(shown)]
    assert found_in(cloud, "\n".join(said).encode()) == []


def test_the_secrets_would_be_found(cloud: LocalCloud) -> None:
    document = json.dumps(cloud.local["credentials"] | cloud.local["secrets"])
    assert len(found_in(cloud, f"{document} {SAID} ASIAIOSFODNN7EXAMPLE".encode())) >= 5
