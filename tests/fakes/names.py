"""A DNS provider in memory, with the servers that answer for its zones."""

from collections.abc import Mapping

from migration.errors import Conflict, NotFound
from migration.ports import RecordKey, RecordSet
from tests.fakes.calls import Faulty


class FakeNames(Faulty):
    """Zones and records; `lagging` servers still give their old answer."""

    def __init__(self, *zones: str) -> None:
        """Start with empty zones and two servers."""
        super().__init__()
        self.zones = set(zones)
        self.records: dict[tuple[str, str], RecordSet] = {}
        self.aliases: set[tuple[str, str]] = set()
        self.servers = ["192.0.2.1:53", "192.0.2.2:53"]
        self.lagging: dict[str, tuple[str, ...]] = {}

    def edit(self, name: str, kind: str, record: RecordSet | None) -> None:
        """Change a record behind everybody's back."""
        self.records.pop((name, kind), None)
        if record is not None:
            self.records[(name, kind)] = record

    def read(self, key: RecordKey) -> RecordSet | None:
        self.look("read")
        if key.zone not in self.zones:
            raise NotFound(f"no hosted zone {key.zone}")
        if (key.name, key.type) in self.aliases:
            raise Conflict(f"{key.name} is an alias")
        return self.records.get((key.name, key.type))

    def change(self, key: RecordKey, *, before: RecordSet | None, after: RecordSet | None, mark: str) -> None:
        found = self.read(key)
        if found == after:
            return
        if found != before:
            raise Conflict(f"{key.name} is {found}, neither {before} nor {after}")
        with self.effect("change", key.name, mark):
            self.edit(key.name, key.type, after)

    def authoritative_answer(self, key: RecordKey) -> Mapping[str, tuple[str, ...]]:
        self.look("authoritative_answer")
        record = self.records.get((key.name, key.type))
        values = record.values if record else ()
        return {server: self.lagging.get(server, values) for server in self.servers}
