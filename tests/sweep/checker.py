"""Judges a finished run by what the systems and the ledger say: nothing happened twice, nothing was lost."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from localcloud.aws.seed import STATE_TABLE
from localcloud.ledger import Entry
from localcloud.report import Systems, report
from tests.sweep.cases import Call, Case, Names

Effect = tuple[str, str]

REPEATABLE = frozenset({"dynamodb", "sqs", "callback"})
"""Services whose calls may be made twice: by condition a second one changes nothing, or its receiver can tell."""

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
    """What became of one run. `calls` are all that were made while it ran, those of its neighbours included."""

    case: Case
    names: Names
    seconds: float = 0.0
    entries: Sequence[Entry] = ()
    calls: Sequence[Call] = ()
    problems: list[str] = field(default_factory=list)

    @property
    def effects(self) -> Counter[Effect]:
        """What was done, and how often."""
        done = ((e.service, e.operation) for e in self.entries if e.service not in REPEATABLE)
        return Counter(done)

    @property
    def messages(self) -> set[str]:
        """The callbacks that arrived: their place in the order, and what they say."""
        prefix = f"{self.names.migration_id}"
        arrived = (entry.detail for entry in self.entries if entry.service == "callback")
        return {f"{each['webhook-id'].removeprefix(prefix)} {each['type']}" for each in arrived}


def entries_of(entries: Iterable[Entry], names: Names) -> list[Entry]:
    """What the ledger has of one application and its migration."""
    own = set(names.by_kind().values())
    return [entry for entry in entries if own & set(entry.targets)]


def judge(outcome: Outcome, systems: Systems) -> Iterator[str]:
    """Every way in which a run that ended is not as it should be."""
    yield from _systems(outcome, systems)
    yield from _claims(outcome, systems)
    yield from _order(outcome)


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
    for line in report(systems, names.application, names.migration_id, ending.served_by):
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

    if held := item(f"server#vcenter-1/{names.server}"):
        yield f"the server is still claimed: {held}"
    claim, row = item(f"claim#{names.migration_id}"), item(f"migration#{names.migration_id}")
    if claim is None or claim.get("endedAs", {}).get("S") != expected:
        yield f"the claim is not ended as {expected}: {claim}"
    if row is None or row["status"]["S"] != expected:
        yield f"the read model does not say {expected}: {row and row['status']}"


def _order(outcome: Outcome) -> Iterator[str]:
    """The source is fenced before the target is launched, and the target before the source is let back."""
    for entry in _of(outcome, "mgn", "StartCutover"):
        if not _before(outcome, entry, "vcenter", "ShutdownGuest", "PowerOffVM_Task"):
            yield "the target was launched while the source ran"
    for entry in _of(outcome, "vcenter", "PowerOnVM_Task"):
        if not _before(outcome, entry, "ec2", "StopInstances"):
            yield "the source came back before the target was stopped"


def _of(outcome: Outcome, service: str, *operations: str) -> list[Entry]:
    return [e for e in outcome.entries if e.service == service and e.operation in operations]


def _before(outcome: Outcome, entry: Entry, service: str, *operations: str) -> bool:
    return any(other.seq < entry.seq for other in _of(outcome, service, *operations))


def _differences(what: str, found: Counter[Any], expected: Counter[Any]) -> Iterator[str]:
    for key in sorted({*found, *expected}, key=str):
        if found[key] != expected[key]:
            name = " ".join(key) if isinstance(key, tuple) else key
            yield f"{what} {name}: {found[key]} times, and {expected[key]} without a fault"
