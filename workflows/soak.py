"""The soak: the application is watched on the target while a way back exists."""

from datetime import datetime

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.dns import DomainNameSystem, WatchRecords
    from activities.health import ApplicationHealth, WatchHealth
    from migration import policies
    from migration.request import CheckTime
    from migration.steps import Step
    from workflows.checks import check_results, launched_targets
    from workflows.context import Scene
    from workflows.switch import record_changes
    from workflows.together import together


class Watch(Scene):
    """Watches the application's health, and the DNS records that lead to it."""

    async def until(self, until: datetime) -> None:
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
        instance_ids = {server.name: server.instance_id for server in self._context.servers if server.instance_id}
        request = WatchHealth(
            where=self._context.where,
            mark=self._context.mark(Step.SOAK),
            targets=launched_targets(self._context, CheckTime.SOAK, addresses, instance_ids),
            until=until,
            failures=soak.failures,
            over=soak.over,
        )
        watched = await self._context.do(
            ApplicationHealth.watch_health,
            request,
            policies.waiting(until - workflow.now() + soak.over),
            "watch the application's health",
        )
        self._status.checks = check_results(watched.at, watched.results)
        if not watched.healthy:
            answers = "; ".join(f"{r.target}: {r.found}" for r in watched.results if not r.healthy)
            message = f"the application is not healthy on the target: {answers}"
            raise ApplicationError(message, type="VerificationError", non_retryable=True)

    async def _watch_names(self, until: datetime) -> None:
        changes = record_changes(self._context)
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
