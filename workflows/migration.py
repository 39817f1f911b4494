"""MigrationWorkflow: the whole story of one application, top to bottom.

`run` takes the request, `_forward` is the runbook, one line a step; the steps follow in the order of the runbook.
How failures, decisions and cancellation turn it back is in `story.py`, what is then undone in `rollback.py`.
"""

import asyncio

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.mgn import (
        ApplicationMigration,
        AwaitReplication,
        ConfigureReplication,
        FindSourceServers,
        ServerTags,
        SourceServers,
    )
    from activities.prerequisites import CheckPrerequisites, PrerequisiteChecks
    from activities.source import (
        AgentTarget,
        InstallAgents,
        Sources,
    )
    from activities.state import ClaimMigration, MigrationState
    from migration import policies
    from migration.findings import Severity
    from migration.marks import SERVER_TAG
    from migration.messages import MessageType
    from migration.ports import ReplicationSettings
    from migration.request import (
        AgentInstall,
        CheckTime,
        HookTime,
        Network,
        SoakEnd,
        SourceAfter,
        TestMode,
        Warnings,
        request_hash,
    )
    from migration.status import Awaiting, MigrationResult, MigrationStatus, Phase, Side, TestLaunch
    from migration.steps import Step
    from workflows.carried import Carried
    from workflows.cutover import Cutover
    from workflows.gate import Gate, remember_replication, within_window
    from workflows.hooks import Hooks
    from workflows.launches import Launches
    from workflows.retirement import Retirement
    from workflows.saga import (
        EndTest,
        RemoveReplication,
    )
    from workflows.soak import Watch
    from workflows.story import Story
    from workflows.switch import Switch
    from workflows.tickets import ChangeControl


@workflow.defn
class MigrationWorkflow(Story):
    """Moves one application into AWS, or leaves it where it was; never half of both."""

    @workflow.run
    async def run(self, payload: RawValue) -> MigrationResult:
        """Tell the story to its end.

        It runs in a task of its own, which a cancellation of the workflow does not reach: that is heard as one
        more reason to turn back.
        """
        self._begin(payload)
        story = asyncio.create_task(self._tell())
        while not story.done():
            try:
                await workflow.wait([story, *self._publishers], return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError:
                if workflow.cancellation_reason() is None:
                    raise
                self._hear_cancellation()
            for publisher in self._publishers:
                if publisher.done():
                    publisher.result()  # it never ends by itself: a bug must suspend, not go unseen
        result = story.result()
        if result.status is Phase.CANCELLED and self._status.cancel_requested:
            raise asyncio.CancelledError(result.message)
        return result

    @workflow.query(description="The whole state: steps, servers, evidence, who must act, what a rollback would do")
    def status(self) -> MigrationStatus:
        """Answer with the migration's status."""
        if self._desk is None:
            raise ApplicationError("the request was refused: the workflow's failure says why", type="ValidationError")
        return self._status

    @workflow.query(description="What another run would need to take over from this one")
    def carried(self) -> Carried:
        """Answer with what the migration would carry to its next run."""
        if self._desk is None:
            raise ApplicationError("the request was refused: the workflow's failure says why", type="ValidationError")
        return self._carried()

    @property
    def _launches(self) -> Launches:
        return Launches(self._context)

    async def _hooks(self, place: HookTime, step: Step) -> None:
        await Hooks(self._context).run(place, self._context.mark(step))

    async def _forward(self) -> None:
        """The runbook."""
        await self._step(Step.VALIDATE, self._validate)
        await self._step(Step.PREPARE, self._prepare)
        await self._step(Step.REPLICATE, self._replicate, long=True)
        await self._step(Step.TEST, self._test)
        await self._step(Step.APPROVE, self._approve, long=True)
        async with within_window(self._context):
            await self._step(Step.CUTOVER, self._cutover)
            await self._step(Step.VERIFY, self._verify)
            await self._step(Step.SWITCH, self._switch)
        await self._step(Step.SOAK, self._soak, long=True)
        await self._step(Step.FINALIZE, self._finalize)
        await self._step(Step.DECOMMISSION, self._decommission)

    # --- validate --------------------------------------------------------------------------------------------

    async def _validate(self) -> None:
        """Claim the id and the servers, then check everything that can be checked without touching anything."""
        await self._claim()
        checked = await self._context.do(
            PrerequisiteChecks.check_prerequisites,
            CheckPrerequisites(request=self._request, mark=str(self._context.mark(Step.VALIDATE))),
            policies.READ,
            "check the prerequisites",
        )
        self._status.findings = list(checked.findings)
        self._context.sources, self._context.names = checked.sources, checked.names
        for server, source in zip(self._context.servers, checked.sources, strict=False):
            server.user_provided_id = source.user_provided_id
        if critical := [f.message for f in checked.findings if f.severity is Severity.CRITICAL]:
            raise ApplicationError("; ".join(critical), type="PrerequisiteError", non_retryable=True)

    async def _claim(self) -> None:
        """From the first asking on there may be a claim to give back, whether or not its answer ever comes."""
        self._claimed = True
        granted = await workflow.execute_activity_method(
            MigrationState.claim_migration,
            ClaimMigration(
                migration_id=self._request.migration_id,
                request_hash=request_hash(self._request),
                first_run_id=self._first_run_id,
                server_keys=self._context.source_keys(),
                again=workflow.memo_value("again", default=False, type_hint=bool),
            ),
            summary="claim the migration id and its servers",
            **policies.CLAIM,
        )
        if granted.generation != self._status.generation:  # a run that was taken over may have told of it
            self._status.generation = granted.generation
            self._journal.tell(MessageType.REQUESTED)
        self._context.heed()

    # --- prepare ---------------------------------------------------------------------------------------------

    async def _prepare(self) -> None:
        """Agents on, registered, configured, replicating."""
        await self._acknowledged()
        mark = self._context.mark(Step.PREPARE)
        agents = self._agent_targets()
        self._context.register(
            RemoveReplication(
                step=Step.PREPARE,
                what="take the servers out of replication",
                mark=mark,
                user_provided_ids=tuple(
                    source.user_provided_id
                    for source in self._context.sources
                    if source.user_provided_id in {agent.user_provided_id for agent in agents}
                    and not source.registered_before
                ),
            )
        )
        if agents:
            install = InstallAgents(where=self._context.where, mark=mark, targets=agents)
            await self._context.do(Sources.install_agents, install, policies.ACT, "install the replication agents")
        await self._find_records()
        await self._configure_replication()

    async def _acknowledged(self) -> None:
        """Warnings wait for a person before anything is touched, unless the request ignores them."""
        if self._request.warnings is Warnings.IGNORE or not self._status.open_warnings:
            return
        message = f"warnings to acknowledge: {', '.join(warning.key for warning in self._status.open_warnings)}"
        awaiting = Awaiting(what="acknowledge", message=message, choices=("acknowledge", "abandon"))
        self._journal.phase(Phase.AWAITING_DECISION, message, awaiting)
        await self._context.decided(lambda: not self._status.open_warnings, "acknowledgement of warnings")
        self._journal.phase(Phase.PREPARING, "warnings acknowledged")

    def _agent_targets(self) -> tuple[AgentTarget, ...]:
        return tuple(
            AgentTarget(
                server=server.name,
                managed_instance_id=source.managed_instance_id or "",
                os=server.os,
                user_provided_id=source.user_provided_id,
            )
            for server, source in zip(self._request.source.servers, self._context.sources, strict=True)
            if server.agent_install is AgentInstall.SSM
        )

    async def _find_records(self) -> None:
        found = await self._context.do(
            ApplicationMigration.find_source_servers,
            FindSourceServers(
                where=self._context.where,
                user_provided_ids=tuple(source.user_provided_id for source in self._context.sources),
                since=workflow.now(),
                within=policies.AGENT_REGISTERS_WITHIN,
            ),
            policies.waiting(policies.AGENT_REGISTERS_WITHIN),
            "wait for the agents to register",
        )
        for server, record_id in zip(self._context.servers, found.source_server_ids, strict=True):
            server.source_server_id = record_id

    async def _configure_replication(self) -> None:
        request, replication = self._request, self._request.replication
        tags = {**request.target.tags, **self._context.mark(Step.PREPARE).tags()}
        configure = ConfigureReplication(
            where=self._context.where,
            servers=tuple(
                ServerTags(source_server_id=server.source_server_id or "", tags={**tags, SERVER_TAG: server.name})
                for server in self._context.servers
            ),
            settings=ReplicationSettings(
                staging_subnet_id=request.staging_subnet_id,
                kms_key_id=replication.kms_key_id,
                bandwidth_mbps=replication.bandwidth_mbps,
                staging_tags=request.target.tags,
            ),
            application=request.app_name,
            wave=request.wave_id,
        )
        await self._context.do(
            ApplicationMigration.configure_replication, configure, policies.ACT, "configure and start replication"
        )

    # --- replicate -------------------------------------------------------------------------------------------

    async def _replicate(self) -> None:
        """Hours to weeks: until every server is launchable and its lag stays small."""
        replication = self._request.replication
        started = self._journal.progress(Step.REPLICATE).started or workflow.now()
        observed = await self._context.do(
            ApplicationMigration.await_replication,
            AwaitReplication(
                where=self._context.where,
                source_server_ids=self._context.record_ids,
                max_lag=replication.max_lag,
                stable_observations=replication.stable_observations,
                until=started + replication.deadline,
            ),
            policies.waiting(started + replication.deadline - workflow.now()),
            "wait for replication",
        )
        remember_replication(self._context, observed)

    # --- test ------------------------------------------------------------------------------------------------

    async def _test(self) -> None:
        """Launch into the test network, look, mark ready, then terminate: MGN refuses to terminate in TESTING."""
        mark, started = self._context.mark(Step.TEST), self._journal.progress(Step.TEST).started or workflow.now()
        if mark.entry > 1:
            await self._launches.change_life_cycle("READY_FOR_TEST")
        if self._request.test.mode is TestMode.LAUNCH:
            self._context.register(
                EndTest(
                    step=Step.TEST,
                    what="end the test and terminate its instances",
                    mark=mark,
                    source_server_ids=self._context.record_ids,
                )
            )
            await self._launches.set_targets(Step.TEST, Network.TEST)
            launched = await self._launches.launch(Step.TEST, self._context.record_ids)
            for server in launched.servers:
                self._launches.server_of(server.source_server_id).test_instance_id = server.instance_id
            instance_ids = tuple(server.instance_id for server in launched.servers)
            checks = await self._launches.healthy(CheckTime.TEST, instance_ids)
            now = workflow.now()
            self._status.test = TestLaunch(job_id=launched.job_id, at=now, took=now - started, checks=checks)
        await self._launches.change_life_cycle("READY_FOR_CUTOVER")
        if self._request.test.mode is TestMode.LAUNCH:
            await self._launches.terminate_test_instances()

    # --- approve ---------------------------------------------------------------------------------------------

    async def _approve(self) -> None:
        """Evidence, quorum, window, and the DNS TTL lowered in time."""
        await Gate(self._context).pass_through()

    # --- cutover ---------------------------------------------------------------------------------------------

    async def _cutover(self) -> None:
        """Stop the source, and only then launch the target: at no instant can both accept work."""
        await self._launches.set_targets(Step.CUTOVER, Network.PRODUCTION)
        if self._journal.progress(Step.CUTOVER).entry > 1:
            await self._launches.change_life_cycle("READY_FOR_CUTOVER")
        cutover = Cutover(self._context)
        cutover.still_in_window()
        cutover.register_way_back()
        await cutover.quieten()
        for tier in reversed(self._context.tiers()):
            await cutover.shut_down(tier)
        await self._hooks(HookTime.AFTER_QUIESCE, Step.CUTOVER)
        await cutover.snapshot_sources()
        for number, tier in enumerate(self._context.tiers(), start=1):
            await cutover.launch_tier(number, tier)
        await self._hooks(HookTime.AFTER_LAUNCH, Step.CUTOVER)

    # --- verify ----------------------------------------------------------------------------------------------

    async def _verify(self) -> None:
        """EC2's status checks, then the application's own, by instance address."""
        checks = await self._launches.healthy(CheckTime.VERIFY, self._context.instance_ids)
        self._status.checks = list(checks)

    # --- switch ----------------------------------------------------------------------------------------------

    async def _switch(self) -> None:
        """Users follow DNS to the target. From the first record on it may take writes that the source lacks."""
        switch = Switch(self._context)
        await switch.note_addresses()
        await self._hooks(HookTime.BEFORE_SWITCH, Step.SWITCH)
        await switch.protect()
        await switch.names()
        self._journal.served_by(Side.TARGET)
        await ChangeControl(self._context).note(Step.SWITCH, "users are sent to the target")
        await switch.record_move()
        await self._hooks(HookTime.AFTER_SWITCH, Step.SWITCH)

    # --- soak ------------------------------------------------------------------------------------------------

    async def _soak(self) -> None:
        """Watch the application on the target; a person, or the end of the time, commits."""
        soak, desk = self._request.soak, self._context.desk
        started = self._journal.progress(Step.SOAK).started or workflow.now()
        watch = Watch(self._context)
        await watch.until(started + soak.for_)
        if soak.end is SoakEnd.COMMIT or desk.committed_by is not None:
            return
        message = "the soak is over: commit, or roll back"
        awaiting = Awaiting(what="commit", message=message, choices=("commit", "rollback", "abandon"))
        self._journal.phase(Phase.SOAKING, message, awaiting)
        while desk.committed_by is None:
            await watch.until(workflow.now() + self._request.on_failure.remind_every)
            if desk.committed_by is None:
                self._journal.tell(MessageType.DECISION_REMINDER)

    # --- finalize --------------------------------------------------------------------------------------------

    async def _finalize(self) -> None:
        """The point of no return: nothing is undone after it, so the undo stack goes first."""
        self._context.heed()
        self._status.past_point_of_no_return = True
        self._context.undo = []
        self._context.show_undo()
        self._journal.changed("past the point of no return")
        request = SourceServers(where=self._context.where, source_server_ids=self._context.record_ids)
        await self._only_forward(
            ApplicationMigration.finalize_cutover, request, "finalize the cutover in MGN", skippable=False
        )
        await ChangeControl(self._context).succeeded()

    # --- decommission ----------------------------------------------------------------------------------------

    async def _decommission(self) -> None:
        """After the grace period the source is retired, and MGN's records are archived."""
        await self._renew("grace")
        started = self._journal.progress(Step.DECOMMISSION).started or workflow.now()
        retirement = Retirement(self._context, self._only_forward)
        await retirement.grace(started + self._request.grace)
        await self._insist(
            lambda: self._hooks(HookTime.BEFORE_DECOMMISSION, Step.DECOMMISSION), "run the hooks before decommission"
        )
        records = SourceServers(where=self._context.where, source_server_ids=self._context.record_ids)
        await self._only_forward(ApplicationMigration.archive, records, "archive the MGN records")
        if self._request.source_after is SourceAfter.DELETE:
            await retirement.approve_deletion()
        if self._status.source_kept_by is not None:
            self._journal.changed(f"the source is kept as it is, as {self._status.source_kept_by} wants it")
            return
        self._status.source_retiring = True
        await retirement.snapshots()
        if self._request.source_after is not SourceAfter.KEEP:
            await retirement.source()
        await retirement.items()
