"""The operations that start jobs, and the look that carries them out."""

from collections import Counter
from typing import Any

from . import settings as configured
from .configuration_operations import ConfigurationOperations
from .events import LIFECYCLE_CHANGE, STALLED_CHANGE
from .exceptions import BUSY, ConflictException, ResourceNotFoundException, ValidationException
from .formats import unix_time
from .jobs import CutoverLaunch, Job, LaunchJob, Termination, TestLaunch
from .paging import page
from .servers import SourceServer
from .store import JOB, SERVER, found, next_state, refuse, refuse_state, require_launchable, within_quota

_CONCURRENT_JOBS, _SERVERS_IN_A_JOB, _SERVERS_IN_ALL_JOBS = "L-FE2EBE17", "L-F1FD732F", "L-4FF77426"


class JobOperations(ConfigurationOperations):
    """Launches and terminations."""

    def advance(self) -> None:
        """Do what is due: steps of jobs in the order of their times, and servers that have become ready.

        Every request does it first. A host may call it on a timer, so that instances appear without one.
        """
        with self.lock:
            now = self.now()
            while (due := min(self.active_jobs(), key=_next_step, default=None)) and _next_step(due) <= now:
                due.proceed()
            heard = self.bus.heard
            for server in self.servers.values():
                self._advance(server, now, heard=heard)

    def _advance(self, server: SourceServer, now: float, *, heard: bool) -> None:
        """Note what the passing of time has made of a server; `heard` says whether anybody wants to be told."""
        if server.state != "NOT_READY" and not heard:
            return
        copy = server.replica(now)
        if server.state == "NOT_READY" and copy.launchable:
            server.state = "READY_FOR_TEST"
            if not server.told_ready:
                self.bus.put(LIFECYCLE_CHANGE, server.arn, {"state": server.state}, now)
            server.told_ready = True
        stalled = copy.state == "STALLED"
        if heard and stalled is not server.told_stalled:
            self.bus.put(STALLED_CHANGE, server.arn, {"state": "STALLED" if stalled else "NOT_STALLED"}, now)
            server.told_stalled = stalled

    def start_test(self, server_ids: list[str], tags: dict[str, str]) -> dict[str, Any]:
        return self._launch("StartTest", TestLaunch, server_ids, tags)

    def start_cutover(self, server_ids: list[str], tags: dict[str, str]) -> dict[str, Any]:
        return self._launch("StartCutover", CutoverLaunch, server_ids, tags)

    def _launch(
        self, operation: str, kind: type[LaunchJob], server_ids: list[str], tags: dict[str, str]
    ) -> dict[str, Any]:
        servers, now = self._for_job(server_ids), self.now()
        after = [next_state(server, operation) for server in servers]
        for server in servers:
            require_launchable(operation, server, now)
            if kind is CutoverLaunch:
                self.refuse_failed_actions(operation, "blocksCutover", "test", server)
        job = self._begin(kind, servers, tags)
        for server, state in zip(servers, after, strict=True):
            server.state = state
            server.attempts(kind.kind).begin(job.created, job.id)
        return job.describe(now)

    def terminate_target_instances(self, server_ids: list[str], tags: dict[str, str]) -> dict[str, Any]:
        operation, servers = "TerminateTargetInstances", self._for_job(server_ids)
        after = [next_state(server, operation) for server in servers]
        gone = {each.id: "has no launched instance" for each in servers if not self._has_instance(each)}
        refuse_state(operation, "There is no launched instance to terminate", gone)
        job = self._begin(Termination, servers, tags)
        for server, state in zip(servers, after, strict=True):
            if state != server.state:
                server.state, server.test.reverted = state, job.created
        return job.describe(job.created)

    def _has_instance(self, server: SourceServer) -> bool:
        return self.ec2.instance_state(server.instance_id or "") not in {None, "terminated"}

    def _for_job(self, server_ids: list[str]) -> list[SourceServer]:
        """The servers of a call that starts a job; such calls model no ResourceNotFound."""
        unknown = [server_id for server_id in server_ids if server_id not in self.servers]
        if unknown and configured.settings().unknown_server == "notFound":
            raise ResourceNotFoundException(SERVER, unknown[0])
        if unknown or len(set(server_ids)) < len(server_ids):
            fields = [("sourceServerIDs", f"there is no source server {server_id}") for server_id in unknown]
            raise ValidationException(
                "Unknown or repeated source server", fields=fields or [("sourceServerIDs", "an id is repeated")]
            )
        most = configured.settings().quotas.jobs_of_a_server
        active = Counter(each.server.id for job in self.active_jobs() for each in job.participants)
        refuse(BUSY, {server_id: BUSY for server_id in server_ids if active[server_id] >= most})
        return [self.servers[server_id] for server_id in server_ids]

    def _begin(self, kind: type[Job], servers: list[SourceServer], tags: dict[str, str]) -> Job:
        arn, quotas, active = self.new_arn("job", "mgnjob"), configured.settings().quotas, self.active_jobs()
        in_jobs = sum(len(job.participants) for job in active)
        resource = (SERVER, servers[0].id)
        for wanted, quota, code, what in (
            (len(servers), quotas.servers_in_a_job, _SERVERS_IN_A_JOB, "Max source servers in a single job"),
            (len(active) + 1, quotas.concurrent_jobs, _CONCURRENT_JOBS, "Concurrent jobs in progress"),
            (
                in_jobs + len(servers),
                quotas.servers_in_all_jobs,
                _SERVERS_IN_ALL_JOBS,
                "Max source servers in all jobs",
            ),
        ):
            within_quota(resource=resource, wanted=wanted, quota=quota, code=code, what=what)
        job = kind(arn, self.next_serial(), servers, tags, self.now(), self.ec2)
        self.jobs[job.id] = job
        return job

    def delete_job(self, job_id: str) -> None:
        job = found(JOB, self.jobs, job_id)
        if job.active:
            raise ConflictException(f"{JOB} {job_id} is {job.status}", {(JOB, job_id): f"is {job.status}"})
        del self.jobs[job_id]

    def describe_jobs(self, asked: dict[str, Any]) -> dict[str, Any]:
        filters = asked.get("filters", {})
        ids = filters.get("jobIDs")
        since = unix_time(filters["fromDate"], "filters.fromDate") if "fromDate" in filters else None
        until = unix_time(filters["toDate"], "filters.toDate") if "toDate" in filters else None
        listed = [
            job
            for job in self.jobs.values()
            if (not ids or job.id in ids)
            and (since is None or job.created >= since)
            and (until is None or job.created <= until)
        ]
        items, more = page("DescribeJobs", listed, lambda job: job.serial, asked, newest_first=True)
        return {"items": [job.describe(self.now()) for job in items], **more}

    def describe_job_log_items(self, asked: dict[str, Any]) -> dict[str, Any]:
        job = self.jobs.get(asked["jobID"])
        if job is None:
            # The operation models no ResourceNotFound.
            raise ValidationException(f"{JOB} {asked['jobID']} does not exist", fields=[("jobID", "is unknown")])
        numbered = list(enumerate(job.log))
        items, more = page(f"DescribeJobLogItems {job.id}", numbered, lambda item: item[0], asked)
        return {"items": [item for _, item in items], **more}


def _next_step(job: Job) -> float:
    return job.due[0][0]
