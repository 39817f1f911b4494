"""Amazon Route 53: record sets changed by compare and set, then asked from the servers that answer for the zone."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Literal, cast

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import dns.resolver
from botocore.exceptions import ClientError

from adapters.aws import aws_call
from migration.errors import Conflict, NotFound, PrerequisiteError, Unavailable
from migration.ports import RecordKey, RecordSet

if TYPE_CHECKING:
    from mypy_boto3_route53 import Route53Client
    from mypy_boto3_route53.literals import RRTypeType
    from mypy_boto3_route53.type_defs import ChangeTypeDef

Clients = Callable[[Literal["route53"], str | None, str | None], "Route53Client"]

_COMPARE_FAILED = {"InvalidChangeBatch", "InvalidInput"}
_LONGEST_COMMENT = 256
_MOST_OF_ONE_NAME_AND_TYPE = "100"  # a quota of Route 53, so one page holds them all
_DNS_PORT = 53
_DNS_TRIES = 2


class Route53:
    """Record sets in the hosted zones of the accounts that our roles reach."""

    def __init__(
        self,
        client: Clients,
        *,
        servers: Sequence[str] = (),
        poll: timedelta = timedelta(seconds=5),
        in_sync_within: timedelta = timedelta(minutes=3),
        answer_within: timedelta = timedelta(seconds=2),
    ) -> None:
        """Nothing is called yet.

        Args:
            client: Gives a client for service, role and region.
            servers: `ADDRESS:PORT` of the servers to ask for answers; empty: the zone's own name servers.
            poll: How often a change is looked at until it is in sync.
            in_sync_within: How long that may take; AWS says 60 seconds as a rule.
            answer_within: How long a server may take to answer one DNS query; it is asked twice.
        """
        self._client = client
        self._servers = tuple(servers)
        self._poll = poll
        self._in_sync_within = in_sync_within
        self._answer_within = answer_within.total_seconds()

    def read(self, key: RecordKey) -> RecordSet | None:
        """The record set as Route 53 has it, or None.

        Raises:
            NotFound: The zone does not exist.
            Conflict: More than one zone has that name, or the record set is an alias.
        """
        with aws_call(f"Route 53, reading {key.name} {key.type}"):
            client = self._client("route53", key.role_arn, None)
            found = _find(client, _zone(client, key)["Id"], key)
            return _record_set(key, found) if found else None

    def change(self, key: RecordKey, *, before: RecordSet | None, after: RecordSet | None, mark: str) -> None:
        """Compare and set: make it `after` if it is `before`, do nothing if it is `after` already.

        One batch deletes exactly what was read and creates what is wanted; Route 53 applies both or, when somebody
        else was faster, neither. Routing attributes (weight, failover, health check) stay as they are.

        Raises:
            NotFound: The zone does not exist.
            Conflict: The record set is neither `before` nor `after`, or Route 53 refuses the change.
            Unavailable: Route 53 did not answer, or was not in sync in time.
        """
        with aws_call(f"Route 53, changing {key.name} {key.type}"):
            client = self._client("route53", key.role_arn, None)
            zone_id = _zone(client, key)["Id"]
            found = _find(client, zone_id, key)
            if not _has_to_change(key, found, before, after):
                return
            batch = _batch(key, found, after)
            try:
                reply = client.change_resource_record_sets(
                    HostedZoneId=zone_id,
                    ChangeBatch={"Comment": f"migrator {mark}"[:_LONGEST_COMMENT], "Changes": batch},
                )
            except ClientError as error:
                if error.response["Error"]["Code"] not in _COMPARE_FAILED:
                    raise
                # Somebody was faster, or a reply was lost and this is the client's own second try.
                if _has_to_change(key, _find(client, zone_id, key), before, after):
                    raise Conflict(f"Route 53 refuses to change {_label(key)}: {_said(error)}") from error
                return
            self._await_in_sync(client, reply["ChangeInfo"]["Id"], key)

    def authoritative_answer(self, key: RecordKey) -> Mapping[str, tuple[str, ...]]:
        """What each authoritative server answers now, by `ADDRESS:PORT`; no values when it knows no such record.

        Raises:
            Unavailable: A server does not answer, or not for this zone.
            PrerequisiteError: A private zone, and no servers are configured that answer for it.
        """
        question = dns.message.make_query(f"{key.name}.", key.type)
        servers = self._servers or tuple(self._name_servers(key))
        return {server: self._ask(question, server) for server in servers}

    def _ask(self, question: dns.message.Message, server: str) -> tuple[str, ...]:
        """One server's values, sorted. The zone's own name servers answer with authority, or they do not count."""
        reply = _reply(question, server, self._answer_within)
        asked = question.question[0]
        if reply.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            raise Unavailable(f"DNS server {server} answers {dns.rcode.to_text(reply.rcode())} for {asked.name}")
        if not (self._servers or reply.flags & dns.flags.AA):
            raise Unavailable(f"DNS server {server} answers for {asked.name} without authority")
        record_type = dns.rdatatype.to_text(asked.rdtype)
        found = [rrset for rrset in reply.answer if (rrset.name, rrset.rdtype) == (asked.name, asked.rdtype)]
        return tuple(sorted(_canonical(record_type, rdata.to_text()) for rrset in found for rdata in rrset))

    def _await_in_sync(self, client: "Route53Client", change_id: str, key: RecordKey) -> None:
        deadline = time.monotonic() + self._in_sync_within.total_seconds()
        while client.get_change(Id=change_id)["ChangeInfo"]["Status"] != "INSYNC":
            if time.monotonic() + self._poll.total_seconds() > deadline:
                raise Unavailable(f"Route 53 has not brought {_label(key)} to all its servers yet")
            time.sleep(self._poll.total_seconds())

    def _name_servers(self, key: RecordKey) -> Iterator[str]:
        with aws_call(f"Route 53, reading the name servers of {key.zone}"):
            client = self._client("route53", key.role_arn, None)
            zone = _zone(client, key)
            reply = client.get_hosted_zone(Id=zone["Id"])
        if _visibility(zone) == "private":
            raise PrerequisiteError(
                f"zone {key.zone} is private: the servers that answer for it are not on the Internet",
                action="Name resolvers of its VPC in the setting dns_servers",
            )
        for name in reply["DelegationSet"]["NameServers"]:
            yield f"{_address_of(name)}:{_DNS_PORT}"


def _zone(client: "Route53Client", key: RecordKey) -> Mapping[str, Any]:
    """The hosted zone, by id when the key has one."""
    name = f"{key.zone.rstrip('.').lower()}."
    if key.zone_id:
        zone: Mapping[str, Any] = client.get_hosted_zone(Id=key.zone_id)["HostedZone"]
        if zone["Name"] != name:
            raise Conflict(f"hosted zone {key.zone_id} is {zone['Name'].rstrip('.')}, not {key.zone}")
        return zone
    zones = client.list_hosted_zones_by_name(DNSName=name)["HostedZones"]
    same = [zone for zone in zones if zone["Name"] == name]
    if not same:
        raise NotFound(f"no hosted zone is named {key.zone}")
    if len(same) > 1:
        listed = ", ".join(f"{zone['Id'].rpartition('/')[2]} ({_visibility(zone)})" for zone in same)
        raise Conflict(
            f"{len(same)} hosted zones are named {key.zone}: {listed}", action="Say which by zoneId in the request"
        )
    return cast("Mapping[str, Any]", same[0])


def _visibility(zone: Mapping[str, Any]) -> str:
    return "private" if zone.get("Config", {}).get("PrivateZone") else "public"


def _find(client: "Route53Client", zone_id: str, key: RecordKey) -> Mapping[str, Any] | None:
    """The record set as the API returns it, with every attribute that a DELETE has to repeat."""
    name = f"{key.name.rstrip('.').lower()}."
    page = client.list_resource_record_sets(
        HostedZoneId=zone_id,
        StartRecordName=name,
        StartRecordType=cast("RRTypeType", key.type),
        MaxItems=_MOST_OF_ONE_NAME_AND_TYPE,
    )
    for found in page["ResourceRecordSets"]:
        if (found["Name"].lower(), found["Type"]) != (name, key.type):
            break
        if found.get("SetIdentifier") == key.set_identifier:
            return cast("Mapping[str, Any]", found)
        if key.set_identifier is None:
            raise Conflict(
                f"{_label(key)} is not one record set but several, by set identifier",
                action="Say which by setIdentifier in the request",
            )
    return None


def _record_set(key: RecordKey, found: Mapping[str, Any]) -> RecordSet:
    if alias := found.get("AliasTarget"):
        raise Conflict(f"{_label(key)} is an alias of {alias['DNSName']}, which has no values to put back")
    values = sorted(_canonical(key.type, record["Value"]) for record in found["ResourceRecords"])
    return RecordSet(ttl=found["TTL"], values=tuple(values))


def _has_to_change(
    key: RecordKey, found: Mapping[str, Any] | None, before: RecordSet | None, after: RecordSet | None
) -> bool:
    """False when the record set is `after` already. Raises `Conflict` when it is not `before` either."""
    current = _record_set(key, found) if found else None
    if current == _normal(key, after):
        return False
    if current != _normal(key, before):
        raise Conflict(
            f"{_label(key)} was changed by somebody else: it is {_shown(current)}, neither {_shown(before)} nor "
            f"{_shown(after)}",
            action="Decide which value is right; it was left as it is",
        )
    return True


def _batch(key: RecordKey, found: Mapping[str, Any] | None, after: RecordSet | None) -> "list[ChangeTypeDef]":
    changes: list[Mapping[str, Any]] = [{"Action": "DELETE", "ResourceRecordSet": found}] if found else []
    if after:
        if found is None and key.set_identifier:
            raise Conflict(f"{_label(key)} does not exist, and the routing policy of a new one is not known")
        records = [{"Value": value} for value in after.values]
        shape = found or {"Name": f"{key.name}.", "Type": key.type}
        wanted = {**shape, "TTL": after.ttl, "ResourceRecords": records}
        changes.append({"Action": "CREATE", "ResourceRecordSet": wanted})
    return cast("list[ChangeTypeDef]", changes)


def _normal(key: RecordKey, wanted: RecordSet | None) -> RecordSet | None:
    return wanted and RecordSet(ttl=wanted.ttl, values=tuple(sorted(_canonical(key.type, v) for v in wanted.values)))


def _canonical(record_type: str, value: str) -> str:
    """One spelling of an address or a name, so that what was asked for compares with what is answered."""
    if record_type in ("A", "AAAA"):
        return str(ip_address(value))
    return value.rstrip(".").lower()


def _reply(question: dns.message.Message, server: str, seconds: float) -> dns.message.Message:
    host, _, port = server.rpartition(":")
    for tries_left in reversed(range(_DNS_TRIES)):
        try:
            reply, _ = dns.query.udp_with_fallback(question, host.strip("[]"), timeout=seconds, port=int(port))
        except (dns.exception.DNSException, OSError, EOFError) as error:
            if not tries_left:
                words = str(error) or type(error).__name__
                raise Unavailable(f"DNS server {server} does not answer: {words}") from error
        else:
            return reply
    raise AssertionError("unreachable")


def dns_server(server: str, seconds: float = 1.0) -> str:
    """Ask ADDRESS:PORT for anything; its answer's code. Raises `Unavailable` when it does not answer."""
    reply = _reply(dns.message.make_query(".", "SOA"), server, seconds)
    return f"answers ({dns.rcode.to_text(reply.rcode())})"


def _address_of(name: str) -> str:
    try:
        return str(dns.resolver.resolve(f"{name}.", "A")[0].to_text())
    except dns.exception.DNSException as error:
        raise Unavailable(f"the address of name server {name} cannot be found: {error}") from error


def _label(key: RecordKey) -> str:
    return f"{key.name} {key.type}" + (f" ({key.set_identifier})" if key.set_identifier else "")


def _shown(record_set: RecordSet | None) -> str:
    return f"{' '.join(record_set.values)} (TTL {record_set.ttl})" if record_set else "absent"


def _said(error: ClientError) -> str:
    return error.response["Error"].get("Message") or error.response["Error"]["Code"]
