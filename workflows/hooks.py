"""The application's own steps, at the places that its request names."""

from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from activities.hooks import ApplicationHooks, AwaitHook, RunHook
    from migration import policies
    from migration.findings import Finding, FindingCode, Severity
    from migration.hooks import HookOutcome, HookResult
    from migration.marks import Mark
    from migration.request import Hook, HookFailure, HookTime, HookType, Side
    from workflows.context import Scene
    from workflows.journal import failure_of
    from workflows.together import to_its_end


class Hooks(Scene):
    """Runs hooks, and remembers what came of each."""

    def at(self, place: HookTime) -> bool:
        """Whether the request has any there."""
        return any(hook.at is place for hook in self._request.hooks)

    async def run(self, place: HookTime, mark: Mark) -> None:
        """Run those of this place in the order of the request; one that fails and matters ends it.

        Nothing interrupts a hook: it has ended, or its time is over, before anything is undone.
        """
        for index, hook in enumerate(self._request.hooks):
            if hook.at is place:
                await to_its_end(self._run(hook, mark.model_copy(update={"part": f"hook-{index}"})))

    async def _run(self, hook: Hook, mark: Mark) -> None:
        earlier = [r for r in self._status.hooks if r.key == str(mark) or r.key.startswith(f"{mark}/")]
        if any(result.outcome is HookOutcome.SUCCEEDED or result.tolerated for result in earlier):
            return
        if self._is_idle(hook):
            self._journal.changed(f"the hook {hook.ref} at {hook.at} has nothing to do: {hook.server} does not run")
            return
        if earlier:  # a failed one is tried again as another one: by its own key it would be found as it ended
            mark = mark.model_copy(update={"part": f"{mark.part}/again-{len(earlier)}"})
        try:
            said = await self._said(hook, mark)
        except FailureError as error:
            said = failure_of(error).message
            self._note(hook, mark, HookOutcome.FAILED, said)
            if hook.on_failure is HookFailure.FAIL:
                raise
        else:
            self._note(hook, mark, HookOutcome.SUCCEEDED, said)

    async def _said(self, hook: Hook, mark: Mark) -> str:
        request = RunHook(
            where=self._context.where,
            mark=mark,
            hook=hook,
            instance_id=self._machine(hook),
            since=workflow.now(),
            secret=self._request.callback_secret,
        )
        what = f"hook {hook.ref} ({hook.at}, {hook.on} {hook.server})"
        run = await self._context.act(
            ApplicationHooks.run_hook, request, policies.hook(hook.within), f"run the {what}"[:200]
        )
        if run.command_id is not None:
            await_end = AwaitHook(**dict(request), command_id=run.command_id)
            run = await self._context.act(
                ApplicationHooks.await_hook, await_end, policies.waiting(hook.within), f"wait for the {what}"[:200]
            )
        return run.said

    def _is_idle(self, hook: Hook) -> bool:
        """Whether its machine is off by our own act, as when a cutover is tried again, or was never launched."""
        progress = self._context.progress_of(hook.server)
        if hook.at is HookTime.BEFORE_QUIESCE and progress.source_off:
            return True
        absent = progress.source_off if hook.on is Side.SOURCE else progress.instance_id is None
        return absent and hook.type is HookType.SSM

    def _machine(self, hook: Hook) -> str | None:
        """The server as Systems Manager calls it."""
        if hook.on is Side.TARGET:
            return self._context.progress_of(hook.server).instance_id
        return next((s.managed_instance_id for s in self._context.sources if s.server == hook.server), None)

    def _note(self, hook: Hook, mark: Mark, outcome: HookOutcome, said: str) -> None:
        tolerated = outcome is HookOutcome.FAILED and hook.on_failure is HookFailure.WARN
        result = HookResult(
            key=str(mark),
            ref=hook.ref,
            type=hook.type,
            place=hook.at,
            on=hook.on,
            server=hook.server,
            step=mark.step,
            outcome=outcome,
            tolerated=tolerated,
            said=said,
            when=workflow.now(),
        )
        self._status.hooks = [*self._status.hooks, result]
        if tolerated:
            warning = Finding(
                code=FindingCode.HOOK_FAILED,
                severity=Severity.WARNING,
                message=said,
                action="Look at what the hook does and has done.",
                subject=hook.server,
            )
            self._status.findings = [*self._status.findings, warning]
        self._journal.changed(f"the hook {hook.ref} at {hook.at} {outcome}: {said}")
