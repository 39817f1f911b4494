"""The read model in DynamoDB: a row for each migration, found by its id, and by wave, status and application."""

import base64
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from adapters.aws import AwsSessions, aws_call
from adapters.dynamodb_table import EXPIRES, INDEXES, KEY, LISTED, UPDATED
from migration.errors import Conflict, ValidationError
from migration.ports import RowPage, RowsWanted
from migration.status import Phase

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

Item = dict[str, Any]

_OWN = frozenset({KEY, EXPIRES, "version", INDEXES["by-application"]})
"""Attributes of a row that are the table's, not the row's."""


class _Place(NamedTuple):
    """A partition of an index: what one query reads."""

    name: str
    value: str


class DynamoRows:
    """The rows of the state table."""

    def __init__(self, sessions: AwsSessions, table: str, *, region: str | None = None) -> None:
        """Nothing is called yet.

        Args:
            sessions: Where clients come from.
            table: The table's name; see `adapters.dynamodb_table`.
            region: None: the default one.
        """
        self._client: DynamoDBClient = sessions.client("dynamodb", region=region)
        self._table = table

    def save(self, migration_id: str, version: int, row: Mapping[str, str], *, expires_at: datetime | None) -> bool:
        """Write the row unless a newer version is there; returns whether the row is this version now."""
        item: Item = {name: {"S": value} for name, value in row.items() if value or name not in INDEXES.values()}
        item |= {KEY: {"S": f"migration#{migration_id}"}, "version": {"N": str(version)}}
        if row.get("appName") and row.get("status"):
            item[INDEXES["by-application"]] = {"S": f"{row['appName']}#{row['status']}"}
        if expires_at is not None:
            item[EXPIRES] = {"N": str(int(expires_at.timestamp()))}
        try:
            with aws_call("PutItem"):
                self._client.put_item(
                    TableName=self._table,
                    Item=item,
                    ConditionExpression="attribute_not_exists(version) OR version < :version",
                    ExpressionAttributeValues={":version": item["version"]},
                )
        except Conflict:
            # Ours, when the reply to an earlier call got lost.
            there = self._item(f"migration#{migration_id}")
            return there is not None and there["version"] == item["version"]
        return True

    def get(self, migration_id: str) -> Mapping[str, str] | None:
        """The row as last saved, or None."""
        item = self._item(f"migration#{migration_id}")
        return None if item is None else {name: value["S"] for name, value in item.items() if name not in _OWN}

    def find(self, wanted: RowsWanted) -> RowPage:
        """List rows by the index that fits; one more than wanted is read, to know whether there are more.

        Raises:
            ValidationError: `after` is no page of this list.
        """
        found: list[tuple[_Place, Item]] = []
        for row in self._found(wanted):
            if len(found) == wanted.limit:
                return RowPage(rows=_rows(found), next=_cursor(*found[-1]))
            found.append(row)
        return RowPage(rows=_rows(found))

    def _found(self, wanted: RowsWanted) -> Iterator[tuple[_Place, Item]]:
        places = _places(wanted)
        start: Item | None = None
        if wanted.after is not None:
            place, start = _read_cursor(wanted.after)
            if place not in places:
                raise ValidationError("that is no page of this list: ask with what the first page was asked for")
            places = places[places.index(place) :]
        for place in places:
            yield from ((place, item) for item in self._query(place, wanted, start))
            start = None

    def _query(self, place: _Place, wanted: RowsWanted, start: Item | None) -> Iterator[Item]:
        filters, names, values = _filters(wanted) if place.name == "by-wave" else ([], {}, {})
        request: Any = {
            "TableName": self._table,
            "IndexName": place.name,
            "KeyConditionExpression": "#key = :key",
            "ExpressionAttributeNames": {"#key": INDEXES[place.name], **names},
            "ExpressionAttributeValues": {":key": {"S": place.value}, **values},
            "ScanIndexForward": False,
            "Limit": wanted.limit + 1,
        }
        if start is not None:
            request["ExclusiveStartKey"] = start
        if filters:
            request["FilterExpression"] = " AND ".join(filters)
        while True:
            with aws_call("Query"):
                reply = self._client.query(**request)
            yield from reply["Items"]
            if "LastEvaluatedKey" not in reply:
                return
            request["ExclusiveStartKey"] = reply["LastEvaluatedKey"]

    def _item(self, key: str) -> Item | None:
        with aws_call("GetItem"):
            return self._client.get_item(TableName=self._table, Key={KEY: {"S": key}}, ConsistentRead=True).get("Item")


def _places(wanted: RowsWanted) -> list[_Place]:
    """The partitions that hold the rows, in the order of the list."""
    if wanted.wave_id is not None:
        return [_Place("by-wave", wanted.wave_id)]
    statuses = [status for status in Phase if status in (wanted.statuses or tuple(Phase))]
    if wanted.app_name is not None:
        return [_Place("by-application", f"{wanted.app_name}#{status}") for status in statuses]
    return [_Place("by-status", status) for status in statuses]


def _filters(wanted: RowsWanted) -> tuple[list[str], dict[str, str], Item]:
    """What a wave's rows are sifted by: conditions, the names in them, their values."""
    conditions, names, values = list[str](), dict[str, str](), Item()
    if wanted.app_name is not None:
        conditions.append("appName = :app")
        values[":app"] = {"S": wanted.app_name}
    if wanted.statuses:
        statuses: Item = {f":status{number}": {"S": status} for number, status in enumerate(wanted.statuses)}
        conditions.append(f"#status IN ({', '.join(statuses)})")
        names, values = {"#status": "status"}, values | statuses
    return conditions, names, values


def _rows(found: list[tuple[_Place, Item]]) -> tuple[Mapping[str, str], ...]:
    return tuple({name: item[name]["S"] for name in LISTED if name in item} for _, item in found)


def _cursor(place: _Place, last: Item) -> str:
    """Where the page after this row begins; opaque to its reader."""
    text = json.dumps([*place, last[KEY]["S"], last[UPDATED]["S"]])
    return base64.urlsafe_b64encode(text.encode()).decode()


def _read_cursor(text: str) -> tuple[_Place, Item]:
    try:
        index, value, key, updated = map(str, json.loads(base64.urlsafe_b64decode(text)))
        attribute = INDEXES[index]
    except (ValueError, TypeError, KeyError):
        raise ValidationError("that is no page of this list: give `next` of the page before, as it is") from None
    return _Place(index, value), {KEY: {"S": key}, attribute: {"S": value}, UPDATED: {"S": updated}}
