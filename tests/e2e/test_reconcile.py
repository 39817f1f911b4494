"""`migrator reconcile`: migrations whose run was terminated are found, and brought to a whole end."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from temporalio.client import WorkflowExecutionStatus

from migration.ports import PowerState
from migration.status import MigrationStatus, Phase, StepState
from migration.steps import Step
from tests.e2e.local_cloud import TASK_QUEUE, LocalCloud, Ran, mark_of, until

PATIENT = {"for": "PT1H", "end": "commit"}
ENDINGS = {
    "billing": Phase.CANCELLED,
    "shop": Phase.CANCELLED,
    "crm": Phase.CANCELLED,
    "wiki": Phase.COMPLETED,
    "search": Phase.CANCELLED,
}
"""The applications, and how each ends: terminated while replicating, cutting over, soaking, decommissioning; the last
one is not terminated, but times out."""

BYSTANDER = "mail"
"""Its migration runs all the time, and is nobody's orphan."""


@dataclass(frozen=True)
class Told:
    """What was seen before, between and after."""

    undisturbed: Ran
    terminated: dict[str, MigrationStatus]
    rival: MigrationStatus
    found: Ran
    fixed: Ran
    again: Ran
    ended: dict[str, MigrationStatus]
    afterwards: Ran
    bystander: MigrationStatus


@pytest.fixture(scope="module")
def own_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """A cloud in which nobody else leaves anything."""
    cloud = LocalCloud(tmp_path_factory.mktemp("reconcile"), applications=12, servers=1)
    yield cloud
    cloud.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def told(own_cloud: LocalCloud) -> AsyncIterator[Told]:
    """The whole story: four migrations are terminated side by side, found, and taken over."""
    await _start(own_cloud, BYSTANDER)
    await own_cloud.at_the_gate(f"mig-{BYSTANDER}")
    undisturbed = await own_cloud.migrator("reconcile", "-o", "json")
    plays = (_while_replicating, _while_cutting_over, _while_soaking, _while_decommissioning, _times_out)
    terminated = await asyncio.gather(*(play(own_cloud) for play in plays))
    rival = await _rival(own_cloud)
    found = await own_cloud.migrator("reconcile", "-o", "json")
    fixed, again = await asyncio.gather(*(own_cloud.migrator("reconcile", "--fix", "-o", "json") for _ in range(2)))
    ended = await asyncio.gather(*(own_cloud.reaches(f"mig-{name}", phase) for name, phase in ENDINGS.items()))
    afterwards = await _closed(own_cloud)
    bystander = await own_cloud.reaches(f"mig-{BYSTANDER}", Phase.AWAITING_APPROVAL)
    yield Told(
        undisturbed=undisturbed,
        terminated=dict(zip(ENDINGS, terminated, strict=True)),
        rival=rival,
        found=found,
        fixed=fixed,
        again=again,
        ended=dict(zip(ENDINGS, ended, strict=True)),
        afterwards=afterwards,
        bystander=bystander,
    )


async def _closed(cloud: LocalCloud) -> Ran:
    """Reconcile once no run is left but the bystander's."""
    client = await cloud.client()

    async def look() -> bool:
        query = "WorkflowType = 'MigrationWorkflow' AND ExecutionStatus = 'Running'"
        return (await client.count_workflows(query)).count == 1

    await until("every adopting run has closed", look)
    return await cloud.migrator("reconcile")


async def _start(cloud: LocalCloud, application: str, **overrides: Any) -> None:
    begun = await cloud.migrator("start", cloud.written(cloud.request(application, **overrides)))
    assert begun.code == 0, begun.err


async def _terminate(cloud: LocalCloud, application: str) -> None:
    words = ("--workflow-id", f"mig-{application}", "--reason", "by mistake")
    ended = await cloud.temporal("workflow", "terminate", *words)
    assert ended.code == 0, ended.err


async def _while_replicating(cloud: LocalCloud) -> MigrationStatus:
    await _start(cloud, "billing", replication={"stableObservations": 500})
    replicating = await cloud.reaches("mig-billing", Phase.REPLICATING)
    await _terminate(cloud, "billing")
    return replicating


async def _while_cutting_over(cloud: LocalCloud) -> MigrationStatus:
    await _start(cloud, "shop")
    await cloud.approve(await cloud.at_the_gate("mig-shop"))

    async def source_is_off() -> bool:
        power = await asyncio.to_thread(_power, cloud, "shop")
        return power == [PowerState.OFF]

    await until("the source of shop is off", source_is_off)
    cutting_over = await cloud.reaches("mig-shop", Phase.CUTTING_OVER)
    await _terminate(cloud, "shop")
    return cutting_over


async def _while_soaking(cloud: LocalCloud) -> MigrationStatus:
    await _start(cloud, "crm", soak=PATIENT, rollback={"keepTarget": "PT1H"})
    await cloud.approve(await cloud.at_the_gate("mig-crm"))
    soaking = await cloud.reaches("mig-crm", Phase.SOAKING)
    await _terminate(cloud, "crm")
    return soaking


async def _while_decommissioning(cloud: LocalCloud) -> MigrationStatus:
    await _start(cloud, "wiki", grace="PT20S")
    await cloud.approve(await cloud.at_the_gate("mig-wiki"))
    decommissioning = await cloud.reaches("mig-wiki", Phase.DECOMMISSIONING)
    await _terminate(cloud, "wiki")
    return decommissioning


async def _times_out(cloud: LocalCloud) -> MigrationStatus:
    """Somebody starts it with a timeout that the product never sets."""
    request = cloud.request("search", replication={"stableObservations": 500})
    where = ("--type", "MigrationWorkflow", "--task-queue", TASK_QUEUE, "--workflow-id", "mig-search")
    begun = await cloud.temporal(
        *("workflow", "start", *where, "--execution-timeout", "30s", "--input-file", cloud.written(request))
    )
    assert begun.code == 0, begun.err
    client, migrations = await cloud.client(), await cloud.migrations()
    await cloud.reaches("mig-search", Phase.PREPARING, Phase.REPLICATING)

    async def timed_out() -> bool:
        described = await client.get_workflow_handle("mig-search").describe()
        return described.status is WorkflowExecutionStatus.TIMED_OUT

    await until("mig-search has timed out", timed_out, within=60)
    return await migrations.status("mig-search")


async def _rival(cloud: LocalCloud) -> MigrationStatus:
    """Another migration that names the server of a terminated one."""
    await _start(cloud, "billing", migrationId="mig-rival")
    return await cloud.reaches("mig-rival", Phase.FAILED)


def _power(cloud: LocalCloud, application: str) -> list[PowerState]:
    hypervisor = cloud.systems.hypervisor()
    try:
        return [hypervisor.find(vm["name"]).power for vm in cloud.systems.vms(application)]
    finally:
        hypervisor.close()


def _claims(cloud: LocalCloud) -> dict[str, dict[str, Any]]:
    items = cloud.systems.aws("dynamodb").scan(TableName="migrator-state")["Items"]
    return {item["pk"]["S"]: item for item in items if not item["pk"]["S"].startswith("migration#")}


def _orphan(ran: Ran, application: str) -> dict[str, Any]:
    (found,) = [one for one in ran.json["orphans"] if one["migrationId"] == f"mig-{application}"]
    return dict(found)


def _kinds(orphan: dict[str, Any]) -> set[str]:
    return {one["kind"] for one in orphan["left"]}


async def test_where_nothing_was_ended_from_outside_nothing_is_left_behind(told: Told) -> None:
    assert (told.undisturbed.code, told.undisturbed.json) == (0, {"orphans": [], "notSearched": []})


async def test_every_terminated_migration_is_found_with_what_it_left_and_what_is_safe(told: Told) -> None:
    assert told.found.code == 1
    assert told.found.json["notSearched"] == []
    actions = {one["migrationId"]: one["action"] for one in told.found.json["orphans"]}
    assert actions == {
        "mig-billing": "adopt and roll back",
        "mig-shop": "adopt and roll back",
        "mig-crm": "adopt and roll back",
        "mig-wiki": "adopt and go on",
        "mig-search": "adopt and roll back",
    }
    assert _orphan(told.found, "search")["stands"].startswith("timed out ")
    assert _kinds(_orphan(told.found, "billing")) == {"MGN source server"}
    assert {"EC2 instance", "MGN source server", "source snapshot"} <= _kinds(_orphan(told.found, "crm"))
    sides = {name: _orphan(told.found, name)["servedBy"] for name in ENDINGS}
    assert sides == {"billing": "source", "shop": "nobody", "crm": "target", "wiki": "target", "search": "source"}
    assert all(f"mig-{name}" in _orphan(told.found, name)["claims"] for name in ENDINGS)


async def test_a_terminated_migration_still_holds_its_servers_against_every_other(told: Told) -> None:
    failure = told.rival.failure
    assert failure is not None
    assert failure.type == "PrerequisiteError"
    assert "billing-web-01 by mig-billing (generation 1)" in failure.message
    assert [line.step for line in told.rival.steps if line.state is not StepState.PENDING] == [Step.VALIDATE]


async def test_every_orphan_is_taken_over_once_also_when_two_people_ask_for_it(told: Told) -> None:
    fixes = [(one["migrationId"], one["fix"]) for ran in (told.fixed, told.again) for one in ran.json["orphans"]]
    assert sorted(name for name, fix in fixes if fix["runId"]) == sorted(f"mig-{name}" for name in ENDINGS)
    assert all(fix["error"] for _, fix in fixes if not fix["runId"])
    for ran in (told.fixed, told.again):
        assert ran.code == int(any(one["fix"]["error"] for one in ran.json["orphans"]))


@pytest.mark.parametrize("application", ["billing", "shop", "search"])
async def test_a_migration_that_lost_its_run_before_the_switch_is_rolled_back_to_how_it_was(
    own_cloud: LocalCloud, told: Told, application: str
) -> None:
    ended = told.ended[application]
    assert (ended.phase, ended.served_by, ended.undo) == (Phase.CANCELLED, "source", [])
    assert [result.what for result in ended.undone if not result.done] == []
    account = await own_cloud.application(application)
    assert [server["servedBy"] for server in account["servers"]] == ["source"]
    assert [server["lostWrites"] for server in account["servers"]] == [0]
    assert account["overlaps"] == []
    states = {one["State"]["Name"] for one in own_cloud.systems.instances(f"mig-{application}")}
    assert states <= {"terminated"}
    assert await asyncio.to_thread(_power, own_cloud, application) == [PowerState.ON]


async def test_a_migration_terminated_while_soaking_keeps_what_the_target_wrote(
    own_cloud: LocalCloud, told: Told
) -> None:
    before, ended = told.terminated["crm"], told.ended["crm"]
    (preserved,) = ended.preserved
    assert (ended.phase, ended.served_by) == (Phase.CANCELLED, "source")
    assert preserved.since == before.divergence_since
    assert preserved.instance_ids == tuple(server.instance_id for server in before.servers)
    assert len(preserved.snapshot_ids) > 0
    states = {one["InstanceId"]: one["State"]["Name"] for one in own_cloud.systems.instances("mig-crm")}
    assert [states[one] for one in preserved.instance_ids] == ["stopped"]
    account = await own_cloud.application("crm")
    assert [server["servedBy"] for server in account["servers"]] == ["source"]
    assert account["overlaps"] == []


async def test_a_migration_terminated_after_the_point_of_no_return_goes_on_to_its_end(
    own_cloud: LocalCloud, told: Told
) -> None:
    assert told.terminated["wiki"].past_point_of_no_return
    ended = told.ended["wiki"]
    assert (ended.phase, ended.served_by) == (Phase.COMPLETED, "target")
    assert {line.state for line in ended.steps} == {StepState.DONE}
    assert await own_cloud.wrong_lines("wiki", "target") == []


async def test_nothing_happens_twice_because_a_run_was_taken_over(own_cloud: LocalCloud, told: Told) -> None:
    for application in ENDINGS:
        launches = await own_cloud.launches(f"mig-{application}", "StartCutover")
        assert len({mark_of(launch) for launch in launches}) == len(launches) <= 1
    assert {status.generation for status in told.ended.values()} == {1}


async def test_afterwards_nothing_is_left_behind_and_every_claim_is_given_back(
    own_cloud: LocalCloud, told: Told
) -> None:
    assert (told.afterwards.code, told.afterwards.out.strip()) == (0, "nothing is left behind")
    claims = await asyncio.to_thread(_claims, own_cloud)
    assert {claims[f"claim#mig-{name}"]["endedAs"]["S"] for name in ENDINGS} == {"CANCELLED", "COMPLETED"}
    servers = {item["migrationId"]["S"] for key, item in claims.items() if key.startswith("server#")}
    assert servers == {f"mig-{BYSTANDER}"}


async def test_a_running_migration_is_left_alone(told: Told) -> None:
    assert f"mig-{BYSTANDER}" not in {one["migrationId"] for one in told.found.json["orphans"]}
    assert (told.bystander.phase, told.bystander.generation) == (Phase.AWAITING_APPROVAL, 1)


async def test_a_run_that_ended_before_its_first_task_is_taken_over_from_what_it_was_given(
    own_cloud: LocalCloud, told: Told
) -> None:
    await _start(own_cloud, "stock", replication={"stableObservations": 500})
    await own_cloud.reaches("mig-stock", Phase.REPLICATING)
    await _terminate(own_cloud, "stock")
    migrations, client = await own_cloud.migrations(), await own_cloud.client()
    run_id = str((await client.get_workflow_handle("mig-stock").describe()).run_id)
    carried = await migrations.carried("mig-stock", run_id)
    await migrations.adopt("mig-stock", run_id, carried, latest=run_id, task_queue="nobody-works-here")
    await _terminate(own_cloud, "stock")
    found = await own_cloud.migrator("reconcile", "--migration", "mig-stock", "-o", "json")
    assert (found.code, _orphan(found, "stock")["action"]) == (1, "adopt and roll back")
    assert _kinds(_orphan(found, "stock")) == {"MGN source server"}


async def test_a_migration_terminated_before_it_began_has_left_nothing(own_cloud: LocalCloud, told: Told) -> None:
    elsewhere = {"MIGRATOR_TASK_QUEUE": "nobody-works-here"}
    begun = await own_cloud.migrator("start", own_cloud.written(own_cloud.request("orders")), **elsewhere)
    assert begun.code == 0
    await _terminate(own_cloud, "orders")
    found = await own_cloud.migrator("reconcile", "--migration", "mig-orders", "-o", "json")
    assert (found.code, found.json["orphans"]) == (0, [])


async def test_a_claim_that_nobody_remembers_is_released_once_its_account_was_searched(
    own_cloud: LocalCloud, told: Told
) -> None:
    local, dynamodb = own_cloud.local, own_cloud.systems.aws("dynamodb")
    own = {"migrationId": {"S": "mig-forgotten"}, "generation": {"N": "3"}}
    for item in (
        {"pk": {"S": "claim#mig-forgotten"}, "workflowRun": {"S": "gone"}, "requestHash": {"S": "0"}, **own},
        {"pk": {"S": "server#vcenter-1/docs-web-01"}, **own},
    ):
        await asyncio.to_thread(dynamodb.put_item, TableName="migrator-state", Item=item)
    only = ("reconcile", "--migration", "mig-forgotten", "-o", "json")
    unsure = await own_cloud.migrator(*only, "--fix")
    assert (unsure.code, unsure.json["orphans"][0]["action"]) == (1, "by hand")
    assert unsure.json["orphans"][0]["claims"] == ["mig-forgotten", "vcenter-1/docs-web-01"]
    fixed = await own_cloud.migrator(*only, "--fix", "--where", f"{local['account_id']}/{local['region']}")
    assert (fixed.code, fixed.json["orphans"][0]["fix"]["done"]) == (0, "its claims were given back")
    claims = await asyncio.to_thread(_claims, own_cloud)
    assert claims["claim#mig-forgotten"]["endedAs"] == {"S": "CANCELLED"}
    assert "server#vcenter-1/docs-web-01" not in claims
