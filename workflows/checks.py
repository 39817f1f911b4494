"""The health checks of the request, as one step looks at them."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.looks import HealthResult, HealthTarget, LeadingName
    from migration.request import CheckTime, RecordType, SsmCheck, ToServers
    from migration.status import CheckResult
    from workflows.context import Context

_ADDRESS_TYPES = frozenset({RecordType.A, RecordType.AAAA})


def launched_targets(
    context: Context, during: CheckTime, addresses: Mapping[str, str], instance_ids: Mapping[str, str]
) -> tuple[HealthTarget, ...]:
    """The step's checks of launched instances; in the soak through DNS, where a record leads to the server.

    Args:
        context: The migration.
        during: Which checks count.
        addresses: By server; one without an address is not checked.
        instance_ids: By server.
    """
    systems = {server.name: server.os for server in context.request.source.servers}
    return tuple(
        HealthTarget(
            check=check,
            address=addresses[check.server],
            instance_id=instance_ids[check.server],
            os=systems[check.server],
            name=_leading_name(context, check.server) if during is CheckTime.SOAK else None,
        )
        for check in context.request.health_checks
        if during in check.during and check.server in addresses
    )


def source_targets(context: Context) -> tuple[HealthTarget, ...]:
    """What shows that the source serves again: the checks of the verify step, without commands."""
    addresses = {server.name: server.address for server in context.request.source.servers}
    return tuple(
        HealthTarget(check=check, address=addresses[check.server])
        for check in context.request.health_checks
        if CheckTime.VERIFY in check.during and not isinstance(check, SsmCheck)
    )


def check_results(at: datetime, results: Iterable[HealthResult]) -> list[CheckResult]:
    """What the checks found, for status and evidence."""
    return [
        CheckResult(server=r.server, kind=r.kind, check=r.target, healthy=r.healthy, found=r.found, at=at)
        for r in results
    ]


def _leading_name(context: Context, server: str) -> LeadingName | None:
    for index, record in enumerate(context.request.dns):
        leads = isinstance(record.to, ToServers) and server in record.to.servers
        if leads and record.type in _ADDRESS_TYPES:
            addresses = context.record_after(index).values
            return LeadingName(provider=record.provider, key=context.record_key(index), addresses=addresses)
    return None
