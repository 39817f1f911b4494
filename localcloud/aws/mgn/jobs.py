"""Jobs: launches and terminations, as a line of steps in time that somebody's look carries out."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from . import settings as configured
from .formats import new_id, stamped, timestamp
from .servers import Launched, SourceServer
from .settings import LaunchKind
from .target_account import Ec2RefusalError, TargetAccount

Step = Callable[[float], None]


@dataclass
class Participant:
    """One server in a job."""

    server: SourceServer
    launch_status: str = "PENDING"
    instance_id: str | None = None
    conversion_server: str = field(default_factory=lambda: new_id("i"))
    data_as_of: float | None = None

    def describe(self) -> dict[str, str]:
        answer = {"sourceServerID": self.server.id, "launchStatus": self.launch_status}
        return answer | ({"launchedEc2InstanceID": self.instance_id} if self.instance_id else {})


class Job:
    """A job; what kinds differ in is their steps.

    A job ends COMPLETED whatever became of its servers: there is no failed job in the service model.
    """

    type: str
    initiated_by: str

    def __init__(
        self, *, arn: str, serial: int, servers: list[SourceServer], tags: dict[str, str], at: float, ec2: TargetAccount
    ) -> None:
        self.arn, self.id, self.serial = arn, arn.rpartition("/")[2], serial
        self.participants = [Participant(server) for server in servers]
        self.tags, self.created, self.ec2 = dict(tags), at, ec2
        self.ended: float | None = None
        self.status = "PENDING"
        self.log: list[dict[str, Any]] = []
        self.due: deque[tuple[float, Step]] = deque()
        for duration, step in self._line():
            at += configured.settings().real(duration)
            self.due.append((at, step))

    def _line(self) -> list[tuple[float, Step]]:
        """Each step with the MGN seconds that pass before it."""
        raise NotImplementedError

    @property
    def active(self) -> bool:
        return self.status != "COMPLETED"

    def describe(self) -> dict[str, Any]:
        return {
            "jobID": self.id,
            "arn": self.arn,
            "type": self.type,
            "initiatedBy": self.initiated_by,
            "status": self.status,
            **stamped(creationDateTime=self.created, endDateTime=self.ended),
            "participatingServers": [each.describe() for each in self.participants],
            "tags": dict(self.tags),
        }

    def _start(self, at: float) -> None:
        self.status = "STARTED"
        for each in self.participants:
            each.launch_status = "IN_PROGRESS"
        self._note(at, "JOB_START")

    def _end(self, at: float) -> None:
        self._note(at, "JOB_END")
        self.status, self.ended = "COMPLETED", at

    def _note(self, at: float, event: str, participant: Participant | None = None, **data: str | None) -> None:
        event_data = {name: value for name, value in data.items() if value}
        if participant:
            event_data["sourceServerID"] = participant.server.id
        self.log.append({"logDateTime": timestamp(at), "event": event, "eventData": event_data})

    def _clean_up(self, at: float, participant: Participant) -> bool:
        """Terminate the instance that an earlier job launched; false when EC2 refuses."""
        earlier = participant.server.launched
        if earlier is None:
            return True
        try:
            self.ec2.terminate(earlier.instance_id)
        except Ec2RefusalError as error:
            self._note(at, "CLEANUP_FAIL", participant, targetInstanceID=earlier.instance_id, rawError=str(error))
            return False
        participant.server.launched = None
        self._note(at, "CLEANUP_END", participant, targetInstanceID=earlier.instance_id)
        configured.world().terminated(earlier.instance_id)
        return True

    def _begin_cleanup(self, at: float) -> None:
        for each in self.participants:
            if each.server.launched:
                self._note(at, "CLEANUP_START", each, targetInstanceID=each.server.launched.instance_id)


class LaunchJob(Job):
    """Launches the servers from a snapshot of their data; the instances of earlier launches are terminated first."""

    type = "LAUNCH"
    kind: LaunchKind

    def _line(self) -> list[tuple[float, Step]]:
        takes = configured.settings().durations
        replaces = any(each.server.launched for each in self.participants)
        return [
            (takes.job_pending, self._start),
            *([(0.0, self._begin_cleanup), (takes.cleanup, self._cleaned)] if replaces else []),
            (0.0, self._begin_snapshot),
            (takes.snapshot, self._snapshotted),
            (takes.conversion, self._converted),
            (takes.launch, self._launched),
        ]

    def _cleaned(self, at: float) -> None:
        for each in self.participants:
            self._clean_up(at, each)

    def _begin_snapshot(self, at: float) -> None:
        for each in self.participants:
            each.data_as_of = each.server.replica(at).data_as_of
            self._note(at, "SNAPSHOT_START", each)

    def _snapshotted(self, at: float) -> None:
        for each in self.participants:
            self._note(at, "SNAPSHOT_END", each)
            self._note(at, "CONVERSION_START", each, conversionServerID=each.conversion_server)

    def _converted(self, at: float) -> None:
        for each in self.participants:
            self._note(at, "CONVERSION_END", each, conversionServerID=each.conversion_server)
            self._note(at, "LAUNCH_START", each)

    def _launched(self, at: float) -> None:
        for each in self.participants:
            self._launch(at, each)
        self._end(at)

    def _launch(self, at: float, participant: Participant) -> None:
        server, world, settings = participant.server, configured.world(), configured.settings()
        fault = world.launch_fault(server.machine.user_provided_id, self.kind)
        try:
            if fault is None:
                participant.instance_id = self.ec2.launch(server)
        except Ec2RefusalError as error:
            fault = str(error)
        if participant.instance_id is None:
            participant.launch_status = "FAILED"
            self._note(at, "LAUNCH_FAILED", participant, rawError=fault)
            return
        participant.launch_status = "LAUNCHED"
        booted_at = at + settings.real(settings.durations.first_boot)
        server.launched = Launched(participant.instance_id, self.id, booted_at)
        data_as_of = at if participant.data_as_of is None else participant.data_as_of
        world.launched(server.id, server.machine.user_provided_id, participant.instance_id, self.kind, data_as_of)


class TestLaunch(LaunchJob):
    initiated_by = "START_TEST"
    kind = "test"


class CutoverLaunch(LaunchJob):
    initiated_by = "START_CUTOVER"
    kind = "cutover"


class Termination(Job):
    """Terminates what earlier jobs launched."""

    type = "TERMINATE"
    initiated_by = "TERMINATE"

    def _line(self) -> list[tuple[float, Step]]:
        takes = configured.settings().durations
        return [
            (takes.job_pending, self._start),
            (0.0, self._begin_cleanup),
            (takes.terminate, self._terminated),
        ]

    def _terminated(self, at: float) -> None:
        for each in self.participants:
            launched = each.server.launched
            each.instance_id = launched.instance_id if launched else None
            each.launch_status = "TERMINATED" if self._clean_up(at, each) else "FAILED"
        self._end(at)
