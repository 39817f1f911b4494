"""Whether the systems are as the design promises: read from them alone, and compared with what they were."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from activities.target import KEEP_UNTIL_TAG
from localcloud.ledger import Entry
from localcloud.report import Systems, report
from migration.marks import MARK_TAG
from migration.status import MigrationStatus, Phase, Side, StepState
from migration.steps import Step
from tests.matrix.photograph import Photograph, claimed, compare, photograph
from tests.sweep.cases import Names
from tests.sweep.invariants import Evidence, Instance, broken

_AS_BEFORE = ("names", "machines", "items", "claims")
_LEFT_TO_THE_SWEEP = frozenset({"callbacks", "ledger", "Cloud Migration Factory"})
"""Lines of the report that depend on how often something was tried, or on what is told when it is over."""


@dataclass(frozen=True)
class Scene:
    """One migration, the systems, and what they were before it."""

    systems: Systems
    names: Names
    before: Photograph


def at_the_start(scene: Scene, status: MigrationStatus) -> Iterator[str]:
    """The state before the migration, and what the target wrote is kept and listed."""
    after = photograph(scene.systems, scene.names)
    yield from compare(scene.before, after, (*_AS_BEFORE, "records"))
    for record in scene.systems.records(scene.names.migration_id):
        state = f"{record['lifeCycle']['state']}, archived: {record['isArchived']}"
        if state != "DISCONNECTED, archived: True":
            yield f"the MGN record is {state}"
    yield from _source_serves(scene, status)
    yield from _kept(scene, status, after)


def at_the_gate(scene: Scene, status: MigrationStatus) -> Iterator[str]:
    """The source serves, its records are ready for another cutover, and replication goes on."""
    after = photograph(scene.systems, scene.names)
    yield from compare(scene.before, after, tuple(part for part in _AS_BEFORE if part != "claims"))
    ready = {"state": "READY_FOR_CUTOVER", "replication": "CONTINUOUS"}
    yield from (f"the record of {name} is {one}" for name, one in after.records.items() if one != ready)
    if after.records.keys() != after.machines.keys():
        yield f"records in service: {', '.join(after.records) or 'none'}"
    if status.approvals:
        yield f"earlier approvals hold: {status.approvals}"
    yield from _source_serves(scene, status)
    yield from _kept(scene, status, after)


def at_the_end(scene: Scene, status: MigrationStatus) -> Iterator[str]:
    """The target serves, and the source is retired."""
    for line in report(scene.systems, scene.names.application, scene.names.migration_id, "target"):
        if not line.right and line.subject not in _LEFT_TO_THE_SWEEP:
            yield f"{line.subject}: {line.said}"
    if status.served_by is not Side.TARGET:
        yield f"the status says that the {status.served_by} serves"
    after = photograph(scene.systems, scene.names)
    yield from compare(scene.before, after, ("claims",))
    if after.snapshots:
        yield f"snapshots are left: {', '.join(after.snapshots)}"


def always(scene: Scene, status: MigrationStatus, entries: Sequence[Entry]) -> Iterator[str]:
    """What holds however it ended: the invariants of the sweep's checker, and the books."""
    yield from broken(_evidence(scene, status, entries))
    marks = Counter(entry.detail.get("tags", {}).get(MARK_TAG) for entry in entries if entry.operation == "StartTest")
    yield from (f"StartTest for {mark}: {count} times" for mark, count in marks.items() if count > 1)
    yield from _books(scene, status)
    if status.undo:
        yield f"it ended, and would still undo {', '.join(line.kind for line in status.undo)}"


def _evidence(scene: Scene, status: MigrationStatus, entries: Sequence[Entry]) -> Evidence:
    verify = next(line for line in status.steps if line.step is Step.VERIFY)
    seen_healthy = verify.ended if verify.state is StepState.DONE else None
    return Evidence(
        servers=(scene.names.server,),
        entries=entries,
        application=scene.systems.application(scene.names.application),
        instances=[_instance(one) for one in scene.systems.instances(scene.names.migration_id)],
        served_by="target" if status.served_by is Side.TARGET else "source",
        preserved={one for preserved in status.preserved for one in preserved.instance_ids},
        verified=seen_healthy.isoformat() if seen_healthy else None,
        writes_given_up=bool(status.preserved),
    )


def _instance(described: dict[str, Any]) -> Instance:
    kept = any(tag["Key"] == KEEP_UNTIL_TAG for tag in described.get("Tags", ()))
    address = described.get("PrivateIpAddress")
    return Instance(described["InstanceId"], address, described["State"]["Name"], kept=kept)


def _books(scene: Scene, status: MigrationStatus) -> Iterator[str]:
    claim = claimed(scene.systems, f"claim#{scene.names.migration_id}")
    if claim and claim.get("endedAs", {}).get("S") != status.phase:
        yield f"the claim is not ended as {status.phase}: {claim.get('endedAs', 'not ended')}"
    row = claimed(scene.systems, f"migration#{scene.names.migration_id}")
    if row is None or row["status"]["S"] != status.phase:
        yield f"the read model says {row and row['status']['S']}, the migration {status.phase}"


def _source_serves(scene: Scene, status: MigrationStatus) -> Iterator[str]:
    told = scene.systems.application(scene.names.application)
    served = {server["servedBy"] for server in told["servers"]}
    if served != {"source"}:
        yield f"serving now: {', '.join(map(str, served))}"
    refused = status.phase is Phase.FAILED and status.served_by is Side.UNKNOWN  # it knows of no server yet
    if status.served_by is not Side.SOURCE and not refused:
        yield f"the status says that the {status.served_by} serves"
    written = sum(side["writes"] for server in told["servers"] for side in server["sides"] if _took_writes(side))
    if any(server["lostWrites"] for server in told["servers"]) and not status.preserved:
        yield f"writes are lost, and nothing is preserved: {written} on the target"


def _took_writes(side: dict[str, object]) -> bool:
    return side["side"] == "target" and side["kind"] == "cutover"


def _kept(scene: Scene, status: MigrationStatus, after: Photograph) -> Iterator[str]:
    """What is left in EC2 is stopped, has its snapshots, and is listed; everything else is gone."""
    instances = {one for preserved in status.preserved for one in preserved.instance_ids}
    snapshots = {one for preserved in status.preserved for one in preserved.snapshot_ids}
    if after.instances != dict.fromkeys(instances, "stopped"):
        yield f"instances: {dict(after.instances) or 'none'}, and as kept are listed {', '.join(instances) or 'none'}"
    if after.snapshots != snapshots:
        yield f"EBS snapshots: {set(after.snapshots) or 'none'}, and as kept are listed {snapshots or 'none'}"
    if instances and not snapshots:
        yield "instances are kept without a snapshot"
