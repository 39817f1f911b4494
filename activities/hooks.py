"""The application's own steps at the moments that its request names: SSM documents and signed webhooks."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from temporalio import activity

from activities.errors import translated
from activities.running import acting, look_again, now
from migration.canonical import canonical_json
from migration.errors import MigrationError, MigrationExecutionError, Unavailable
from migration.marks import Mark
from migration.models import Model
from migration.ports import CommandLook, Commands, Delivery, SecretStore, Webhook, Where
from migration.request import Hook, HookType

MESSAGE_TYPE = "MigrationHook"
_SAID_CHARACTERS = 400
_REFUSED = range(400, 500)
_LATER = frozenset({408, 425, 429})
"""Answers of the 4xx range that another try may change (RFC 9110, RFC 8470, RFC 6585)."""


class RunHook(Model):
    """Run one hook, once.

    Attributes:
        mark: Its idempotency key: the comment of its command, or the webhook-id.
        instance_id: The machine as Systems Manager calls it; None for a webhook where none is known.
        since: When it was begun, the same in every attempt.
        secret: The reference to the secret that signs a webhook; None: that of the settings.
    """

    where: Where
    mark: Mark
    hook: Hook
    instance_id: str | None = None
    since: datetime
    secret: str | None = None

    @property
    def until(self) -> datetime:
        """When it must have succeeded."""
        return self.since + self.hook.within


class HookRun(Model):
    """A hook that was begun: the command to wait for, or None where it is over, and what it said."""

    command_id: str | None = None
    said: str = ""


class AwaitHook(RunHook):
    """Wait for the end of a hook's command."""

    command_id: str


@dataclass
class ApplicationHooks:
    """What the application does itself."""

    commands: Commands
    webhook: Webhook
    secrets: SecretStore
    default_secret: str | None
    act_bound: timedelta
    poll: timedelta

    @activity.defn(no_thread_cancel_exception=True)
    @translated(MigrationExecutionError)
    def run_hook(self, request: RunHook) -> HookRun:
        """Send the command that nobody has sent yet, or deliver the message, always under the same id."""
        with acting(self.act_bound) as attempt:
            try:
                if request.hook.type is HookType.WEBHOOK:
                    attempt.before_call()
                    return HookRun(said=self._deliver(request))
                commands, instance_id = self.commands(request.where), request.instance_id or ""
                # Looked for last of all: Systems Manager does not refuse what another attempt has sent meanwhile.
                attempt.before_call()
                sent = commands.find_command(instance_id, str(request.mark))
                if sent is None:
                    _refuse_late(request, "it could not be begun")
                    hook, comment = request.hook, str(request.mark)
                    sent = commands.send(instance_id, hook.ref, hook.parameters, comment=comment, within=hook.within)
                return HookRun(command_id=sent, said=f"command {sent}")
            except Unavailable as error:
                _refuse_late(request, str(error))
                raise

    @activity.defn
    @translated(MigrationExecutionError)
    def await_hook(self, request: AwaitHook) -> HookRun:
        """One look an attempt; a command whose time is over is told to stop, and has failed."""
        commands, instance_id = self.commands(request.where), request.instance_id or ""
        seen = commands.look_at(request.command_id, instance_id)
        if seen.succeeded:
            return HookRun(said=_in_brief(request, seen))
        if seen.ended:
            raise _failed(request, _in_brief(request, seen))
        if now() >= request.until:
            commands.stop(request.command_id, instance_id)
            raise _failed(request, f"{_in_brief(request, seen)}, and was told to stop after {request.hook.within}")
        return look_again(f"the hook {request.hook.ref} runs on {request.hook.server}: {seen.status}", self.poll)

    def _deliver(self, request: RunHook) -> str:
        hook = request.hook
        if refusal := self.webhook.refused_because(hook.ref):
            raise _failed(request, f"the URL is not allowed: {refusal}")
        reference = request.secret or self.default_secret
        if reference is None:
            raise _failed(request, "neither the request nor the settings name a secret to sign with")
        secret = self.secrets.resolve(reference)
        delivery = self.webhook.deliver(hook.ref, message_id=str(request.mark), body=_message(request), secret=secret)
        if delivery.outcome == "delivered":
            return f"HTTP {delivery.status}"
        if _is_final(delivery):
            raise _failed(request, delivery.error or f"HTTP {delivery.status}")
        raise Unavailable(f"{hook.ref}: {delivery.error}", retry_after=delivery.retry_after)


def _message(request: RunHook) -> str:
    hook, mark = request.hook, request.mark
    data = {
        "migrationId": mark.migration_id,
        "generation": mark.generation,
        "correlationId": mark.correlation_id,
        "step": mark.step,
        "at": hook.at,
        "on": hook.on,
        "server": hook.server,
        "instanceId": request.instance_id,
        "parameters": {name: list(values) for name, values in hook.parameters.items()},
    }
    return canonical_json({"type": MESSAGE_TYPE, "timestamp": request.since.isoformat(), "data": data})


def _is_final(delivery: Delivery) -> bool:
    """Whether the receiver has refused the message in a way that another try does not change."""
    return delivery.outcome == "gone" or (delivery.status in _REFUSED and delivery.status not in _LATER)


def _refuse_late(request: RunHook, why: str) -> None:
    if now() >= request.until:
        raise _failed(request, f"not done within {request.hook.within}: {why}")


def _failed(request: RunHook, why: str) -> MigrationError:
    hook = request.hook
    return MigrationExecutionError(
        f"the hook {hook.ref} ({hook.at}, {hook.on} {hook.server}) failed: {why}",
        action="Look at what the hook does and has done; then retry, or go back.",
    )


def _in_brief(request: AwaitHook, seen: CommandLook) -> str:
    written = (seen.error.strip() or seen.output.strip())[-_SAID_CHARACTERS:]
    words = f"command {request.command_id}: {seen.status}"
    words += f", exit code {seen.exit_code}" if seen.ended and seen.exit_code >= 0 else ""
    return f"{words}: {written}" if written and not seen.succeeded else words
