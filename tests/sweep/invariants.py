"""What must hold of every migration, read from the ledger, the applications' account and EC2: plain data in, words out.

Each invariant yields one sentence for each way in which it was broken.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from localcloud.ledger import Entry

MARK_TAG = "migrator:mark"

_QUIESCE = frozenset({"ShutdownGuest", "PowerOffVM_Task"})
_GONE = frozenset({"terminated", "shutting-down"})

Side = Literal["source", "target"]


@dataclass(frozen=True)
class Instance:
    """An EC2 instance with the migration's tag at the end. `kept`: it carries a term until which it is kept."""

    instance_id: str
    address: str | None
    state: str
    kept: bool = False


@dataclass(frozen=True)
class Evidence:
    """What is known of one migration that has ended.

    Attributes:
        servers: Its source machines.
        entries: Its part of the ledger, in order.
        application: Its application's own account, as `GET /applications` gives it.
        instances: All that carry its tag.
        served_by: Who serves, in the migration's own words.
        preserved: The instances that its result lists as kept.
        verified: When its target was last seen healthy (RFC 3339); None: never.
        writes_given_up: A person has said that the target's writes may be left behind.
    """

    servers: Sequence[str]
    entries: Sequence[Entry]
    application: Mapping[str, Any]
    instances: Sequence[Instance] = ()
    served_by: Side = "source"
    preserved: Collection[str] = ()
    verified: str | None = None
    writes_given_up: bool = False


def broken(evidence: Evidence) -> Iterator[str]:
    """Every invariant that does not hold."""
    yield from launched_twice(evidence)
    yield from both_sides(evidence)
    yield from served_while_down(evidence)
    yield from writes_lost(evidence)
    yield from volumes_lost(evidence)
    yield from without_owner(evidence)
    yield from retired_unverified(evidence)


def launched_twice(evidence: Evidence) -> Iterator[str]:
    """There is exactly one StartCutover for a server and an entry, and it carries its mark."""
    launches: Counter[tuple[str, str]] = Counter()
    for entry in _of(evidence, "mgn", "StartCutover"):
        mark = entry.detail.get("tags", {}).get(MARK_TAG)
        if mark is None:
            yield f"StartCutover {entry.seq} carries no mark"
            continue
        launches.update((server, mark) for server in evidence.servers if server in entry.targets)
    for (server, mark), count in launches.items():
        if count > 1:
            yield f"StartCutover of {server} for {mark}: {count} times"


def both_sides(evidence: Evidence) -> Iterator[str]:
    """At no instant can both sides accept work: by the order of the calls, and by the applications' own account."""
    on, up = set(evidence.servers), set[str]()
    for entry in evidence.entries:
        before = bool(on and up)
        _apply(entry, on, up)
        if on and up and not before:
            yield f"{entry.operation} {entry.seq}: {', '.join(sorted(on))} and {', '.join(sorted(up))} can accept work"
    if overlaps := evidence.application.get("overlaps"):
        yield f"both sides could accept work: {overlaps}"


def _apply(entry: Entry, on: set[str], up: set[str]) -> None:
    """Follow which sources are on and which launched instances are up. A guest that was asked goes off in a moment."""
    named = set(entry.targets)
    match entry.service, entry.operation:
        case "vcenter", operation if operation in _QUIESCE:
            on -= named
        case "vcenter", "PowerOnVM_Task":
            on |= named & {name for name in named if not name.startswith("vm-")}
        case "application", "launched" if entry.detail.get("production"):
            up.add(entry.targets[0])
        case "application", "terminated":
            up -= named
        case "ec2", "StopInstances":
            up -= named
        case "ec2", "StartInstances":
            up |= {name for name in named if name.startswith("i-")}


@dataclass(frozen=True)
class Downtime:
    """From the first source asked to go off until clients are led to the target, or the source is switched on again.

    Attributes:
        began: RFC 3339.
        ended: None: it goes on.
        led_to: Who served afterwards.
    """

    began: str
    ended: str | None = None
    led_to: Side | None = None

    @property
    def seconds(self) -> float | None:
        """How long; None: it did not end."""
        return (_moment(self.ended) - _moment(self.began)).total_seconds() if self.ended else None


def downtimes(evidence: Evidence) -> list[Downtime]:
    """When nobody served by intention, in order."""
    found: list[Downtime] = []
    addresses: dict[str, str] = {}
    for entry in evidence.entries:
        _learn(addresses, entry)
        down = bool(found) and found[-1].ended is None
        switched = entry.service == "route53" and bool(_led_to(entry) & addresses.keys())
        if entry.operation in _QUIESCE and not down:
            found.append(Downtime(entry.time))
        elif down and (switched or entry.operation == "PowerOnVM_Task"):
            found[-1] = Downtime(found[-1].began, entry.time, "target" if switched else "source")
    return found


def served_while_down(evidence: Evidence) -> Iterator[str]:
    """From quiesce to switch nobody serves: no client is led to the target before, and no source comes up between."""
    quiesced = min((down.began for down in downtimes(evidence)), default=None)
    addresses: dict[str, str] = {}
    for entry in evidence.entries:
        _learn(addresses, entry)
        if entry.service == "route53" and _led_to(entry) & addresses.keys() and (not quiesced or entry.time < quiesced):
            yield f"ChangeResourceRecordSets {entry.seq} led clients to the target before the source was asked to stop"
    for down in downtimes(evidence):
        if down.ended is None:
            yield f"the source went off at {down.began}, and nobody serves since"
        elif down.led_to == "target":
            yield from _came_up_between(evidence, down.began, down.ended)


def _came_up_between(evidence: Evidence, began: str, ended: str) -> Iterator[str]:
    for span in evidence.application.get("servingLog", ()):
        if span["side"] == "source" and _moment(began) < _moment(span["from"]) < _moment(ended):
            yield f"{span['server']} came up at {span['from']}, between {began} and {ended}"


def writes_lost(evidence: Evidence) -> Iterator[str]:
    """No write is lost without a person's word."""
    for server in evidence.application.get("servers", ()):
        if server["lostWrites"] and not evidence.writes_given_up:
            yield f"{server['name']} lost {server['lostWrites']} writes, and nobody has given them up"


def volumes_lost(evidence: Evidence) -> Iterator[str]:
    """No volume that took traffic is deleted without a snapshot."""
    addresses: dict[str, str] = {}
    took, snapshotted = set[str](), set[str]()
    for entry in evidence.entries:
        _learn(addresses, entry)
        if entry.service == "route53":
            took |= {addresses[address] for address in _led_to(entry) & addresses.keys()}
        elif entry.operation in {"CreateSnapshots", "CreateSnapshot"}:
            snapshotted |= set(entry.targets)
        elif (entry.service, entry.operation) == ("application", "terminated"):
            for instance in sorted((took - snapshotted) & set(entry.targets)):
                yield f"{instance} took traffic, and was terminated without a snapshot"


def without_owner(evidence: Evidence) -> Iterator[str]:
    """Every instance is terminated, or serves, or is kept and listed as preserved."""
    answer = set(evidence.application.get("dns", {}).get("answer", ()))
    for one in evidence.instances:
        serves = one.state == "running" and evidence.served_by == "target" and one.address in answer
        kept = one.state == "stopped" and one.kept and one.instance_id in evidence.preserved
        if one.state not in _GONE and not serves and not kept:
            yield f"{one.instance_id} is {one.state}, and nobody's: it neither serves nor is listed as preserved"


def retired_unverified(evidence: Evidence) -> Iterator[str]:
    """No source is given up (the cutover finalized, the machine destroyed) unless its target was seen healthy."""
    for entry in [*_of(evidence, "mgn", "FinalizeCutover"), *_of(evidence, "vcenter", "Destroy_Task")]:
        if evidence.verified is None or _moment(evidence.verified) > _moment(entry.time):
            yield f"{entry.operation} {entry.seq} gave the source up, and the target was not verified"


def without_migration(accepted: Iterable[str], started: Iterable[str]) -> Iterator[str]:
    """Every message that was accepted has a migration: its id is that of a workflow that was started once."""
    runs = Counter(started)
    for migration_id in accepted:
        if runs[migration_id] != 1:
            yield f"the message for {migration_id} was accepted, and became {runs[migration_id]} migrations"


def _of(evidence: Evidence, service: str, operation: str) -> list[Entry]:
    return [entry for entry in evidence.entries if (entry.service, entry.operation) == (service, operation)]


def _learn(addresses: dict[str, str], entry: Entry) -> None:
    """Remember whose address it is: of the instance that was launched last with it, in production."""
    if (entry.service, entry.operation) == ("application", "launched") and entry.detail.get("production"):
        addresses[entry.detail["address"]] = entry.targets[0]


def _led_to(entry: Entry) -> set[str]:
    changes = entry.detail.get("changes", ())
    return {value for change in changes if change["action"] != "DELETE" for value in change["values"]}


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
