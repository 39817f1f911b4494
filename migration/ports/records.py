"""Records outside the machines: DNS and the CMDB."""

from collections.abc import Callable, Mapping
from typing import Protocol

from migration.models import Model


class RecordKey(Model):
    """Which record set: hosted zone by name (and id when the name is ambiguous), name, type."""

    zone: str
    zone_id: str | None = None
    role_arn: str | None = None
    name: str
    type: str
    set_identifier: str | None = None


class RecordSet(Model):
    """The values of a record set, sorted, and their time to live in seconds."""

    ttl: int
    values: tuple[str, ...]


class DomainNames(Protocol):
    """One DNS provider's records (Route 53)."""

    def read(self, key: RecordKey) -> RecordSet | None:
        """The record set as the provider has it, or None. Raises `NotFound` when the zone does not exist."""

    def change(self, key: RecordKey, *, before: RecordSet | None, after: RecordSet | None, mark: str) -> None:
        """Compare and set: make it `after` if it is `before`, do nothing if it is `after` already.

        Returns when the provider has it in sync. Raises `Conflict`, naming what is there, when it is neither.
        """

    def authoritative_answer(self, key: RecordKey) -> Mapping[str, tuple[str, ...]]:
        """What each authoritative server answers now, by server address; values sorted."""


class ConfigurationItem(Model):
    """A CMDB item: its id and the fields that we read or write."""

    id: str
    fields: Mapping[str, str]


class ConfigurationDatabase(Protocol):
    """The CMDB's items (ServiceNow's Table API)."""

    def read(self, item_id: str) -> ConfigurationItem:
        """Read the item's fields. Raises `NotFound`."""

    def update(self, item_id: str, fields: Mapping[str, str]) -> ConfigurationItem:
        """Set these fields where they differ, read them back, and return the item as it then is."""


Databases = Callable[[str], ConfigurationDatabase]
