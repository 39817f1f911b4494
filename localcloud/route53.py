"""The local Route 53: moto's, with change batches as strict as AWS documents them, and what DNS answers from it.

moto keeps a journal where AWS compares with what is there: in moto a CREATE duplicates a record set, a DELETE of a
value that was there once succeeds, and a value can never be created again after it was deleted.
"""

import copy
import random
import threading
from collections.abc import Callable, Sequence
from ipaddress import IPv6Address
from typing import Any

from moto.route53.exceptions import Route53ClientError
from moto.route53.models import FakeZone, RecordSet, Route53Backend, route53_backends

from localcloud.dns import Answer

_LOCK = threading.RLock()
_NEGATIVE_TTL = 60
_SOA_TTL = 900


def be_strict_about_change_batches() -> None:
    """Let moto apply change batches as AWS does: compared with what is there, all of a batch or nothing.

    Source: API reference, ChangeResourceRecordSets. Repeating the call changes nothing.
    """
    Route53Backend.change_resource_record_sets = _change_resource_record_sets


def route53_lookup(account_id: str) -> Callable[[str, str], Answer | None]:
    """A lookup for `DnsServer` over this account's hosted zones.

    Of several zones the one with the longest name answers, and of two with one name the private one, as inside a VPC.
    """

    def lookup(name: str, rdtype: str) -> Answer | None:
        with _LOCK:
            zone = _zone_of(list(route53_backends[account_id]["aws"].zones.values()), name)
            return _answer(zone, name, rdtype) if zone else None

    return lookup


def _zone_of(zones: Sequence[FakeZone], name: str) -> FakeZone | None:
    holding = [zone for zone in zones if _within(name, _plain(zone.name))]
    return max(holding, key=lambda zone: (len(_plain(zone.name)), bool(zone.private_zone)), default=None)


def _answer(zone: FakeZone, name: str, rdtype: str) -> Answer:
    apex = _plain(zone.name)
    soa = _start_of_authority(zone)
    if (name, rdtype) == (apex, "SOA"):
        return Answer(apex, soa, "SOA", ((_SOA_TTL, soa),), exists=True)
    here = [found for found in zone.rrsets if _plain(found.name) == name and found.type != "SOA"]
    matching = [found for found in here if found.type == rdtype] or [found for found in here if found.type == "CNAME"]
    exists = name == apex or any(_within(_plain(found.name), name) for found in zone.rrsets)
    if not matching:
        return Answer(apex, soa, rdtype, (), exists=exists)
    chosen = _choose(matching)
    records = tuple((int(chosen.ttl or 0), value) for value in chosen.records or ())
    return Answer(apex, soa, str(chosen.type), records, exists=True)


def _choose(record_sets: Sequence[RecordSet]) -> RecordSet:
    """One of several sets of a name and type: by weight where they have one, else the first."""
    weights = [int(found.weight or 0) for found in record_sets]
    return random.choices(record_sets, weights)[0] if sum(weights) else record_sets[0]


def _start_of_authority(zone: FakeZone) -> str:
    servers = zone.delegation_set.name_servers if zone.delegation_set else []
    primary = _plain(servers[0]) if servers else f"ns.{_plain(zone.name)}"
    return f"{primary}. hostmaster.{_plain(zone.name)}. 1 7200 900 1209600 {_NEGATIVE_TTL}"


def _change_resource_record_sets(backend: Route53Backend, zoneid: str, change_list: list[dict[str, Any]]) -> None:
    with _LOCK:
        zone = backend.get_hosted_zone(zoneid)
        record_sets = list(zone.rrsets)
        for change in change_list:
            record_sets = _after_change(zone, record_sets, change["Action"], _as_record_set(change))
        zone.rrsets = record_sets


def _as_record_set(change: dict[str, Any]) -> RecordSet:
    given = copy.deepcopy(change["ResourceRecordSet"])
    given["Name"] = f"{_plain(given['Name'])}."
    given["ResourceRecords"] = [record["Value"] for record in given.get("ResourceRecords") or []]
    return RecordSet(given)


def _after_change(zone: FakeZone, present: list[RecordSet], action: str, given: RecordSet) -> list[RecordSet]:
    label = f"[name='{given.name}', type='{given.type}'{_identifier(given)}]"
    _check_shape(zone, given)
    found = next((each for each in present if _key(each) == _key(given)), None)
    others = [each for each in present if each is not found]
    if action == "DELETE":
        if found is None:
            raise _invalid(f"Tried to delete resource record set {label} but it was not found")
        if _content(found) != _content(given):
            raise _invalid(
                f"Tried to delete resource record set {label} but the values provided do not match the current values"
            )
        return others
    if action == "CREATE" and found:
        raise _invalid(f"Tried to create resource record set {label} but it already exists")
    if action not in ("CREATE", "UPSERT"):
        raise Route53ClientError("InvalidInput", f"Invalid XML: Value '{action}' is not one of CREATE, DELETE, UPSERT")
    _check_neighbours(others, given)
    return [*others, given]


def _check_shape(zone: FakeZone, given: RecordSet) -> None:
    if not _within(_plain(given.name), _plain(zone.name)):
        raise _invalid(f"RRSet with DNS name {given.name} is not permitted in zone {zone.name}")
    if bool(given.alias_target) == bool(given.records and given.ttl is not None):
        raise Route53ClientError(
            "InvalidInput", "Invalid request: Expected exactly one of [AliasTarget, all of [TTL, and ResourceRecords]]"
        )
    if len(set(given.records)) != len(given.records):
        raise _invalid(f"Duplicate Resource Record: '{given.records}'")
    for value in given.records:
        if not _is_valid(str(given.type), value):
            raise _invalid(f"Invalid Resource Record: '{value}' is not a valid value of type {given.type}")


def _check_neighbours(others: Sequence[RecordSet], given: RecordSet) -> None:
    """A CNAME stands alone, and a simple record set has no siblings with set identifiers."""
    for other in others:
        if other.name != given.name:
            continue
        if "CNAME" in (other.type, given.type) and other.type != given.type:
            raise _invalid(
                f"RRSet of type {given.type} with DNS name {given.name} is not permitted as it conflicts with other "
                "records with the same DNS name"
            )
        if other.type == given.type and bool(other.set_identifier) != bool(given.set_identifier):
            raise _invalid(f"RRSet with DNS name {given.name}, type {given.type} mixes simple and other routing")


def _is_valid(rdtype: str, value: str) -> bool:
    parts = value.split(".")
    if rdtype == "A":
        return len(parts) == 4 and all(part.isascii() and part.isdigit() and int(part) < 256 for part in parts)  # noqa: PLR2004  an IPv4 address
    if rdtype == "AAAA":
        try:
            IPv6Address(value)
        except ValueError:
            return False
    return True


def _invalid(message: str) -> Route53ClientError:
    return Route53ClientError("InvalidChangeBatch", f"[{message}]")


def _identifier(given: RecordSet) -> str:
    return f", set-identifier='{given.set_identifier}'" if given.set_identifier else ""


def _key(given: RecordSet) -> tuple[str, str, str]:
    return _plain(given.name), str(given.type), given.set_identifier or ""


def _content(given: RecordSet) -> dict[str, Any]:
    content = {name: value for name, value in vars(given).items() if value not in (None, [], "")}
    ttl = {"ttl": int(given.ttl)} if given.ttl is not None else {}
    return content | ttl | {"name": _plain(given.name), "records": sorted(given.records or [])}


def _plain(name: str) -> str:
    return name.lower().rstrip(".")


def _within(name: str, zone: str) -> bool:
    return name == zone or name.endswith(f".{zone}")
