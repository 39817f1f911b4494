"""Post-launch actions as they are kept: documents of Systems Manager, in an order, with what depends on them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_UNSET: Mapping[str, Any] = {
    "active": True,
    "mustSucceedForCutover": False,
    "documentVersion": "$DEFAULT",
    "timeoutSeconds": 3600,
    "category": "OTHER",
}

_ADDRESS = frozenset({"sourceServerID", "launchConfigurationTemplateID", "accountID"})


@dataclass(frozen=True)
class Action:
    """One action of a server or of a launch configuration template: the service model's action document."""

    serial: int
    document: Mapping[str, Any]

    @classmethod
    def put(cls, serial: int, asked: Mapping[str, Any]) -> "Action":
        """The action that a Put asks for; what it leaves open is as no source says [I]."""
        given = {name: value for name, value in asked.items() if name not in _ADDRESS}
        return cls(serial, {**_UNSET, **given})

    def suits(self, platform: str) -> bool:
        """Whether an action of a template is for servers of this operating system."""
        return bool(self.document.get("operatingSystem", platform) == platform)


def in_order(actions: Iterable[Action]) -> list[Mapping[str, Any]]:
    """The documents of the active actions, in the order in which they run."""
    active = [each for each in actions if each.document["active"]]
    return [each.document for each in sorted(active, key=lambda each: (each.document["order"], each.serial))]
