"""MGN jobs: found again by the mark that they carry, waited for, and read for what they did.

StartTest, StartCutover and TerminateTargetInstances take no client token, so a lost reply can only be told from a
lost request by looking (API 2020-02-26). A job that failed for every server still ends COMPLETED.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import timedelta

from temporalio import activity

from activities.running import in_words, look_again, remembered
from migration.errors import Conflict, MigrationExecutionError, NotFound, Unavailable
from migration.marks import MARK_TAG, Mark
from migration.models import Model
from migration.ports import JobEvent, LaunchJob, ReplicationService, SourceServer, TargetCloud

ENDED = "COMPLETED"
TERMINATE = "TERMINATE"
LAUNCHED = "LAUNCHED"
TERMINATED = "TERMINATED"
_GONE = frozenset({"shutting-down", "terminated"})
STALE_DATA = frozenset({"SNAPSHOT_FAIL", "USING_PREVIOUS_SNAPSHOT"})

_SKEW = timedelta(days=1)
_LOOKS_UNTIL_LISTED = 5
_LOOKS_AFTER_END = 5

StartJob = Callable[[Sequence[str], Mapping[str, str]], LaunchJob]


def jobs_of(service: ReplicationService, records: Iterable[SourceServer]) -> list[LaunchJob]:
    """List the jobs that may concern these records: those that they name, then those begun since we were asked."""
    named = sorted({job for record in records for job in (record.test_job_id, record.cutover_job_id) if job})
    jobs = list(service.jobs(job_ids=named)) if named else []
    return [*jobs, *service.jobs(since=activity.info().scheduled_time - _SKEW)]


def marked(jobs: Iterable[LaunchJob], mark: Mark, *, terminating: bool = False) -> LaunchJob | None:
    """Find the launch, or the clean-up, that carries the mark, whatever has become of it."""
    ours = [job for job in jobs if job.tags.get(MARK_TAG) == str(mark)]
    return next((job for job in ours if (job.kind == TERMINATE) is terminating), None)


def wait_out_jobs(jobs: Iterable[LaunchJob], source_server_ids: Iterable[str], after: timedelta) -> None:
    """Let MGN finish with these servers first: it allows one job a server, and refuses the whole batch otherwise.

    Raises:
        Unavailable: A job is running on one of them.
    """
    wanted = set(source_server_ids)
    for job in jobs:
        if job.status != ENDED and wanted & {server.source_server_id for server in job.servers}:
            raise Unavailable(f"waits for job {job.job_id} ({job.kind}) on the same servers to end", retry_after=after)


def start_or_find(
    service: ReplicationService,
    mark: Mark,
    records: Sequence[SourceServer],
    start: StartJob,
    *,
    terminating: bool = False,
) -> LaunchJob:
    """Start the job; when the answer is unclear, look whether it was started all the same."""
    ids = [record.source_server_id for record in records]
    try:
        return start(ids, mark.tags())
    except (Conflict, Unavailable):
        if job := marked(jobs_of(service, service.servers(ids).values()), mark, terminating=terminating):
            return job
        raise


def refuse_states(records: Iterable[SourceServer], allowed: Collection[str], *, action: str | None = None) -> None:
    """Refuse records whose lifecycle state is not among `allowed`, naming each and its state."""
    wrong = [record for record in records if record.life_cycle not in allowed or record.archived]
    if wrong:
        states = [f"{one.label} is {'archived' if one.archived else one.life_cycle}" for one in wrong]
        raise MigrationExecutionError(f"{in_words(states)}, and must be {' or '.join(allowed)}", action=action)


def ended_job(service: ReplicationService, job_id: str, poll: timedelta) -> LaunchJob:
    """Return the job when it has ended; look again otherwise."""
    job = next(iter(service.jobs(job_ids=[job_id])), None)
    if job is None:
        if activity.info().attempt > _LOOKS_UNTIL_LISTED:
            raise MigrationExecutionError(f"MGN does not know job {job_id}")
        look_again(f"job {job_id} is not listed yet", poll)
    if job.status != ENDED:
        states = [f"{server.source_server_id} {server.launch_status}" for server in job.servers]
        look_again(f"job {job_id} is {job.status}: {in_words(states)}", poll)
    return job


def refuse_failures(job: LaunchJob, log: Sequence[JobEvent]) -> None:
    """Fail unless every participating server was launched, with what the job's log says about each."""
    failed = [server for server in job.servers if server.launch_status != LAUNCHED]
    if failed or not job.servers:
        words = [f"{server.source_server_id} {server.launch_status}" for server in failed]
        raise MigrationExecutionError(
            f"job {job.job_id} ended without launching {len(failed)} of {len(job.servers)} servers: "
            f"{in_words(words)}{_errors(log)}",
            action="Put right what the job's log names, then retry the step.",
        )


def refuse_stale_data(job: LaunchJob, log: Sequence[JobEvent]) -> None:
    """Fail when a server was launched from an older snapshot: its last writes would be missing."""
    stale = [event for event in log if event.event in STALE_DATA]
    if stale:
        words = sorted({f"{event.source_server_id or 'a server'} {event.event}" for event in stale})
        raise MigrationExecutionError(
            f"job {job.job_id} launched from stale data: {in_words(words)}{_errors(log)}",
            action="Roll back or retry the cutover: the launched disks lack the source's last writes.",
        )


def _errors(log: Iterable[JobEvent]) -> str:
    errors = [f"{event.source_server_id or event.event}: {event.error}" for event in log if event.error]
    return f" ({in_words(errors)})" if errors else ""


class LooksAfterEnd(Model):
    """How often the records were looked at after their clean-up job had ended."""

    looks: int = 0


def await_no_instance(service: ReplicationService, job: LaunchJob, poll: timedelta) -> None:
    """Return when the records of an ended clean-up job name no instance; some looks later its own word is enough.

    Raises:
        MigrationExecutionError: The job left instances behind.
    """
    records = present(service, [server.source_server_id for server in job.servers])
    left = [record for record in records if record.instance_id]
    if not left:
        return
    names = in_words([f"{record.source_server_id} {record.instance_id}" for record in left])
    looks = remembered(LooksAfterEnd).looks + 1
    if looks < _LOOKS_AFTER_END:
        look_again(
            f"job {job.job_id} has ended, its records still name {names}", poll, remember=LooksAfterEnd(looks=looks)
        )
    if remaining(job, left):
        raise MigrationExecutionError(
            f"job {job.job_id} ended and left instances behind: {names}{_errors(service.job_log(job.job_id))}",
            action="Terminate the instances by hand, then retry or skip this.",
        )


def remaining(job: LaunchJob | None, records: Iterable[SourceServer]) -> list[SourceServer]:
    """Say which of the records name an instance that the clean-up job, if there was one, did not terminate."""
    ended = job.servers if job else ()
    terminated = {server.source_server_id for server in ended if server.launch_status == TERMINATED}
    return [record for record in records if record.instance_id and record.source_server_id not in terminated]


def with_live_instances(cloud: TargetCloud, records: Sequence[SourceServer]) -> list[SourceServer]:
    """Leave out the records whose instance is terminated, or so long gone that EC2 has forgotten it."""
    found = cloud.instances([record.instance_id for record in records if record.instance_id])
    live = {one for one, instance in found.items() if instance.state not in _GONE}
    return [record for record in records if record.instance_id in live]


def present(service: ReplicationService, source_server_ids: Sequence[str]) -> list[SourceServer]:
    """Read the records that still exist; for undo and clean-up, where absence is as good as done."""
    try:
        found = service.servers(source_server_ids)
    except NotFound:
        return [record for one in source_server_ids for record in _one(service, one)]
    return [found[one] for one in source_server_ids]


def _one(service: ReplicationService, source_server_id: str) -> list[SourceServer]:
    try:
        return list(service.servers([source_server_id]).values())
    except NotFound:
        return []
