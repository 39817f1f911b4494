"""What an installation has in its own AWS account: read, and compared with what the product needs. Nothing is changed.

Each function says in words what is there, and raises `PrerequisiteError` with what to do where it is not as it must be.
"""

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from adapters.aws import AwsSessions, aws_call
from adapters.dynamodb_table import EXPIRES, KEY, TABLE
from migration.errors import NotFound, PrerequisiteError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient

SHORTEST_VISIBILITY = timedelta(seconds=30)
"""A request is started, or refused, well within it; shorter, and a second consumer takes it meanwhile."""


def table(sessions: AwsSessions, name: str) -> str:
    """The state table, its key, its indexes and its time to live."""
    client: DynamoDBClient = sessions.client("dynamodb")
    try:
        with aws_call("DescribeTable"):
            there: Any = client.describe_table(TableName=name)["Table"]
    except NotFound:
        raise PrerequisiteError(
            f"there is no table {name}", action="Create it with the installation, or correct the setting state_table."
        ) from None
    if wrong := [*_wrong_keys(there), *_wrong_indexes(there), *_wrong_time_to_live(client, name)]:
        raise PrerequisiteError("; ".join(wrong), action=f"Put the table {name} right: adapters/dynamodb_table.py.")
    return f"{name}, {there['TableStatus']}, indexes {', '.join(_indexes(there))}, rows expire by {EXPIRES}"


def _wrong_keys(there: Any) -> list[str]:
    return [] if there["KeySchema"] == TABLE["KeySchema"] else [f"its partition key is not {KEY}, and it alone"]


def _wrong_indexes(there: Any) -> list[str]:
    found = _indexes(there)
    problems = []
    for index in TABLE["GlobalSecondaryIndexes"]:
        name = index["IndexName"]
        if name not in found:
            problems.append(f"the index {name} is missing")
        elif found[name]["KeySchema"] != index["KeySchema"]:
            problems.append(f"the index {name} has another key")
        elif found[name]["Projection"].get("ProjectionType") != index["Projection"]["ProjectionType"]:
            problems.append(f"the index {name} does not carry whole rows")
    return problems


def _indexes(there: Any) -> dict[str, Any]:
    return {index["IndexName"]: index for index in there.get("GlobalSecondaryIndexes", ())}


def _wrong_time_to_live(client: "DynamoDBClient", name: str) -> list[str]:
    with aws_call("DescribeTimeToLive"):
        said = client.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    if said.get("TimeToLiveStatus") not in {"ENABLED", "ENABLING"}:
        return ["rows never expire: time to live is off"]
    return [] if said.get("AttributeName") == EXPIRES else [f"rows expire by another attribute than {EXPIRES}"]


def request_queue(sessions: AwsSessions, url: str, dead_letters: str | None) -> str:
    """The request queue: how long a message stays hidden, and where one goes that nobody can take."""
    attributes = _queue(sessions, url, "request_queue_url")
    hidden = timedelta(seconds=int(attributes["VisibilityTimeout"]))
    wrong = []
    if hidden < SHORTEST_VISIBILITY:
        wanted = f"{SHORTEST_VISIBILITY.total_seconds():.0f} s"
        wrong.append(f"its visibility timeout is {hidden.total_seconds():.0f} s, less than {wanted}")
    redrive = json.loads(attributes.get("RedrivePolicy", "{}"))
    target = str(redrive.get("deadLetterTargetArn", "")).rpartition(":")[2]
    if not target:
        wrong.append("it has no redrive policy: a message that nobody can take comes back until it is too old")
    elif dead_letters is not None and target != dead_letters.rpartition("/")[2]:
        wrong.append(f"its redrive policy names {target}, not the dead-letter queue of the settings")
    if wrong:
        raise PrerequisiteError("; ".join(wrong), action="Correct the attributes of the queue.")
    waiting = f"{attributes['ApproximateNumberOfMessages']} waiting"
    return f"{waiting}, hidden for {hidden.total_seconds():.0f} s, to {target} after {redrive['maxReceiveCount']} tries"


def dead_letter_queue(sessions: AwsSessions, url: str) -> str:
    """The queue of refused requests, and how many are in it."""
    return f"{_queue(sessions, url, 'dead_letter_queue_url')['ApproximateNumberOfMessages']} messages"


def _queue(sessions: AwsSessions, url: str, setting: str) -> dict[str, str]:
    client: SQSClient = sessions.client("sqs")
    try:
        with aws_call("GetQueueAttributes"):
            reply = client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    except NotFound:
        raise PrerequisiteError(f"there is no queue {url}", action=f"Correct the setting {setting}.") from None
    return {str(name): value for name, value in reply["Attributes"].items()}


def event_bus(sessions: AwsSessions, name: str) -> str:
    """The event bus, by name or ARN."""
    client = sessions.client("events")
    try:
        with aws_call("DescribeEventBus"):
            return str(client.describe_event_bus(Name=name)["Arn"])
    except NotFound:
        raise PrerequisiteError(
            f"there is no event bus {name}", action="Create it with the installation, or correct the setting event_bus."
        ) from None
