"""Claims and the read model against DynamoDB: who may start, who holds what, which version stays."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest

from adapters.aws import AwsSessions
from adapters.dynamodb import DynamoMigrations
from adapters.dynamodb_table import ensure_table
from migration.errors import Conflict, MigrationError, Unavailable
from migration.ports import Claim
from tests.contracts.aws_cloud import Cloud, local_aws

TABLE = "migrator-state"
_numbers = count(1)


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with local_aws() as cloud:
        ensure_table(cloud.sessions, TABLE)
        yield cloud


@pytest.fixture
def store(cloud: Cloud) -> DynamoMigrations:
    return DynamoMigrations(cloud.sessions, TABLE)


@pytest.fixture
def name() -> str:
    return f"mig-billing-{next(_numbers)}"


def asked(name: str, *, run: str = "run-1", request: str = "hash-1") -> Claim:
    return Claim(migration_id=name, generation=0, request_hash=request, workflow_run=run)


def keys_of(name: str, servers: int = 1) -> list[str]:
    return [f"vcenter-1/{name}-{number:03}" for number in range(servers)]


def everything(cloud: Cloud) -> dict[str, Any]:
    items = cloud.sessions.client("dynamodb").scan(TableName=TABLE)["Items"]
    return {item["pk"]["S"]: item for item in items}


def test_making_the_table_again_changes_nothing(cloud: Cloud) -> None:
    ensure_table(cloud.sessions, TABLE)
    client = cloud.sessions.client("dynamodb")
    assert client.describe_time_to_live(TableName=TABLE)["TimeToLiveDescription"]["AttributeName"] == "expiresAt"
    indexes = client.describe_table(TableName=TABLE)["Table"]["GlobalSecondaryIndexes"]
    assert {index["IndexName"] for index in indexes} == {"by-wave", "by-status", "by-application"}


def test_a_server_belongs_to_one_live_migration_and_the_refusal_names_its_holder(
    store: DynamoMigrations, cloud: Cloud, name: str
) -> None:
    other = f"{name}-other"
    store.claim(asked(name), ["vcenter-1/shared", f"vcenter-1/{name}"], again=False)
    with pytest.raises(Conflict, match=f"vcenter-1/shared by {name} \\(generation 1\\)"):
        store.claim(asked(other), ["vcenter-1/shared", f"vcenter-1/{other}"], again=False)
    assert f"claim#{other}" not in everything(cloud)
    assert f"server#vcenter-1/{other}" not in everything(cloud)
    store.finish(name, 1, "COMPLETED", ["vcenter-1/shared", f"vcenter-1/{name}"])
    assert store.claim(asked(other), ["vcenter-1/shared"], again=False).generation == 1
    store.finish(other, 1, "COMPLETED", ["vcenter-1/shared"])


def test_two_hundred_servers_are_claimed_and_given_back(store: DynamoMigrations, cloud: Cloud, name: str) -> None:
    servers = keys_of(name, 200)
    store.claim(asked(name), servers, again=False)
    assert {f"server#{key}" for key in servers} <= everything(cloud).keys()
    store.claim(asked(name), servers, again=False)
    store.finish(name, 1, "ROLLED_BACK", servers)
    assert not {f"server#{key}" for key in servers} & everything(cloud).keys()


def test_a_conflict_over_a_late_server_gives_every_server_back(
    store: DynamoMigrations, cloud: Cloud, name: str
) -> None:
    servers, holder = keys_of(name, 150), f"{name}-holder"
    store.claim(asked(holder), servers[-1:], again=False)
    with pytest.raises(Conflict, match=holder):
        store.claim(asked(name), servers, again=False)
    left = {key: item["migrationId"]["S"] for key, item in everything(cloud).items() if key.startswith("server#")}
    assert name not in left.values()
    store.finish(holder, 1, "COMPLETED", servers[-1:])
    assert store.claim(asked(name, run="run-2"), servers, again=False).generation == 2


def test_a_claim_that_has_ended_meanwhile_takes_no_more_servers(
    store: DynamoMigrations, cloud: Cloud, name: str
) -> None:
    servers, transactions = keys_of(name, 120), count(1)
    events = cloud.sessions.client("dynamodb").meta.events

    def end_it_in_between(**_: Any) -> None:
        if next(transactions) == 2:
            store.finish(name, 1, "CANCELLED", servers)

    events.register("before-call.dynamodb.TransactWriteItems", end_it_in_between)
    with pytest.raises(Unavailable, match="changed by somebody else"):
        store.claim(asked(name), servers, again=False)
    events.unregister("before-call.dynamodb.TransactWriteItems", end_it_in_between)
    assert not {f"server#{key}" for key in servers} & everything(cloud).keys()


def test_giving_back_touches_nothing_of_a_later_generation(store: DynamoMigrations, cloud: Cloud, name: str) -> None:
    store.claim(asked(name), keys_of(name), again=False)
    store.finish(name, 1, "ROLLED_BACK", keys_of(name))
    store.claim(asked(name, run="run-2"), keys_of(name), again=True)
    store.finish(name, 1, "ROLLED_BACK", keys_of(name))
    items = everything(cloud)
    assert "endedAs" not in items[f"claim#{name}"]
    assert items[f"server#{keys_of(name)[0]}"]["generation"] == {"N": "2"}


def test_a_lost_reply_to_a_claim_is_no_second_claim(store: DynamoMigrations, cloud: Cloud, name: str) -> None:
    cloud.lose_reply("dynamodb", "TransactWriteItems")
    try:
        granted = store.claim(asked(name), keys_of(name), again=False)
    except Unavailable:
        granted = store.claim(asked(name), keys_of(name), again=False)
    assert granted.generation == 1


def test_of_many_runs_at_once_one_gets_the_claim(cloud: Cloud, store: DynamoMigrations, name: str) -> None:
    outcomes: list[str] = []

    def claim(run: str) -> None:
        try:
            outcomes.append(store.claim(asked(name, run=run), keys_of(name), again=False).workflow_run)
        except MigrationError as error:
            outcomes.append(type(error).__name__)

    threads = [threading.Thread(target=claim, args=(f"run-{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [outcome for outcome in outcomes if outcome.startswith("run-")]
    assert len(winners) == 1
    assert set(outcomes) <= {winners[0], "Conflict", "Unavailable"}


ROW = {
    "status": "TESTING",
    "waveId": "wave-07",
    "appName": "billing",
    "environment": "prod",
    "updatedAt": "2026-11-23T10:00:00+00:00",
    "document": "{}",
}


def test_a_saved_row_whose_reply_was_lost_is_written_once(store: DynamoMigrations, cloud: Cloud, name: str) -> None:
    cloud.lose_reply("dynamodb", "PutItem")
    assert store.save(name, 1, ROW, expires_at=None)
    assert store.get(name) == ROW


@pytest.mark.parametrize(
    ("index", "attribute", "value"),
    [
        ("by-wave", "waveId", "wave-07"),
        ("by-status", "status", "TESTING"),
        ("by-application", "appName#status", "billing#TESTING"),
    ],
)
def test_rows_are_found_by_each_index(
    store: DynamoMigrations, cloud: Cloud, name: str, index: str, attribute: str, value: str
) -> None:
    store.save(name, 1, ROW, expires_at=None)
    found = cloud.sessions.client("dynamodb").query(
        TableName=TABLE,
        IndexName=index,
        KeyConditionExpression="#key = :value",
        ExpressionAttributeNames={"#key": attribute},
        ExpressionAttributeValues={":value": {"S": value}},
    )["Items"]
    assert {"S": f"migration#{name}"} in [item["pk"] for item in found]
    assert all(item["pk"]["S"].startswith("migration#") for item in found)


def test_a_row_expires_by_its_time_and_needs_no_wave(store: DynamoMigrations, cloud: Cloud, name: str) -> None:
    row = {key: value for key, value in ROW.items() if key != "waveId"}
    store.save(name, 1, row, expires_at=datetime(2027, 1, 1, tzinfo=UTC))
    item = everything(cloud)[f"migration#{name}"]
    assert item["expiresAt"] == {"N": "1798761600"}
    assert store.get(name) == row


def test_a_missing_table_is_said_so(cloud: Cloud) -> None:
    with pytest.raises(MigrationError, match="ResourceNotFound"):
        DynamoMigrations(cloud.sessions, "no-such-table").get("mig-x")


def test_a_table_out_of_reach_is_worth_a_retry() -> None:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        environment.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "test")
        sessions = AwsSessions("eu-central-1")
        with pytest.raises(Unavailable):
            DynamoMigrations(sessions, TABLE).get("mig-x")
        sessions.close()
