"""Every claim in the state table, read at once: who holds which migration id and which source server."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from adapters.aws import AwsSessions, aws_call
from adapters.dynamodb_table import KEY
from migration.models import Model

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_CLAIM, _SERVER = "claim#", "server#"


class HeldId(Model):
    """The claim on a migration id. `ended_as` None: it is live; `workflow_run`: the first run of its holder."""

    migration_id: str
    generation: int
    workflow_run: str
    ended_as: str | None = None


class HeldServer(Model):
    """The claim on one source server, and who has it."""

    key: str
    migration_id: str
    generation: int


class Claims(Model):
    """What is claimed: ids by migration, servers in no order."""

    ids: Mapping[str, HeldId]
    servers: tuple[HeldServer, ...]


def all_claims(sessions: AwsSessions, table: str) -> Claims:
    """Read every claim, consistently; the rows of the read model are left out by DynamoDB."""
    client: DynamoDBClient = sessions.client("dynamodb")
    items = list(_scanned(client, table))
    ids = [_held_id(item) for item in items if item[KEY]["S"].startswith(_CLAIM)]
    servers = (_held_server(item) for item in items if item[KEY]["S"].startswith(_SERVER))
    return Claims(ids={one.migration_id: one for one in ids}, servers=tuple(servers))


def _scanned(client: "DynamoDBClient", table: str) -> Iterator[Mapping[str, Any]]:
    pages = client.get_paginator("scan").paginate(
        TableName=table,
        ConsistentRead=True,
        FilterExpression=f"begins_with({KEY}, :claim) OR begins_with({KEY}, :server)",
        ExpressionAttributeValues={":claim": {"S": _CLAIM}, ":server": {"S": _SERVER}},
    )
    with aws_call("Scan"):
        for page in pages:
            yield from page["Items"]


def _held_id(item: Mapping[str, Any]) -> HeldId:
    return HeldId(
        migration_id=item["migrationId"]["S"],
        generation=int(item["generation"]["N"]),
        workflow_run=item["workflowRun"]["S"],
        ended_as=item.get("endedAs", {}).get("S"),
    )


def _held_server(item: Mapping[str, Any]) -> HeldServer:
    return HeldServer(
        key=item[KEY]["S"].removeprefix(_SERVER),
        migration_id=item["migrationId"]["S"],
        generation=int(item["generation"]["N"]),
    )
