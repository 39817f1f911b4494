"""What one account has in one region: the records, the lock around them, and how they are found."""

from collections.abc import Mapping
from threading import RLock
from typing import Any, TypeVar

from moto.core.base_backend import BaseBackend

from . import settings as configured
from .events import EventBus
from .exceptions import (
    BUSY,
    ConflictException,
    ResourceNotFoundException,
    ServiceQuotaExceededException,
    ValidationException,
)
from .formats import new_id
from .groups import Application, Wave
from .inventory import Connector, VcenterClient
from .jobs import Job
from .lifecycle import outcomes, refusal
from .servers import SourceServer
from .target_account import TargetAccount
from .templates import LaunchTemplate, ReplicationTemplate

SERVER, JOB, APPLICATION, WAVE = "SourceServer", "Job", "Application", "Wave"
REPLICATION_TEMPLATE, LAUNCH_TEMPLATE = "ReplicationConfigurationTemplate", "LaunchConfigurationTemplate"
VCENTER_CLIENT, CONNECTOR = "VcenterClient", "Connector"

Record = TypeVar("Record")


class Store(BaseBackend):  # type: ignore[misc]  # moto has no types
    """The records of one account and region; whoever reads or writes them holds `lock`."""

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self.lock = RLock()
        self.initialized = False
        self.servers: dict[str, SourceServer] = {}
        self.jobs: dict[str, Job] = {}
        self.applications: dict[str, Application] = {}
        self.waves: dict[str, Wave] = {}
        self.replication_templates: dict[str, ReplicationTemplate] = {}
        self.launch_templates: dict[str, LaunchTemplate] = {}
        self.vcenter_clients: dict[str, VcenterClient] = {}
        self.connectors: dict[str, Connector] = {}
        self.ec2 = TargetAccount(account_id, region_name)
        self.bus = EventBus(account_id, region_name)
        self._serial = 0

    @staticmethod
    def now() -> float:
        """Unix time by the clock of the settings."""
        return configured.settings().clock()

    def new_arn(self, kind: str, prefix: str) -> str:
        """The ARN of a new resource; its id is what follows the slash."""
        return f"arn:{self.partition}:mgn:{self.region_name}:{self.account_id}:{kind}/{new_id(prefix)}"

    def next_serial(self) -> int:
        self._serial += 1
        return self._serial

    def server(self, server_id: str) -> SourceServer:
        return found(SERVER, self.servers, server_id)

    def application(self, application_id: str) -> Application:
        return found(APPLICATION, self.applications, application_id)

    def wave(self, wave_id: str) -> Wave:
        return found(WAVE, self.waves, wave_id)

    def describe(self, server: SourceServer) -> dict[str, Any]:
        """The service model's SourceServer, as of now."""
        state = self.ec2.instance_state(server.launched.instance_id) if server.launched else None
        return server.describe(self.now(), state)

    def active_jobs(self) -> list[Job]:
        return [job for job in self.jobs.values() if job.active]

    def refuse_busy(self, *servers: SourceServer) -> None:
        """Refuse the whole call when a job works on one of the servers."""
        busy = {each.server.id for job in self.active_jobs() for each in job.participants}
        refuse(BUSY, {server.id: BUSY for server in servers if server.id in busy})


def found(kind: str, records: Mapping[str, Record], record_id: str) -> Record:
    """The record of that id.

    Raises:
        ResourceNotFoundException: There is none.
    """
    if record_id not in records:
        raise ResourceNotFoundException(kind, record_id)
    return records[record_id]


def refuse(message: str, servers: dict[str, str]) -> None:
    """Raise a conflict over the servers, each with its reason; none is none."""
    if servers:
        raise ConflictException(message, {(SERVER, server_id): why for server_id, why in servers.items()})


def refuse_state(operation: str, message: str, servers: dict[str, str]) -> None:
    """Refuse what the state of the servers does not allow, with the error that the table of the lifecycle names."""
    if servers and refusal(operation, configured.settings()) == ValidationException.code:
        raise ValidationException(message, "other", servers.items())
    refuse(message, servers)


def next_state(server: SourceServer, operation: str, target: str | None = None) -> str:
    """The state that an operation leads a server to; `target` is that of ChangeServerLifeCycleState.

    Raises:
        ConflictException: It is in none of the operation's states.
        ValidationException: As above, by a switch.
    """
    name = f"{operation} to {target}" if target else operation
    allowed = outcomes(name, configured.settings())
    if server.state not in allowed:
        needed = f"{name} needs lifecycle state {' or '.join(allowed)}, not {server.state}"
        refuse_state(operation, needed, {server.id: f"is in state {server.state}"})
    return allowed[server.state]


def require_launchable(operation: str, server: SourceServer, now: float) -> None:
    """Refuse a server from which nothing can be launched: its lag is null."""
    if not server.replica(now).launchable:
        refuse_state(operation, "The source server has no launchable snapshot", {server.id: "lagDuration is null"})


def refuse_archived(server: SourceServer) -> None:
    if server.archived:
        refuse("The source server is archived", {server.id: "is archived"})


def within_quota(*, resource: tuple[str, str], wanted: int, quota: int, code: str, what: str) -> None:
    """Refuse what would go beyond a quota.

    Args:
        resource: Type and id of what is over it.
        wanted: How many there would be.
        quota: How many there may be.
        code: The quota's code in Service Quotas.
        what: The quota's name.
    """
    if wanted > quota:
        message = f"{what}: {wanted} would exceed the quota of {quota}."
        raise ServiceQuotaExceededException(message, resource=resource, quota_code=code, quota_value=quota)
