"""What the fault plan holds for the inside of the local MGN: snapshots, conversions, actions, stalled replications."""

import time
from collections.abc import Callable

from localcloud.applications import Applications
from localcloud.aws import mgn
from localcloud.faults import FaultPlan, outages

USUAL_TROUBLE = "SNAPSHOTS_FAILURE"
_BEYOND = 60.0
"""Seconds that a spell that goes on is told into the future: its end must not be the moment of the look."""


class PlannedFaults(mgn.NoFaults):
    """The hooks of the local MGN, answered by the fault plan's rules of service `mgn`."""

    def __init__(self, applications: Applications, faults: FaultPlan, *, now: Callable[[], float] = time.time) -> None:
        """`now` is Unix time in seconds."""
        self._applications = applications
        self._faults = faults
        self._now = now

    def troubles(self, user_provided_id: str) -> list[tuple[float, mgn.Trouble | None]]:
        """When this replication stalled of itself, its agent in sight: `replicationStalled` of operation `trouble`."""
        targets = [user_provided_id, *self._applications.aliases(user_provided_id)]
        told: list[tuple[float, mgn.Trouble | None]] = []
        for spell in self._faults.spells(service="mgn", operation="trouble", targets=targets):
            trouble = mgn.Trouble(spell.rule.code or USUAL_TROUBLE, spell.rule.message)
            for start, end in outages([spell], self._now() + _BEYOND):
                told += [(start, trouble), (end, None)]
        return sorted(told, key=lambda change: change[0])

    def snapshot_fault(self, user_provided_id: str, kind: mgn.LaunchKind) -> str | None:
        """A rule of operation `snapshot`: the launch uses the previous snapshot."""
        return self._applications.launch_trouble("snapshot", user_provided_id, kind)

    def conversion_fault(self, user_provided_id: str, kind: mgn.LaunchKind) -> str | None:
        """A rule of operation `conversion`: the launch fails."""
        return self._applications.launch_trouble("conversion", user_provided_id, kind)

    def action_fault(self, user_provided_id: str, kind: mgn.LaunchKind, action_name: str) -> str | None:
        """A rule of operation `action`: the post-launch action fails; it can be meant by its name, too."""
        return self._applications.launch_trouble("action", user_provided_id, kind, action_name)
