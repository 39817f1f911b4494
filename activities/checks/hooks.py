"""The hooks and the change ticket of a request: able to run where they are meant to, and there to be looked at."""

from collections.abc import Iterator

from migration.errors import Conflict, NotFound
from migration.findings import Finding, FindingCode
from migration.findings.catalogue import finding
from migration.ports import TicketSystem, Webhook
from migration.request import (
    ChangeTicket,
    Hook,
    HookFailure,
    HookTime,
    HookType,
    MigrationRequest,
    QuiesceMethod,
    Side,
)

_RUNS: dict[Side, frozenset[HookTime]] = {
    Side.SOURCE: frozenset({HookTime.BEFORE_QUIESCE, HookTime.AFTER_ROLLBACK}),
    Side.TARGET: frozenset(
        {
            HookTime.AFTER_LAUNCH,
            HookTime.BEFORE_SWITCH,
            HookTime.AFTER_SWITCH,
            HookTime.BEFORE_ROLLBACK,
            HookTime.BEFORE_DECOMMISSION,
        }
    ),
}
"""When the machine of a side runs for certain, so that Systems Manager can reach it."""


def check_hooks(request: MigrationRequest, webhook: Webhook) -> Iterator[Finding]:
    """Every hook can run at its place, and a source that hooks alone make quiet has one that does so."""
    for index, hook in enumerate(request.hooks):
        path = f"$.hooks[{index}]"
        if hook.type is HookType.SSM and hook.at not in _RUNS[hook.on]:
            yield finding(
                FindingCode.HOOK_IMPOSSIBLE,
                f"{hook.ref} cannot run at {hook.at} on the {hook.on}: that machine is off then",
                action=f"On the {hook.on}, Systems Manager runs hooks at {', '.join(sorted(_RUNS[hook.on]))}.",
                subject=hook.server,
                path=f"{path}.at",
            )
        if hook.type is HookType.WEBHOOK and (reason := webhook.refused_because(hook.ref)):
            yield finding(
                FindingCode.HOOK_REFUSED,
                f"the webhook {hook.ref} is not allowed: {reason}",
                subject=hook.server,
                path=f"{path}.ref",
            )
    if request.quiesce.method is QuiesceMethod.HOOK_ONLY and not any(map(_stops_the_source, request.hooks)):
        yield finding(
            FindingCode.HOOK_IMPOSSIBLE,
            "quiesce.method is hookOnly, and no hook makes the source quiet",
            action="Add a hook beforeQuiesce on the source with onFailure fail, or choose shutdown.",
            path="$.quiesce.method",
        )


def _stops_the_source(hook: Hook) -> bool:
    at_the_source = hook.at is HookTime.BEFORE_QUIESCE and hook.on is Side.SOURCE
    return at_the_source and hook.on_failure is HookFailure.FAIL


def runs_hooks(request: MigrationRequest, server: str) -> bool:
    """Whether Systems Manager runs a hook on this source machine."""
    return any(hook.server == server and hook.type is HookType.SSM and hook.on is Side.SOURCE for hook in request.hooks)


def check_ticket(change: ChangeTicket, system: TicketSystem) -> Iterator[Finding]:
    """The change ticket exists and is not over; whether it allows the cutover is asked at the gate."""
    try:
        ticket = system.ticket(change.number)
    except (NotFound, Conflict) as missing:
        yield finding(
            FindingCode.CHANGE_MISSING,
            str(missing),
            subject=change.number,
            path="$.change.number",
        )
        return
    if ticket.over:
        yield finding(
            FindingCode.CHANGE_OVER,
            f"the change ticket {ticket.number} is {ticket.state}",
            subject=change.number,
            path="$.change.number",
        )
