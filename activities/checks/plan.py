"""What the request itself asks for: offered at all, in time, and answerable."""

from collections.abc import Iterator
from datetime import datetime

from activities.checks.report import critical
from migration.findings import Finding, FindingCode
from migration.offer import unoffered
from migration.ports import Webhook
from migration.request import MigrationRequest
from migration.steps import Step


def check_offer(request: MigrationRequest) -> Iterator[Finding]:
    """Name everything that the request asks for and this version does not do."""
    for path, what in unoffered(request):
        yield critical(
            FindingCode.NOT_OFFERED,
            f"{what}: accepted by the schema, not offered yet",
            action="Leave it out, or wait for a version that offers it.",
            path=path,
        )


def check_window(request: MigrationRequest, now: datetime) -> Iterator[Finding]:
    """A window that is over would keep the cutover waiting for ever."""
    window = request.cutover_window
    if window is not None and window.not_after <= now and Step.CUTOVER in request.planned_steps:
        yield critical(
            FindingCode.WINDOW_PAST,
            f"the cutover window ended at {window.not_after.isoformat()}",
            action="Ask for a window that is still to come.",
            path="$.cutoverWindow.notAfter",
        )


def check_callback(request: MigrationRequest, webhook: Webhook) -> Iterator[Finding]:
    """A callback address that must not be called is told before anybody waits for the call."""
    if request.callback_url is not None and (reason := webhook.refused_because(request.callback_url)):
        yield critical(
            FindingCode.CALLBACK_REFUSED,
            f"the callback URL is not allowed: {reason}",
            action="Name an endpoint that may be called, or none.",
            path="$.callbackUrl",
        )
