"""A Cloud Migration Factory in memory: one wave with one application, unless a test says otherwise.

`down`, while it is set, is the answer to every call.
"""

from collections.abc import Iterable, Mapping

from migration.errors import MigrationError, NotFound
from migration.ports import FactoryApplication, FactoryServer, FactoryWave
from tests.fakes.calls import Faulty

WAVE = "7"


class FakeFactory(Faulty):
    """Waves, applications and servers by id."""

    def __init__(self, servers: Iterable[str] = ("billing-web-01",)) -> None:
        """Start with these servers in the wave's application."""
        super().__init__()
        self.waves = {WAVE: FactoryWave(wave_id=WAVE, name="Wave 7", status="Not started")}
        self.apps = {"1": FactoryApplication(app_id="1", name="billing", wave_id=WAVE)}
        self.known: dict[str, FactoryServer] = {}
        self.allowed: tuple[str, ...] = ()
        self.down: MigrationError | None = None
        for name in servers:
            self.add(name)

    def add(self, name: str, **more: str) -> None:
        """One more server."""
        server_id = str(len(self.known) + 1)
        server = FactoryServer(server_id=server_id, app_id="1", name=name, strategy="Rehost")
        self.known[server_id] = server.model_copy(update=more)

    def look(self, operation: str) -> None:
        if self.down is not None:
            raise self.down
        super().look(operation)

    def server(self, name: str) -> FactoryServer:
        """What it says of a server."""
        return next(one for one in self.known.values() if one.name == name)

    def wave(self, wave_id: str) -> FactoryWave:
        self.look("wave")
        if wave_id not in self.waves:
            raise NotFound(f"wave Id {wave_id} does not exist")
        return self.waves[wave_id]

    def applications(self) -> tuple[FactoryApplication, ...]:
        self.look("applications")
        return tuple(self.apps.values())

    def servers(self, app_id: str | None = None) -> tuple[FactoryServer, ...]:
        self.look("servers")
        return tuple(one for one in self.known.values() if app_id in (None, one.app_id))

    def wave_statuses(self) -> tuple[str, ...]:
        self.look("wave_statuses")
        return self.allowed

    def update_server(self, server_id: str, attributes: Mapping[str, str]) -> None:
        with self.effect("update_server", server_id, dict(attributes)):
            self.known[server_id] = self.known[server_id].model_copy(update=dict(attributes))

    def set_wave_status(self, wave_id: str, status: str) -> None:
        with self.effect("set_wave_status", wave_id, status):
            self.waves[wave_id] = self.waves[wave_id].model_copy(update={"status": status})
