"""Launches, of the test and of the cutover: settings, job, status checks, health."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.health import ApplicationHealth, AwaitHealth
    from activities.mgn import (
        ApplicationMigration,
        AwaitJob,
        ChangeLifeCycle,
        Launch,
        Launched,
        ServerLaunch,
        SetLaunchTargets,
    )
    from activities.post_launch import AwaitPostLaunch, PostLaunchActions
    from activities.target import Instances, Targets
    from migration import policies
    from migration.request import CheckTime, Network
    from migration.status import CheckResult, ServerProgress
    from migration.steps import Step
    from workflows.checks import check_results, launched_targets
    from workflows.context import Scene


class Launches(Scene):
    """What the test and the cutover have in common."""

    async def set_targets(self, step: Step, network: Network) -> None:
        """Settle how every server is launched next."""
        launches = tuple(
            ServerLaunch(
                source_server_id=self._context.progress_of(server.name).source_server_id or "",
                target=self._context.launch_target(server, network),
            )
            for server in self._request.source.servers
        )
        request = SetLaunchTargets(where=self._context.where, mark=self._context.mark(step), servers=launches)
        await self._context.do(
            ApplicationMigration.set_launch_targets, request, policies.ACT, f"launch settings: {network} network"
        )

    async def launch(self, step: Step, ids: tuple[str, ...], part: str | None = None) -> Launched:
        """Start a launch under this entry's mark, and wait for its end."""
        cutover = step is Step.CUTOVER
        start = ApplicationMigration.start_cutover if cutover else ApplicationMigration.start_test
        request = Launch(where=self._context.where, mark=self._context.mark(step, part), source_server_ids=ids)
        policy = policies.ACT_WHILE_DOWN if cutover else policies.ACT
        job = await self._context.do(start, request, policy, "StartCutover" if cutover else "StartTest")
        wait = AwaitJob(where=self._context.where, job_id=job.job_id or "", fresh_data=cutover)
        return await self._context.do(
            ApplicationMigration.await_job,
            wait,
            policies.waiting(policies.JOB_ENDS_WITHIN),
            f"wait for launch job {job.job_id}",
        )

    async def change_life_cycle(self, state: str) -> None:
        """Bring every record to this state."""
        request = ChangeLifeCycle(where=self._context.where, source_server_ids=self._context.record_ids, state=state)
        await self._context.do(ApplicationMigration.change_life_cycle, request, policies.ACT, f"mark {state}")

    async def status_checks(self, instance_ids: tuple[str, ...]) -> dict[str, str]:
        """Wait for EC2's 2/2; returns (and notes) the instances' addresses."""
        instances = Instances(where=self._context.where, instance_ids=instance_ids)
        checked = await self._context.do(
            Targets.await_status_checks,
            instances,
            policies.waiting(policies.STATUS_CHECKS_WITHIN),
            "wait for EC2's status checks",
        )
        addresses = {instance.instance_id: instance.private_ip for instance in checked.instances}
        for server in self._context.servers:
            if server.instance_id in addresses:
                server.address = addresses[server.instance_id]
        return addresses

    async def healthy(self, during: CheckTime, instance_ids: tuple[str, ...]) -> tuple[CheckResult, ...]:
        """Status checks, post-launch actions, then health checks by address; returns what all of them found."""
        by_instance = await self.status_checks(instance_ids)
        seen = workflow.now()
        instances = {
            server.name: instance_id
            for server in self._context.servers
            for instance_id in (server.instance_id, server.test_instance_id)
            if instance_id in by_instance
        }
        checks = [
            CheckResult(server=server, kind="ec2", check="EC2 status checks", healthy=True, found="2/2", at=seen)
            for server in instances
        ]
        checks += await self._post_launch_actions(during)
        addresses = {server: by_instance[instance_id] for server, instance_id in instances.items()}
        targets = launched_targets(self._context, during, addresses, instances)
        if targets:
            mark = self._context.mark(Step.TEST if during is CheckTime.TEST else Step.VERIFY)
            answered = await self._context.do(
                ApplicationHealth.await_health,
                AwaitHealth(where=self._context.where, mark=mark, targets=targets, since=workflow.now()),
                policies.waiting(max(target.check.within for target in targets)),
                f"health checks during {during}",
            )
            checks += check_results(answered.at, answered.results)
        return tuple(checks)

    async def _post_launch_actions(self, during: CheckTime) -> list[CheckResult]:
        """Wait for MGN's actions that must succeed; returns what is known of all of them."""
        cutover = during is not CheckTime.TEST
        ran = await self._context.do(
            PostLaunchActions.await_post_launch_actions,
            AwaitPostLaunch(where=self._context.where, source_server_ids=self._context.record_ids, cutover=cutover),
            policies.waiting(policies.POST_LAUNCH_WITHIN),
            "wait for the post-launch actions that must succeed",
        )
        return [
            CheckResult(
                server=self.server_of(action.source_server_id).name,
                kind="postLaunch",
                check=f"post-launch action {action.name}",
                healthy=action.status != "FAILED",
                found=action.in_words,
                at=ran.at,
            )
            for action in ran.actions
        ]

    async def terminate_test_instances(self) -> None:
        """Terminate what the test launched, once, and wait for it."""
        request = Launch(
            where=self._context.where,
            mark=self._context.mark(Step.TEST, "terminate"),
            source_server_ids=self._context.record_ids,
        )
        job = await self._context.do(
            ApplicationMigration.terminate_targets, request, policies.ACT, "terminate the test instances"
        )
        if job.job_id is not None:
            wait = AwaitJob(where=self._context.where, job_id=job.job_id)
            await self._context.do(
                ApplicationMigration.await_termination,
                wait,
                policies.waiting(policies.JOB_ENDS_WITHIN),
                "wait for the termination",
            )

    def server_of(self, source_server_id: str) -> ServerProgress:
        """The server of a record."""
        return next(server for server in self._context.servers if server.source_server_id == source_server_id)
