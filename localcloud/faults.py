"""The fault plan: what the local cloud is to do wrong, to whom, and how often."""

import itertools
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

Action = Literal["refuse", "replyLost", "neverHealthy"]


@dataclass(frozen=True)
class Rule:
    """One planned fault.

    `refuse` acts before the effect, with `status`, `code` and `message` in the service's own error shape.
    `replyLost` acts after the effect: the connection is closed without a reply. `neverHealthy` (service
    `application`, operation `health`) makes a launched instance answer 503.

    Attributes:
        target: Only calls that touch it: an id or a name of the ledger's `targets`. None: every call.
        times: How many matching calls it hits; None: all of them, for good.
        after: How many matching calls pass unharmed first.
        status: HTTP status of a refusal.
        code: Error code of a refusal; None: the usual one of that status.
    """

    service: str
    operation: str
    action: Action
    target: str | None = None
    times: int | None = None
    after: int = 0
    status: int = 503
    code: str | None = None
    message: str | None = None

    def __post_init__(self) -> None:
        """Refuse what could never act."""
        if self.action not in get_args(Action):
            raise ValueError(f"action must be one of {', '.join(get_args(Action))}, not {self.action!r}")
        if not (self.service and isinstance(self.service, str) and self.operation and isinstance(self.operation, str)):
            raise ValueError("service and operation must be names")
        for name, least in (("times", 1), ("after", 0), ("status", 400)):
            value = getattr(self, name)
            if value is None and name == "times":
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ValueError(f"{name} must be a whole number of at least {least}, not {value!r}")

    def matches(self, service: str, operation: str, targets: Sequence[str]) -> bool:
        """Whether the rule speaks of this call."""
        return (self.service, self.operation) == (service, operation) and (
            self.target is None or self.target in targets
        )

    @classmethod
    def from_json(cls, document: Any) -> "Rule":
        """Read a rule.

        Raises:
            ValueError: It is not an object, has unknown members, or misses service, operation or action.
        """
        if not isinstance(document, Mapping):
            raise ValueError("a rule is a JSON object")  # noqa: TRY004  one error for every bad rule
        if unknown := sorted(set(document) - {field.name for field in fields(cls)}):
            raise ValueError(f"unknown members: {', '.join(map(str, unknown))}")
        if missing := sorted({"service", "operation", "action"} - set(document)):
            raise ValueError(f"missing members: {', '.join(missing)}")
        return cls(**document)


class FaultPlan:
    """The rules in force, in the order they were added; the first that matches acts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids = itertools.count(1)
        self._rules: dict[str, Rule] = {}

    def add(self, rule: Rule) -> str:
        """Put a rule in force; returns its id."""
        with self._lock:
            rule_id = f"fault-{next(self._ids)}"
            self._rules[rule_id] = rule
            return rule_id

    def remove(self, rule_id: str) -> bool:
        """Take one rule back; False when it is spent or unknown."""
        with self._lock:
            return self._rules.pop(rule_id, None) is not None

    def clear(self) -> None:
        """Take every rule back."""
        with self._lock:
            self._rules.clear()

    def rules(self) -> Mapping[str, Rule]:
        """The rules in force by id, with what is left of their counts."""
        with self._lock:
            return dict(self._rules)

    def take(self, *, service: str, operation: str, targets: Sequence[str]) -> Rule | None:
        """The rule that this call meets, if any; counts it down, so ask once a call."""
        with self._lock:
            for rule_id, rule in self._rules.items():
                if not rule.matches(service, operation, targets):
                    continue
                if rule.after:
                    self._rules[rule_id] = replace(rule, after=rule.after - 1)
                    continue
                self._spend(rule_id, rule)
                return rule
            return None

    def _spend(self, rule_id: str, rule: Rule) -> None:
        if rule.times == 1:
            del self._rules[rule_id]
        elif rule.times is not None:
            self._rules[rule_id] = replace(rule, times=rule.times - 1)


def rule_to_json(rule_id: str, rule: Rule) -> dict[str, Any]:
    """A rule in force as JSON types."""
    return {"id": rule_id, **asdict(rule)}
