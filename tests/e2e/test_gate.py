"""At the gate people turn a migration back: by a rejection, by a Temporal cancel, by giving up."""

from dataclasses import dataclass

from migration.status import MigrationStatus, Phase
from tests.e2e.local_cloud import APPROVER, LocalCloud, Ran
from tests.e2e.stories import Stories, story


@dataclass(frozen=True)
class TwoGenerations:
    """A migration that was rejected, started again, and abandoned."""

    repeats: list[Ran]
    rejected: MigrationStatus
    second_gate: MigrationStatus
    abandoned: MigrationStatus


@story
async def is_rejected_started_again_and_abandoned(cloud: LocalCloud) -> TwoGenerations:
    file = cloud.written(cloud.request("stock"))
    await cloud.migrator("start", file)
    await cloud.at_the_gate("mig-stock")
    await cloud.migrator("reject", "mig-stock", "--to", "start", "--as", APPROVER, "--comment", "not this week")
    rejected = await cloud.reaches("mig-stock", Phase.REJECTED)
    repeats = [
        await cloud.migrator("start", file, "-o", "json"),
        await cloud.migrator("start", file, "--again", "-o", "json"),
    ]
    second_gate = await cloud.at_the_gate("mig-stock")
    await cloud.migrator("abandon", "mig-stock", "--as", APPROVER, "--reason", "the application is retired")
    abandoned = await cloud.reaches("mig-stock", Phase.CANCELLED)
    return TwoGenerations(repeats=repeats, rejected=rejected, second_gate=second_gate, abandoned=abandoned)


@story
async def is_cancelled(cloud: LocalCloud) -> MigrationStatus:
    await cloud.migrator("start", cloud.written(cloud.request("orders")))
    await cloud.at_the_gate("mig-orders")
    assert (await cloud.temporal("workflow", "cancel", "--workflow-id", "mig-orders")).code == 0
    return await cloud.reaches("mig-orders", Phase.CANCELLED)


async def test_a_rejection_undoes_everything(stories: Stories) -> None:
    told = await stories.told(is_rejected_started_again_and_abandoned)
    assert told.rejected.served_by == "source"
    assert told.rejected.undo == []
    assert [(record.name, record.accepted, record.comment) for record in told.rejected.decisions] == [
        ("reject", True, "not this week")
    ]


async def test_a_rejected_migration_is_started_again_only_on_purpose(stories: Stories) -> None:
    told = await stories.told(is_rejected_started_again_and_abandoned)
    plain, again = told.repeats
    assert (plain.code, plain.json["outcome"]) == (3, "already ended")
    assert (again.code, again.json["outcome"]) == (0, "started")
    assert (told.rejected.generation, told.second_gate.generation) == (1, 2)


async def test_an_abandoned_generation_is_undone_too(cloud: LocalCloud, stories: Stories) -> None:
    told = await stories.told(is_rejected_started_again_and_abandoned)
    assert (told.abandoned.generation, told.abandoned.served_by) == (2, "source")
    assert "the application is retired" in told.abandoned.message
    assert await cloud.wrong_lines("stock", "source", tests=2, cutovers=0) == []
    described = await cloud.temporal("workflow", "result", "--workflow-id", "mig-stock", "-o", "json")
    assert (described.json["status"], described.json["result"]["status"]) == ("COMPLETED", "CANCELLED")


async def test_the_callbacks_of_each_generation_are_numbered_anew(cloud: LocalCloud, stories: Stories) -> None:
    await stories.told(is_rejected_started_again_and_abandoned)
    assert await cloud.wrong_lines("stock", "source", tests=2, cutovers=0) == []
    ids = [delivery["webhookId"] for delivery in cloud.systems.deliveries("mig-stock")]
    half = len(ids) // 2
    assert ids == [f"mig-stock:{generation}:{number}" for generation in (1, 2) for number in range(1, half + 1)]


async def test_a_temporal_cancel_at_the_gate_undoes_everything(cloud: LocalCloud, stories: Stories) -> None:
    told = await stories.told(is_cancelled)
    assert (told.served_by, told.undo, told.cancel_requested) == ("source", [], True)
    assert await cloud.wrong_lines("orders", "source", cutovers=0) == []
    assert (await cloud.row("mig-orders"))["status"] == "CANCELLED"
    ended = await cloud.temporal("workflow", "result", "--workflow-id", "mig-orders", "-o", "json")
    assert ended.json["status"] == "CANCELED"
