"""The post-launch actions of one launched server: planned at the launch, read from the clock afterwards."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import settings as configured
from .formats import stamped

KINDS: Mapping[str, frozenset[str]] = {
    "TEST_AND_CUTOVER": frozenset({"test", "cutover"}),
    "TEST_ONLY": frozenset({"test"}),
    "CUTOVER_ONLY": frozenset({"cutover"}),
}
"""Which launches each deployment is for."""

_OUT_OF_TIME = "The execution timed out"
_SHOWN = ("timeoutSeconds", "mustSucceedForCutover", "parameters", "externalParameters")


@dataclass(frozen=True)
class Ordered:
    """An action that a launch is to run; `fault` says why it is going to fail."""

    action_name: str
    document_name: str
    document_type: str
    execution_id: str
    settings: Mapping[str, Any]
    fault: str | None = None


@dataclass(frozen=True)
class _Run:
    ordered: Ordered
    begins: float
    ends: float
    failure: str | None

    def describe(self, now: float) -> dict[str, Any]:
        answer: dict[str, Any] = {
            "ssmDocument": {
                "actionName": self.ordered.action_name,
                "ssmDocumentName": self.ordered.document_name,
                **{name: self.ordered.settings[name] for name in _SHOWN if name in self.ordered.settings},
            },
            "ssmDocumentType": self.ordered.document_type,
            "executionID": self.ordered.execution_id,
        }
        if now < self.ends:
            return answer | {"executionStatus": "IN_PROGRESS"}
        if self.failure is None:
            return answer | {"executionStatus": "SUCCESS"}
        return answer | {"executionStatus": "FAILED", "failureReason": self.failure}

    @property
    def must_succeed(self) -> bool:
        return bool(self.ordered.settings.get("mustSucceedForCutover"))


class PostLaunch:
    """The actions of one launch, one after the other once the instance's agent has been discovered."""

    def __init__(self, actions: Sequence[Ordered], launched_at: float, *, started: bool) -> None:
        """Plan the actions; the agent of an instance that is not `started` is never discovered."""
        real, durations = configured.settings().real, configured.settings().durations
        self._discovered = launched_at + real(durations.agent_discovery) if started else None
        self._runs: list[_Run] = []
        at = launched_at if self._discovered is None else self._discovered
        for each in actions if started else ():
            allowed = each.settings.get("timeoutSeconds", durations.action)
            in_time = durations.action <= allowed
            ends = at + real(durations.action if in_time else allowed)
            self._runs.append(_Run(each, at, ends, each.fault if in_time else _OUT_OF_TIME))
            at = ends
        self.ends = at

    def describe(self, now: float) -> dict[str, Any]:
        """The service model's PostLaunchActionsStatus."""
        seen = self._discovered is not None and self._discovered <= now
        return {
            **(stamped(ssmAgentDiscoveryDatetime=self._discovered) if seen else {}),
            "postLaunchActionsLaunchStatusList": [each.describe(now) for each in self._runs if each.begins <= now],
        }

    def failed(self, now: float) -> Iterator[str]:
        """The actions that must succeed for cutover and have failed."""
        for each in self._runs:
            if each.must_succeed and each.failure is not None and each.ends <= now:
                yield each.ordered.action_name
