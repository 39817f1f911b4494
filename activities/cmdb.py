"""The CMDB: which item became which instance, and back."""

from dataclasses import dataclass
from datetime import timedelta

from temporalio import activity

from migration.marks import Mark
from migration.models import Model
from migration.ports import ConfigurationItem, Databases


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
    def read_items(self, request: ReadItems) -> ItemsBefore:
        """The fields that a move writes, as they are now."""
        raise NotImplementedError

    @activity.defn(no_thread_cancel_exception=True)
    def record_move(self, request: RecordMove) -> None:
        """Address, instance id, status and our mark, where they differ."""
        raise NotImplementedError

    @activity.defn(no_thread_cancel_exception=True)
    def restore_items(self, request: RestoreItems) -> None:
        """The recorded fields, where the item still carries our mark."""
        raise NotImplementedError

    @activity.defn(no_thread_cancel_exception=True)
    def retire_items(self, request: RetireItems) -> None:
        """A note that the source machine is retired."""
        raise NotImplementedError
