"""The fault plan: what the local cloud is to do wrong, to whom, and how often."""

import itertools
import select
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, TypeVar, get_args

Action = Literal[
    "refuse",
    "throttle",
    "wrongState",
    "replyLost",
    "delay",
    "hang",
    "kill",
    "neverHealthy",
    "launchFailed",
    "replicationStalled",
    "lagFlaps",
]
When = Literal["before", "after"]

REFUSALS: Mapping[str, int] = {"refuse": 503, "throttle": 429, "wrongState": 409}
"""The verbs that answer with an error, and the HTTP status where the service has none of its own for it."""

SPELLS = frozenset({"replicationStalled", "lagFlaps"})
"""The verbs that last for a time instead of meeting a call."""

_MOST_SECONDS = 3600.0
_LONGEST_HANG = 600.0
_USUAL_SECONDS = {"throttle": 1.0, "delay": 1.0, "hang": _LONGEST_HANG, "lagFlaps": 2.0}

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Rule:
    """One planned fault: which calls it meets, and what it does to them.

    Attributes:
        service: As in the ledger.
        operation: As in the ledger.
        action: The verb; `localcloud.control` says what each does.
        target: Only calls that touch it: an id or a name of the ledger's `targets`. None: every call.
        times: How many matching calls it hits; None: all of them, for good.
        after: How many matching calls pass unharmed first: the nth call alone is `after` n - 1 and `times` 1.
        when: Whether it acts before or after the call's effect; None: as is usual for the verb, which is after for
            `replyLost` and before for all others.
        seconds: Of a `throttle`, the Retry-After; of a `delay` or `hang`, how long; of `replicationStalled`, how long
            the agent is not seen (None: until the rule is taken back); of `lagFlaps`, half of one flap.
        status: HTTP status of a refusal; None: the service's own.
        code: Error code of a refusal; None: the usual one of that status.
        message: What a refusal or a failed launch says.
    """

    service: str
    operation: str
    action: Action
    target: str | None = None
    times: int | None = None
    after: int = 0
    when: When | None = None
    seconds: float | None = None
    status: int | None = None
    code: str | None = None
    message: str | None = None

    def __post_init__(self) -> None:
        """Refuse what could never act."""
        for name, allowed in (("action", get_args(Action)), ("when", (None, *get_args(When)))):
            if getattr(self, name) not in allowed:
                named = ", ".join(map(str, allowed))
                raise ValueError(f"{name} must be one of {named}, not {getattr(self, name)!r}")
        if not (self.service and isinstance(self.service, str) and self.operation and isinstance(self.operation, str)):
            raise ValueError("service and operation must be names")
        for name, least in (("times", 1), ("after", 0), ("status", 400)):
            _check_whole(name, getattr(self, name), least, optional=name != "after")
        _check_seconds(self.seconds)

    @property
    def refuses(self) -> bool:
        """Whether it answers with an error."""
        return self.action in REFUSALS

    @property
    def after_effect(self) -> bool:
        """Whether the call has its effect first."""
        return (self.when or ("after" if self.action == "replyLost" else "before")) == "after"

    @property
    def http_status(self) -> int:
        """The status of a refusal by a service that has none of its own for it."""
        return self.status or REFUSALS.get(self.action, REFUSALS["refuse"])

    @property
    def pause(self) -> float:
        """Its seconds, or the usual ones of its verb."""
        return _USUAL_SECONDS.get(self.action, 0.0) if self.seconds is None else self.seconds

    @property
    def retry_after(self) -> int:
        """Its seconds, whole, as a Retry-After header has them."""
        return max(1, round(self.seconds or 1))

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


@dataclass(frozen=True)
class Spell:
    """A rule that lasts: in force since then, and until then once it was taken back. Unix times."""

    rule: Rule
    since: float
    until: float | None = None


class FaultPlan:
    """The rules in force, in the order they were added; the first that matches acts.

    Attributes:
        killer: Kills the process that made a call, and returns when it is dead; None: there is none to kill.
    """

    def __init__(self, *, now: Callable[[], float] = time.time) -> None:
        """Plan nothing. `now` is Unix time in seconds."""
        self.killer: Callable[[Rule], object] | None = None
        self._now = now
        self._lock = threading.Lock()
        self._ids = itertools.count(1)
        self._rules: dict[str, Rule] = {}
        self._spells: dict[str, Spell] = {}

    def add(self, rule: Rule) -> str:
        """Put a rule in force; returns its id."""
        with self._lock:
            rule_id = f"fault-{next(self._ids)}"
            self._rules[rule_id] = rule
            if rule.action in SPELLS:
                self._spells[rule_id] = Spell(rule, self._now())
            return rule_id

    def remove(self, rule_id: str) -> bool:
        """Take one rule back; False when it is spent or unknown."""
        with self._lock:
            self._end_spell(rule_id)
            return self._rules.pop(rule_id, None) is not None

    def clear(self) -> None:
        """Take every rule back."""
        with self._lock:
            for rule_id in self._rules:
                self._end_spell(rule_id)
            self._rules.clear()

    def rules(self) -> Mapping[str, Rule]:
        """The rules in force by id, with what is left of their counts."""
        with self._lock:
            return dict(self._rules)

    def spells(self, *, service: str, operation: str, targets: Sequence[str]) -> list[Spell]:
        """The lasting rules that speak of these targets, those that were taken back included."""
        with self._lock:
            return [spell for spell in self._spells.values() if spell.rule.matches(service, operation, targets)]

    def take(self, *, service: str, operation: str, targets: Sequence[str]) -> Rule | None:
        """The rule that this call meets, if any; counts it down, so ask once a call."""
        with self._lock:
            for rule_id, rule in self._rules.items():
                if rule.action in SPELLS or not rule.matches(service, operation, targets):
                    continue
                if rule.after:
                    self._rules[rule_id] = replace(rule, after=rule.after - 1)
                    continue
                self._spend(rule_id, rule)
                return rule
            return None

    def meet(
        self,
        rule: Rule | None,
        act: Callable[[], Answer],
        *,
        refusal: Callable[[Rule], Answer],
        silence: Callable[[float], Answer],
    ) -> Answer:
        """Carry a call out as the rule that it met wants it.

        Args:
            rule: From `take`.
            act: Has the effect, and gives the answer.
            refusal: Gives the planned error in the service's own shape.
            silence: Lets the caller wait for so many seconds, or until it hangs up, and closes without an answer.
        """
        if rule is None:
            return act()
        if rule.after_effect:
            answer = act()
            return self._instead(rule, lambda: answer, refusal, silence)
        return self._instead(rule, act, refusal, silence)

    def _instead(
        self,
        rule: Rule,
        otherwise: Callable[[], Answer],
        refusal: Callable[[Rule], Answer],
        silence: Callable[[float], Answer],
    ) -> Answer:
        if rule.refuses:
            return refusal(rule)
        match rule.action:
            case "replyLost":
                return silence(0)
            case "hang":
                return silence(rule.pause)
            case "kill":
                if self.killer:
                    self.killer(rule)
                return silence(0)
            case "delay":
                time.sleep(rule.pause)
        return otherwise()

    def _spend(self, rule_id: str, rule: Rule) -> None:
        if rule.times == 1:
            del self._rules[rule_id]
        elif rule.times is not None:
            self._rules[rule_id] = replace(rule, times=rule.times - 1)

    def _end_spell(self, rule_id: str) -> None:
        spell = self._spells.get(rule_id)
        if spell and spell.until is None:
            self._spells[rule_id] = replace(spell, until=self._now())


def outages(spells: Sequence[Spell], now: float) -> list[tuple[float, float]]:
    """When the agent of a machine is not seen because of these spells, up to `now`: Unix times, from and to."""
    return [outage for spell in spells for outage in _outages(spell, now) if outage[0] < outage[1]]


def _outages(spell: Spell, now: float) -> list[tuple[float, float]]:
    rule, end = spell.rule, now if spell.until is None else min(spell.until, now)
    if rule.action == "replicationStalled":
        return [(spell.since, end if rule.seconds is None else min(end, spell.since + rule.seconds))]
    starts = itertools.takewhile(lambda at: at < end, itertools.count(spell.since, 2 * rule.pause))
    return [(at, min(end, at + rule.pause)) for at in itertools.islice(starts, rule.times)]


def wait_for_hang_up(connection: socket.socket, seconds: float) -> None:
    """Return when the other side has closed the connection, or after so many seconds."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        try:
            readable, _, _ = select.select([connection], [], [], left)
            if not readable or not connection.recv(1, socket.MSG_PEEK):
                return
        except (OSError, ValueError):  # reset, or closed on this side
            return
        time.sleep(min(left, 0.05))  # it sent more than it should: look again


def rule_to_json(rule_id: str, rule: Rule) -> dict[str, Any]:
    """A rule in force as JSON types."""
    return {"id": rule_id, **asdict(rule)}


def _check_whole(name: str, value: Any, least: int, *, optional: bool) -> None:
    if value is None and optional:
        return
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, not {value!r}")


def _check_seconds(value: Any) -> None:
    if value is None:
        return
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= _MOST_SECONDS:
        raise ValueError(f"seconds must be a number above 0 and at most {_MOST_SECONDS:.0f}, not {value!r}")
