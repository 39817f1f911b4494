"""Claims in DynamoDB, beside the read model: one table, conditional writes (API 2012-08-10).

A claim and up to 99 servers are taken in one transaction; more servers follow in further ones, each of which checks
that the claim still stands. The claim outlives the migration, so that an id is used again only on purpose:

* live: its own run gets it back, any other run is refused;
* ended as ROLLED_BACK, REJECTED or CANCELLED: granted to the same request, if `again` is asked for;
* ended as FAILED, which means refused before anything was touched: granted to any request;
* ended otherwise: refused.

Every grant but the first raises the generation, so that row versions and marks never meet those of an earlier try.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

from adapters.aws import aws_call
from adapters.dynamodb_rows import DynamoRows
from adapters.dynamodb_table import KEY
from migration.errors import Conflict, Unavailable
from migration.ports import Claim

Item = dict[str, Any]

_IN_A_TRANSACTION = 100
_READ_AT_ONCE = 100
_AGAIN = frozenset({"ROLLED_BACK", "REJECTED", "CANCELLED"})
_NOTHING_TOUCHED = "FAILED"
_LIVE = "attribute_not_exists(endedAs)"
_FREE_OR_OURS = f"attribute_not_exists({KEY}) OR (migrationId = :id AND generation <= :generation)"


class DynamoMigrations(DynamoRows):
    """The state table, as `MigrationStore`."""

    def claim(self, claim: Claim, server_keys: Sequence[str], *, again: bool) -> Claim:
        """Claim the migration id and each source server. `claim.generation` is not looked at: the answer's counts.

        Raises:
            Conflict: Saying who holds what, or how the earlier migration of this id ended.
        """
        held = self._claim_item(claim.migration_id)
        granted = _granted(claim, held, again=again)
        first, *more = _parts(sorted(set(server_keys)), _IN_A_TRANSACTION - 1) or [[]]
        self._take(self._take_claim(granted, held), first, granted)
        try:
            for part in more:
                self._take(self._still_ours(granted), part, granted)
        except Conflict:
            # Nothing was touched yet, which is what FAILED says.
            self.finish(granted.migration_id, granted.generation, _NOTHING_TOUCHED, server_keys)
            raise
        return granted

    def claim_of(self, migration_id: str) -> Claim | None:
        """The claim on this migration id as it stands, ended or not; None when there never was one."""
        held = self._claim_item(migration_id)
        if held is None:
            return None
        return Claim(
            migration_id=migration_id,
            generation=int(held["generation"]["N"]),
            request_hash=held["requestHash"]["S"],
            workflow_run=held["workflowRun"]["S"],
            status=held["endedAs"]["S"] if "endedAs" in held else None,
        )

    def holders(self, server_keys: Sequence[str]) -> Mapping[str, str]:
        """Which migration holds each of these servers; those that nobody holds are left out."""
        items = self._items(server_keys)
        return {item[KEY]["S"].removeprefix("server#"): item["migrationId"]["S"] for item in items}

    def finish(self, migration_id: str, generation: int, status: str, server_keys: Sequence[str]) -> None:
        """Mark this generation's claim as ended with that status, then give back the servers that it holds.

        Ended first: a claim that is still on its way then takes no server any more.
        """
        self._end_claim(migration_id, generation, status)
        ours = {"migrationId": {"S": migration_id}, "generation": {"N": str(generation)}}
        for item in self._items(server_keys):
            if all(item.get(name) == value for name, value in ours.items()):
                self._give_back(item[KEY], ours)

    def _claim_item(self, migration_id: str) -> Item | None:
        return self._item(f"claim#{migration_id}")

    def _take_claim(self, granted: Claim, held: Item | None) -> Item:
        """Write the claim, if it is still as it was read."""
        before = {":generation": held["generation"], ":run": held["workflowRun"]} if held else {}
        condition = "generation = :generation AND workflowRun = :run" if held else f"attribute_not_exists({KEY})"
        if held and "endedAs" in held:
            condition, before = f"{condition} AND endedAs = :ended", before | {":ended": held["endedAs"]}
        elif held:
            condition = f"{condition} AND {_LIVE}"
        put: Item = {
            "TableName": self._table,
            "Item": {
                KEY: {"S": f"claim#{granted.migration_id}"},
                "migrationId": {"S": granted.migration_id},
                "generation": {"N": str(granted.generation)},
                "requestHash": {"S": granted.request_hash},
                "workflowRun": {"S": granted.workflow_run},
            },
            "ConditionExpression": condition,
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        return {"Put": put | ({"ExpressionAttributeValues": before} if before else {})}

    def _still_ours(self, granted: Claim) -> Item:
        return {
            "ConditionCheck": {
                "TableName": self._table,
                "Key": {KEY: {"S": f"claim#{granted.migration_id}"}},
                "ConditionExpression": f"generation = :generation AND workflowRun = :run AND {_LIVE}",
                "ExpressionAttributeValues": {
                    ":generation": {"N": str(granted.generation)},
                    ":run": {"S": granted.workflow_run},
                },
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
        }

    def _take_server(self, key: str, granted: Claim) -> Item:
        """Write one server as ours, if nobody has it, or an earlier try of ours that has not given it back yet."""
        own: Item = {"migrationId": {"S": granted.migration_id}, "generation": {"N": str(granted.generation)}}
        return {
            "Put": {
                "TableName": self._table,
                "Item": {KEY: {"S": f"server#{key}"}, **own},
                "ConditionExpression": _FREE_OR_OURS,
                "ExpressionAttributeValues": {":id": own["migrationId"], ":generation": own["generation"]},
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
        }

    def _take(self, claim: Item, servers: Sequence[str], granted: Claim) -> None:
        items: Any = [claim, *(self._take_server(key, granted) for key in servers)]
        try:
            with aws_call("TransactWriteItems"):
                self._client.transact_write_items(TransactItems=items)
        except Exception as error:
            reasons = _reasons(error)
            if reasons is None:
                raise
            raise _refused(reasons, servers, granted) from error

    def _end_claim(self, migration_id: str, generation: int, status: str) -> None:
        try:
            with aws_call("UpdateItem"):
                self._client.update_item(
                    TableName=self._table,
                    Key={KEY: {"S": f"claim#{migration_id}"}},
                    UpdateExpression="SET endedAs = :status",
                    ConditionExpression="generation = :generation",
                    ExpressionAttributeValues={":status": {"S": status}, ":generation": {"N": str(generation)}},
                )
        except Conflict:
            # Another generation's claim by now, or none: not ours to end.
            return

    def _give_back(self, key: Any, ours: Item) -> None:
        try:
            with aws_call("DeleteItem"):
                self._client.delete_item(
                    TableName=self._table,
                    Key={KEY: key},
                    ConditionExpression="migrationId = :id AND generation = :generation",
                    ExpressionAttributeValues={":id": ours["migrationId"], ":generation": ours["generation"]},
                )
        except Conflict:
            return

    def _items(self, server_keys: Sequence[str]) -> Iterable[Item]:
        for part in _parts(sorted(set(server_keys)), _READ_AT_ONCE):
            keys: Any = [{KEY: {"S": f"server#{key}"}} for key in part]
            with aws_call("BatchGetItem"):
                reply = self._client.batch_get_item(RequestItems={self._table: {"Keys": keys, "ConsistentRead": True}})
            yield from reply["Responses"].get(self._table, ())
            if reply.get("UnprocessedKeys"):
                raise Unavailable("BatchGetItem: DynamoDB gave only a part of the servers")


def _granted(claim: Claim, held: Item | None, *, again: bool) -> Claim:
    """Decide by what is there; see the module. Raises `Conflict`."""
    if held is None:
        return claim.model_copy(update={"generation": 1, "status": None})
    generation, ended = int(held["generation"]["N"]), held.get("endedAs", {}).get("S")
    name, same_run = claim.migration_id, held["workflowRun"]["S"] == claim.workflow_run
    if ended is None and same_run:
        return claim.model_copy(update={"generation": generation, "status": None})
    if ended is None:
        raise Conflict(f"{name} is held by the run {held['workflowRun']['S']} (generation {generation})")
    if same_run:
        raise Conflict(f"{name} has ended as {ended} in this very run")
    if ended != _NOTHING_TOUCHED:
        _refuse_again(claim, held, ended, again=again)
    return claim.model_copy(update={"generation": generation + 1, "status": None})


def _refuse_again(claim: Claim, held: Item, ended: str, *, again: bool) -> None:
    name = claim.migration_id
    if held["requestHash"]["S"] != claim.request_hash:
        raise Conflict(f"{name} has ended as {ended}, of another request", action="Use a new migration id.")
    if ended not in _AGAIN:
        raise Conflict(f"{name} has ended as {ended}, and cannot be started again", action="Use a new migration id.")
    if not again:
        action = "Start it with --again if that is meant."
        raise Conflict(f"{name} has ended as {ended}; the same request is not started again by itself", action=action)


def _reasons(error: Exception) -> Sequence[Mapping[str, Any]] | None:
    """Why a transaction was cancelled, item by item; None when it was not."""
    cause = error.__cause__
    if not isinstance(cause, ClientError) or cause.response["Error"].get("Code") != "TransactionCanceledException":
        return None
    reasons: Sequence[Mapping[str, Any]] = cause.response.get("CancellationReasons", ())
    return reasons


def _refused(reasons: Sequence[Mapping[str, Any]], servers: Sequence[str], granted: Claim) -> Conflict | Unavailable:
    failed = [index for index, reason in enumerate(reasons) if reason.get("Code") == "ConditionalCheckFailed"]
    taken = [f"{servers[index - 1]} by {_holder(reasons[index])}" for index in failed if index]
    if taken:
        action = "Wait until that migration has ended, or abandon it."
        return Conflict(f"source servers are held: {', '.join(taken)}", action=action)
    # The claim moved since it was read, or a transaction beside us was in the way: the next look tells.
    return Unavailable(f"the claim of {granted.migration_id} is being changed by somebody else")


def _holder(reason: Mapping[str, Any]) -> str:
    item = reason.get("Item", {})
    migration, generation = item.get("migrationId", {}).get("S"), item.get("generation", {}).get("N")
    return f"{migration} (generation {generation})" if migration else "another migration"


def _parts(keys: Sequence[str], most: int) -> list[list[str]]:
    return [list(keys[start : start + most]) for start in range(0, len(keys), most)]
