"""Which checks are made: the one list. A new system gets an entry here, and a function that looks at it."""

from collections.abc import Iterator, Sequence
from functools import partial

from adapters.aws import AwsSessions
from adapters.permissions import Part
from adapters.route53 import dns_server
from migration.ports import Where
from migration.settings import Settings
from starter.doctor.checks import Check, State, blocking, settled
from starter.doctor.systems import Account, Target, factory, keys, servicenow, vcenter
from starter.doctor.temporal import Temporal


def planned(settings: Settings | None, places: Sequence[Where], part: Part = Part.ALL) -> list[Check]:
    """Every check, in the order of the table; None: the settings cannot be read."""
    known = settings or Settings.model_construct()
    sessions = AwsSessions(known.state_region, known.external_id)
    return [
        *Temporal(settings).checks(),
        blocking("AWS identity", Account(sessions, known).identity),
        *(_settings(settings, sessions, part) if settings else ()),
        *_targets(sessions, places),
    ]


def _settings(settings: Settings, sessions: AwsSessions, part: Part) -> Iterator[Check]:
    account = Account(sessions, settings)
    yield blocking("AWS permissions", partial(account.permissions, part))
    yield blocking("state table", account.table)
    for what, setting, look in (
        ("request queue", "request_queue_url", account.request_queue),
        ("dead-letter queue", "dead_letter_queue_url", account.dead_letter_queue),
        ("event bus", "event_bus", account.event_bus),
        ("callback secret", "callback_secret", account.callback_secret),
        ("approval keys", "approval_keys", partial(keys, settings)),
    ):
        yield blocking(what, look) if getattr(settings, setting) else _absent(what, setting)
    for what, setting, connect in (
        ("vCenter", "vcenters", vcenter),
        ("ServiceNow", "servicenows", servicenow),
        ("CMF", "factories", partial(factory, sessions)),
    ):
        connections = getattr(settings, setting)
        yield from (blocking(f"{what} {name}", partial(connect, one)) for name, one in connections.items())
        if not connections:
            yield _absent(what, setting)
    yield from (blocking(f"DNS server {server}", partial(dns_server, server)) for server in settings.dns_servers)
    if not settings.dns_servers:
        yield _absent("DNS servers", "dns_servers")


def _targets(sessions: AwsSessions, places: Sequence[Where]) -> Iterator[Check]:
    if not places:
        yield settled(
            "target accounts", State.NOT_CHECKED, "none named", "Name them: --where ACCOUNT/REGION[=ROLE_ARN]."
        )
    for where in places:
        target, place = Target(sessions, where), f"{where.account_id}/{where.region}"
        yield blocking(f"identity in {place}", target.identity)
        yield blocking(f"MGN in {place}", target.initialised)
        yield blocking(f"EC2 dry runs in {place}", target.dry_runs)
        yield blocking(f"permissions in {place}", target.permissions)


def _absent(what: str, setting: str) -> Check:
    return settled(what, State.NOT_CONFIGURED, f"the settings have no {setting}")
