"""A CMDB in memory."""

from collections.abc import Mapping

from migration.errors import NotFound
from migration.ports import ConfigurationItem
from tests.fakes.calls import Faulty


class FakeDatabase(Faulty):
    """Items by id."""

    def __init__(self, items: Mapping[str, Mapping[str, str]]) -> None:
        """Start with these items."""
        super().__init__()
        self.items = {item_id: dict(fields) for item_id, fields in items.items()}

    def read(self, item_id: str) -> ConfigurationItem:
        self.look("read")
        if item_id not in self.items:
            raise NotFound(f"no item {item_id}")
        return ConfigurationItem(id=item_id, fields=dict(self.items[item_id]))

    def update(self, item_id: str, fields: Mapping[str, str]) -> ConfigurationItem:
        found = self.read(item_id).fields
        if any(found.get(name) != value for name, value in fields.items()):
            with self.effect("update", item_id, tuple(sorted(fields))):
                self.items[item_id].update(fields)
        return self.read(item_id)
