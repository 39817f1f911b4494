"""Cloud Migration Factory knows the wave and its servers, and says of them what the request says."""

from collections.abc import Iterator, Sequence

from migration.errors import NotFound
from migration.factory_words import WAVE_STATUSES
from migration.findings import Finding, FindingCode
from migration.findings.catalogue import finding
from migration.ports import FactoryApplication, FactoryServer, MigrationFactory
from migration.request import CmfLink, MigrationRequest, Server


def check_factory(request: MigrationRequest, link: CmfLink, factory: MigrationFactory) -> Iterator[Finding]:
    """The wave exists, and each server of the request is a server of one of its applications, once."""
    try:
        factory.wave(link.wave_id)
    except NotFound as missing:
        yield finding(
            FindingCode.FACTORY_WAVE_MISSING,
            str(missing),
            subject=link.wave_id,
            path="$.cmf.waveId",
        )
        return
    yield from _statuses(factory)
    applications = {one.app_id: one for one in factory.applications()}
    servers = factory.servers()
    for server in request.servers:
        found = [one for one in servers if one.is_called(server.name, server.vm, server.address)]
        yield from _server(link, server, found, applications)
    moved = {one.app_id for one in servers if any(one.is_called(s.name, s.vm, s.address) for s in request.servers)}
    for app_id in sorted(moved & applications.keys()):
        yield from _target(request, applications[app_id])


def _statuses(factory: MigrationFactory) -> Iterator[Finding]:
    allowed = {value.lower() for value in factory.wave_statuses()}
    missing = [value for value in WAVE_STATUSES if value.lower() not in allowed]
    if allowed and missing:
        yield finding(
            FindingCode.FACTORY_STATUS_NOT_ALLOWED,
            f"CMF's schema does not allow a wave to be {' or '.join(missing)}: it will not be told",
            subject="wave_status",
            path="$.cmf",
        )


def _server(
    link: CmfLink, server: Server, found: Sequence[FactoryServer], applications: dict[str, FactoryApplication]
) -> Iterator[Finding]:
    waves = {one.server_id: _wave_of(one, applications) for one in found}
    here = [one for one in found if waves[one.server_id] == link.wave_id]
    if not found:
        yield _wrong(
            FindingCode.FACTORY_SERVER_MISSING,
            f"CMF has no server {server.name}",
            server,
        )
    elif not here:
        there = ", ".join(sorted(f"wave {wave}" if wave else "no wave" for wave in waves.values()))
        yield _wrong(
            FindingCode.FACTORY_SERVER_IN_OTHER_WAVE,
            f"{server.name} is not in wave {link.wave_id} of CMF but in {there}",
            server,
        )
    elif len(here) > 1:
        ids = ", ".join(one.server_id for one in here)
        yield _wrong(
            FindingCode.FACTORY_SERVER_AMBIGUOUS,
            f"{server.name} is the name of more than one server of wave {link.wave_id}: {ids}",
            server,
        )
    elif not here[0].rehosted:
        yield finding(
            FindingCode.FACTORY_SERVER_NOT_REHOSTED,
            f"CMF wants {server.name} to be {here[0].strategy or 'of no strategy'}, not Rehost: its wave does not "
            "count it",
            subject=server.name,
            path="$.cmf.waveId",
        )


def _wrong(code: FindingCode, message: str, server: Server) -> Finding:
    return finding(code, message, subject=server.name, path="$.cmf.waveId")


def _wave_of(server: FactoryServer, applications: dict[str, FactoryApplication]) -> str:
    application = applications.get(server.app_id)
    return (application.wave_id or "") if application else ""


def _target(request: MigrationRequest, application: FactoryApplication) -> Iterator[Finding]:
    """The application's account and region in CMF are those of the request's target."""
    target = request.target
    elsewhere = [
        *(application.account_ids if target.account_id not in application.account_ids else ()),
        *([application.region] if application.region not in (None, target.region) else []),
    ]
    if elsewhere:
        yield finding(
            FindingCode.FACTORY_TARGET_DIFFERS,
            f"CMF sends the application {application.name} to {', '.join(map(str, elsewhere))}, not to "
            f"{target.account_id} in {target.region}",
            subject=application.name,
            path="$.target",
        )
