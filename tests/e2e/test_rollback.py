"""The second ending: an application that is not healthy on its target goes back, to either depth."""

import json
from dataclasses import dataclass
from typing import Any

from migration.status import MigrationStatus, Phase, StepState
from migration.steps import Step
from tests.e2e.local_cloud import LocalCloud, mark_of
from tests.e2e.secrets import plant_secrets
from tests.e2e.stories import Stories, story


@dataclass(frozen=True)
class BackAtTheGate:
    """What was seen between the rollback and the second approval, and at the end."""

    gate: MigrationStatus
    serving: Any
    replication: list[str]
    last: MigrationStatus


def _impatient(request: dict[str, Any], depth: str) -> str:
    for check in request["healthChecks"]:
        check["within"] = "PT6S"
    return json.dumps(request | {"rollback": {**request["rollback"], "to": depth}})


@story
async def goes_back_to_the_start(cloud: LocalCloud) -> MigrationStatus:
    await cloud.never_healthy("shop")
    await plant_secrets(cloud, "shop")
    await (await cloud.migrations()).start(_impatient(cloud.request("shop"), "start"))
    await cloud.approve(await cloud.at_the_gate("mig-shop"))
    return await cloud.reaches("mig-shop", Phase.ROLLED_BACK)


@story
async def goes_back_to_the_gate_and_then_completes(cloud: LocalCloud) -> BackAtTheGate:
    fault = await cloud.never_healthy("crm")
    await (await cloud.migrations()).start(_impatient(cloud.request("crm"), "ready"))
    await cloud.approve(await cloud.at_the_gate("mig-crm"))
    gate = await cloud.at_the_gate("mig-crm", entry=2)
    serving = await cloud.application("crm")
    replication = [record["dataReplicationInfo"]["dataReplicationState"] for record in cloud.systems.records("mig-crm")]
    await cloud.take_back(fault)
    await cloud.approve(gate)
    last = await cloud.reaches("mig-crm", Phase.COMPLETED)
    return BackAtTheGate(gate=gate, serving=serving, replication=replication, last=last)


def _states(status: MigrationStatus) -> dict[Step, StepState]:
    return {line.step: line.state for line in status.steps}


async def test_a_rollback_to_the_start_leaves_everything_as_it_was(cloud: LocalCloud, stories: Stories) -> None:
    told = await stories.told(goes_back_to_the_start)
    assert told.served_by == "source"
    assert told.failure is not None
    assert told.failure.type == "VerificationError"
    assert "shop-web-01" in told.failure.message
    assert told.undo == []
    assert [result.kind for result in told.undone if not result.done] == []
    assert await cloud.wrong_lines("shop", "source") == []
    assert (await cloud.row("mig-shop"))["status"] == "ROLLED_BACK"


async def test_a_rollback_fences_the_target_before_the_source_is_back(cloud: LocalCloud, stories: Stories) -> None:
    told = await stories.told(goes_back_to_the_start)
    kinds = [result.kind for result in told.undone]
    assert kinds.index("fenceTarget") < kinds.index("restoreSource") < kinds.index("endCutover")
    log = (await cloud.application("shop"))["servingLog"]
    targets = [each["to"] for each in log if each["side"] == "target"]
    sources = [each["from"] for each in log if each["side"] == "source"]
    assert targets
    assert max(targets) < max(sources)


async def test_a_rollback_to_ready_stands_at_the_gate_while_the_source_serves(stories: Stories) -> None:
    told = await stories.told(goes_back_to_the_gate_and_then_completes)
    assert told.gate.served_by == "source"
    assert told.gate.approvals == []
    assert [server["servedBy"] for server in told.serving["servers"]] == ["source", "source"]
    assert told.replication == ["CONTINUOUS", "CONTINUOUS"]
    assert {server.life_cycle for server in told.gate.servers} == {"READY_FOR_CUTOVER"}
    assert _states(told.gate)[Step.TEST] is StepState.DONE
    assert _states(told.gate)[Step.CUTOVER] is StepState.UNDONE


async def test_after_a_rollback_to_ready_a_new_approval_completes_the_same_generation(
    cloud: LocalCloud, stories: Stories
) -> None:
    told = await stories.told(goes_back_to_the_gate_and_then_completes)
    assert (told.last.phase, told.last.generation, told.last.served_by) == (Phase.COMPLETED, 1, "target")
    assert await cloud.wrong_lines("crm", "target", cutovers=2) == []
    marks = [mark_of(launch) for launch in await cloud.launches("mig-crm", "StartCutover")]
    assert marks == ["mig-crm/1/cutover/1", "mig-crm/1/cutover/2"]
