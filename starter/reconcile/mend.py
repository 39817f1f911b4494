"""What `--fix` does: a run that takes over where that is safe, and claims given back where nothing else is left."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from temporalio.client import Client

from adapters.aws import AwsSessions
from adapters.dynamodb import DynamoMigrations
from migration.errors import Conflict, MigrationError
from migration.policies import LONGEST_CALL
from migration.settings import Settings
from starter.client import Migrations
from starter.reconcile.orphans import Action, DeadRun, Orphan
from starter.reconcile.runs import runs_now

_THEN = {Action.ROLL_BACK: "rollback", Action.GO_ON: "continue"}
_DOES = {Action.ROLL_BACK: "rolls it back", Action.GO_ON: "goes on with it"}


@dataclass(frozen=True)
class Mended:
    """What became of one orphan: what was done, or why it was not."""

    orphan: Orphan
    done: str = ""
    run_id: str | None = None
    error: str = ""


class Mending:
    """Does the safe action; a person's hands it has not."""

    def __init__(self, client: Client, settings: Settings) -> None:
        """Nothing is called yet."""
        self._client = client
        self._settings = settings
        self._migrations = Migrations(client, settings.task_queue)
        self._store = DynamoMigrations(AwsSessions(settings.state_region), settings.state_table)

    async def mend(self, orphan: Orphan) -> Mended:
        """Do what is safe; that it failed is part of the answer, so that the others are mended too."""
        try:
            match orphan.action:
                case Action.BY_HAND:
                    return Mended(orphan, error=orphan.words)
                case Action.RELEASE:
                    return await self._release(orphan)
            return await self._adopt(orphan)
        except MigrationError as error:
            return Mended(orphan, error=str(error))

    async def _adopt(self, orphan: Orphan) -> Mended:
        dead = orphan.dead
        if dead is None or dead.carried is None:
            raise Conflict(f"{orphan.migration_id} has no run that could be taken over")
        carried = inheritance(dead, dead.carried, orphan.action, self._settings.act_bound + LONGEST_CALL)
        run_id = await self._migrations.adopt(
            orphan.migration_id, dead.run_id, carried, latest=dead.latest, task_queue=dead.task_queue
        )
        return Mended(orphan, done=f"the run {run_id} {_DOES[orphan.action]}", run_id=run_id)

    async def _release(self, orphan: Orphan) -> Mended:
        """Give back each generation's claims, if that generation still has them."""
        if await runs_now(self._client, orphan.migration_id):
            raise Conflict(f"{orphan.migration_id} runs by now", action="Look again.")
        held: dict[int, list[str]] = defaultdict(list)
        if orphan.claim is not None:
            held[orphan.claim.generation] = []
        for server in orphan.servers:
            held[server.generation].append(server.key)
        for generation, keys in held.items():
            await asyncio.to_thread(self._store.finish, orphan.migration_id, generation, orphan.ends_as, keys)
        return Mended(orphan, done="its claims were given back")


def inheritance(dead: DeadRun, carried: Mapping[str, Any], action: Action, act_bound: timedelta) -> dict[str, Any]:
    """What the next run is given: all that the dead one had, what to do with it, and when it may look.

    A worker does not hear at once that its workflow is no more: until `landedBy` an act may still begin a call.
    """
    landed_by = dead.closed + act_bound
    if known := carried.get("landedBy"):
        landed_by = max(landed_by, datetime.fromisoformat(known))
    return {**carried, "then": _THEN[action], "landedBy": landed_by.isoformat()}
