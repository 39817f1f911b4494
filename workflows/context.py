"""What the parts of one migration share: the request, the journal, the decision desk, the undo stack."""

import asyncio
import builtins
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    TimeoutError,  # noqa: A004  Temporal's own, of an activity
)

with workflow.unsafe.imports_passed_through():
    from activities.prerequisites import RecordedName, SourceFacts
    from migration import policies
    from migration.marks import CORRELATION_TAG, MIGRATION_TAG, SERVER_TAG, Mark
    from migration.messages import MessageType
    from migration.policies import ActivityPolicy
    from migration.ports import LaunchTarget, RecordKey, RecordSet, Where
    from migration.request import MigrationRequest, Network, RollbackTo, Server, ToServers
    from migration.status import Awaiting, Phase, ServerProgress, UndoLine
    from migration.steps import Step
    from workflows.desk import DecisionDesk
    from workflows.journal import Journal
    from workflows.saga import Undo, register, rollback_order

Argument = TypeVar("Argument")
Result = TypeVar("Result")


class Context:
    """One migration's shared state, and the only way in which its steps act."""

    def __init__(self, journal: Journal, desk: DecisionDesk) -> None:
        """Begin with an empty undo stack."""
        self.journal = journal
        self.desk = desk
        self.undo: list[Undo] = []
        self.sources: tuple[SourceFacts, ...] = ()
        self.names: tuple[RecordedName, ...] = ()
        self.landed_by: datetime | None = None
        self.settled_by: datetime | None = None

    # --- acting ----------------------------------------------------------------------------------------------

    async def do(
        self, method: Callable[[Any, Argument], Result], argument: Argument, policy: ActivityPolicy, summary: str
    ) -> Result:
        """Do one activity of the way forward, and turn back afterwards if that was asked for meanwhile.

        A step that succeeds swallows the cancellation, so it has to be looked for.
        """
        result: Result = await self.act(method, argument, policy, summary)
        self.heed()
        return result

    async def act(
        self, method: Callable[[Any, Argument], Result], argument: Argument, policy: ActivityPolicy, summary: str
    ) -> Result:
        """Do one activity, and remember until when an attempt that fell silent may still act."""
        if "heartbeat_timeout" in policy:
            await self.silent_acts_have_landed()
        began = workflow.now()
        try:
            result: Result = await workflow.execute_activity_method(method, argument, summary=summary, **policy)
        except ActivityError as error:
            if _an_attempt_may_be_silent(policy, began, error):
                self.landed_by = self.settled_by = _all_landed()
            raise
        if _an_attempt_may_be_silent(policy, began):
            self.settled_by = _all_landed()
        return result

    async def silent_acts_have_landed(self, *, before_undo: bool = False) -> None:
        """Wait until nothing that an attempt which fell silent may still begin can land behind the next look.

        Args:
            before_undo: Nor may an attempt overtake the undo whose act another attempt has done meanwhile.
        """
        moments = (self.landed_by, self.settled_by if before_undo else None)
        landed = max((moment for moment in moments if moment), default=None)
        if landed is None or (pause := landed - workflow.now()) <= timedelta(0):
            return
        self.journal.changed(
            f"an act may have fallen silent: waiting until {landed:%H:%M:%S %Z}, when it can do no more"
        )
        await workflow.sleep(pause, summary="what an act that fell silent may still do")

    def heed(self) -> None:
        """Turn back if anybody asked for it."""
        if self.desk.stop is not None:
            raise asyncio.CancelledError(self.desk.stop.reason)

    def register(self, undo: Undo) -> None:
        """Put an undo on the stack, before its step acts."""
        register(self.undo, undo)
        self.show_undo()

    def show_undo(self) -> None:
        """Let the status say what a rollback would do now, in the order in which it would."""
        whole = rollback_order(self.undo, RollbackTo.START)
        self.journal.status.undo = [UndoLine(kind=u.kind, step=u.step, what=u.what) for u in whole]

    def mark(self, step: Step, part: str | None = None) -> Mark:
        """The mark of what this entry of the step does."""
        status = self.journal.status
        return Mark(
            migration_id=status.migration_id,
            generation=status.generation,
            step=step,
            entry=self.journal.progress(step).entry,
            part=part,
            correlation_id=status.correlation_id,
        )

    # --- waiting for people ----------------------------------------------------------------------------------

    async def decided(self, condition: Callable[[], bool], summary: str, *, until: datetime | None = None) -> None:
        """Wait for a person, who is reminded now and then. Raises TimeoutError when `until` has come."""
        while True:
            pause = self.request.on_failure.remind_every
            if until is not None:
                pause = min(pause, until - workflow.now())
            try:
                await workflow.wait_condition(
                    condition, timeout=max(pause, timedelta(0)), timeout_summary=summary[:200]
                )
            except builtins.TimeoutError:
                if until is not None and workflow.now() >= until:
                    raise
                self.journal.tell(MessageType.DECISION_REMINDER)
            else:
                return

    async def until_resumed(self) -> None:
        """Stand still while an operator wants it and somebody serves the application: there is no hurry then."""
        status = self.journal.status
        if status.paused_by is None or status.down_since is not None:
            return
        phase, message = status.phase, f"paused by {status.paused_by}"
        way_back = () if status.past_point_of_no_return else ("rollback", "abandon")
        awaiting = Awaiting(what="resume", message=message, choices=("resume", *way_back))
        self.journal.phase(Phase.AWAITING_DECISION, message, awaiting)
        await self.decided(lambda: status.paused_by is None, "resume")
        self.journal.phase(phase, "resumed")

    # --- reading the request ---------------------------------------------------------------------------------

    @property
    def request(self) -> MigrationRequest:
        """The request in force."""
        return self.journal.request

    @property
    def where(self) -> Where:
        """The target account and region, and the role to reach them."""
        target = self.request.target
        return Where(account_id=target.account_id, region=target.region, role_arn=target.role_arn)

    @property
    def servers(self) -> list[ServerProgress]:
        """The servers' progress, in the order of the request."""
        return self.journal.status.servers

    @property
    def record_ids(self) -> tuple[str, ...]:
        """The MGN records of all servers."""
        return tuple(server.source_server_id for server in self.servers if server.source_server_id)

    @property
    def instance_ids(self) -> tuple[str, ...]:
        """The instances that the cutover launched."""
        return tuple(server.instance_id for server in self.servers if server.instance_id)

    def tiers(self) -> list[tuple[Server, ...]]:
        """The servers by tier, ascending: the order in which they are launched."""
        numbers = sorted({server.tier for server in self.request.source.servers})
        return [tuple(s for s in self.request.source.servers if s.tier == number) for number in numbers]

    def progress_of(self, server_name: str) -> ServerProgress:
        """One server's progress."""
        return next(server for server in self.servers if server.name == server_name)

    def launch_target(self, server: Server, network: Network) -> LaunchTarget:
        """How a server is launched into that network, tagged so that its instance is found again."""
        settings = self.request.launch_settings(server.name, network)
        tags = {
            **self.request.target.tags,
            MIGRATION_TAG: self.request.migration_id,
            SERVER_TAG: server.name,
            CORRELATION_TAG: self.journal.status.correlation_id,
        }
        private_ip = "copy" if settings.private_ip == server.address else settings.private_ip
        return LaunchTarget(
            name=server.name,
            tags=tags,
            subnet_id=settings.subnet_id,
            security_group_ids=settings.security_group_ids,
            instance_type=settings.instance_type,
            instance_profile=settings.instance_profile,
            private_ip=private_ip,
            boot_mode=settings.boot_mode,
            os_byol=settings.os_byol,
            tenancy=settings.tenancy,
            http_tokens=settings.http_tokens,
            volume_type=settings.volume_type,
        )

    def record_key(self, index: int) -> RecordKey:
        """Which record the request means."""
        record = self.request.dns[index]
        return RecordKey(
            zone=record.zone,
            zone_id=record.zone_id,
            role_arn=record.role_arn,
            name=record.name,
            type=record.type,
            set_identifier=record.set_identifier,
        )

    def record_after(self, index: int) -> RecordSet:
        """What the record says after the switch."""
        record = self.request.dns[index]
        if isinstance(record.to, ToServers):
            values = tuple(sorted(self.progress_of(name).address or "" for name in record.to.servers))
        else:
            values = (getattr(record.to, "address", ""),)
        return RecordSet(ttl=record.ttl, values=values)

    def source_keys(self) -> tuple[str, ...]:
        """How the source servers are claimed."""
        return self.request.source_keys

    def now(self) -> datetime:
        """The workflow's time."""
        return workflow.now()


def _an_attempt_may_be_silent(policy: ActivityPolicy, began: datetime, error: ActivityError | None = None) -> bool:
    """Whether an attempt of this act may have lost its worker's voice, and go on later.

    A silent attempt is only known by the time that it takes to be missed: the act then lasted at least as long, however
    it ended, be it by another attempt or by a cancellation between two of them.
    """
    silence = policy.get("heartbeat_timeout")
    if silence is None:
        return False
    cause = error.cause if error else None
    if isinstance(cause, TimeoutError):
        return True
    if isinstance(cause, ApplicationError) and any(
        isinstance(d, dict) and d.get("attempt") == 1 for d in cause.details
    ):
        return False
    return workflow.now() - began >= silence


def _all_landed() -> datetime:
    return workflow.now() + policies.ACT_BOUND + policies.LONGEST_CALL


class Scene:
    """A part of a migration's story that has a file of its own: it works on the shared state."""

    def __init__(self, context: Context) -> None:
        """Belong to one migration."""
        self._context = context
        self._journal = context.journal
        self._status = context.journal.status

    @property
    def _request(self) -> MigrationRequest:
        return self._context.request
