"""A worker stands still where an activity has decided to act.

It goes on when its migration was undone without it, or when another attempt has done the act.
"""

import asyncio
import time
from collections.abc import Iterable, Iterator

from localcloud.ledger import Entry
from localcloud.report import Systems, report
from tests.sweep.cases import ACTIVITY, FORWARD, OVERTAKEN, STALLED, Case, Ending, Point
from tests.sweep.checker import KEPT, Outcome, evidence_of, messages_of
from tests.sweep.invariants import broken
from tests.sweep.orders import Act, Told, acts
from tests.sweep.site import Run

MEANWHILE = Ending(
    "undone meanwhile",
    "ROLLED_BACK",
    "source",
    {
        "replication": {"stableObservations": 1},
        "soak": {"for": "PT10M", "end": "wait"},
        "grace": "PT0S",
        "rollback": {"to": "start", "keepTarget": "PT0S"},
    },
    keeps_target=True,
)
"""A person asks for a rollback to the start as soon as the worker stands still."""

_PIVOT = ("mgn", "FinalizeCutover")
_WAKES_WITHIN = 60.0
_LOOK = 0.1
_ROLLBACK = {"by": "approver-1@example.com", "to": "start", "comment": "it stands still"}


def cases_of_stalls(reference: Outcome) -> list[Case]:
    """One case for each activity before the pivot that has made calls, in the run without a fault."""
    found = acts(reference.told, reference.entries)
    before = next((place for place, act in enumerate(found) if _PIVOT in act.calls), len(found))
    return [Case(MEANWHILE, STALLED, (_point(act),)) for act in found[:before] if act.calls]


def cases_of_overtaken(reference: Outcome) -> list[Case]:
    """One case for each activity that has made calls."""
    found = acts(reference.told, reference.entries)
    return [Case(FORWARD, OVERTAKEN, (_point(act),)) for act in found if act.calls]


def _point(act: Act) -> Point:
    return Point(ACTIVITY, act.activity, None, act.nth)


class _Standing(Run):
    """A run one of whose workers stands still once; the second one of its lane goes on."""

    def _stalled(self) -> list[Told]:
        return self._site.orders.obeyed(self._names.migration_id)

    def _attempts(self) -> list[Told]:
        """What all attempts of the activity tell that stands still."""
        tasks = {stalled.task for stalled in self._stalled()}
        return [told for told in self._site.orders.told(self._names.migration_id) if told.task in tasks]

    def _has_ended(self, stalled: Told) -> bool:
        ended = (told for told in self._attempts() if told.event in {"returned", "raised"})
        return any((told.attempt, told.pid) == (stalled.attempt, stalled.pid) for told in ended)

    async def _go_on(self) -> None:
        """Let the worker go on, and wait until its attempt has ended, too."""
        await asyncio.to_thread(self._lane.go_on)
        deadline = time.monotonic() + _WAKES_WITHIN
        while any(not self._has_ended(stalled) for stalled in self._stalled()):
            if time.monotonic() > deadline:
                self._outcome.problems.append(f"its attempt did not end within {_WAKES_WITHIN:.0f} s after it went on")
                return
            await asyncio.sleep(_LOOK)


class OvertakenRun(_Standing):
    """The worker goes on as soon as another attempt has done the act."""

    async def _decide(self, phase: str) -> None:
        if any(told.event == "returned" for told in self._attempts()):
            await asyncio.to_thread(self._lane.go_on)
        await super()._decide(phase)

    async def _callbacks_leave(self) -> None:
        await super()._callbacks_leave()
        await self._go_on()


class StalledRun(_Standing):
    """A person has everything undone while the worker stands still; it goes on when the migration has ended."""

    async def _decide(self, phase: str) -> None:
        if self._stalled() and "rollback" not in self._asked_for:
            handle = self._site.client.get_workflow_handle(self._names.migration_id)
            await handle.signal("rollback", _ROLLBACK)
            self._asked_for.add("rollback")
        await super()._decide(phase)

    async def _callbacks_leave(self) -> None:
        await super()._callbacks_leave()
        before = self._entries()
        await self._go_on()
        late = self._entries()[len(before) :]
        heard = {message for entry in before for message in messages_of(entry, self._names)}
        landed = [f"{entry.service} {entry.operation}" for entry in late if not self._repeats(entry, heard)]
        if landed:
            self._outcome.problems.append(f"landed after everything was undone: {', '.join(landed)}")

    def _repeats(self, entry: Entry, heard: set[str]) -> bool:
        """A message that was on its way when the worker stopped arrives once more: its reader knows its id."""
        messages = messages_of(entry, self._names)
        return bool(messages) and messages <= heard

    def _judge(self) -> None:
        self._outcome.entries = self._entries()
        self._outcome.problems += undone(self._outcome, self._site.systems)


def undone(outcome: Outcome, systems: Systems) -> Iterator[str]:
    """Every way in which a migration that was undone from wherever it stood is not undone."""
    names = outcome.names
    for line in report(systems, names.application, names.migration_id, "source"):
        if line.subject not in KEPT | {"MGN lifecycle"} and not line.right:
            yield f"{line.subject}: {line.said}"
    yield from _records_left(outcome, systems)
    yield from broken(evidence_of(outcome, systems))


def _records_left(outcome: Outcome, systems: Systems) -> Iterator[str]:
    """Every record of its machines is out of service, those included that carry nobody's tag."""
    ids = {target for entry in outcome.entries for target in entry.targets if target.startswith("s-")}
    items: Iterable[dict[str, object]] = systems.aws("mgn").describe_source_servers(filters={})["items"]
    for item in items:
        own = item["sourceServerID"] in ids or _names(item, outcome.names.servers)
        if own and not item["isArchived"]:
            yield f"the record {item['sourceServerID']} is still in service: {item['lifeCycle']}"


def _names(item: dict[str, object], servers: Iterable[str]) -> bool:
    return any(server in str(item.get("sourceProperties")) for server in servers)
