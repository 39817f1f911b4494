"""The search for what nobody looks after: Temporal, claims, accounts and data centres, laid side by side."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TypeVar

from temporalio.client import Client

from adapters.aws import AwsSessions
from adapters.claims import Claims, all_claims
from adapters.dynamodb import DynamoMigrations
from adapters.inventory import Kind, Marked, MarkedResources
from adapters.vcenter import VCenter
from migration.errors import MigrationError
from migration.ports import Where
from migration.settings import Connection, Settings
from migration.status import MigrationStatus
from starter.client import Migrations
from starter.reconcile.orphans import DeadRun, Orphan, Traces, judge, migration_of_snapshot
from starter.reconcile.runs import Runs, all_runs, reached_through, runs_now, with_state

_AT_ONCE = 8
_SNAPSHOTS = "migrator-"

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Found:
    """The orphans, and where nobody could look: an incomplete search proves nothing clean."""

    orphans: tuple[Orphan, ...] = ()
    not_searched: tuple[str, ...] = ()


@dataclass
class _Marks:
    """What was found by its marks, where, and where it could not be looked."""

    by_migration: dict[str, list[Marked]] = field(default_factory=lambda: defaultdict(list))
    searched: set[str] = field(default_factory=set)
    not_searched: list[str] = field(default_factory=list)


class Search:
    """One search, from the outside in; it changes nothing."""

    def __init__(self, client: Client, settings: Settings, *, also: Sequence[Where] = ()) -> None:
        """Nothing is called yet; `also` names accounts that Temporal may have forgotten."""
        self._client = client
        self._settings = settings
        self._also = tuple(also)
        self._migrations = Migrations(client, settings.task_queue)
        self._sessions = AwsSessions(settings.state_region, settings.external_id)
        self._store = DynamoMigrations(self._sessions, settings.state_table)

    async def find(self, *, only: frozenset[str] = frozenset(), forward: bool = False) -> Found:
        """Find every orphan, or those of some migrations.

        What runs when the search begins, or when it ends, is left out: it looks after itself.

        Raises:
            Unavailable: Temporal or the state table does not answer.
        """
        runs = await all_runs(self._client)
        claims = await asyncio.to_thread(all_claims, self._sessions, self._settings.state_table)
        wanted = {name: run for name, run in runs.dead.items() if not only or name in only}
        dead = {run.migration_id: run for run in await _side_by_side(self._state, wanted.values())}
        marks = await self._marked(runs, dead.values())
        names = {*dead, *_holders(claims), *marks.by_migration} - runs.running
        concerned = sorted(name for name in names if not only or name in only)

        async def judged(name: str) -> Orphan | None:
            traces = await self._traces(name, runs, claims, dead.get(name), marks)
            orphan = judge(traces, datetime.now(UTC), forward=forward)
            return None if orphan is None or await runs_now(self._client, name) else orphan

        found = await _side_by_side(judged, concerned)
        return Found(tuple(orphan for orphan in found if orphan), tuple(sorted(marks.not_searched)))

    async def _state(self, run: DeadRun) -> DeadRun:
        return await with_state(self._migrations, self._client, run)

    # --- by marks ------------------------------------------------------------------------------------------------

    async def _marked(self, runs: Runs, dead: Iterable[DeadRun]) -> _Marks:
        marks = _Marks()
        wheres = await self._wheres(runs, dead)

        async def look(place: str, find: Callable[[], Sequence[Marked]]) -> None:
            try:
                found = await asyncio.to_thread(find)
            except MigrationError as error:
                marks.not_searched.append(f"{place}: {error}")
                return
            marks.searched.add(place)
            for one in found:
                marks.by_migration[one.migration_id].append(one)

        looks: list[tuple[str, Callable[[], Sequence[Marked]]]]
        looks = [(_place(where), MarkedResources(self._sessions, where).find) for where in wheres]
        looks += [(name, _snapshots(name, connection)) for name, connection in self._settings.vcenters.items()]
        await _side_by_side(lambda one: look(*one), looks)
        return marks

    async def _wheres(self, runs: Runs, dead: Iterable[DeadRun]) -> list[Where]:
        """One way into each account and region that a migration went to, or that was named."""
        named = [where for run in dead if (where := run.where)]
        wheres = {(where.account_id, where.region): where for where in (*named, *self._also)}
        more = [(place, run) for place, run in runs.places().items() if place not in wheres]
        return [
            *wheres.values(),
            *await _side_by_side(lambda one: reached_through(self._client, *one), more),
        ]

    # --- one migration -------------------------------------------------------------------------------------------

    async def _traces(self, name: str, runs: Runs, claims: Claims, dead: DeadRun | None, marks: _Marks) -> Traces:
        traces = Traces(
            migration_id=name,
            dead=dead,
            forgotten=not runs.known(name),
            claim=claims.ids.get(name),
            servers=tuple(server for server in claims.servers if server.migration_id == name),
            left=tuple(sorted(marks.by_migration.get(name, ()), key=lambda one: (one.kind, one.id))),
            searched=self._searched(runs.place_of(name), marks),
        )
        return replace(traces, status=await self._last_word(name, dead, known=runs.known(name)))

    def _searched(self, place: str | None, marks: _Marks) -> bool:
        """Whether it was looked wherever something of it may be: in its account, or those named, and on the sources."""
        accounts = {place} if place else {_place(where) for where in self._also}
        return bool(accounts) and accounts | self._settings.vcenters.keys() <= marks.searched

    async def _last_word(self, name: str, dead: DeadRun | None, *, known: bool) -> MigrationStatus | None:
        """The run's own word where it was taken; else the read model's, unless an ended run knows better."""
        if dead is not None and dead.carried is not None and "status" in dead.carried:
            return MigrationStatus.model_validate(dead.carried["status"])
        row = await asyncio.to_thread(self._store.get, name)
        status = MigrationStatus.model_validate_json(row["document"]) if row else None
        if dead is None and known and not (status and status.phase.ended):
            try:
                return await self._migrations.status(name)
            except MigrationError:
                return status
        return status


def _place(where: Where) -> str:
    return f"{where.account_id}/{where.region}"


def _holders(claims: Claims) -> set[str]:
    """Who holds an id or a server."""
    ids = {name for name, held in claims.ids.items() if held.ended_as is None}
    return ids | {server.migration_id for server in claims.servers}


def _snapshots(name: str, connection: Connection) -> Callable[[], list[Marked]]:
    def find() -> list[Marked]:
        hypervisor = VCenter(connection)
        try:
            found = hypervisor.snapshots(_SNAPSHOTS)
        finally:
            hypervisor.close()
        return [
            Marked(kind=Kind.SOURCE_SNAPSHOT, id=snapshot, migration_id=owner, state=f"of {vm}", place=name)
            for vm, snapshot in found
            if (owner := migration_of_snapshot(snapshot))
        ]

    return find


async def _side_by_side(work: Callable[[Item], Awaitable[Result]], items: Iterable[Item]) -> list[Result]:
    """Do the work for every item, a few at a time; results in order."""
    few = asyncio.Semaphore(_AT_ONCE)

    async def one(item: Item) -> Result:
        async with few:
            return await work(item)

    return list(await asyncio.gather(*(one(item) for item in items)))
