"""The one definition of the state table. In AWS it is made from the same facts by Terraform.

Items by partition key: `migration#ID` is the read model's row, `claim#ID` the claim on a migration id, and
`server#KEY` says which migration holds a source server. Only rows carry the indexes' attributes.
"""

from typing import TYPE_CHECKING, Any

from adapters.aws import AwsSessions, aws_call
from migration.errors import Conflict, NotFound

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

KEY = "pk"
EXPIRES = "expiresAt"
"""Time to live: Unix seconds, set when a migration has ended."""

UPDATED = "updatedAt"
INDEXES = {"by-wave": "waveId", "by-status": "status", "by-application": "appName#status"}
"""Index name to its partition key; each is sorted by `updatedAt`."""

LISTED = (
    *("migrationId", "appName", "environment", "waveId", "status", "message", "servedBy", "awaiting", "generation"),
    *("startedAt", "endedAt", UPDATED),
)
"""What the indexes carry of a row: what a list shows. The whole status is in the row itself alone: a listing would
read, and every write would copy, hundreds of kilobytes of it."""

TABLE: dict[str, Any] = {
    "BillingMode": "PAY_PER_REQUEST",
    "AttributeDefinitions": [
        {"AttributeName": name, "AttributeType": "S"} for name in (KEY, UPDATED, *INDEXES.values())
    ],
    "KeySchema": [{"AttributeName": KEY, "KeyType": "HASH"}],
    "GlobalSecondaryIndexes": [
        {
            "IndexName": index,
            "KeySchema": [
                {"AttributeName": attribute, "KeyType": "HASH"},
                {"AttributeName": UPDATED, "KeyType": "RANGE"},
            ],
            "Projection": {
                "ProjectionType": "INCLUDE",
                "NonKeyAttributes": [name for name in LISTED if name not in (UPDATED, attribute)],
            },
        }
        for index, attribute in INDEXES.items()
    ],
}


def ensure_table(sessions: AwsSessions, name: str, *, region: str | None = None) -> None:
    """Make the table where it is missing, and wait until it can be used."""
    client: DynamoDBClient = sessions.client("dynamodb", region=region)
    if not _exists(client, name):
        try:
            with aws_call("CreateTable"):
                client.create_table(TableName=name, **TABLE)
        except Conflict:
            # Somebody beside us makes it at this moment.
            pass
    with aws_call("DescribeTable"):
        client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    _let_rows_expire(client, name)


def _exists(client: "DynamoDBClient", name: str) -> bool:
    try:
        with aws_call("DescribeTable"):
            client.describe_table(TableName=name)
    except NotFound:
        return False
    return True


def _let_rows_expire(client: "DynamoDBClient", name: str) -> None:
    with aws_call("DescribeTimeToLive"):
        now = client.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    if now.get("TimeToLiveStatus") in {"ENABLED", "ENABLING"}:
        return
    with aws_call("UpdateTimeToLive"):
        client.update_time_to_live(TableName=name, TimeToLiveSpecification={"Enabled": True, "AttributeName": EXPIRES})
