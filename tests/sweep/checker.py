"""Judges a finished run by what the systems and the ledger say: nothing happened twice, nothing was lost."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from activities.target import KEEP_UNTIL_TAG
from localcloud.aws.seed import STATE_TABLE
from localcloud.ledger import Entry
from localcloud.report import Systems, report
from migration.status import StepState
from tests.sweep.cases import Call, Case, Names
from tests.sweep.invariants import Evidence, Instance, broken, downtimes
from tests.sweep.orders import Told

Effect = tuple[str, str]

REPEATABLE = frozenset({"dynamodb", "sqs", "callback", "events", "cmf"})
"""Services whose calls may be made twice: by condition a second one changes nothing, or its receiver can tell.

What CMF is told says how a thing is, and only the latest words leave: how many there are depends on how fast it is.
"""

SETTERS = frozenset(
    {
        "AssociateApplications",
        "AssociateSourceServers",
        "CreateTags",
        "ModifyInstanceAttribute",
        "ModifyLaunchTemplate",
        "StopInstances",
        "TagResource",
        "UpdateLaunchConfiguration",
        "UpdateReplicationConfiguration",
    }
)
"""Calls that say how a thing is to be: said twice, which AWS's own client does when an answer is lost, they do nothing.
They may be repeated, and not be left out."""

KEPT = frozenset({"write counter", "EC2 instances", "ledger"})
"""Lines of the report that read otherwise when a target is kept for its writes."""


@dataclass
class Outcome:
    """What became of one run.

    Attributes:
        calls: All that were made while it ran, those of its neighbours included.
        activities: The types of all activities that its histories have, in their order.
        told: What the attempts of its activities told.
        status: What the query answers at its end.
        downtime: Seconds in which nobody served by intention; None: the source was never stopped.
    """

    case: Case
    names: Names
    seconds: float = 0.0
    entries: Sequence[Entry] = ()
    calls: Sequence[Call] = ()
    activities: Sequence[str] = ()
    told: Sequence[Told] = ()
    status: Mapping[str, Any] = field(default_factory=dict)
    downtime: float | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def effects(self) -> Counter[Effect]:
        """What was done, and how often."""
        done = ((e.service, e.operation) for e in self.entries if e.service not in REPEATABLE)
        return Counter(done)

    @property
    def messages(self) -> set[str]:
        """The callbacks and events that arrived: their place in the order, and what they say."""
        return {message for entry in self.entries for message in messages_of(entry, self.names)}


def messages_of(entry: Entry, names: Names) -> set[str]:
    """The callback or events of one migration that arrived in one call."""
    own = f"{names.migration_id}:"
    if entry.service == "callback":
        return {f"callback {entry.detail['webhook-id'].removeprefix(own)} {entry.detail['type']}"}
    if entry.service == "events":
        events = ((event["type"], name) for event in entry.detail["entries"] for name in event["names"])
        return {f"event {name.removeprefix(own)} {kind}" for kind, name in events if name.startswith(own)}
    return set()


def entries_of(entries: Iterable[Entry], names: Names) -> list[Entry]:
    """What the ledger has of one application and its migration."""
    own = set(names.by_kind().values())
    return [entry for entry in entries if own & set(entry.targets)]


def judge(outcome: Outcome, systems: Systems) -> Iterator[str]:
    """Every way in which a run that ended is not as it should be."""
    yield from _systems(outcome, systems)
    yield from _claims(outcome, systems)
    evidence = evidence_of(outcome, systems)
    yield from broken(evidence)
    downs = downtimes(evidence)
    if downs:
        outcome.downtime = sum(down.seconds or 0.0 for down in downs)


def evidence_of(outcome: Outcome, systems: Systems) -> Evidence:
    """What the invariants are judged by, read from the systems; the status only says what was promised."""
    names, status = outcome.names, outcome.status
    verify: Mapping[str, Any] = next((step for step in status.get("steps", ()) if step["step"] == "verify"), {})
    kept = [one for preserved in status.get("preserved", ()) for one in preserved["instanceIds"]]
    return Evidence(
        servers=names.servers,
        entries=outcome.entries,
        application=systems.application(names.application),
        instances=[_instance(one) for one in systems.instances(names.migration_id)],
        served_by=outcome.case.ending.served_by,
        preserved=frozenset(kept),
        verified=verify.get("ended") if verify.get("state") == StepState.DONE else None,
        writes_given_up=outcome.case.ending.keeps_target,
    )


def _instance(described: Mapping[str, Any]) -> Instance:
    tags = {tag["Key"] for tag in described.get("Tags", ())}
    return Instance(
        described["InstanceId"], described.get("PrivateIpAddress"), described["State"]["Name"], KEEP_UNTIL_TAG in tags
    )


def compare(outcome: Outcome, reference: Outcome) -> Iterator[str]:
    """Every effect and message that a run has more or less often than the one without a fault."""
    if outcome.entries:
        expected = reference.effects
        found = Counter({key: count for key, count in outcome.effects.items() if key[1] not in SETTERS})
        said = Counter({key: min(count, expected[key]) for key, count in outcome.effects.items() if key[1] in SETTERS})
        yield from _differences("effect", found + said, expected)
        yield from _differences("message", Counter(outcome.messages), Counter(reference.messages))


def _systems(outcome: Outcome, systems: Systems) -> Iterator[str]:
    names, ending = outcome.names, outcome.case.ending
    for line in report(systems, names.application, names.migration_id, ending.served_by, cutovers=ending.cutovers):
        if not line.right and not (ending.keeps_target and line.subject in KEPT):
            yield f"{line.subject}: {line.said}"
    if ending.keeps_target:
        yield from _kept(names, systems)


def _kept(names: Names, systems: Systems) -> Iterator[str]:
    instances = systems.instances(names.migration_id)
    kept = [one["InstanceId"] for one in instances if one["State"]["Name"] == "stopped"]
    if len(kept) != 1:
        yield f"one stopped target is to be kept: {[(one['InstanceId'], one['State']['Name']) for one in instances]}"
    filters = [{"Name": "tag:migrator:instance-id", "Values": kept}]
    snapshots = systems.aws("ec2").describe_snapshots(OwnerIds=["self"], Filters=filters)["Snapshots"]
    volumes = Counter(snapshot["VolumeId"] for snapshot in snapshots)
    if not volumes or set(volumes.values()) != {1}:
        yield f"every volume of a kept target is to have one snapshot: {dict(volumes)}"


def _claims(outcome: Outcome, systems: Systems) -> Iterator[str]:
    """The claims are given back, and the read model says how it ended."""
    names, expected = outcome.names, outcome.case.ending.status

    def item(key: str) -> dict[str, Any] | None:
        found = systems.aws("dynamodb").get_item(TableName=STATE_TABLE, Key={"pk": {"S": key}}, ConsistentRead=True)
        item: dict[str, Any] | None = found.get("Item")
        return item

    for server in names.servers:
        if held := item(f"server#vcenter-1/{server}"):
            yield f"{server} is still claimed: {held}"
    claim, row = item(f"claim#{names.migration_id}"), item(f"migration#{names.migration_id}")
    if claim is None or claim.get("endedAs", {}).get("S") != expected:
        yield f"the claim is not ended as {expected}: {claim}"
    if row is None or row["status"]["S"] != expected:
        yield f"the read model does not say {expected}: {row and row['status']}"


def _differences(what: str, found: Counter[Any], expected: Counter[Any]) -> Iterator[str]:
    for key in sorted({*found, *expected}, key=str):
        if found[key] != expected[key]:
            name = " ".join(key) if isinstance(key, tuple) else key
            yield f"{what} {name}: {found[key]} times, and {expected[key]} without a fault"
