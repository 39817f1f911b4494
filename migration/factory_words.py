"""What Cloud Migration Factory is told, in its own words (4.5.1): pure functions of a migration's status, and of CMF.

A server's attributes are free texts; these are the ones that CMF's own scripts write, but for a migration that was
rolled back, for which CMF has no word. A wave's status is one of the values of its schema.
"""

from collections.abc import Iterable

from migration.models import Model
from migration.ports import FactoryServer
from migration.status import MigrationStatus, Phase, ServerProgress, StepState
from migration.steps import Step

CHECKS_PASSED = "Pre-requisites check : Passed"
CHECKS_FAILED = "Pre-requisites checks : Failed"
AGENT_INSTALLED = "Agent Install - Success"
AGENT_FAILED = "Agent Install - Failed"
TEST_LAUNCHED = "Test instance launched"
CUTOVER_LAUNCHED = "Cutover instance launched"
STATUS_CHECKS_PASSED = "2/2 status checks : Passed"
STATUS_CHECKS_FAILED = "2/2 status checks : Failed"
ROLLED_BACK = "Rolled back"

HEALTHY = "Healthy"
DISCONNECTED = "Disconnected - Please reinstall agent"
ARCHIVED = "Archived - Please reinstall agent"
NO_REPLICATION = "Replication info not Available"
_ETA_UNKNOWN = "ETA not available"

IN_PROGRESS, COMPLETED, BLOCKED = "In progress", "Completed", "Blocked"
WAVE_STATUSES = (IN_PROGRESS, COMPLETED, BLOCKED)
"""What we say of a wave, of the values that its schema has."""

_LONGEST = 200
_UNDER_WAY = frozenset({StepState.RUNNING, StepState.DONE, StepState.FAILED})
_UNDONE = frozenset({Phase.ROLLED_BACK, Phase.REJECTED, Phase.CANCELLED})

_REPLICATION = {
    "CONTINUOUS": HEALTHY,
    "INITIAL_SYNC": f"Initial sync, {_ETA_UNKNOWN}",
    "RESCAN": f"Rescanning, {_ETA_UNKNOWN}",
    "DISCONNECTED": DISCONNECTED,
}


class ServerWords(Model):
    """What CMF is to say of one server; an empty text is taken out of CMF, None is left as it is there.

    Attributes:
        names: The names and addresses by which CMF may know the server.
    """

    names: tuple[str, ...]
    migration_status: str | None = None
    replication_status: str | None = None
    target_instance_id: str | None = None

    def changes(self, server: FactoryServer) -> dict[str, str]:
        """The attributes that CMF has otherwise."""
        wanted = {
            "migration_status": self.migration_status,
            "replication_status": self.replication_status,
            "target_instance_id": self.target_instance_id,
        }
        return {name: text for name, text in wanted.items() if text is not None and text != getattr(server, name)}


def server_words(status: MigrationStatus, server: ServerProgress, names: tuple[str, ...]) -> ServerWords:
    """What CMF is to say of a server as its migration stands."""
    return ServerWords(
        names=names,
        migration_status=_migration_status(status, server),
        replication_status=_replication_status(status, server),
        target_instance_id=_target_instance_id(status, server),
    )


def _migration_status(status: MigrationStatus, server: ServerProgress) -> str | None:
    """The last thing that became of the server and was not undone."""
    validate, prepare = _state(status, Step.VALIDATE), _state(status, Step.PREPARE)
    test, cutover, verify = (_state(status, step) for step in (Step.TEST, Step.CUTOVER, Step.VERIFY))
    newest_first = (
        (status.phase in _UNDONE, ROLLED_BACK),
        # The address is noted when EC2's checks have passed, and the application's own follow them.
        (verify is StepState.DONE or (verify in _UNDER_WAY and server.address is not None), STATUS_CHECKS_PASSED),
        (verify is StepState.FAILED, STATUS_CHECKS_FAILED),
        (cutover in _UNDER_WAY and server.instance_id is not None, CUTOVER_LAUNCHED),
        (test in _UNDER_WAY and server.test_instance_id is not None, TEST_LAUNCHED),
        (prepare is StepState.DONE or server.source_server_id is not None, AGENT_INSTALLED),
        (prepare is StepState.FAILED, _because(AGENT_FAILED, status)),
        (validate is StepState.FAILED, _because(CHECKS_FAILED, status)),
        (validate is StepState.DONE, CHECKS_PASSED),
    )
    return next((words for is_so, words in newest_first if is_so), None)


def _replication_status(status: MigrationStatus, server: ServerProgress) -> str | None:
    """MGN's state as CMF says it. Once the source is off, the last one that was seen."""
    if status.phase in _UNDONE:
        return NO_REPLICATION
    if _state(status, Step.DECOMMISSION) is StepState.DONE:
        return ARCHIVED
    if _state(status, Step.FINALIZE) is StepState.DONE:
        return DISCONNECTED
    if server.replication_state:
        said = server.replication_state
        return _REPLICATION.get(said, said.replace("_", " ").capitalize())
    if _state(status, Step.REPLICATE) in _UNDER_WAY:
        return _REPLICATION["INITIAL_SYNC"]
    return None


def _target_instance_id(status: MigrationStatus, server: ServerProgress) -> str | None:
    """The instance that was launched for the server and is still meant to be there; None before there was any."""
    if server.instance_id and status.phase not in _UNDONE:
        return server.instance_id
    if server.test_instance_id is None:
        return "" if status.phase in _UNDONE else None
    running = _state(status, Step.TEST) is StepState.RUNNING and status.phase not in _UNDONE
    return server.test_instance_id if running else ""


def _because(word: str, status: MigrationStatus) -> str:
    reason = " ".join(status.failure.message.split()) if status.failure else ""
    return (f"{word} - {reason}" if reason else word)[:_LONGEST]


def _state(status: MigrationStatus, step: Step) -> StepState:
    return next((line.state for line in status.steps if line.step is step), StepState.PENDING)


# --- the wave ----------------------------------------------------------------------------------------------------


def is_blocked(status: MigrationStatus) -> bool:
    """Whether a migration stands until a person has acted on what failed."""
    failed = status.awaiting is not None and status.awaiting.what == "failure"
    return failed or status.phase is Phase.ROLLBACK_INCOMPLETE


def wave_status(servers: Iterable[FactoryServer], *, blocked: bool) -> str:
    """A wave's status, by what CMF says of its servers: so it does not matter who remembers which migration.

    Args:
        servers: Those of every application of the wave.
        blocked: A migration of the wave stands and waits for a person.
    """
    moving = [server for server in servers if server.rehosted]
    if blocked or any(_has_failed(server) for server in moving):
        return BLOCKED
    return COMPLETED if moving and all(_has_moved(server) for server in moving) else IN_PROGRESS


def _has_failed(server: FactoryServer) -> bool:
    return server.migration_status.startswith((ROLLED_BACK, CHECKS_FAILED))


def _has_moved(server: FactoryServer) -> bool:
    """Launched in AWS, and past the point of no return, at which MGN lets go of the source."""
    return bool(server.target_instance_id) and server.replication_status in (DISCONNECTED, ARCHIVED)
