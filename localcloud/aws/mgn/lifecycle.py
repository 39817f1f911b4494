"""The lifecycle as a table: which operation is accepted in which state, where it leads, and who says so."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from .exceptions import ConflictException, ValidationException
from .switches import Switches
from .validation import models_error

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

GONE = "gone"
"""What follows the last state: there is no record any more."""

_ENDED = ("CUTOVER", "DISCONNECTED")
_IN_SERVICE = tuple(state for state in STATES if state not in _ENDED)
_REPLICATING = tuple(state for state in _IN_SERVICE if state not in {"DISCOVERED", "PENDING_INSTALLATION", "STOPPED"})


@dataclass(frozen=True)
class Transition:
    """One operation over all states.

    Attributes:
        operation: As in the service model; ChangeServerLifeCycleState with its target.
        outcomes: The states it is accepted in, with the state that follows.
        sources: The tags of `switches.SOURCES` behind that.
        condition: What must hold besides the state.
        refused: The tags behind its refusal in all other states.
        said: The tags of single states, where they differ from those above.
        open: What no source says.
        switch: The switch that covers what is open; none: there is one reading here.
    """

    operation: str
    outcomes: Mapping[str, str]
    sources: str
    condition: str = ""
    refused: str = "I"
    said: Mapping[str, str] = field(default_factory=dict)
    open: str = ""
    switch: str = ""

    def sources_of(self, state: str) -> str:
        """The tags behind what it does in a state."""
        return self.said.get(state) or (self.sources if state in self.outcomes else self.refused)


def _stays(*states: str) -> dict[str, str]:
    return {state: state for state in states}


LAUNCHABLE = "launchable: lagDuration is not null; no job on it"
IDLE = "no job on it"

_ALL = (
    Transition(
        "StartTest",
        {"READY_FOR_TEST": "TESTING", "TESTING": "TESTING"},
        "M, S",
        LAUNCHABLE,
        said={"TESTING": "C, S"},
        open="whether READY_FOR_CUTOVER is accepted too",
    ),
    Transition(
        "ChangeServerLifeCycleState to READY_FOR_TEST",
        {"TESTING": "READY_FOR_TEST", "READY_FOR_CUTOVER": "READY_FOR_TEST"},
        "M, D",
        LAUNCHABLE,
        open="whether the same state again is accepted",
    ),
    Transition(
        "ChangeServerLifeCycleState to READY_FOR_CUTOVER",
        dict.fromkeys(("READY_FOR_TEST", "TESTING", "CUTTING_OVER"), "READY_FOR_CUTOVER"),
        "M, D",
        LAUNCHABLE,
        said={"READY_FOR_TEST": "D"},
        open="whether the same state again is accepted",
    ),
    Transition(
        "ChangeServerLifeCycleState to CUTOVER",
        {"DISCONNECTED": "CUTOVER"},
        "C",
        IDLE,
        open="whether CUTTING_OVER is accepted too",
    ),
    Transition(
        "StartCutover",
        {"READY_FOR_CUTOVER": "CUTTING_OVER"},
        "M, S",
        LAUNCHABLE,
        open="whether CUTTING_OVER is accepted without a revert",
    ),
    Transition(
        "FinalizeCutover",
        {"CUTTING_OVER": "CUTOVER"},
        "M, D, S",
        IDLE,
        open="the error in the other states",
        switch="wrong_state",
    ),
    Transition(
        "TerminateTargetInstances",
        _stays("STOPPED", "NOT_READY", "READY_FOR_TEST", "READY_FOR_CUTOVER", "DISCONNECTED", "DISCOVERED"),
        "M, C",
        "it has an instance that EC2 has not terminated; no job on it",
        refused="M",
        said={"PENDING_INSTALLATION": "I"},
        open="whether TESTING is refused, as documented, or reverted, as scripts expect",
        switch="terminate_in_testing",
    ),
    Transition(
        "DisconnectFromService",
        dict.fromkeys(_IN_SERVICE, "DISCONNECTED"),
        "M",
        IDLE,
        open="whether a second call is an error",
        switch="disconnect_again",
    ),
    Transition(
        "MarkAsArchived",
        _stays(*_ENDED),
        "M",
        refused="M",
        open="whether a second call is an error",
        switch="archive_again",
    ),
    Transition(
        "DeleteSourceServer",
        dict.fromkeys(_ENDED, GONE),
        "D",
        "archived",
        open="whether it must be archived first",
    ),
    Transition(
        "StartReplication",
        {"STOPPED": "NOT_READY", "DISCOVERED": "NOT_READY"},
        "M, D",
        "replication STOPPED; no job on it; within the quota",
        open="whether it is an error while replication is active",
    ),
    Transition(
        "StopReplication",
        dict.fromkeys(_REPLICATING, "STOPPED"),
        "M, D",
        "replication active; no job on it",
        open="the lifecycle state of a server in TESTING or later",
    ),
    Transition("PauseReplication", _stays(*_REPLICATING), "D", "replication active, not PAUSED; no job on it"),
    Transition("ResumeReplication", _stays(*_REPLICATING), "D", "replication PAUSED; no job on it"),
    Transition(
        "RetryDataReplication",
        _stays(*_REPLICATING),
        "M",
        "replication STALLED",
        said=dict.fromkeys(("DISCOVERED", "STOPPED", *_ENDED), "M"),
    ),
    Transition(
        "UpdateSourceServerReplicationType",
        _stays("DISCOVERED", "STOPPED"),
        "M",
        "another type than it has; for snapshots, a vCenter client knows the machine; no job on it",
        open="in which states it is accepted, and what it needs",
    ),
)

TRANSITIONS: Mapping[str, Transition] = {each.operation: each for each in _ALL}
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


def refusal(operation: str, switches: Switches) -> str:
    """The code of the error that answers an operation in a wrong state, as the switches are set.

    No source names it: it is chosen among those that the operation models.
    """
    name = operation.partition(" ")[0]
    modelled = [code for code in (ConflictException.code, ValidationException.code) if models_error(name, code)]
    return modelled[-1 if switches.wrong_state == "validation" else 0]


def answer(operation: str, state: str, switches: Switches) -> str:
    """The state that follows an operation whose condition holds, or the code of the error that refuses it."""
    return outcomes(operation, switches).get(state) or refusal(operation, switches)
