"""The operations that start jobs, and the look that carries them out."""

from typing import Any

from . import settings as configured
from .configuration_operations import ConfigurationOperations
from .exceptions import ValidationException
from .formats import unix_time
from .jobs import CutoverLaunch, Job, Termination, TestLaunch
from .paging import page
from .servers import SourceServer
from .store import JOB, SERVER, refuse, require_launchable, within_quota

_CONCURRENT_JOBS, _SERVERS_IN_A_JOB, _SERVERS_IN_ALL_JOBS = "L-FE2EBE17", "L-F1FD732F", "L-4FF77426"
_NEVER_TERMINATED_IN = ("TESTING", "CUTTING_OVER", "CUTOVER")


class JobOperations(ConfigurationOperations):
    """Launches and terminations."""

    def advance(self) -> None:
        """Do what is due: steps of jobs in the order of their times, and servers that have become ready.

        Every request does it first. A host may call it on a timer, so that instances appear without one.
        """
        with self.lock:
            now = self.now()
            while (due := min(self.active_jobs(), key=_next_step, default=None)) and _next_step(due) <= now:
                at, step = due.due.popleft()
                step(at)
            for server in self.servers.values():
                if server.state == "NOT_READY" and server.replica(now).launchable:
                    server.state = "READY_FOR_TEST"

    def start_test(self, server_ids: list[str], tags: dict[str, str]) -> dict[str, Any]:
        servers, now = self._for_job(server_ids), self.now()
        for server in servers:
            self.require_state(server, "READY_FOR_TEST", "TESTING", operation="StartTest")
            require_launchable(server, now)
        job = self._begin(TestLaunch, servers, tags)
        for server in servers:
            server.state = "TESTING"
            server.test.begin(job.created, job.id)
        return job.describe()

    def start_cutover(self, server_ids: list[str], tags: dict[str, str]) -> dict[str, Any]:
        servers, now = self._for_job(server_ids), self.now()
        for server in servers:
            self.require_state(server, "READY_FOR_CUTOVER", operation="StartCutover")
            require_launchable(server, now)
        job = self._begin(CutoverLaunch, servers, tags)
        for server in servers:
            server.state = "CUTTING_OVER"
            server.cutover.begin(job.created, job.id)
        return job.describe()

    def terminate_target_instances(self, server_ids: list[str], tags: dict[str, str]) -> dict[str, Any]:
        servers = self._for_job(server_ids)
        wrong = {each.id: f"is in state {each.state}" for each in servers if each.state in _NEVER_TERMINATED_IN}
        refuse(f"TerminateTargetInstances is refused in {', '.join(_NEVER_TERMINATED_IN)}", wrong)
        gone = {each.id: "has no launched instance" for each in servers if not self._has_instance(each)}
        refuse("There is no launched instance to terminate", gone)
        return self._begin(Termination, servers, tags).describe()

    def _has_instance(self, server: SourceServer) -> bool:
        launched = server.launched
        return launched is not None and self.ec2.instance_state(launched.instance_id) not in {None, "terminated"}

    def _for_job(self, server_ids: list[str]) -> list[SourceServer]:
        """The servers of a call that starts a job; such calls model no ResourceNotFound."""
        unknown = [server_id for server_id in server_ids if server_id not in self.servers]
        if unknown or len(set(server_ids)) < len(server_ids):
            fields = [("sourceServerIDs", f"there is no source server {server_id}") for server_id in unknown]
            raise ValidationException(
                "Unknown or repeated source server", fields=fields or [("sourceServerIDs", "an id is repeated")]
            )
        servers = [self.servers[server_id] for server_id in server_ids]
        self.refuse_busy(*servers)
        return servers

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
        job = kind(arn=arn, serial=self.next_serial(), servers=servers, tags=tags, at=self.now(), ec2=self.ec2)
        self.jobs[job.id] = job
        return job

    def describe_jobs(self, asked: dict[str, Any]) -> dict[str, Any]:
        filters = asked.get("filters", {})
        ids = filters.get("jobIDs")
        since = unix_time(filters["fromDate"], "filters.fromDate") if "fromDate" in filters else None
        until = unix_time(filters["toDate"], "filters.toDate") if "toDate" in filters else None
        found = [
            job
            for job in self.jobs.values()
            if (not ids or job.id in ids)
            and (since is None or job.created >= since)
            and (until is None or job.created <= until)
        ]
        items, more = page("DescribeJobs", found, lambda job: job.serial, asked, newest_first=True)
        return {"items": [job.describe() for job in items], **more}

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
