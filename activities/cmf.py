"""What Cloud Migration Factory is told: its servers by their migration, a wave's status by its one writer."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from temporalio import activity
from temporalio.client import WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from activities.errors import application_error, translated
from activities.running import Attempt, acting, in_words
from migration.errors import MigrationError, MigrationExecutionError, NotFound
from migration.factory_words import ServerWords, wave_status
from migration.models import Model
from migration.ports import Factories, FactoryServer, MigrationFactory

WAVE_WORKFLOW = "FactoryWaveWorkflow"
HEARD = "heard"
"""The signal by which a wave hears of its migrations."""


class FactoryWaveKey(Model):
    """A wave of one CMF. An empty connection means the only one there is."""

    connection: str = ""
    wave_id: str


class TellServers(Model):
    """What CMF is to say of these servers of a wave."""

    wave: FactoryWaveKey
    servers: tuple[ServerWords, ...]


class HeardOf(Model):
    """How a migration of the wave stands.

    Attributes:
        ended: It does not run any more.
        blocked: It stands and waits for a person.
        left: What CMF was not told of its servers when it ended: the wave says it.
    """

    migration_id: str
    ended: bool = False
    blocked: bool = False
    left: tuple[ServerWords, ...] = ()


class TellWave(Model):
    """Let the wave's workflow hear of a migration, and begin it where it does not run."""

    wave: FactoryWaveKey
    heard: HeardOf


class WriteWave(Model):
    """Bring the wave's status to what its servers say; first say what migrations have left."""

    wave: FactoryWaveKey
    blocked: bool
    left: tuple[ServerWords, ...] = ()


class MigrationIds(Model):
    """Some migrations."""

    migration_ids: tuple[str, ...]


def wave_workflow_id(wave: FactoryWaveKey) -> str:
    """The id of the one writer of a wave; the slashes keep it apart from every migration id."""
    return f"cmf-wave/{wave.connection}/{wave.wave_id}"


@dataclass
class FactoryUpdates:
    """What is written to CMF, and the wave workflows that write.

    Attributes:
        named: The name of a connection in full, so that a wave has one workflow, however requests call its CMF.
    """

    factories: Factories
    named: Callable[[str], str]
    act_bound: timedelta

    @activity.defn(no_thread_cancel_exception=True)
    @translated(MigrationExecutionError)
    def tell_servers(self, request: TellServers) -> None:
        """Write what CMF has otherwise. Servers that it does not have are named, when the others are written."""
        with acting(self.act_bound) as attempt:
            factory = self.factories(request.wave.connection)
            _tell(factory, attempt, servers_of(factory, request.wave.wave_id), request.servers)

    @activity.defn(no_thread_cancel_exception=True)
    @translated(MigrationExecutionError)
    def write_wave(self, request: WriteWave) -> None:
        """Read, and write only what differs: a status that is right already is not written again."""
        wave_id = request.wave.wave_id
        with acting(self.act_bound) as attempt:
            factory = self.factories(request.wave.connection)
            if request.left:
                _tell(factory, attempt, servers_of(factory, wave_id), request.left)
            status = wave_status(servers_of(factory, wave_id), blocked=request.blocked)
            if factory.wave(wave_id).status != status:
                attempt.before_call()
                factory.set_wave_status(wave_id, status)

    @activity.defn
    async def tell_wave(self, request: TellWave) -> None:
        """Signal the wave's workflow, which this begins when it does not run."""
        try:
            wave = FactoryWaveKey(connection=self.named(request.wave.connection), wave_id=request.wave.wave_id)
        except MigrationError as error:
            raise application_error(error, MigrationExecutionError) from None
        await activity.client().start_workflow(
            WAVE_WORKFLOW,
            {"wave": wave.model_dump(mode="json", by_alias=True)},
            id=wave_workflow_id(wave),
            task_queue=activity.info().task_queue,
            start_signal=HEARD,
            start_signal_args=[request.heard],
            static_summary=f"Status of wave {wave.wave_id} in Cloud Migration Factory",
        )

    @activity.defn
    async def still_running(self, request: MigrationIds) -> MigrationIds:
        """Those that run: one that was terminated has told nobody that it ended."""
        running = [one for one in request.migration_ids if await _runs(one)]
        return MigrationIds(migration_ids=tuple(running))


def servers_of(factory: MigrationFactory, wave_id: str) -> list[FactoryServer]:
    """The servers of every application of a wave."""
    applications = [one for one in factory.applications() if one.wave_id == wave_id]
    return [server for one in applications for server in factory.servers(one.app_id)]


def _tell(
    factory: MigrationFactory, attempt: Attempt, known: Sequence[FactoryServer], words: Iterable[ServerWords]
) -> None:
    missing = []
    for said in words:
        server = next((one for one in known if one.is_called(*said.names)), None)
        if server is None:
            missing.append(said.names[0])
        elif changes := said.changes(server):
            attempt.before_call()
            factory.update_server(server.server_id, changes)
    if missing:
        raise NotFound(f"CMF has no server {in_words(missing)} in this wave", action="Add it to the wave in CMF.")


async def _runs(migration_id: str) -> bool:
    try:
        described = await activity.client().get_workflow_handle(migration_id).describe()
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return False
        raise
    return described.status is WorkflowExecutionStatus.RUNNING
