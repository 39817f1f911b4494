"""MigrationWorkflow: the whole story of one application, top to bottom.

`run` takes the request, `_forward` is the runbook, one line a step; the steps follow in the order of the runbook.
How failures, decisions and cancellation turn it back is in `story.py`, what is then undone in `rollback.py`.
"""

import asyncio
from contextlib import suppress
from datetime import datetime

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.cmdb import Inventory, ItemMoved, ReadItems, RecordMove, RestoreItems, RetireItems
    from activities.dns import ChangeRecords, DomainNameSystem, RecordChange, WatchRecords
    from activities.health import ApplicationHealth, WatchHealth
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
        ShutDownSources,
        SnapshotSources,
        SourceMachines,
        Sources,
    )
    from activities.target import Instances, Targets
    from migration import policies
    from migration.findings import Severity
    from migration.marks import SERVER_TAG
    from migration.messages import MessageType
    from migration.ports import RecordSet, ReplicationSettings
    from migration.request import (
        AgentInstall,
        CheckTime,
        CmdbSystem,
        Network,
        Server,
        SoakEnd,
        SourceAfter,
        SourceSnapshot,
        TestMode,
        Warnings,
    )
    from migration.status import Awaiting, MigrationResult, MigrationStatus, Phase, Side, TestLaunch
    from migration.steps import Step
    from workflows.carried import Carried
    from workflows.gate import Gate, remember_replication, swapped, turn_back_to_gate, within_window
    from workflows.launches import Launches
    from workflows.saga import (
        AwaitSourceHealth,
        EndCutover,
        EndTest,
        FenceTarget,
        RemoveReplication,
        RemoveSnapshots,
        RestoreInventory,
        RestoreNames,
        RestoreSource,
        UnprotectTarget,
    )
    from workflows.story import Story
    from workflows.together import together


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
                await workflow.wait([story, self._publisher], return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError:
                if workflow.cancellation_reason() is None:
                    raise
                self._hear_cancellation()
            if self._publisher.done():
                self._publisher.result()  # it never ends by itself: a bug must suspend, not go unseen
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
            CheckPrerequisites(request=self._request),
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
        """A claim that is granted to a migration that was told to turn back meanwhile has to be given back too."""
        self._claim_asked = True
        self._status.generation = (await self._claimed_as()).generation
        self._claimed = True
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
        warnings = {f.code for f in self._status.findings if f.severity is Severity.WARNING}
        if self._request.warnings is Warnings.IGNORE or warnings <= set(self._status.acknowledged):
            return
        message = f"warnings to acknowledge: {', '.join(sorted(warnings))}"
        awaiting = Awaiting(what="acknowledge", message=message, choices=("acknowledge", "abandon"))
        self._journal.phase(Phase.AWAITING_DECISION, message, awaiting)
        await self._context.decided(lambda: warnings <= set(self._status.acknowledged), "acknowledgement of warnings")
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
        self._still_in_window()
        self._register_way_back_from_cutover()
        await self._caught_up()
        self._still_in_window()
        self._journal.served_by(Side.NOBODY)
        for tier in reversed(self._context.tiers()):
            await self._shut_down(tier)
        await self._snapshot_sources()
        for number, tier in enumerate(self._context.tiers(), start=1):
            await self._launch_tier(number, tier)

    def _still_in_window(self) -> None:
        window, begun = self._status.window, self._status.down_since is not None
        if window is not None and not begun and workflow.now() >= window.latest_start:
            turn_back_to_gate(self._context, f"the source could not be stopped by {window.latest_start}")
        self._context.heed()

    def _register_way_back_from_cutover(self) -> None:
        context, step, mark = self._context, Step.CUTOVER, self._context.mark(Step.CUTOVER)
        addresses = {server.name: server.address for server in self._request.source.servers}
        ids, sources = context.record_ids, context.sources
        if self._request.source_snapshot is SourceSnapshot.AT_CUTOVER:
            context.register(RemoveSnapshots(step=step, what="remove the source snapshots", mark=mark, sources=sources))
        context.register(
            EndCutover(step=step, what="end the cutover launch and its instances", mark=mark, source_server_ids=ids)
        )
        targets = context.health_targets(CheckTime.VERIFY, addresses)
        if targets:
            context.register(
                AwaitSourceHealth(step=step, what="see the application healthy on the source", targets=targets)
            )
        context.register(RestoreSource(step=step, what="bring the source servers back", sources=sources))
        context.register(FenceTarget(step=step, what="stop the launched instances", source_server_ids=ids))

    async def _caught_up(self) -> None:
        """The last look before the source goes off: continuous, no lag, no backlog.

        A source that an earlier entry has switched off has nothing left to send, and MGN calls it stalled.
        """
        on = tuple(s.source_server_id for s in self._context.servers if s.source_server_id and not s.source_off)
        if not on:
            return
        await self._context.do(
            ApplicationMigration.await_replication,
            AwaitReplication(
                where=self._context.where,
                source_server_ids=on,
                max_lag=policies.NO_LAG,
                stable_observations=1,
                until=workflow.now() + self._request.quiesce.within,
            ),
            policies.waiting(self._request.quiesce.within),
            "wait for replication to catch up",
        )

    async def _shut_down(self, tier: tuple[Server, ...]) -> None:
        names = {server.name for server in tier}
        request = ShutDownSources(
            connection=self._request.source.connection,
            sources=tuple(source for source in self._context.sources if source.server in names),
            within=self._request.quiesce.within,
            disconnect_nics=self._request.quiesce.disconnect_nics,
        )
        await self._context.do(
            Sources.shut_down_sources, request, policies.ACT, f"shut down {', '.join(sorted(names))}"[:200]
        )
        for name in names:
            self._context.progress_of(name).source_off = True

    async def _snapshot_sources(self) -> None:
        if self._request.source_snapshot is SourceSnapshot.AT_CUTOVER:
            await self._context.do(
                Sources.snapshot_sources, self._source_snapshots(), policies.ACT, "snapshot the powered-off source"
            )

    def _source_snapshots(self) -> SnapshotSources:
        return SnapshotSources(
            connection=self._request.source.connection,
            sources=self._context.sources,
            mark=self._context.mark(Step.CUTOVER),
        )

    async def _launch_tier(self, number: int, tier: tuple[Server, ...]) -> None:
        ids = tuple(self._context.progress_of(server.name).source_server_id or "" for server in tier)
        part = f"tier-{number}" if len(self._context.tiers()) > 1 else None
        launched = await self._launches.launch(Step.CUTOVER, ids, part)
        for server in launched.servers:
            self._launches.server_of(server.source_server_id).instance_id = server.instance_id

    # --- verify ----------------------------------------------------------------------------------------------

    async def _verify(self) -> None:
        """EC2's status checks, then the application's own, by instance address."""
        checks = await self._launches.healthy(CheckTime.VERIFY, self._context.instance_ids)
        self._status.checks = list(checks)

    # --- switch ----------------------------------------------------------------------------------------------

    async def _switch(self) -> None:
        """Users follow DNS to the target. From the first record on it may take writes that the source lacks."""
        context, mark = self._context, self._context.mark(Step.SWITCH)
        await self._note_addresses()
        instances = Instances(where=context.where, instance_ids=context.instance_ids)
        context.register(
            UnprotectTarget(
                step=Step.SWITCH, what="lift the termination protection", instance_ids=instances.instance_ids
            )
        )
        await context.do(Targets.protect_targets, instances, policies.ACT, "protect the instances from termination")
        await self._switch_names(ChangeRecords(mark=mark, changes=self._record_changes()))
        self._journal.served_by(Side.TARGET)
        await self._record_move()

    async def _note_addresses(self) -> None:
        """A skipped verify step leaves the addresses unknown."""
        if any(server.address is None for server in self._context.servers):
            await self._launches.status_checks(self._context.instance_ids)

    def _record_changes(self) -> tuple[RecordChange, ...]:
        changes = []
        for name in self._context.names:
            after, before = self._context.record_after(name.index), name.before
            if before is not None:
                before = RecordSet(ttl=min(before.ttl, after.ttl), values=before.values)
            key = self._context.record_key(name.index)
            provider = self._request.dns[name.index].provider
            changes.append(RecordChange(provider=provider, key=key, before=before, after=after))
        return tuple(changes)

    async def _switch_names(self, request: ChangeRecords) -> None:
        self._status.divergence_since = workflow.now()
        if not request.changes:
            return
        self._context.register(
            RestoreNames(
                step=Step.SWITCH,
                what="put the DNS records back",
                mark=request.mark,
                changes=tuple(swapped(change) for change in request.changes),
            )
        )
        await self._context.do(DomainNameSystem.change_records, request, policies.ACT, "switch DNS to the target")

    async def _record_move(self) -> None:
        cmdb, mark = self._request.cmdb, self._context.mark(Step.SWITCH)
        if cmdb.system is not CmdbSystem.SERVICENOW or not cmdb.items:
            return
        connection, ids = cmdb.connection or "", tuple(item.id for item in cmdb.items)
        before = await self._context.do(
            Inventory.read_items, ReadItems(connection=connection, item_ids=ids), policies.READ, "read the CMDB items"
        )
        self._context.register(
            RestoreInventory(
                step=Step.SWITCH,
                what="put the CMDB items back",
                request=RestoreItems(connection=connection, mark=mark, items=before.items),
            )
        )
        servers = [(item.id, self._context.progress_of(item.server)) for item in cmdb.items]
        moved = tuple(
            ItemMoved(item_id=item_id, instance_id=server.instance_id or "", address=server.address or "")
            for item_id, server in servers
        )
        await self._context.do(
            Inventory.record_move,
            RecordMove(connection=connection, mark=mark, items=moved),
            policies.ACT,
            "record the move in the CMDB",
        )

    # --- soak ------------------------------------------------------------------------------------------------

    async def _soak(self) -> None:
        """Watch the application on the target; a person, or the end of the time, commits."""
        soak, desk = self._request.soak, self._context.desk
        started = self._journal.progress(Step.SOAK).started or workflow.now()
        await self._watch(started + soak.for_)
        if soak.end is SoakEnd.COMMIT or desk.committed_by is not None:
            return
        message = "the soak is over: commit, or roll back"
        awaiting = Awaiting(what="commit", message=message, choices=("commit", "rollback", "abandon"))
        self._journal.phase(Phase.SOAKING, message, awaiting)
        while desk.committed_by is None:
            await self._watch(workflow.now() + self._request.on_failure.remind_every)
            if desk.committed_by is None:
                self._journal.tell(MessageType.DECISION_REMINDER)

    async def _watch(self, until: datetime) -> None:
        """Watch until then or until somebody commits; an application or a record gone wrong fails the step."""
        await together(
            lambda: self._context.desk.committed_by is not None,
            self._watch_application(until),
            self._watch_names(until),
            summary="end of the watch, or commit",
        )
        self._context.heed()

    async def _watch_application(self, until: datetime) -> None:
        soak = self._request.soak
        addresses = {server.name: server.address for server in self._context.servers if server.address}
        targets = self._context.health_targets(CheckTime.SOAK, addresses)
        request = WatchHealth(targets=targets, until=until, failures=soak.failures, over=soak.over)
        watched = await self._context.do(
            ApplicationHealth.watch_health,
            request,
            policies.waiting(until - workflow.now() + soak.over),
            "watch the application's health",
        )
        if not watched.healthy:
            answers = "; ".join(f"{r.url}: {r.status or r.error}" for r in watched.results if not r.healthy)
            message = f"the application is not healthy on the target: {answers}"
            raise ApplicationError(message, type="VerificationError", non_retryable=True)

    async def _watch_names(self, until: datetime) -> None:
        changes = self._record_changes()
        if not changes:
            return
        request = WatchRecords(changes=changes, until=until, failures=self._request.soak.failures)
        watched = await self._context.do(
            DomainNameSystem.watch_records,
            request,
            policies.waiting(until - workflow.now() + self._request.soak.over),
            "watch the DNS records",
        )
        if watched.wrong is not None:
            message = f"DNS does not lead to the target any more: {watched.wrong}"
            raise ApplicationError(message, type="VerificationError", non_retryable=True)

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

    # --- decommission ----------------------------------------------------------------------------------------

    async def _decommission(self) -> None:
        """After the grace period the source is retired, and MGN's records are archived."""
        await self._renew("grace")
        started = self._journal.progress(Step.DECOMMISSION).started or workflow.now()
        await self._grace(started + self._request.grace)
        records = SourceServers(where=self._context.where, source_server_ids=self._context.record_ids)
        await self._only_forward(ApplicationMigration.archive, records, "archive the MGN records")
        if self._request.source_after is SourceAfter.DELETE:
            await self._approve_deletion()
        if self._status.source_kept_by is not None:
            self._journal.changed(f"the source is kept as it is, as {self._status.source_kept_by} wants it")
            return
        self._status.source_retiring = True
        if self._request.source_after is not SourceAfter.KEEP:
            await self._retire_source()
        await self._retire_items()

    async def _grace(self, until: datetime) -> None:
        """Keep the source until then, or longer if somebody says so."""
        if until <= workflow.now():
            return
        self._journal.changed(f"the source is kept until {until:%Y-%m-%d %H:%M:%S %Z}")
        with suppress(asyncio.TimeoutError):
            await workflow.wait_condition(
                lambda: self._status.source_kept_by is not None,
                timeout=until - workflow.now(),
                timeout_summary="grace period of the source",
            )

    async def _approve_deletion(self) -> None:
        """A deleted source cannot come back: the approvers are asked once more."""
        rules, status = self._request.approval, self._status
        if status.source_kept_by is not None or rules is None:
            return
        awaiting = Awaiting(
            what="delete",
            message=f"{rules.minimum} approval(s) of deleting the source",
            who=tuple(rules.approvers),
            choices=("approve", "keepSource"),
        )
        self._journal.phase(Phase.AWAITING_DECISION, awaiting.message, awaiting)
        await self._context.decided(
            lambda: len(status.deletion_approvals) >= rules.minimum or status.source_kept_by is not None,
            "approval of deleting the source",
        )
        self._journal.phase(Phase.DECOMMISSIONING, "decided")

    async def _retire_source(self) -> None:
        if self._request.source_snapshot is SourceSnapshot.AT_CUTOVER:
            snapshots = self._source_snapshots()
            await self._only_forward(Sources.remove_source_snapshots, snapshots, "remove the source snapshots")
        machines = SourceMachines(connection=self._request.source.connection, sources=self._context.sources)
        delete = self._request.source_after is SourceAfter.DELETE
        retire, what = (Sources.delete_sources, "delete") if delete else (Sources.retire_sources, "retire")
        await self._only_forward(retire, machines, f"{what} the source servers")

    async def _retire_items(self) -> None:
        cmdb = self._request.cmdb
        if cmdb.system is CmdbSystem.SERVICENOW and cmdb.items:
            request = RetireItems(
                connection=cmdb.connection or "",
                mark=self._context.mark(Step.DECOMMISSION),
                item_ids=tuple(item.id for item in cmdb.items),
            )
            await self._only_forward(Inventory.retire_items, request, "note the retirement in the CMDB")
