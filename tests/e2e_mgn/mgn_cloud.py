"""A local cloud whose MGN is set up as a test wants it, with a worker, in and beside the process of the tests."""

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import pytest

from localcloud.aws.mgn import MgnSettings
from localcloud.report import Ending, Systems
from localcloud.supervisor import Supervisor
from localcloud.up import Program, wait_for_pollers
from migration.status import MigrationStatus, Phase, StepProgress
from migration.steps import Step
from tests.e2e.local_cloud import APPROVER, LocalCloud, mark_of, until

TOLD_WITHIN = 400.0
"""Seconds: all stories of a cloud, which are told side by side, and as long as one of them may take."""

_LOOK = 0.2
_WAITS_FOR_A_PERSON = frozenset({Phase.AWAITING_DECISION, Phase.ROLLBACK_INCOMPLETE})

Told = TypeVar("Told")
Story = asyncio.Task[Told]
"""A migration under way, and later told: its `result()` is what was seen, or raises what went wrong."""

Played = TypeVar("Played")
"""A dataclass of stories."""


@dataclass(frozen=True)
class Sighting:
    """What MGN said of a record at some moment."""

    life_cycle: str
    replication: str
    launchable: bool


@dataclass(frozen=True)
class Judged:
    """How a migration ended, and what the systems say of it.

    Attributes:
        last: Its status.
        wrong: What is not as it should be.
        calls: How often each call on one of its servers was accepted.
        cutovers: How often each server was launched for a cutover under each mark.
    """

    last: MigrationStatus
    wrong: list[str]
    calls: Counter[str]
    cutovers: dict[tuple[str, str], int]


class MgnCloud(LocalCloud):
    """The ways in and the judgements of `LocalCloud`, over a cloud in this process: its MGN can be reached into."""

    def __init__(self, state_dir: Path, mgn: MgnSettings, *, applications: int, servers: int = 1) -> None:
        """Start it and a worker, and wait until both are ready."""
        self.state_dir = state_dir
        self.sightings: defaultdict[str, list[Sighting]] = defaultdict(list)
        self._clients = []
        with ExitStack() as running:
            self.supervisor = running.enter_context(
                Supervisor(state_dir, applications=applications, servers=servers, mgn=mgn)
            )
            self.local = self.supervisor.local
            self.environment = self.supervisor.environment()
            self.systems = Systems(self.local)
            worker = running.enter_context(Program("worker", self.supervisor))
            wait_for_pollers(self.local["temporal"], [worker])
            self._running = running.pop_all()

    def stop(self) -> None:
        """Stop worker and cloud."""
        self._running.close()

    # --- watching ------------------------------------------------------------------------------------------------

    async def watch(self) -> None:
        """Note whatever MGN says of every migration's records, each time that it changes."""
        while True:
            for item in await asyncio.to_thread(self._records_of_all):
                self._see(item)
            await asyncio.sleep(_LOOK)

    def _records_of_all(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self._mgn.describe_source_servers(filters={})["items"]
        return items

    @cached_property
    def _mgn(self) -> Any:
        return self.systems.aws("mgn")

    def _see(self, item: dict[str, Any]) -> None:
        info, about = item["dataReplicationInfo"], self.sightings[item["tags"].get("migrator:migration-id", "")]
        seen = Sighting(item["lifeCycle"]["state"], info["dataReplicationState"], "lagDuration" in info)
        if not about or about[-1] != seen:
            about.append(seen)

    async def sees(self, application: str, sight: Callable[[Sighting], bool], what: str) -> None:
        """Wait until the watch has seen that of a migration's records."""

        async def look() -> bool:
            return any(map(sight, self.sightings[f"mig-{application}"]))

        await until(f"{what} is seen of {application}", look)

    # --- driving -------------------------------------------------------------------------------------------------

    async def begin(self, application: str, **overrides: Any) -> None:
        """Start an application's migration; its health checks give up early, and it ends soon after its switch."""
        request = self.request(application, **{"soak": {"for": "PT0S"}, "grace": "PT0S", **overrides})
        for check in request["healthChecks"]:
            check["within"] = "PT12S"
        await (await self.migrations()).start(json.dumps(request))

    async def pass_the_gate(self, application: str, entry: int = 1) -> None:
        """Approve when the migration asks for it for that time."""
        await self.approve(await self.at_the_gate(f"mig-{application}", entry))

    async def reaches(self, migration_id: str, *phases: Phase) -> MigrationStatus:
        """As the base has it; a migration that wants a person whom the story does not have is a failure at once."""
        status = await super().reaches(migration_id, *phases, *_WAITS_FOR_A_PERSON)
        if status.phase not in phases:
            pytest.fail(f"{migration_id} is {status.phase}: {status.message}")
        return status

    async def asks(self, application: str) -> MigrationStatus:
        """Wait until a failure of the migration wants a decision."""
        return await self.reaches(f"mig-{application}", Phase.AWAITING_DECISION)

    async def decide(self, application: str, name: str, **words: str) -> None:
        """Decide something as the approver; a question that was asked is answered when this returns."""
        migration_id = f"mig-{application}"
        await (await self.migrations()).decide(migration_id, name, {"by": APPROVER, **words})
        await super().reaches(migration_id, *(set(Phase) - _WAITS_FOR_A_PERSON))

    async def judged(self, application: str, phase: Phase, ending: Ending, **launches: int) -> Judged:
        """Wait for the end, and read everything back; `launches` as `report` has them."""
        last = await self.reaches(f"mig-{application}", phase)
        wrong = await self.wrong_lines(application, ending, **launches)
        servers = {vm["name"] for vm in self.systems.vms(application)}
        entries = [entry for service in ("mgn", "vcenter") for entry in await self.ledger(service)]
        cutovers = await self.launches(f"mig-{application}", "StartCutover")
        return Judged(
            last=last,
            wrong=[f"{line.subject}: {line.said}" for line in wrong],
            calls=Counter(entry["operation"] for entry in entries if servers & set(entry["targets"])),
            cutovers=Counter((server, mark_of(one)) for one in cutovers for server in servers & set(one["targets"])),
        )


def play(cloud: MgnCloud, begin: Callable[[], Played]) -> Played:
    """Play stories to their ends, with the watch beside them.

    Args:
        cloud: Where they are played.
        begin: Begins every story, and returns them.
    """
    return asyncio.run(_play(cloud, begin))


async def _play(cloud: MgnCloud, begin: Callable[[], Played]) -> Played:
    watching = asyncio.create_task(cloud.watch())
    played = begin()
    await asyncio.wait(vars(played).values(), timeout=TOLD_WITHIN)
    for task in (watching, *vars(played).values()):
        task.cancel()
    await asyncio.gather(watching, *vars(played).values(), return_exceptions=True)
    return played


def step_of(status: MigrationStatus, step: Step) -> StepProgress:
    """One step's line."""
    return next(line for line in status.steps if line.step is step)


def once_each(application: str, *marks: str) -> dict[tuple[str, str], int]:
    """What `cutovers` says of an application of one server that was launched once under each of these marks."""
    return {(f"{application}-web-01", f"mig-{application}/1/{mark}"): 1 for mark in marks}
