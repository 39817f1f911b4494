"""The gate: evidence, approvals, the cutover window, and the DNS records' time to live."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.dns import ChangeRecords, DomainNameSystem, RecordChange
    from activities.mgn import ApplicationMigration, AwaitReplication, ObserveReplication, ReplicationObserved
    from activities.watching import ReplicationChanged, ReplicationWatch, WatchReplication
    from migration import policies
    from migration.canonical import sha256_hex
    from migration.ports import RecordSet
    from migration.request import RollbackTo
    from migration.status import Awaiting, Phase, Window
    from migration.steps import Step
    from workflows.context import Context, Scene
    from workflows.saga import RestoreNames, Stop
    from workflows.tickets import ChangeControl
    from workflows.together import together


class TestAgain(Exception):  # noqa: N818  a turn of the story, never seen outside
    """The test launch is older than the request allows: it is made again."""

    __test__ = False  # not a test class, whatever its name says to pytest


class Gate(Scene):
    """Opens when enough people agree and the time has come; shows what they agree to."""

    def __init__(self, context: Context) -> None:
        """Guard one migration's cutover."""
        super().__init__(context)
        self._change = ChangeControl(context)
        self._lowered_at: datetime | None = None
        self._opened = False
        self._changed: ReplicationChanged | None = None

    async def pass_through(self) -> None:
        """Wait for the quorum and the window, with the DNS TTL lowered in time; changed evidence is shown anew."""
        self._status.approvals, self._status.evidence_hash = [], None  # what was seen before is not approved now
        while not self._opened:
            self._changed = None
            await self._publish_evidence()
            await together(
                lambda: self._opened or self._changed is not None,
                self._open_in_time(),  # first: who is awaited is told before anything else is waited for
                self._change.note(Step.APPROVE, f"at the gate, with the evidence {self._status.evidence_hash}"),
                self._watch_evidence(),
                self._test_grows_old(),
                summary="approval of the cutover, its window, or changed evidence",
            )
            self._context.heed()
            if self._changed is not None and not self._opened:
                await self._start_over(self._changed)

    async def _open_in_time(self) -> None:
        while not self._opened:
            await self._quorum()
            if self._lowered_at is None and self._lowerable():
                await self._lower_ttl_in_time()
            await self._until(self._may_start(), "the window, and the old DNS TTL, to be waited out")
            await self._context.until_resumed()
            await self._change.allows()
            self._opened = self._is_open()

    # --- evidence --------------------------------------------------------------------------------------------

    async def _publish_evidence(self) -> None:
        observed = await self._context.do(
            ApplicationMigration.observe_replication,
            ObserveReplication(where=self._context.where, source_server_ids=self._context.record_ids),
            policies.READ,
            "replication lag for the evidence",
        )
        remember_replication(self._context, observed)
        status = self._status
        hooks = [result.model_dump(mode="json", by_alias=True) for result in status.hooks]
        status.evidence = {
            "migrationId": status.migration_id,
            "generation": status.generation,
            "entry": self._journal.progress(Step.APPROVE).entry,
            "servers": [server.model_dump(mode="json", by_alias=True) for server in status.servers],
            "test": status.test and status.test.model_dump(mode="json", by_alias=True),
            "testReason": self._request.test.reason,
            "findings": [finding.model_dump(mode="json", by_alias=True) for finding in status.findings],
            "acknowledged": [known.model_dump(mode="json", by_alias=True) for known in status.acknowledged],
            **({"hooks": hooks} if hooks else {}),
            "undo": [line.model_dump(mode="json", by_alias=True) for line in status.undo],
        }
        status.evidence_hash = sha256_hex(status.evidence)

    async def _watch_evidence(self) -> None:
        """Until replication is not what the approvers saw."""
        watch = WatchReplication(
            where=self._context.where,
            user_provided_ids=tuple(source.user_provided_id for source in self._context.sources),
            source_server_ids=self._context.record_ids,
            max_lag=self._request.replication.max_lag,
            patience=policies.LAG_PATIENCE,
        )
        self._changed = await self._context.do(
            ReplicationWatch.watch_replication, watch, policies.WAIT, "watch what the approvers see"
        )

    async def _test_grows_old(self) -> None:
        test = self._status.test
        if test is not None:
            left = test.at + self._request.test.max_age - workflow.now()
            await workflow.sleep(max(left, policies.NO_LAG), summary="the test launch counts for so long")
            raise TestAgain

    async def _start_over(self, changed: ReplicationChanged) -> None:
        """Approvals were for something else: replication has to come back first, and a new machine to a new start."""
        self._context.desk.lapse(changed.reason)
        if changed.replaced:
            raise ApplicationError(changed.reason, type="SourcePreparationError", non_retryable=True)
        replication = self._request.replication
        observed = await self._context.do(
            ApplicationMigration.await_replication,
            AwaitReplication(
                where=self._context.where,
                source_server_ids=self._context.record_ids,
                max_lag=replication.max_lag,
                stable_observations=replication.stable_observations,
                until=workflow.now() + replication.deadline,
            ),
            policies.waiting(replication.deadline),
            "wait for replication to be as it was",
        )
        remember_replication(self._context, observed)

    # --- approvals -------------------------------------------------------------------------------------------

    async def _quorum(self) -> None:
        """Wait until enough approvals hold."""
        rules = self._request.approval
        if rules is None or self._context.desk.quorum(workflow.now()):
            return
        window = self._window()
        awaiting = Awaiting(
            what="approve",
            message=f"{rules.minimum} approval(s) of the cutover",
            who=tuple(rules.approvers),
            needed=rules.minimum,
            choices=("approve", "reject", "rollback", "abandon", "reschedule"),
            until=window.latest_start if window else None,
        )
        self._journal.phase(Phase.AWAITING_APPROVAL, "waiting for approval of the cutover", awaiting)
        await self._context.decided(lambda: self._context.desk.quorum(workflow.now()), "approval of the cutover")
        self._journal.phase(Phase.AWAITING_APPROVAL, "approved")

    # --- window ----------------------------------------------------------------------------------------------

    def _window(self) -> Window | None:
        if self._status.window is None and self._request.cutover_window is not None:
            asked = self._request.cutover_window
            takes = self._status.test.took if self._status.test else policies.NO_LAG
            self._status.window = Window.between(asked.not_before, asked.not_after, takes)
        return self._status.window

    def _may_start(self) -> datetime:
        """The earliest moment at which the source may be stopped."""
        window = self._window()
        earliest = window.not_before if window else workflow.now()
        if self._lowered_at is None:
            return earliest
        return max(earliest, self._lowered_at + self._old_ttl() + policies.DNS_MARGIN)

    def _is_open(self) -> bool:
        now, window = workflow.now(), self._window()
        in_window = window is None or window.not_before <= now < window.latest_start
        return in_window and now >= self._may_start() and self._context.desk.quorum(now)

    async def _until(self, moment: datetime, what: str) -> None:
        """Wait until that moment, or until the window is moved; a window that has passed has to be moved."""
        window = self._window()
        if window is not None and max(workflow.now(), moment) >= window.latest_start:
            await self._ask_for_another_window(window)
            return
        pause = moment - workflow.now()
        if pause <= timedelta(0):
            return
        self._journal.changed(f"approved; waiting until {moment:%Y-%m-%d %H:%M:%S %Z} for {what}")
        try:
            await workflow.wait_condition(lambda: self._window() != window, timeout=pause, timeout_summary=what[:200])
        except TimeoutError:
            return

    async def _ask_for_another_window(self, window: Window) -> None:
        awaiting = Awaiting(
            what="reschedule",
            message=f"the cutover cannot start by {window.latest_start:%Y-%m-%d %H:%M:%S %Z}, the latest it may",
            choices=("reschedule", "rollback", "abandon"),
        )
        self._journal.phase(Phase.AWAITING_DECISION, "the cutover window has passed", awaiting)
        await self._context.decided(lambda: self._window() != window, "another window")
        self._journal.phase(Phase.AWAITING_APPROVAL, "rescheduled")

    # --- time to live ----------------------------------------------------------------------------------------

    def _lowerable(self) -> list[tuple[int, RecordSet]]:
        """Records that exist with a longer time to live than the request wants: their place, and how they are."""
        wanted = self._request.dns
        return [
            (name.index, name.before)
            for name in self._context.names
            if name.before is not None and name.before.ttl > wanted[name.index].ttl
        ]

    def _old_ttl(self) -> timedelta:
        return timedelta(seconds=max((before.ttl for _, before in self._lowerable()), default=0))

    async def _lower_ttl_in_time(self) -> None:
        """Lower the TTL so early that the old one has run out when the window opens."""
        ahead = self._old_ttl() + policies.DNS_MARGIN
        while (window := self._window()) is not None and workflow.now() < window.not_before - ahead:
            await self._until(window.not_before - ahead, "the DNS TTL to be lowered")
        changes = tuple(
            RecordChange(
                provider=self._request.dns[index].provider,
                key=self._context.record_key(index),
                before=before,
                after=RecordSet(ttl=self._request.dns[index].ttl, values=before.values),
            )
            for index, before in self._lowerable()
        )
        mark = self._context.mark(Step.APPROVE)
        self._context.register(
            RestoreNames(
                step=Step.APPROVE,
                what="put the DNS records' time to live back",
                mark=mark,
                changes=tuple(swapped(change) for change in changes),
            )
        )
        await self._context.do(
            DomainNameSystem.change_records,
            ChangeRecords(mark=mark, changes=changes),
            policies.ACT,
            "lower the DNS TTL",
        )
        self._lowered_at = workflow.now()


@asynccontextmanager
async def within_window(context: Context) -> AsyncIterator[None]:
    """Turn back to the gate at the last moment at which that still fits into the window."""
    guard = asyncio.create_task(_turn_back_in_time(context))
    try:
        yield
    finally:
        guard.cancel()


async def _turn_back_in_time(context: Context) -> None:
    window = context.journal.status.window
    if window is None:
        return
    await workflow.sleep(max(window.latest_turn_back - workflow.now(), policies.NO_LAG), summary="time to turn back")
    turn_back_to_gate(context, f"at {window.latest_turn_back} a rollback has to begin to fit into the window")


def turn_back_to_gate(context: Context, reason: str) -> None:
    """End the cutover where it stands, unless users are already sent to the target or somebody turns back already."""
    if context.desk.stop is None and context.journal.status.divergence_since is None:
        context.desk.turn_back(Stop(outcome=Phase.ROLLED_BACK, to=RollbackTo.READY, reason=reason))


def swapped(change: RecordChange) -> RecordChange:
    """The change that takes this one back."""
    return change.model_copy(update={"before": change.after, "after": change.before})


def remember_replication(context: Context, observed: ReplicationObserved) -> None:
    """Let the status show the replication that was seen."""
    for seen in observed.servers:
        for server in context.servers:
            if server.source_server_id == seen.source_server_id:
                server.life_cycle, server.replication_state = seen.life_cycle, seen.state
                server.lag, server.observed_at = seen.lag, observed.at
