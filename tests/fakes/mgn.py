"""MGN in memory, strict about its state rules (API 2020-02-26)."""

import itertools
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from migration.errors import Conflict, MigrationExecutionError, NotFound, Unavailable
from migration.ports import (
    JobEvent,
    JobServer,
    LaunchJob,
    LaunchTarget,
    PostLaunchAction,
    ReplicationSettings,
    SourceServer,
)
from tests.fakes.calls import Faulty

_LIVE = {"READY_FOR_TEST", "TESTING", "READY_FOR_CUTOVER", "CUTTING_OVER"}
_CHANGES = {
    ("TESTING", "READY_FOR_TEST"),
    ("READY_FOR_CUTOVER", "READY_FOR_TEST"),
    ("READY_FOR_TEST", "READY_FOR_CUTOVER"),
    ("TESTING", "READY_FOR_CUTOVER"),
    ("CUTTING_OVER", "READY_FOR_CUTOVER"),
}


class FakeReplication(Faulty):
    """One account and region."""

    def __init__(self, *, jobs_end: bool = False) -> None:
        """Start empty.

        Args:
            jobs_end: Whether jobs end, with success, as soon as somebody looks.
        """
        super().__init__()
        self.records: dict[str, SourceServer] = {}
        self.started: dict[str, datetime] = {}
        self.launch_targets: dict[str, LaunchTarget] = {}
        self.settings: dict[str, ReplicationSettings] = {}
        self.groups: dict[str, tuple[str, str | None]] = {}
        self.logs: dict[str, list[JobEvent]] = {}
        self.post_launch: dict[str, list[PostLaunchAction]] = {}
        self.initialised = True
        self.active = 0
        self.jobs_end = jobs_end
        self._jobs: dict[str, LaunchJob] = {}
        self._numbers = itertools.count(1)

    # --- the world ---------------------------------------------------------------------------------------------

    def add(self, source_server_id: str, life_cycle: str = "READY_FOR_TEST", **fields: Any) -> SourceServer:
        """Put a record in: by default one that replicates well."""
        usual = {"replication_state": "CONTINUOUS", "lag": timedelta(0), "user_provided_id": f"vc:{source_server_id}"}
        record = SourceServer(source_server_id=source_server_id, life_cycle=life_cycle, **(usual | fields))
        self.records[source_server_id] = record
        return record

    def edit(self, source_server_id: str, **fields: Any) -> None:
        """Change a record behind everybody's back."""
        self.records[source_server_id] = self.records[source_server_id].model_copy(update=fields)

    def add_job(self, job_id: str, kind: str, ids: Sequence[str], tags: Mapping[str, str] | None = None) -> LaunchJob:
        """Start a job, ours or somebody else's."""
        servers = tuple(JobServer(source_server_id=one, launch_status="PENDING") for one in ids)
        self._jobs[job_id] = LaunchJob(job_id=job_id, kind=kind, status="PENDING", servers=servers, tags=tags or {})
        self.started[job_id] = datetime.now(UTC)
        return self._jobs[job_id]

    def end_job(self, job_id: str, *, failed: Mapping[str, str] | None = None) -> None:
        """End a job: COMPLETED, whatever became of its servers. `failed`: the raw error by server."""
        job, failed = self._jobs[job_id], failed or {}
        servers = tuple(self._ended(job, server, failed) for server in job.servers)
        self._jobs[job_id] = job.model_copy(update={"status": "COMPLETED", "servers": servers})
        event = "CLEANUP_FAIL" if job.kind == "TERMINATE" else "LAUNCH_FAILED"
        lines = [JobEvent(event=event, source_server_id=one, error=error) for one, error in failed.items()]
        self.logs.setdefault(job_id, []).extend(lines)

    def _ended(self, job: LaunchJob, server: JobServer, failed: Mapping[str, str]) -> JobServer:
        one = server.source_server_id
        if one in failed:
            return server.model_copy(update={"launch_status": "FAILED"})
        if job.kind == "TERMINATE":
            self.edit(one, instance_id=None)
            return server.model_copy(update={"launch_status": "TERMINATED"})
        instance_id = f"i-{one}-{job.job_id}"
        self.edit(one, instance_id=instance_id)
        return server.model_copy(update={"launch_status": "LAUNCHED", "instance_id": instance_id})

    # --- the port ----------------------------------------------------------------------------------------------

    def find(self, user_provided_ids: Sequence[str]) -> Mapping[str, SourceServer]:
        self.look("find")
        live = [one for one in self.records.values() if not one.archived and one.life_cycle != "DISCONNECTED"]
        by_machine = {one.user_provided_id or "": one for one in live}
        return {one: by_machine[one] for one in user_provided_ids if one in by_machine}

    def servers(self, source_server_ids: Sequence[str]) -> Mapping[str, SourceServer]:
        self.look("servers")
        if gone := [one for one in source_server_ids if one not in self.records]:
            raise NotFound(f"no source server {', '.join(gone)}")
        return {one: self.records[one] for one in source_server_ids}

    def count_active(self) -> int:
        return self.active

    def is_initialised(self) -> bool:
        return self.initialised

    def configure_replication(self, source_server_id: str, settings: ReplicationSettings) -> None:
        if self.settings.get(source_server_id) != settings:
            with self.effect("configure_replication", source_server_id):
                self.settings[source_server_id] = settings

    def start_replication(self, source_server_id: str) -> None:
        self._require(self.records[source_server_id].replication_state == "STOPPED", "not stopped")
        with self.effect("start_replication", source_server_id):
            self.edit(source_server_id, replication_state="INITIATING", life_cycle="NOT_READY")

    def retry_replication(self, source_server_id: str) -> None:
        self._require(self.records[source_server_id].replication_state == "STALLED", "not stalled")
        with self.effect("retry_replication", source_server_id):
            pass

    def tag(self, source_server_id: str, tags: Mapping[str, str]) -> None:
        now = dict(self.records[source_server_id].tags)
        if now != now | dict(tags):
            with self.effect("tag", source_server_id):
                self.edit(source_server_id, tags=now | dict(tags))

    def group(self, source_server_ids: Sequence[str], *, application: str, wave: str | None) -> None:
        wanted = dict.fromkeys(source_server_ids, (application, wave))
        if not wanted.items() <= self.groups.items():
            with self.effect("group", *source_server_ids):
                self.groups.update(wanted)

    def set_launch_target(self, source_server_id: str, target: LaunchTarget, *, description: str) -> None:
        if self.launch_targets.get(source_server_id) != target:
            with self.effect("set_launch_target", source_server_id, description):
                self.launch_targets[source_server_id] = target

    def start_test(self, source_server_ids: Sequence[str], tags: Mapping[str, str]) -> LaunchJob:
        return self._start("start_test", source_server_ids, tags, {"READY_FOR_TEST", "TESTING"}, "TESTING")

    def start_cutover(self, source_server_ids: Sequence[str], tags: Mapping[str, str]) -> LaunchJob:
        return self._start("start_cutover", source_server_ids, tags, {"READY_FOR_CUTOVER"}, "CUTTING_OVER")

    def _start(
        self, operation: str, ids: Sequence[str], tags: Mapping[str, str], allowed: set[str], state: str
    ) -> LaunchJob:
        self._for_job(ids)
        for one in ids:
            record = self.records[one]
            self._require(record.life_cycle in allowed and record.lag is not None, f"{one} is {record.life_cycle}")
        with self.effect(operation, *ids):
            job = self.add_job(f"mgnjob-{next(self._numbers)}", "LAUNCH", ids, tags)
            field = "test_job_id" if operation == "start_test" else "cutover_job_id"
            for one in ids:
                self.edit(one, life_cycle=state, **{field: job.job_id})
        return job

    def terminate_target_instances(self, source_server_ids: Sequence[str], tags: Mapping[str, str]) -> LaunchJob:
        self._for_job(source_server_ids)
        for one in source_server_ids:
            record = self.records[one]
            self._require(record.life_cycle not in {"TESTING", "CUTTING_OVER", "CUTOVER"}, f"{one} {record.life_cycle}")
            self._require(record.instance_id is not None, f"{one} has no instance")
        with self.effect("terminate_target_instances", *source_server_ids):
            return self.add_job(f"mgnjob-{next(self._numbers)}", "TERMINATE", source_server_ids, tags)
        raise AssertionError  # the block above returns or raises

    def jobs(self, *, since: datetime | None = None, job_ids: Sequence[str] = ()) -> Sequence[LaunchJob]:
        self.look("jobs")
        if self.jobs_end:
            for job in list(self._jobs.values()):
                if job.status != "COMPLETED":
                    self.end_job(job.job_id)
        newest_first = list(self._jobs.values())[::-1]
        if job_ids:
            return [job for job in newest_first if job.job_id in job_ids]
        return [job for job in newest_first if since is None or self.started[job.job_id] >= since]

    def job_log(self, job_id: str) -> Sequence[JobEvent]:
        return self.logs.get(job_id, [])

    def post_launch_actions(self, job_ids: Sequence[str]) -> Sequence[PostLaunchAction]:
        self.look("post_launch_actions")
        return [action for job_id in job_ids for action in self.post_launch.get(job_id, ())]

    def change_life_cycle_state(self, source_server_id: str, state: str) -> None:
        record = self._record(source_server_id)
        if record.life_cycle == state:
            return
        self._refuse_busy([source_server_id])
        self._require(record.lag is not None, "not launchable")
        self._require((record.life_cycle, state) in _CHANGES, f"{record.life_cycle} to {state}")
        with self.effect("change_life_cycle_state", source_server_id, state):
            self.edit(source_server_id, life_cycle=state)

    def finalize_cutover(self, source_server_id: str) -> None:
        record = self._record(source_server_id)
        if record.life_cycle == "CUTOVER":
            return
        self._refuse_busy([source_server_id])
        self._require(record.life_cycle == "CUTTING_OVER", record.life_cycle)
        with self.effect("finalize_cutover", source_server_id):
            self.edit(source_server_id, life_cycle="CUTOVER", replication_state="DISCONNECTED", lag=None)

    def disconnect(self, source_server_id: str) -> None:
        if self._record(source_server_id).replication_state == "DISCONNECTED":
            return
        self._refuse_busy([source_server_id])
        with self.effect("disconnect", source_server_id):
            self.edit(source_server_id, life_cycle="DISCONNECTED", replication_state="DISCONNECTED", lag=None)

    def archive(self, source_server_id: str) -> None:
        record = self._record(source_server_id)
        self._require(record.life_cycle in {"CUTOVER", "DISCONNECTED"}, record.life_cycle)
        if not record.archived:
            with self.effect("archive", source_server_id):
                self.edit(source_server_id, archived=True)

    def _record(self, source_server_id: str) -> SourceServer:
        return self.servers([source_server_id])[source_server_id]

    def _for_job(self, ids: Sequence[str]) -> None:
        """Refuse what cannot get a job; such calls know no NotFound."""
        if unknown := [one for one in ids if one not in self.records]:
            raise MigrationExecutionError(f"there is no source server {', '.join(unknown)}")
        self._refuse_busy(ids)

    def _refuse_busy(self, ids: Sequence[str]) -> None:
        for job in self._jobs.values():
            if job.status != "COMPLETED" and {server.source_server_id for server in job.servers} & set(ids):
                raise Unavailable("One or more of the source servers are being processed by a job")

    @staticmethod
    def _require(allowed: bool, message: str) -> None:
        if not allowed:
            raise Conflict(message)
