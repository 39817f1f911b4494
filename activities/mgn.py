"""AWS MGN: replication, test and cutover launches, the pivot, the clean-up."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from temporalio import activity

from activities import jobs, records
from activities.errors import translated
from activities.lags import LagsSeen
from activities.replicating import ReplicationGate, is_registered, pass_gate
from activities.running import acting, in_words, look_again, now
from migration.errors import (
    CutoverError,
    MigrationExecutionError,
    RollbackError,
    SourcePreparationError,
)
from migration.marks import MIGRATION_TAG, Mark
from migration.metrics import Watched
from migration.models import Model
from migration.ports import (
    Clouds,
    LaunchTarget,
    Replication,
    ReplicationService,
    ReplicationSettings,
    SourceServer,
    Where,
)

_TEST_FROM = ("READY_FOR_TEST", "TESTING")
_CUTOVER_FROM = ("READY_FOR_CUTOVER",)
_TERMINATE_FROM = ("NOT_READY", "READY_FOR_TEST", "READY_FOR_CUTOVER", "STOPPED", "DISCONNECTED")
_STOPPED = "STOPPED"


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
    """Launch, or terminate, these records' instances under this mark. A termination spares the instances in `keep`."""

    where: Where
    mark: Mark
    source_server_ids: tuple[str, ...]
    keep: tuple[str, ...] = ()


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
    """Take these machines' records out of service, unless another migration's tag is on them.

    They are those that MGN did not know before: one whose agent was just installed carries no tag yet.
    """

    where: Where
    mark: Mark
    user_provided_ids: tuple[str, ...]


@dataclass
class ApplicationMigration:
    """What is done through MGN."""

    replication: Replication
    clouds: Clouds
    act_bound: timedelta
    replication_poll: timedelta
    job_poll: timedelta
    lags: LagsSeen = field(default_factory=LagsSeen)

    @activity.defn
    @translated(SourcePreparationError)
    def find_source_servers(self, request: FindSourceServers) -> RegisteredServers:
        """Wait until MGN knows every machine: the truth test of an agent's installation."""
        found = self.replication(request.where).find(request.user_provided_ids)
        missing = [one for one in request.user_provided_ids if not is_registered(found.get(one))]
        if not missing:
            return RegisteredServers(
                source_server_ids=tuple(found[one].source_server_id for one in request.user_provided_ids)
            )
        if now() < request.since + request.within:
            look_again(f"not registered with MGN yet: {in_words(missing)}", self.job_poll)
        raise SourcePreparationError(
            f"not registered with MGN within {request.within}: {in_words(missing)}",
            action="Look at the agent's log on the machine, and whether TCP 443 to MGN is open.",
        )

    @activity.defn(no_thread_cancel_exception=True)
    @translated(SourcePreparationError)
    def configure_replication(self, request: ConfigureReplication) -> None:
        """Settings before the first byte (later changes force a full resync), then start."""
        service = self.replication(request.where)
        ids = tuple(server.source_server_id for server in request.servers)
        with acting(self.act_bound) as attempt:
            for server in request.servers:
                attempt.before_call()
                service.configure_replication(server.source_server_id, request.settings)
                attempt.before_call()
                service.tag(server.source_server_id, server.tags)
            attempt.before_call()
            service.group(ids, application=request.application, wave=request.wave)
            for record in records.read(service, ids):
                if record.replication_state == _STOPPED:
                    attempt.before_call()
                    service.start_replication(record.source_server_id)

    @activity.defn
    @translated(SourcePreparationError)
    def await_replication(self, request: AwaitReplication) -> ReplicationObserved:
        """One look an attempt; counters travel in heartbeat details; a stalled record is retried once."""
        service = self.replication(request.where)
        found = records.read(service, request.source_server_ids)
        self.lags.note(Watched.CATCHING_UP, str(activity.info().workflow_id), found)
        gate = ReplicationGate(
            max_lag=request.max_lag, stable_observations=request.stable_observations, until=request.until
        )
        pass_gate(service, found, gate, self.replication_poll)
        return _observed(found)

    @activity.defn
    @translated(SourcePreparationError)
    def observe_replication(self, request: ObserveReplication) -> ReplicationObserved:
        """The records as they are now."""
        return _observed(records.read(self.replication(request.where), request.source_server_ids))

    @activity.defn(no_thread_cancel_exception=True)
    @translated(MigrationExecutionError)
    def set_launch_targets(self, request: SetLaunchTargets) -> None:
        """What the next launch will use."""
        service = self.replication(request.where)
        with acting(self.act_bound) as attempt:
            for server in request.servers:
                attempt.before_call()
                service.set_launch_target(server.source_server_id, server.target, description=str(request.mark))

    @activity.defn(no_thread_cancel_exception=True)
    @translated(MigrationExecutionError)
    def start_test(self, request: Launch) -> JobStarted:
        """StartTest once: a job that carries our mark is adopted; another's job on a server is waited for."""
        service = self.replication(request.where)
        return self._launch(service, request, service.start_test, _TEST_FROM)

    @activity.defn(no_thread_cancel_exception=True)
    @translated(MigrationExecutionError)
    def start_cutover(self, request: Launch) -> JobStarted:
        """StartCutover once, like `start_test`."""
        service = self.replication(request.where)
        return self._launch(service, request, service.start_cutover, _CUTOVER_FROM)

    def _launch(
        self, service: ReplicationService, request: Launch, start: jobs.StartJob, allowed: tuple[str, ...]
    ) -> JobStarted:
        with acting(self.act_bound) as attempt:
            found = records.read(service, request.source_server_ids)
            known = jobs.jobs_of(service, found)
            if ours := jobs.marked(known, request.mark):
                return JobStarted(job_id=ours.job_id)
            jobs.refuse_states(found, allowed, action="Bring the records to that state in MGN, then retry the step.")
            jobs.wait_out_jobs(known, request.source_server_ids, self.job_poll)
            attempt.before_call()
            job = jobs.start_or_find(service, request.mark, found, start)
        return JobStarted(job_id=job.job_id)

    @activity.defn
    @translated(MigrationExecutionError)
    def await_job(self, request: AwaitJob) -> Launched:
        """Wait for the job; success is every server LAUNCHED, not the job's COMPLETED."""
        service = self.replication(request.where)
        job = jobs.ended_job(service, request.job_id, self.job_poll)
        log = service.job_log(job.job_id)
        jobs.refuse_failures(job, log)
        if request.fresh_data:
            jobs.refuse_stale_data(job, log)
        servers = [(server.source_server_id, server.instance_id) for server in job.servers]
        if unnamed := [server for server, instance in servers if instance is None]:
            look_again(f"job {job.job_id} does not name the instance of {in_words(unnamed)} yet", self.job_poll)
        return Launched(
            job_id=job.job_id,
            servers=tuple(LaunchedServer(source_server_id=s, instance_id=i) for s, i in servers if i is not None),
        )

    @activity.defn(no_thread_cancel_exception=True)
    @translated(MigrationExecutionError)
    def change_life_cycle(self, request: ChangeLifeCycle) -> None:
        """ChangeServerLifeCycleState where it differs; waits out a job and an agent that is not seen again yet."""
        service = self.replication(request.where)
        with acting(self.act_bound) as attempt:
            records.change_states(service, attempt, request.source_server_ids, request.state, self.replication_poll)

    @activity.defn(no_thread_cancel_exception=True)
    @translated(MigrationExecutionError)
    def terminate_targets(self, request: Launch) -> JobStarted:
        """TerminateTargetInstances once, for those that have an instance; refused by MGN in TESTING and later.

        MGN may go on naming an instance that is long terminated, and then refuses the whole call: EC2 knows better.
        Preserved instances (`keep`) may hold the only copy of what users wrote: their records are left alone.
        """
        service = self.replication(request.where)
        with acting(self.act_bound) as attempt:
            known = jobs.jobs_of(service, jobs.present(service, request.source_server_ids))
            ours = jobs.marked(known, request.mark, terminating=True)
            if ours and ours.status != jobs.ENDED:
                return JobStarted(job_id=ours.job_id)
            jobs.wait_out_jobs(known, request.source_server_ids, self.job_poll)
            # Read after the jobs: a launch that has just ended may have left an instance.
            present = jobs.present(service, request.source_server_ids)
            left = [one for one in jobs.remaining(ours, present) if one.instance_id not in request.keep]
            left = jobs.with_live_instances(self.clouds(request.where), left)
            if not left:
                return JobStarted(job_id=ours.job_id if ours else None)
            jobs.refuse_states(left, _TERMINATE_FROM, action="Change the lifecycle state back first.")
            attempt.before_call()
            job = jobs.start_or_find(service, request.mark, left, service.terminate_target_instances, terminating=True)
        return JobStarted(job_id=job.job_id)

    @activity.defn
    @translated(MigrationExecutionError)
    def await_termination(self, request: AwaitJob) -> None:
        """Wait until the clean-up job has ended and the records name no instance."""
        service = self.replication(request.where)
        jobs.await_no_instance(service, jobs.ended_job(service, request.job_id, self.job_poll), self.job_poll)

    @activity.defn(no_thread_cancel_exception=True)
    @translated(CutoverError)
    def finalize_cutover(self, request: SourceServers) -> None:
        """The pivot: FinalizeCutover for each record that is not CUTOVER yet."""
        service = self.replication(request.where)
        with acting(self.act_bound) as attempt:
            records.finalize(service, attempt, request.source_server_ids)

    @activity.defn(no_thread_cancel_exception=True)
    @translated(RollbackError)
    def remove_records(self, request: RemoveRecords) -> None:
        """Disconnect and archive; records that are gone are no error."""
        service = self.replication(request.where)
        with acting(self.act_bound) as attempt:
            found, own = service.find(request.user_provided_ids).values(), request.mark.migration_id
            ours = [r.source_server_id for r in found if r.tags.get(MIGRATION_TAG, own) == own]
            records.take_out_of_service(service, attempt, ours, self.job_poll)

    @activity.defn(no_thread_cancel_exception=True)
    @translated(MigrationExecutionError)
    def archive(self, request: SourceServers) -> None:
        """MarkAsArchived, after the pivot."""
        service = self.replication(request.where)
        with acting(self.act_bound) as attempt:
            records.archive(service, attempt, request.source_server_ids)


def _observed(found: Sequence[SourceServer]) -> ReplicationObserved:
    servers = tuple(
        ServerReplication(
            source_server_id=record.source_server_id,
            life_cycle=record.life_cycle,
            state=record.replication_state,
            lag=record.lag,
            backlog_bytes=record.backlog_bytes,
        )
        for record in found
    )
    return ReplicationObserved(at=now(), servers=servers)
