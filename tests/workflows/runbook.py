"""What a migration of one server, one record and one CMDB item does: the acts of each step, and what undoes them."""

from collections.abc import Iterable
from dataclasses import dataclass

from migration.steps import Step

ACTS: dict[Step, list[str]] = {
    Step.VALIDATE: ["check_prerequisites"],
    Step.PREPARE: ["install_agents", "find_source_servers", "configure_replication"],
    Step.REPLICATE: ["await_replication"],
    Step.TEST: [
        *("set_launch_targets", "start_test", "await_job", "await_status_checks"),
        *("await_post_launch_actions", "await_health"),
        *("change_life_cycle", "terminate_targets", "await_termination"),
    ],
    Step.APPROVE: [],
    Step.CUTOVER: [
        *("set_launch_targets", "await_replication", "shut_down_sources", "snapshot_sources"),
        *("start_cutover", "await_job"),
    ],
    Step.VERIFY: ["await_status_checks", "await_post_launch_actions", "await_health"],
    Step.SWITCH: ["protect_targets", "change_records", "read_items", "record_move"],
    Step.SOAK: ["watch_health"],
    Step.FINALIZE: ["finalize_cutover"],
    Step.DECOMMISSION: ["archive", "remove_source_snapshots", "retire_sources", "retire_items"],
}

_END_LAUNCH = ["change_life_cycle", "terminate_targets", "await_termination"]
_SOURCE_SERVES = ["fence_targets", "restore_sources", "await_health"]

_OF_CUTOVER = [*_SOURCE_SERVES, *_END_LAUNCH, "remove_source_snapshots"]
_OF_PROTECTION = [*_SOURCE_SERVES, "unprotect_targets", *_END_LAUNCH, "remove_source_snapshots"]
_OF_SWITCH = [
    *(*_SOURCE_SERVES, "restore_records", "unprotect_targets", "preserve_targets", "change_life_cycle"),
    "remove_source_snapshots",
]
_OF_MOVE = [*_OF_SWITCH[:-1], "restore_items", "remove_source_snapshots"]


@dataclass(frozen=True)
class Act:
    """One act of the runbook: the `call`-th of its name, and how a migration comes back from it.

    Attributes:
        to_ready: What a rollback to the gate does; None where the gate has not been reached.
        to_start: What undoing everything does.
    """

    step: Step
    name: str
    call: int
    to_ready: list[str] | None
    to_start: list[str]

    def __str__(self) -> str:
        """Its step and name."""
        return f"{self.step}: {self.name}"


def all_acts() -> list[str]:
    """Everything, in order."""
    return acts_of(Step)


def acts_of(steps: Iterable[Step]) -> list[str]:
    """The acts of these steps."""
    return [act for step in steps for act in ACTS[step]]


def acts_before_the_pivot() -> list[Act]:
    """Every act that can be turned back from."""
    counts: dict[str, int] = {}
    found = []
    for step in list(Step)[: list(Step).index(Step.FINALIZE)]:
        for position, name in enumerate(ACTS[step]):
            counts[name] = counts.get(name, 0) + 1
            found.append(Act(step, name, counts[name], _to_ready(step, position), _to_start(step, position)))
    return found


def _to_ready(step: Step, position: int) -> list[str] | None:
    match step, position:
        case (Step.CUTOVER, 0) | (Step.APPROVE, _):
            return []
        case (Step.CUTOVER | Step.VERIFY, _):
            return _OF_CUTOVER
        case (Step.SWITCH, 0):
            return _OF_PROTECTION
        case (Step.SWITCH, 1 | 2):
            return _OF_SWITCH
        case (Step.SWITCH | Step.SOAK, _):
            return _OF_MOVE
    return None


def _to_start(step: Step, position: int) -> list[str]:
    """Back to ready, then the records: out of the test, and out of service. Clean-up comes last."""
    match step:
        case Step.VALIDATE:
            return []
        case Step.PREPARE | Step.REPLICATE:
            return ["remove_records"]
        case Step.TEST:
            return [*_END_LAUNCH, "remove_records"]
    ready = _to_ready(step, position) or []
    clean_up = [act for act in ready if act in ("restore_items", "remove_source_snapshots")]
    return [*ready[: len(ready) - len(clean_up)], "change_life_cycle", *clean_up, "remove_records"]
