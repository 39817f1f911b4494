"""AWS Cloud Migration Factory: the waves and servers of a migration programme, as its people see them."""

from collections.abc import Callable, Mapping
from typing import Protocol

from migration.models import Model


class FactoryWave(Model):
    """A wave, by CMF's own id, and its status in CMF's words."""

    wave_id: str
    name: str
    status: str = ""


class FactoryApplication(Model):
    """An application of a wave. `account_ids` empty, `region` None: CMF does not say."""

    app_id: str
    name: str
    wave_id: str | None = None
    account_ids: tuple[str, ...] = ()
    region: str | None = None


class FactoryServer(Model):
    """A server of an application. Of what it says of itself, an empty text is what CMF does not have."""

    server_id: str
    app_id: str
    name: str
    fqdn: str = ""
    strategy: str = ""
    migration_status: str = ""
    replication_status: str = ""
    target_instance_id: str = ""

    @property
    def rehosted(self) -> bool:
        """Whether it moves with MGN; the others of a wave are no concern of ours."""
        return self.strategy == "Rehost"

    def is_called(self, *names: str | None) -> bool:
        """Whether it is the server of one of these names, host names or addresses (CMF's own rule of a match)."""
        return bool({self.name.lower(), self.fqdn.lower()} & {name.lower() for name in names if name})


class MigrationFactory(Protocol):
    """The waves, applications and servers of one CMF. CMF has no conditional write: each item has one writer."""

    def wave(self, wave_id: str) -> FactoryWave:
        """The wave. Raises `NotFound`."""

    def applications(self) -> tuple[FactoryApplication, ...]:
        """Every application of every wave."""

    def servers(self, app_id: str | None = None) -> tuple[FactoryServer, ...]:
        """The servers of an application, or all."""

    def wave_statuses(self) -> tuple[str, ...]:
        """The values that a wave's status may have; none where they cannot be read."""

    def update_server(self, server_id: str, attributes: Mapping[str, str]) -> None:
        """Set these attributes, an empty text deletes one, and read them back.

        Raises:
            NotFound: There is no such server.
            Conflict: CMF refused the write.
            Unavailable: Another writer has overwritten it.
        """

    def set_wave_status(self, wave_id: str, status: str) -> None:
        """Set the wave's status, and read it back. Raises as `update_server` does."""


Factories = Callable[[str], MigrationFactory]
"""By the name of a connection; an empty one means the only one there is."""
