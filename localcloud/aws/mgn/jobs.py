"""Jobs: launches and terminations, as a line of steps in time that somebody's look carries out."""

import logging
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from . import settings as configured
from .actions import in_order
from .events import LAUNCH_RESULT, EventBus
from .formats import new_id, stamped, timestamp
from .hooks import LaunchKind, ask
from .post_launch import KINDS, Ordered, PostLaunch
from .servers import Launched, SourceServer, shown_tags
from .target_account import Ec2RefusalError, TargetAccount

Step = Callable[[float], None]

_NO_SNAPSHOTS = frozenset({"SNAPSHOTS_FAILURE", "LAST_SNAPSHOT_JOB_FAILED"})
_LOG = logging.getLogger(__name__)


@dataclass
class Participant:
    """One server in a job."""

    server: SourceServer
    launch_status: str = "PENDING"
    instance_id: str | None = None
    conversion_server: str = field(default_factory=lambda: new_id("i"))
    data_as_of: float | None = None
    post_launch: PostLaunch | None = None

    def describe(self, now: float) -> dict[str, Any]:
        answer: dict[str, Any] = {"sourceServerID": self.server.id, "launchStatus": self.launch_status}
        if self.instance_id:
            answer["launchedEc2InstanceID"] = self.instance_id
        if self.post_launch:
            answer["postLaunchActionsStatus"] = self.post_launch.describe(now)
        return answer


class Job:
    """A job; what kinds differ in is their steps.

    A job ends COMPLETED whatever became of its servers: there is no failed job in the service model.
    """

    type: str
    initiated_by: str
    broken: str
    """The event that says that a server could not be dealt with."""

    def __init__(
        self, arn: str, serial: int, servers: list[SourceServer], tags: dict[str, str], at: float, ec2: TargetAccount
    ) -> None:
        self.arn, self.id, self.serial = arn, arn.rpartition("/")[2], serial
        self.participants = [Participant(server) for server in servers]
        self.tags, self.created, self.ec2 = dict(tags), at, ec2
        self.bus = EventBus(ec2.account_id, ec2.region)
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

    def proceed(self) -> None:
        """Take the next step; one that cannot be taken ends the job, so that its servers are free again."""
        at, step = self.due.popleft()
        try:
            step(at)
        except Exception as error:  # noqa: BLE001  whatever it is, the servers must be free again
            _LOG.exception("job %s could not go on", self.id)
            for each in self._going():
                self._fail(at, each, self.broken, rawError=f"{type(error).__name__}: {error}")
        if self.active and not self._goes_on:
            self._end(at)

    @property
    def _goes_on(self) -> bool:
        return any(self._going())

    def describe(self, now: float) -> dict[str, Any]:
        return {
            "jobID": self.id,
            "arn": self.arn,
            "type": self.type,
            "initiatedBy": self.initiated_by,
            "status": self.status,
            **stamped(creationDateTime=self.created, endDateTime=self.ended),
            "participatingServers": [each.describe(now) for each in self.participants],
            "tags": shown_tags(self),
        }

    def _going(self) -> Iterator[Participant]:
        """The servers that nothing has become of yet."""
        return (each for each in self.participants if each.launch_status in {"PENDING", "IN_PROGRESS"})

    def _start(self, at: float) -> None:
        self.status = "STARTED"
        for each in self.participants:
            each.launch_status = "IN_PROGRESS"
        self._note(at, "JOB_START")

    def _end(self, at: float) -> None:
        """End, when nothing is left to wait for."""
        self._note(at, "JOB_END")
        self.status, self.ended = "COMPLETED", at
        self.due.clear()

    def _note(self, at: float, event: str, participant: Participant | None = None, **data: str | None) -> None:
        event_data = {name: value for name, value in data.items() if value}
        if participant:
            event_data["sourceServerID"] = participant.server.id
        self.log.append({"logDateTime": timestamp(at), "event": event, "eventData": event_data})

    def _fail(self, at: float, participant: Participant, event: str, **data: str | None) -> None:
        self._note(at, event, participant, **data)
        participant.launch_status = "FAILED"

    def _clean_up(self, at: float, participant: Participant) -> bool:
        """Terminate the instance that an earlier job launched; false when EC2 refuses."""
        server, instance_id = participant.server, participant.server.instance_id
        if server.launched is None or instance_id is None:
            return True
        try:
            self.ec2.terminate(instance_id)
        except Ec2RefusalError as error:
            self._note(at, "CLEANUP_FAIL", participant, targetInstanceID=instance_id, rawError=str(error))
            return False
        server.launched.terminated = True
        if configured.settings().terminated_instance == "cleared":
            server.launched = None
        self._note(at, "CLEANUP_END", participant, targetInstanceID=instance_id)
        ask(configured.world().terminated, instance_id, otherwise=None)
        return True

    def _begin_cleanup(self, at: float) -> None:
        for each in self.participants:
            if each.server.instance_id:
                self._note(at, "CLEANUP_START", each, targetInstanceID=each.server.instance_id)


class LaunchJob(Job):
    """Launches the servers from a snapshot of their data; the instances of earlier launches are terminated first."""

    type = "LAUNCH"
    broken = "LAUNCH_FAILED"
    kind: LaunchKind
    reverts_to: str

    def _line(self) -> list[tuple[float, Step]]:
        takes = configured.settings().durations
        replaces = any(each.server.instance_id for each in self.participants)
        return [
            (takes.job_pending, self._start),
            *([(0.0, self._begin_cleanup), (takes.cleanup, self._cleaned)] if replaces else []),
            (0.0, self._begin_snapshot),
            (takes.snapshot, self._snapshotted),
            (takes.conversion, self._converted),
            (takes.launch, self._launched),
        ]

    def _cleaned(self, at: float) -> None:
        for each in self._going():
            self._clean_up(at, each)

    def _begin_snapshot(self, at: float) -> None:
        for each in self._going():
            each.data_as_of = each.server.replica(at).data_as_of
            if each.data_as_of is None:
                # There was a whole copy at the call; a new key of its volumes, say, has undone it since.
                self._fail(at, each, "SERVER_SKIPPED")
            else:
                self._note(at, "SNAPSHOT_START", each)

    def _snapshotted(self, at: float) -> None:
        for each in self._going():
            copy = each.server.replica(at)
            fault = self._planned(configured.faults().snapshot_fault, each)
            if fault is None and copy.trouble and copy.trouble.code in _NO_SNAPSHOTS:
                fault = copy.trouble.raw_error or copy.trouble.code
            if fault is None:
                self._note(at, "SNAPSHOT_END", each)
            else:
                self._note(at, "SNAPSHOT_FAIL", each, rawError=fault)
                self._note(at, "USING_PREVIOUS_SNAPSHOT", each)
                each.data_as_of = copy.snapshot or each.data_as_of
            self._note(at, "CONVERSION_START", each, conversionServerID=each.conversion_server)

    def _converted(self, at: float) -> None:
        for each in self._going():
            fault = self._planned(configured.faults().conversion_fault, each)
            if fault is not None:
                self._fail(at, each, "CONVERSION_FAIL", conversionServerID=each.conversion_server, rawError=fault)
                continue
            self._note(at, "CONVERSION_END", each, conversionServerID=each.conversion_server)
            self._note(at, "LAUNCH_START", each)

    def _launched(self, at: float) -> None:
        for each in self._going():
            self._launch(at, each)
        waits_for = [each.post_launch.ends for each in self.participants if each.post_launch]
        if waits_for and configured.settings().post_launch == "inJob":
            self.due.append((max(waits_for), self._end))

    @property
    def _goes_on(self) -> bool:
        waits = bool(self.due) and self.due[-1][1] == self._end
        return waits or super()._goes_on

    def _planned(self, hook: Callable[[str, LaunchKind], str | None], participant: Participant) -> str | None:
        return ask(hook, participant.server.machine.user_provided_id, self.kind, otherwise=None)

    def _launch(self, at: float, participant: Participant) -> None:
        server, settings = participant.server, configured.settings()
        fault = self._planned(configured.world().launch_fault, participant)
        try:
            participant.instance_id = self.ec2.launch(server) if fault is None else None
        except Ec2RefusalError as error:
            fault = str(error)
        if participant.instance_id is None:
            self._fail(at, participant, "LAUNCH_FAILED", rawError=fault)
            return
        participant.launch_status = "LAUNCHED"
        booted_at = at + settings.real(settings.durations.first_boot)
        server.launched = Launched(participant.instance_id, self.id, booted_at)
        self._plan_actions(at, participant)
        self._tell(at, participant, "SUCCEEDED")
        about = (server.id, server.machine.user_provided_id, participant.instance_id, self.kind)
        data_as_of = at if participant.data_as_of is None else participant.data_as_of
        ask(configured.world().launched, *about, data_as_of, otherwise=None)

    def _plan_actions(self, at: float, participant: Participant) -> None:
        """Plan the post-launch actions, where they are activated for this kind of launch."""
        server = participant.server
        chosen = server.launch_configuration.get("postLaunchActions")
        server.post_launch.pop(self.kind, None)
        if chosen is None or self.kind not in KINDS[chosen.get("deployment", "TEST_AND_CUTOVER")]:
            return
        actions = [self._ordered(server, each, each["ssmDocumentName"]) for each in chosen.get("ssmDocuments", [])]
        put = in_order(server.actions.values())
        actions += [self._ordered(server, each, each["documentIdentifier"]) for each in put]
        started = server.launch_configuration["launchDisposition"] == "STARTED"
        participant.post_launch = server.post_launch[self.kind] = PostLaunch(actions, at, started=started)

    def _ordered(self, server: SourceServer, action: Any, document: str) -> Ordered:
        about = (server.machine.user_provided_id, self.kind, action["actionName"])
        fault = ask(configured.faults().action_fault, *about, otherwise=None)
        named = [each["parameterName"] for values in action.get("parameters", {}).values() for each in values]
        missing = [name for name in named if not self.ec2.has_parameter(name)]
        return Ordered(
            action_name=action["actionName"],
            document_name=document,
            document_type=self.ec2.document_type(document),
            execution_id=str(uuid4()),
            settings=action,
            fault=fault or (f"ParameterNotFound: {', '.join(missing)}"[:256] if missing else None),
        )

    def _fail(self, at: float, participant: Participant, event: str, **data: str | None) -> None:
        super()._fail(at, participant, event, **data)
        if configured.settings().failed_launch == "reverts":
            participant.server.state = self.reverts_to
            participant.server.attempts(self.kind).reverted = at
        self._tell(at, participant, "FAILED")

    def _tell(self, at: float, participant: Participant, result: str) -> None:
        detail = {"state": f"{self.kind.upper()}_LAUNCH_{result}", "job-id": self.id}
        self.bus.put(LAUNCH_RESULT, participant.server.arn, detail, at)


class TestLaunch(LaunchJob):
    initiated_by = "START_TEST"
    kind = "test"
    reverts_to = "READY_FOR_TEST"


class CutoverLaunch(LaunchJob):
    initiated_by = "START_CUTOVER"
    kind = "cutover"
    reverts_to = "READY_FOR_CUTOVER"


class Termination(Job):
    """Terminates what earlier jobs launched."""

    type = "TERMINATE"
    initiated_by = "TERMINATE"
    broken = "CLEANUP_FAIL"

    def _line(self) -> list[tuple[float, Step]]:
        takes = configured.settings().durations
        return [
            (takes.job_pending, self._start),
            (0.0, self._begin_cleanup),
            (takes.terminate, self._terminated),
        ]

    def _terminated(self, at: float) -> None:
        for each in self.participants:
            each.instance_id = each.server.instance_id
            each.launch_status = "TERMINATED" if self._clean_up(at, each) else "FAILED"
