"""Which checks are made: the one list. A new system gets an entry here, and a function that looks at it."""

from collections.abc import Iterator, Sequence
from functools import partial

from adapters import installation
from adapters.aws import AwsSessions
from adapters.route53 import dns_server
from migration.ports import Where
from migration.settings import Settings
from starter.doctor.checks import Check, State, blocking, settled
from starter.doctor.systems import Account, Target, keys, servicenow, vcenter
from starter.doctor.temporal import Temporal


def planned(settings: Settings | None, places: Sequence[Where]) -> list[Check]:
    """Every check, in the order of the table; None: the settings cannot be read."""
    known = settings or Settings.model_construct()
    sessions = AwsSessions(known.state_region)
    return [
        *Temporal(settings.task_queue if settings else None).checks(),
        blocking("AWS identity", Account(sessions, known).identity),
        *(_settings(settings, sessions) if settings else ()),
        *_targets(sessions, places),
    ]


def _settings(settings: Settings, sessions: AwsSessions) -> Iterator[Check]:
    account, requests, dead_letters = (
        Account(sessions, settings),
        settings.request_queue_url,
        settings.dead_letter_queue_url,
    )
    yield blocking("AWS permissions", account.permissions)
    yield blocking("state table", account.table)
    if requests:
        look = partial(installation.request_queue, sessions, requests, dead_letters)
        yield blocking("request queue", look)
    else:
        yield _absent("request queue", "request_queue_url")
    if dead_letters:
        yield blocking("dead-letter queue", partial(installation.dead_letter_queue, sessions, dead_letters))
    else:
        yield _absent("dead-letter queue", "dead_letter_queue_url")
    if settings.event_bus:
        yield blocking("event bus", partial(installation.event_bus, sessions, settings.event_bus))
    else:
        yield _absent("event bus", "event_bus")
    if settings.callback_secret:
        yield blocking("callback secret", partial(account.callback_secret, settings.callback_secret))
    else:
        yield _absent("callback secret", "callback_secret")
    if settings.approval_keys:
        yield blocking("approval keys", partial(keys, settings))
    else:
        yield _absent("approval keys", "approval_keys")
    yield from _connections(settings)


def _connections(settings: Settings) -> Iterator[Check]:
    for name, connection in settings.vcenters.items():
        yield blocking(f"vCenter {name}", partial(vcenter, connection))
    for name, connection in settings.servicenows.items():
        yield blocking(f"ServiceNow {name}", partial(servicenow, connection))
    for server in settings.dns_servers:
        yield blocking(f"DNS server {server}", partial(dns_server, server))
    for what, setting in (("vCenter", "vcenters"), ("ServiceNow", "servicenows"), ("DNS servers", "dns_servers")):
        if not getattr(settings, setting):
            yield _absent(what, setting)


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
