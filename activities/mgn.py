"""AWS MGN: replication, test and cutover launches, the pivot, the clean-up."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from temporalio import activity

from migration.marks import Mark
from migration.models import Model
from migration.ports import LaunchTarget, Replication, ReplicationSettings, Where


class FindSourceServers(Model):
    """Find these machines' records; they have `within` from `since` to register."""

    where: Where
    user_provided_ids: tuple[str, ...]
    since: datetime
    within: timedelta


class RegisteredServers(Model):
    """Source server ids in the order that was asked."""

    source_server_ids: tuple[str, ...]


class ServerTags(Model):
    """A record and the tags that it is to carry."""

    source_server_id: str
    tags: dict[str, str]


class ConfigureReplication(Model):
    """Replication settings, tags, application and wave of these records; then start those that are stopped."""

    where: Where
    servers: tuple[ServerTags, ...]
    settings: ReplicationSettings
    application: str
    wave: str | None = None


class AwaitReplication(Model):
    """Wait until every record is launchable and its lag stayed within `max_lag` for so many looks in a row.

    `until` is the moment at which patience ends (None: never).
    """

    where: Where
    source_server_ids: tuple[str, ...]
    max_lag: timedelta
    stable_observations: int
    until: datetime | None = None


class ServerReplication(Model):
    """A record's replication as it was last seen."""

    source_server_id: str
    life_cycle: str
    state: str
    lag: timedelta | None = None
    backlog_bytes: int = 0


class ReplicationObserved(Model):
    """All records' replication at one moment."""

    at: datetime
    servers: tuple[ServerReplication, ...]


class ObserveReplication(Model):
    """One look at these records."""

    where: Where
    source_server_ids: tuple[str, ...]


class ServerLaunch(Model):
    """A record and how it is to be launched."""

    source_server_id: str
    target: LaunchTarget


class SetLaunchTargets(Model):
    """Launch settings for these records, written as a new default template version and read back."""

    where: Where
    mark: Mark
    servers: tuple[ServerLaunch, ...]


class Launch(Model):
    """Launch these records under this mark."""

    where: Where
    mark: Mark
    source_server_ids: tuple[str, ...]


class JobStarted(Model):
    """The job that carries our mark: started now, or adopted. None: there was nothing to do."""

    job_id: str | None


class AwaitJob(Model):
    """Wait for the job's end. `fresh_data`: a snapshot failure in its log is a failure of the job (stale data)."""

    where: Where
    job_id: str
    fresh_data: bool = False


class LaunchedServer(Model):
    """A record's launched instance."""

    source_server_id: str
    instance_id: str


class Launched(Model):
    """The instances of a job that succeeded for every server."""

    job_id: str
    servers: tuple[LaunchedServer, ...]


class ChangeLifeCycle(Model):
    """Bring these records to this lifecycle state (READY_FOR_TEST or READY_FOR_CUTOVER)."""

    where: Where
    source_server_ids: tuple[str, ...]
    state: str


class SourceServers(Model):
    """These records."""

    where: Where
    source_server_ids: tuple[str, ...]


class RemoveRecords(Model):
    """Take these machines' records out of service, if they carry our migration's tag: those that we registered."""

    where: Where
    mark: Mark
    user_provided_ids: tuple[str, ...]


@dataclass
class ApplicationMigration:
    """What is done through MGN."""

    replication: Replication
    act_bound: timedelta
    replication_poll: timedelta
    job_poll: timedelta

    @activity.defn
    def find_source_servers(self, request: FindSourceServers) -> RegisteredServers:
        """Wait until MGN knows every machine: the truth test of an agent's installation."""
        raise NotImplementedError

    @activity.defn(no_thread_cancel_exception=True)
    def configure_replication(self, request: ConfigureReplication) -> None:
        """Settings before the first byte (later changes force a full resync), then start."""
        raise NotImplementedError

    @activity.defn
    def await_replication(self, request: AwaitReplication) -> ReplicationObserved:
        """One look an attempt; counters travel in heartbeat details; a stalled record is retried once."""
        raise NotImplementedError

    @activity.defn
    def observe_replication(self, request: ObserveReplication) -> ReplicationObserved:
        """The records as they are now."""
        raise NotImplementedError

    @activity.defn(no_thread_cancel_exception=True)
    def set_launch_targets(self, request: SetLaunchTargets) -> None:
        """What the next launch will use."""
        raise NotImplementedError

    @activity.defn(no_thread_cancel_exception=True)
    def start_test(self, request: Launch) -> JobStarted:
        """StartTest once: a job that carries our mark is adopted; another's job on a server is waited for."""
        raise NotImplementedError

    @activity.defn(no_thread_cancel_exception=True)
    def start_cutover(self, request: Launch) -> JobStarted:
        """StartCutover once, like `start_test`."""
        raise NotImplementedError

    @activity.defn
    def await_job(self, request: AwaitJob) -> Launched:
        """Wait for the job; success is every server LAUNCHED, not the job's COMPLETED."""
        raise NotImplementedError

    @activity.defn(no_thread_cancel_exception=True)
    def change_life_cycle(self, request: ChangeLifeCycle) -> None:
        """ChangeServerLifeCycleState where it differs; waits out a job and an agent that is not seen again yet."""
        raise NotImplementedError

    @activity.defn(no_thread_cancel_exception=True)
    def terminate_targets(self, request: Launch) -> JobStarted:
        """TerminateTargetInstances once, for those that have an instance; refused by MGN in TESTING and later."""
        raise NotImplementedError

    @activity.defn
    def await_termination(self, request: AwaitJob) -> None:
        """Wait until the clean-up job has ended and the records name no instance."""
        raise NotImplementedError

    @activity.defn(no_thread_cancel_exception=True)
    def finalize_cutover(self, request: SourceServers) -> None:
        """The pivot: FinalizeCutover for each record that is not CUTOVER yet."""
        raise NotImplementedError

    @activity.defn(no_thread_cancel_exception=True)
    def remove_records(self, request: RemoveRecords) -> None:
        """Disconnect and archive; records that are gone are no error."""
        raise NotImplementedError

    @activity.defn(no_thread_cancel_exception=True)
    def archive(self, request: SourceServers) -> None:
        """MarkAsArchived, after the pivot."""
        raise NotImplementedError
