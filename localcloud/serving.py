"""Who served an application, when, and what was written where: computed from moments of change, without ticking."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Literal

from localcloud.world import Application, SourceMachine

WRITES_PER_SECOND = 10

Span = tuple[float, float]


class Spans:
    """When something held, as spans of unix time in seconds; the last one may still be open."""

    def __init__(self) -> None:
        self._closed: list[Span] = []
        self._since: float | None = None

    @property
    def on(self) -> bool:
        """Whether it holds now."""
        return self._since is not None

    def set(self, on: bool, at: float) -> None:
        """From `at` on it holds, or does not; saying it twice changes nothing."""
        if on and self._since is None:
            self._since = at
        elif not on and self._since is not None:
            if at > self._since:
                self._closed.append((self._since, at))
            self._since = None

    def changes(self) -> list[tuple[float, bool]]:
        """Each moment at which it began or ceased to hold, oldest first."""
        closed = [change for start, stop in self._closed for change in ((start, True), (stop, False))]
        return closed if self._since is None else [*closed, (self._since, True)]

    def until(self, end: float) -> list[Span]:
        """The spans up to `end`, oldest first."""
        spans = self._closed if self._since is None else [*self._closed, (self._since, max(end, self._since))]
        return [(start, min(stop, end)) for start, stop in spans if start < end]

    def seconds(self, end: float) -> float:
        """How long it held up to `end`."""
        return sum(stop - start for start, stop in self.until(end))


def without(changes: Iterable[tuple[float, bool]], outages: Iterable[Span]) -> list[tuple[float, bool]]:
    """The changes of something that did not hold during the outages either; oldest first."""
    steps: list[tuple[float, bool | None, int]] = [(at, on, 0) for at, on in changes]
    steps += [step for start, stop in outages for step in ((start, None, 1), (stop, None, -1))]
    result: list[tuple[float, bool]] = []
    up, out = True, 0
    for at, on, outage in sorted(steps, key=lambda step: step[0]):
        up, out = up if on is None else on, out + outage
        if not result or result[-1][1] is not (up and not out):
            result.append((at, up and not out))
    return result


@dataclass
class Side:
    """One place where a server of an application can run: its source machine, or one launched instance.

    Attributes:
        production: Reachable for clients. An instance in the test network is not.
        base: Writes that were in its data from the start.
        up: When it ran with its network connected.
        serving: When it was up and the application's DNS name led clients to it.
    """

    server: SourceMachine
    side: Literal["source", "target"]
    address: str
    production: bool
    instance_id: str | None = None
    kind: str | None = None
    base: int = 0
    up: Spans = field(default_factory=Spans)
    serving: Spans = field(default_factory=Spans)

    def writes_taken(self, until: float) -> int:
        """The writes that clients made here."""
        return int(self.serving.seconds(until) * WRITES_PER_SECOND)

    def writes(self, until: float) -> int:
        """The writes in its data: those it began with and those made here."""
        return self.base + self.writes_taken(until)

    def able(self, until: float) -> list[Span]:
        """When it could have accepted clients' work, whether or not any came."""
        return self.up.until(until) if self.production else []


class Serving:
    """The history of one application."""

    def __init__(self, application: Application, at: float) -> None:
        """Every source is up at `at`; nobody knows the DNS name yet."""
        self.application = application
        self.began = at
        self.answer: tuple[str, ...] = ()
        self.sources = {server.name: Side(server, "source", server.address, True) for server in application.servers}
        self.targets: dict[str, Side] = {}
        self.served = Spans()
        self._changed = at
        for source in self.sources.values():
            source.up.set(True, at)

    def sides(self) -> Iterator[Side]:
        """Sources first, then launched instances in the order of their launch."""
        return chain(self.sources.values(), self.targets.values())

    def change(self, side: Side, up: bool, at: float) -> None:
        """A side came up or went down. A moment before the last change counts as that."""
        side.up.set(up, self._not_before(at))

    def settle(self, answer: Collection[str], at: float) -> None:
        """Work out who serves, after changes of sides or of the DNS answer."""
        at = self._not_before(at)
        self.answer = tuple(answer)
        for side in self.sides():
            side.serving.set(side.up.on and side.production and side.address in answer, at)
        serving = {side.address for side in self.sides() if side.serving.on}
        self.served.set(bool(answer) and serving.issuperset(answer), at)

    def launched(self, side: Side, data_as_of: float) -> None:
        """A launched instance joins, with the source's data as of that moment."""
        side.base = self.sources[side.server.name].writes(data_as_of)
        self.targets[str(side.instance_id)] = side

    def overlaps(self, until: float) -> list[Span]:
        """When a source and a launched instance could both accept work."""
        return _shared(_able(self.sources.values(), until), _able(self.targets.values(), until))

    def downtime(self, until: float) -> float:
        """Seconds in which an address that DNS gave did not work, or it gave none."""
        return max(0.0, until - self.began - self.served.seconds(until))

    def holder(self, server: str, until: float) -> Side | None:
        """The side of a server that serves, or else the one that served last."""
        last: tuple[float, Side] | None = None
        for side in self._of(server):
            spans = side.serving.until(until)
            if spans and (last is None or spans[-1][1] >= last[0]):
                last = (spans[-1][1], side)
        return last[1] if last else None

    def lost_writes(self, server: str, until: float) -> int:
        """Writes that clients made somewhere and that the holder's data does not have."""
        holder = self.holder(server, until)
        made = sum(side.writes_taken(until) for side in self._of(server))
        return made - holder.writes(until) if holder else 0

    def _of(self, server: str) -> Iterable[Side]:
        return (side for side in self.sides() if side.server.name == server)

    def _not_before(self, at: float) -> float:
        self._changed = max(self._changed, at)
        return self._changed


def _able(sides: Iterable[Side], until: float) -> list[Span]:
    """The union of the spans in which any of the sides could accept work."""
    union: list[Span] = []
    for start, stop in sorted(chain.from_iterable(side.able(until) for side in sides)):
        if union and start <= union[-1][1]:
            union[-1] = (union[-1][0], max(stop, union[-1][1]))
        else:
            union.append((start, stop))
    return union


def _shared(first: list[Span], second: list[Span]) -> list[Span]:
    both = ((max(a[0], b[0]), min(a[1], b[1])) for a in first for b in second)
    return [(start, stop) for start, stop in both if start < stop]
