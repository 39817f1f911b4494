"""DNS records and CMDB items: there to be changed, and known as they are."""

from collections.abc import Callable, Iterator

from activities.checks.report import Report
from migration.errors import NotFound
from migration.findings import Finding, FindingCode
from migration.findings.catalogue import finding
from migration.ports import ConfigurationDatabase, DomainNames, RecordKey, RecordSet
from migration.request import CmdbSystem, DnsProvider, DnsRecord, MigrationRequest


def check_names(
    request: MigrationRequest,
    names: Callable[[str], DomainNames],
    report: Report,
    found: dict[int, RecordSet | None],
) -> None:
    """Read every record that is to be switched, and put it into `found` by its place in the request."""
    for index, record in enumerate(request.dns):
        if record.provider is DnsProvider.ROUTE53:
            provider = report.connect(names, record.provider, f"$.dns[{index}].provider")
            if provider is not None:
                report.add(_read_name(index, record, provider, found))


def _read_name(
    index: int, record: DnsRecord, provider: DomainNames, found: dict[int, RecordSet | None]
) -> Iterator[Finding]:
    key = RecordKey(
        zone=record.zone,
        zone_id=record.zone_id,
        role_arn=record.role_arn,
        name=record.name,
        type=record.type,
        set_identifier=record.set_identifier,
    )
    try:
        found[index] = provider.read(key)
    except NotFound as missing:
        yield finding(
            FindingCode.ZONE_MISSING,
            str(missing),
            subject=record.zone,
            path=f"$.dns[{index}].zone",
        )
        return
    if found[index] is None:
        yield finding(
            FindingCode.RECORD_MISSING,
            f"{record.name} {record.type} does not exist yet: the switch creates it, a rollback removes it",
            subject=record.name,
            path=f"$.dns[{index}].name",
        )


def check_items(request: MigrationRequest, database: ConfigurationDatabase) -> Iterator[Finding]:
    """Every CMDB item exists."""
    for index, item in enumerate(request.cmdb.items):
        try:
            database.read(item.id)
        except NotFound as missing:
            yield finding(
                FindingCode.ITEM_MISSING,
                str(missing),
                subject=item.server,
                path=f"$.cmdb.items[{index}].id",
            )


def uses_servicenow(request: MigrationRequest) -> bool:
    """Whether there are ServiceNow items to read."""
    return request.cmdb.system is CmdbSystem.SERVICENOW and bool(request.cmdb.items)
