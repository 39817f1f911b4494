"""The lifecycle as a table: which operation is accepted in which state, where it leads, and who says so."""

from collections.abc import Mapping
from dataclasses import dataclass

from .switches import Switches

STATES = (
    "DISCOVERED",
    "PENDING_INSTALLATION",
    "STOPPED",
    "NOT_READY",
    "READY_FOR_TEST",
    "TESTING",
    "READY_FOR_CUTOVER",
    "CUTTING_OVER",
    "CUTOVER",
    "DISCONNECTED",
)
"""SourceServer.lifeCycle.state; PENDING_INSTALLATION comes from imports alone, which are not offered here."""

_ENDED = ("CUTOVER", "DISCONNECTED")
_IN_SERVICE = tuple(state for state in STATES if state not in _ENDED)
_REPLICATING = tuple(state for state in _IN_SERVICE if state not in {"DISCOVERED", "PENDING_INSTALLATION", "STOPPED"})


@dataclass(frozen=True)
class Transition:
    """One operation over all states.

    Attributes:
        operation: As in the service model; ChangeServerLifeCycleState with its target.
        outcomes: The states it is accepted in, with the state that follows.
        sources: The tags of `switches.SOURCES` behind it.
        condition: What must hold besides the state.
        open: What no source says.
    """

    operation: str
    outcomes: Mapping[str, str]
    sources: str
    condition: str = ""
    open: str = ""


def _stays(*states: str) -> dict[str, str]:
    return {state: state for state in states}


LAUNCHABLE = "launchable: lagDuration is not null; no job on it"
IDLE = "no job on it"

TRANSITIONS: Mapping[str, Transition] = {
    each.operation: each
    for each in (
        Transition(
            "StartTest",
            {"READY_FOR_TEST": "TESTING", "TESTING": "TESTING"},
            "M, C, S",
            LAUNCHABLE,
            "whether READY_FOR_CUTOVER is accepted too",
        ),
        Transition(
            "ChangeServerLifeCycleState to READY_FOR_TEST",
            {"TESTING": "READY_FOR_TEST", "READY_FOR_CUTOVER": "READY_FOR_TEST"},
            "M, D",
            LAUNCHABLE,
            "whether the same state again is accepted",
        ),
        Transition(
            "ChangeServerLifeCycleState to READY_FOR_CUTOVER",
            dict.fromkeys(("READY_FOR_TEST", "TESTING", "CUTTING_OVER"), "READY_FOR_CUTOVER"),
            "M, D",
            LAUNCHABLE,
            "whether the same state again is accepted",
        ),
        Transition(
            "ChangeServerLifeCycleState to CUTOVER",
            {"DISCONNECTED": "CUTOVER"},
            "C",
            IDLE,
            "whether CUTTING_OVER is accepted too",
        ),
        Transition(
            "StartCutover",
            {"READY_FOR_CUTOVER": "CUTTING_OVER"},
            "M, S",
            LAUNCHABLE,
            "whether CUTTING_OVER is accepted without a revert",
        ),
        Transition("FinalizeCutover", {"CUTTING_OVER": "CUTOVER"}, "M, D", IDLE, "the error in the other states"),
        Transition(
            "TerminateTargetInstances",
            _stays("STOPPED", "NOT_READY", "READY_FOR_TEST", "READY_FOR_CUTOVER", "DISCONNECTED", "DISCOVERED"),
            "M, C",
            "it has an instance that EC2 has not terminated; no job on it",
            "whether TESTING is refused, as documented, or reverted, as scripts expect",
        ),
        Transition(
            "DisconnectFromService",
            dict.fromkeys(_IN_SERVICE, "DISCONNECTED"),
            "M",
            IDLE,
            "whether a second call is an error",
        ),
        Transition("MarkAsArchived", _stays(*_ENDED), "M", "", "whether a second call is an error"),
        Transition("DeleteSourceServer", _stays(*_ENDED), "D", "archived", "whether it must be archived first"),
        Transition(
            "StartReplication",
            {"STOPPED": "NOT_READY", "DISCOVERED": "NOT_READY"},
            "M, D",
            "replication STOPPED; no job on it; within the quota",
            "whether it is an error while replication is active",
        ),
        Transition(
            "StopReplication",
            dict.fromkeys(_REPLICATING, "STOPPED"),
            "M, D",
            "replication active; no job on it",
            "the lifecycle state of a server in TESTING or later",
        ),
        Transition("PauseReplication", _stays(*_REPLICATING), "D", "replication active, not PAUSED; no job on it"),
        Transition("ResumeReplication", _stays(*_REPLICATING), "D", "replication PAUSED; no job on it"),
        Transition("RetryDataReplication", _stays(*_REPLICATING), "M", "replication STALLED", "the error otherwise"),
        Transition(
            "UpdateSourceServerReplicationType",
            _stays("DISCOVERED", "STOPPED"),
            "M",
            "replication STOPPED; a vCenter client knows the machine",
            "in which states it is accepted, and what it needs",
        ),
    )
}
"""All operations whose outcome depends on the state, by their name."""


def outcomes(operation: str, switches: Switches) -> Mapping[str, str]:
    """The states that accept an operation, each with the state that follows, as the switches are set."""
    plain = dict(TRANSITIONS[operation].outcomes)
    if operation == "StartTest" and switches.retest == "refuse":
        del plain["TESTING"]
    elif operation == "TerminateTargetInstances" and switches.terminate_in_testing == "revert":
        plain["TESTING"] = "READY_FOR_TEST"
    elif operation == "DisconnectFromService" and switches.disconnect_again == "accept":
        plain |= _stays(*_ENDED)
    return plain
