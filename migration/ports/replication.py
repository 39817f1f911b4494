"""Replication into AWS and launch: Application Migration Service."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from migration.marks import SERVER_TAG
from migration.models import Model
from migration.ports.target import Where


class SourceServer(Model):
    """One MGN source server record. `lag` None means MGN cannot launch it."""

    source_server_id: str
    user_provided_id: str | None = None
    hostname: str | None = None
    archived: bool = False
    life_cycle: str
    replication_state: str
    lag: timedelta | None = None
    backlog_bytes: int = 0
    replicated_bytes: int = 0
    total_bytes: int = 0
    eta: datetime | None = None
    replication_error: str | None = None
    instance_id: str | None = None
    test_job_id: str | None = None
    cutover_job_id: str | None = None
    tags: Mapping[str, str] = {}

    @property
    def label(self) -> str:
        """The server's name in its request where the record is tagged with it, else the host's, else the id."""
        return self.tags.get(SERVER_TAG) or self.hostname or self.source_server_id


class JobServer(Model):
    """One participating server of an MGN job."""

    source_server_id: str
    launch_status: str
    instance_id: str | None = None


class LaunchJob(Model):
    """An MGN job. COMPLETED says that it ended, not that it succeeded: read each server's launch status."""

    job_id: str
    kind: str
    status: str
    servers: tuple[JobServer, ...] = ()
    tags: Mapping[str, str] = {}


class PostLaunchAction(Model):
    """An action that MGN runs on a launched instance. `status`: PENDING, IN_PROGRESS, SUCCESS or FAILED."""

    source_server_id: str
    name: str
    must_succeed: bool
    status: str
    failure: str | None = None

    @property
    def in_words(self) -> str:
        """How it went, and why."""
        return f"{self.status}: {self.failure}" if self.failure else self.status


class JobEvent(Model):
    """One line of an MGN job's log."""

    event: str
    source_server_id: str | None = None
    error: str | None = None


class ReplicationSettings(Model):
    """What MGN needs to know before it replicates; later changes force a full resync."""

    staging_subnet_id: str
    kms_key_id: str | None = None
    bandwidth_mbps: int | None = None
    staging_tags: Mapping[str, str] = {}


class LaunchTarget(Model):
    """How one server is to be launched. `private_ip`: None lets the subnet choose, `copy` takes the source's."""

    subnet_id: str
    security_group_ids: tuple[str, ...]
    instance_type: str | None = None
    instance_profile: str | None = None
    private_ip: str | None = None
    boot_mode: str = "useSource"
    os_byol: bool = False
    tenancy: str = "default"
    http_tokens: str = "required"
    volume_type: str = "gp3"
    name: str
    tags: Mapping[str, str] = {}


class ReplicationService(Protocol):
    """AWS Application Migration Service in one account and region (API 2020-02-26)."""

    def find(self, user_provided_ids: Sequence[str]) -> Mapping[str, SourceServer]:
        """The live (not archived, not disconnected) records by user-provided id; ids without one are left out."""

    def servers(self, source_server_ids: Sequence[str]) -> Mapping[str, SourceServer]:
        """The records by id. Raises `NotFound` naming those that are gone."""

    def count_active(self) -> int:
        """How many servers replicate in this account and region (quota L-9A599620)."""

    def is_initialised(self) -> bool:
        """Whether InitializeService was ever called here."""

    def configure_replication(self, source_server_id: str, settings: ReplicationSettings) -> None:
        """Set the replication configuration where it differs."""

    def start_replication(self, source_server_id: str) -> None:
        """Start replication of a stopped record."""

    def retry_replication(self, source_server_id: str) -> None:
        """Restart the initiation of a stalled record."""

    def tag(self, source_server_id: str, tags: Mapping[str, str]) -> None:
        """Set tags on the record where they differ."""

    def group(self, source_server_ids: Sequence[str], *, application: str, wave: str | None) -> None:
        """Put the servers into the MGN application of that name, and it into the wave; both made when missing."""

    def set_launch_target(self, source_server_id: str, target: LaunchTarget, *, description: str) -> None:
        """Write launch settings and a new default launch template version, where they differ, and read both back."""

    def start_test(self, source_server_ids: Sequence[str], tags: Mapping[str, str]) -> LaunchJob:
        """StartTest. Not idempotent: look for the mark first."""

    def start_cutover(self, source_server_ids: Sequence[str], tags: Mapping[str, str]) -> LaunchJob:
        """StartCutover. Not idempotent: look for the mark first."""

    def terminate_target_instances(self, source_server_ids: Sequence[str], tags: Mapping[str, str]) -> LaunchJob:
        """TerminateTargetInstances. Not idempotent: look for the mark first."""

    def jobs(self, *, since: datetime | None = None, job_ids: Sequence[str] = ()) -> Sequence[LaunchJob]:
        """Jobs by id, or all since a moment; newest first."""

    def job_log(self, job_id: str) -> Sequence[JobEvent]:
        """The job's log, oldest first."""

    def post_launch_actions(self, job_ids: Sequence[str]) -> Sequence[PostLaunchAction]:
        """The actions of these launches: those that have begun, and those that are still to come."""

    def change_life_cycle_state(self, source_server_id: str, state: str) -> None:
        """ChangeServerLifeCycleState to READY_FOR_TEST or READY_FOR_CUTOVER, unless it is there already."""

    def finalize_cutover(self, source_server_id: str) -> None:
        """The pivot. Nothing happens when the record is CUTOVER already."""

    def disconnect(self, source_server_id: str) -> None:
        """DisconnectFromService, unless disconnected already."""

    def archive(self, source_server_id: str) -> None:
        """MarkAsArchived, unless archived already."""


Replication = Callable[[Where], ReplicationService]
