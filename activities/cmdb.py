"""The CMDB: which item became which instance, and back."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from temporalio import activity

from activities.errors import translated
from activities.running import Attempt, acting, in_words
from migration.errors import CutoverError, MigrationExecutionError, NotFound, RollbackError, Unavailable
from migration.marks import Mark
from migration.models import Model
from migration.ports import ConfigurationDatabase, ConfigurationItem, Databases

ADDRESS = "ip_address"
STATUS = "operational_status"
CORRELATION = "correlation_id"
COMMENTS = "comments"
MOVED_FIELDS = (ADDRESS, STATUS, CORRELATION, COMMENTS)
"""What a move writes: columns that ServiceNow's base class `cmdb_ci` has, so that every server item has them."""

OPERATIONAL = "1"
"""ServiceNow's default choice list of `operational_status`: 1 Operational, 2 Non-Operational, 6 Retired."""


class ItemMoved(Model):
    """A server's item, and the instance and address that it lives on now."""

    item_id: str
    instance_id: str
    address: str


class RecordMove(Model):
    """Write the move into these items."""

    connection: str
    mark: Mark
    items: tuple[ItemMoved, ...]


class ItemsBefore(Model):
    """The fields as they were before our write, per item."""

    items: tuple[ConfigurationItem, ...]


class ReadItems(Model):
    """These items of one CMDB."""

    connection: str
    item_ids: tuple[str, ...]


class RestoreItems(Model):
    """Put these fields back where our mark is still in the item."""

    connection: str
    mark: Mark
    items: tuple[ConfigurationItem, ...]


class RetireItems(Model):
    """Mark the source's retirement in these items."""

    connection: str
    mark: Mark
    item_ids: tuple[str, ...]


@dataclass
class Inventory:
    """What is written to the CMDB."""

    databases: Databases
    act_bound: timedelta

    @activity.defn
    @translated(CutoverError)
    def read_items(self, request: ReadItems) -> ItemsBefore:
        """The fields that a move writes, as they are now."""
        database = self.databases(request.connection)
        return ItemsBefore(items=tuple(_moved_fields(database.read(one)) for one in request.item_ids))

    @activity.defn(no_thread_cancel_exception=True)
    @translated(CutoverError)
    def record_move(self, request: RecordMove) -> None:
        """Address, instance id, status and our mark, where they differ."""
        database = self.databases(request.connection)
        with acting(self.act_bound) as attempt:
            for item in request.items:
                found = database.read(item.item_id).fields
                line = f"Runs in AWS as {item.instance_id} at {item.address} ({request.mark})"
                fields = {
                    ADDRESS: item.address,
                    STATUS: OPERATIONAL,
                    CORRELATION: str(request.mark),
                    COMMENTS: _with_line(found.get(COMMENTS, ""), line),
                }
                _update(database, attempt, ConfigurationItem(id=item.item_id, fields=found), fields)

    @activity.defn(no_thread_cancel_exception=True)
    @translated(RollbackError)
    def restore_items(self, request: RestoreItems) -> None:
        """The recorded fields, where the item still carries our mark."""
        database = self.databases(request.connection)
        with acting(self.act_bound) as attempt:
            for item in request.items:
                found = _find(database, item.id)
                if found is not None and found.fields.get(CORRELATION) == str(request.mark):
                    _update(database, attempt, found, item.fields)
                else:
                    activity.logger.warning("item %s no longer carries %s and is left as it is", item.id, request.mark)

    @activity.defn(no_thread_cancel_exception=True)
    @translated(MigrationExecutionError)
    def retire_items(self, request: RetireItems) -> None:
        """A note that the source machine is retired.

        Only a note: the item describes the live server in AWS by now, so its status stays operational.
        """
        database = self.databases(request.connection)
        with acting(self.act_bound) as attempt:
            for item_id in request.item_ids:
                found = _find(database, item_id)
                if found is not None:
                    line = f"The source machine is retired ({request.mark})"
                    _update(database, attempt, found, {COMMENTS: _with_line(found.fields.get(COMMENTS, ""), line)})


def _moved_fields(item: ConfigurationItem) -> ConfigurationItem:
    return ConfigurationItem(id=item.id, fields={name: item.fields.get(name, "") for name in MOVED_FIELDS})


def _with_line(comments: str, line: str) -> str:
    """Put a line on top of what people wrote, once."""
    return comments if line in comments.splitlines() else f"{line}\n{comments}".strip()


def _find(database: ConfigurationDatabase, item_id: str) -> ConfigurationItem | None:
    try:
        return database.read(item_id)
    except NotFound:
        return None


def _update(
    database: ConfigurationDatabase, attempt: Attempt, found: ConfigurationItem, fields: Mapping[str, str]
) -> None:
    """Write the fields where they differ. Raises `Unavailable` when the CMDB does not give them back."""
    wanted = {name: value for name, value in fields.items() if found.fields.get(name, "") != value}
    if not wanted:
        return
    attempt.before_call()
    after = database.update(found.id, wanted).fields
    other = [name for name, value in wanted.items() if after.get(name, "") != value]
    if other:
        raise Unavailable(f"item {found.id} does not show what was written to {in_words(other)}")
