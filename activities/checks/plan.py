"""What the request itself asks for: offered at all, in time, and answerable."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from migration.findings import Finding, FindingCode
from migration.findings.catalogue import FREE_DAYS, finding
from migration.offer import unoffered
from migration.ports import Webhook
from migration.request import MigrationRequest
from migration.steps import Step


def check_offer(request: MigrationRequest) -> Iterator[Finding]:
    """Name everything that the request asks for and this version does not do."""
    for path, what in unoffered(request):
        yield finding(
            FindingCode.NOT_OFFERED,
            f"{what}: accepted by the schema, not offered yet",
            path=path,
        )


def check_window(request: MigrationRequest, now: datetime) -> Iterator[Finding]:
    """A window that is over would keep the cutover waiting for ever."""
    window = request.cutover_window
    if window is not None and window.not_after <= now and Step.CUTOVER in request.planned_steps:
        yield finding(
            FindingCode.WINDOW_PAST,
            f"the cutover window ended at {window.not_after.isoformat()}",
            path="$.cutoverWindow.notAfter",
        )


def check_free_period(request: MigrationRequest) -> Iterator[Finding]:
    """MGN replicates a server free of charge for so long; nobody is to find out on the bill."""
    parts = {"replication.deadline": request.replication.deadline}
    if Step.SOAK in request.planned_steps:
        parts |= {"soak.for": request.soak.for_, "grace": request.grace}
    total = sum(parts.values(), timedelta(0))
    if total > timedelta(days=FREE_DAYS):
        message = f"{' + '.join(parts)} add up to {total.days} days; MGN is free of charge for {FREE_DAYS}"
        yield finding(FindingCode.FREE_PERIOD_EXCEEDED, message, path="$.replication.deadline")


def check_callback(request: MigrationRequest, webhook: Webhook) -> Iterator[Finding]:
    """A callback address that must not be called is told before anybody waits for the call."""
    if request.callback_url is not None and (reason := webhook.refused_because(request.callback_url)):
        yield finding(
            FindingCode.CALLBACK_REFUSED,
            f"the callback URL is not allowed: {reason}",
            path="$.callbackUrl",
        )
