"""The rules that span fields of a request.

They read the plain JSON document rather than the model, so that they can be judged, and reported, alongside the
errors of single fields: a value that is wrong in itself is INVALID in the document, and no rule speaks of it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from migration.formats import parse_address, parse_timestamp
from migration.json_text import INVALID, Location, select, value_at
from migration.request.choices import Environment, RecordType, SourceType, TestMode
from migration.steps import STEPS, MigrationType, Step, implied_type, plan

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Breach:
    """A broken rule: where, and what was expected there."""

    location: Location
    expected: str


Rule = Callable[[Document], Iterator[Breach]]


def breaches(document: Document) -> list[Breach]:
    """Judge a document by every rule."""
    return [breach for rule in RULES for breach in rule(document)]


def _texts(document: Document, path: str) -> list[tuple[Location, str]]:
    return [(location, value) for location, value in select(document, path) if isinstance(value, str)]


def _planned(document: Document) -> tuple[Step, ...]:
    """Say which steps the document asks for; none where that cannot be said."""
    given, kind = value_at(document, "steps"), value_at(document, "migrationType")
    if INVALID in (given, kind):
        return ()
    try:
        steps = tuple(map(Step, given)) if given is not None else None
        migration_type = MigrationType(kind) if kind is not None else implied_type(steps)
    except (TypeError, ValueError):
        return ()
    return plan(steps or STEPS, migration_type)


# --- servers ---------------------------------------------------------------------------------------------------


def server_names_are_unique(document: Document) -> Iterator[Breach]:
    """No two servers share a name; host names do not know case."""
    seen: set[str] = set()
    for location, name in _texts(document, "source.servers[].name"):
        if name.casefold() in seen:
            yield Breach(location, "a name that no other server of the request has")
        seen.add(name.casefold())


def vmware_servers_name_their_vm(document: Document) -> Iterator[Breach]:
    """A vmware source is found by the name of its virtual machine."""
    if value_at(document, "source.type") != SourceType.VMWARE:
        return
    for location, server in select(document, "source.servers[]"):
        if isinstance(server, Mapping) and server.get("vm") is None:
            yield Breach((*location, "vm"), "the name of the virtual machine, which a vmware source needs")


_REFERENCES = ("healthChecks[].server", "hooks[].server", "dns[].to.servers[]", "cmdb.items[].server")


def named_servers_exist(document: Document) -> Iterator[Breach]:
    """Health checks, hooks, DNS records and CMDB items name servers of the request."""
    names = {name for _, name in _texts(document, "source.servers[].name")}
    if not names or len(_texts(document, "source.servers[].name")) < len(list(select(document, "source.servers[]"))):
        return  # what a nameless server would have been called, nobody knows
    for path in _REFERENCES:
        for location, name in _texts(document, path):
            if name not in names:
                yield Breach(location, "the name of a server of the request")


def tls_is_for_https(document: Document) -> Iterator[Breach]:
    """What is said of certificates belongs to a check that sees some."""
    for location, check in select(document, "healthChecks[]"):
        url, tls = value_at(check, "url"), value_at(check, "tls")
        if isinstance(tls, Mapping) and isinstance(url, str) and not url.startswith("https:"):
            yield Breach((*location, "tls"), "null, or an https URL")


def authorities_are_for_verifying(document: Document) -> Iterator[Breach]:
    """Whoever names authorities wants certificates verified."""
    for location, tls in select(document, "healthChecks[].tls"):
        if isinstance(value_at(tls, "ca"), str) and value_at(tls, "verify", default=True) is False:
            yield Breach((*location, "verify"), "true, since ca names authorities")


# --- target, test and approval ---------------------------------------------------------------------------------


def role_is_in_the_target_account(document: Document) -> Iterator[Breach]:
    """The role that is assumed lives where the application goes."""
    role, account = value_at(document, "target.roleArn"), value_at(document, "target.accountId")
    if isinstance(role, str) and isinstance(account, str) and role.split(":")[4:5] != [account]:
        yield Breach(("target", "roleArn"), f"a role in the target account {account}")


def production_has_a_test_network(document: Document) -> Iterator[Breach]:
    """In prod, test instances never start in the production network."""
    if (
        value_at(document, "environment") == Environment.PROD
        and Step.TEST in _planned(document)
        and value_at(document, "test.mode", TestMode.LAUNCH) == TestMode.LAUNCH
        and isinstance(value_at(document, "target"), Mapping)
        and value_at(document, "target.test") is None
    ):
        yield Breach(("target", "test"), "the network of test launches, which the test step needs in prod")


def skipping_the_test_has_a_reason(document: Document) -> Iterator[Breach]:
    """Whoever leaves the test launch out says why."""
    if value_at(document, "test.mode") == TestMode.SKIP and value_at(document, "test.reason") is None:
        yield Breach(("test", "reason"), "a reason, which test.mode skip needs")


def reaching_the_gate_needs_approvers(document: Document) -> Iterator[Breach]:
    """A plan that comes to `approve` says who may."""
    if Step.APPROVE in _planned(document) and value_at(document, "approval") is None:
        yield Breach(("approval",), "an approval, which steps and migrationType need since they reach approve")


def approvers_are_distinct(document: Document) -> Iterator[Breach]:
    """Nobody counts twice, whatever the case of the letters."""
    seen: set[str] = set()
    for location, approver in _texts(document, "approval.approvers[]"):
        if approver.casefold() in seen:
            yield Breach(location, "an approver who is not in the list already")
        seen.add(approver.casefold())


def approvers_are_enough(document: Document) -> Iterator[Breach]:
    """The minimum can be reached, without the requester unless the requester may approve."""
    approvers = {approver.casefold() for _, approver in _texts(document, "approval.approvers[]")}
    minimum = value_at(document, "approval.minimum", 1)
    requester = value_at(document, "requestedBy")
    alone = value_at(document, "approval.requesterMayApprove", default=False)
    listed = value_at(document, "approval.approvers")
    if not approvers or not isinstance(minimum, int) or len(approvers) > len(listed) or INVALID in listed:
        return
    if alone is False and isinstance(requester, str):
        approvers.discard(requester.casefold())
    if len(approvers) < minimum and alone in {True, False}:
        besides = "" if alone else " besides the requester"
        yield Breach(("approval", "approvers"), f"at least {minimum} different approvers{besides}, as many as minimum")


def window_is_not_empty(document: Document) -> Iterator[Breach]:
    """The window ends after it begins."""
    texts = [value_at(document, f"cutoverWindow.{end}") for end in ("notBefore", "notAfter")]
    try:
        begins, ends = (parse_timestamp(text) for text in texts)
    except (TypeError, ValueError):
        return
    if ends <= begins:
        yield Breach(("cutoverWindow", "notAfter"), "a time after notBefore")


# --- DNS -------------------------------------------------------------------------------------------------------


def names_lie_in_their_zones(document: Document) -> Iterator[Breach]:
    """A record's name is the zone's own or ends with it."""
    for location, record in select(document, "dns[]"):
        name, zone = value_at(record, "name"), value_at(record, "zone")
        if isinstance(name, str) and isinstance(zone, str) and not f".{name}".lower().endswith(f".{zone}".lower()):
            yield Breach((*location, "name"), f"a name in the zone {zone}")


def addresses_fit_their_type(document: Document) -> Iterator[Breach]:
    """A holds an IPv4 address, AAAA an IPv6 address (RFC 3596), CNAME a host name (RFC 1035, section 3.3.1)."""
    for location, record in select(document, "dns[]"):
        value, kind = value_at(record, "to.address"), value_at(record, "type")
        words = {RecordType.A: "an IPv4 address", RecordType.AAAA: "an IPv6 address", RecordType.CNAME: "a host name"}
        if isinstance(value, str) and kind in words and _fitting_type(value) != kind:
            yield Breach((*location, "to", "address"), f"{words[kind]}, for a record of type {kind}")


def _fitting_type(value: str) -> RecordType:
    try:
        return RecordType.A if parse_address(value).version == 4 else RecordType.AAAA  # noqa: PLR2004  IPv4
    except ValueError:
        return RecordType.CNAME


def a_cname_stands_alone(document: Document) -> Iterator[Breach]:
    """A CNAME has one value, and cannot be at its zone's own name (RFC 1034, section 3.6.2)."""
    for location, record in select(document, "dns[]"):
        if value_at(record, "type") != RecordType.CNAME:
            continue
        name, zone, servers = (value_at(record, path) for path in ("name", "zone", "to.servers"))
        if isinstance(name, str) and isinstance(zone, str) and name.lower() == zone.lower():
            yield Breach((*location, "name"), "a name below the zone's own, for a record of type CNAME")
        if isinstance(servers, list | tuple) and len(servers) > 1:
            yield Breach((*location, "to", "servers"), "a single server, for a record of type CNAME")


_RECORD_KEY = ("provider", "connection", "zone", "zoneId", "name", "type", "setIdentifier")


def records_are_distinct(document: Document) -> Iterator[Breach]:
    """Two records of the request do not write the same record set."""
    seen: set[tuple[str, ...]] = set()
    for location, record in select(document, "dns[]"):
        key = tuple(str(value_at(record, field)).lower() for field in _RECORD_KEY)
        if key in seen and isinstance(value_at(record, "name"), str):
            yield Breach((*location, "name"), "a record that the request does not have already")
        seen.add(key)


RULES: tuple[Rule, ...] = (
    server_names_are_unique,
    vmware_servers_name_their_vm,
    named_servers_exist,
    tls_is_for_https,
    authorities_are_for_verifying,
    role_is_in_the_target_account,
    production_has_a_test_network,
    skipping_the_test_has_a_reason,
    reaching_the_gate_needs_approvers,
    approvers_are_distinct,
    approvers_are_enough,
    window_is_not_empty,
    names_lie_in_their_zones,
    addresses_fit_their_type,
    a_cname_stands_alone,
    records_are_distinct,
)
