"""A plan: every check, no claim, no act, and what would be touched."""

import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.exceptions import ApplicationError

from activities.prerequisites import CheckPrerequisites
from migration.errors import PrerequisiteError, Unavailable
from migration.findings import Finding, Severity
from migration.plan import Plan
from starter.plan import planned
from tests.workflows.migration_requests import a_request
from tests.workflows.stage import Stage, as_json
from tests.workflows.worlds import World
from workflows.plan import PlanWorkflow

FULL = Finding(code="SUBNET_FULL", severity=Severity.CRITICAL, message="no free addresses")
OLD_TOOLS = Finding(code="TOOLS_NOT_RUNNING", severity=Severity.WARNING, message="no tools")


def text(migration_id: str, **parts: Any) -> bytes:
    return json.dumps(a_request(migration_id, **parts)).encode()


async def plan_of(stage: Stage, world: World, **parts: Any) -> Plan:
    migration_id = f"mig-{uuid4().hex[:12]}"
    stage.world(migration_id, world)
    return await planned(stage.client, stage.task_queue, migration_id, text(migration_id, **parts))


async def test_a_plan_runs_every_check_before_any_claim_and_nothing_else(stage: Stage) -> None:
    world = World(findings=[OLD_TOOLS])
    made = await plan_of(stage, world)
    assert world.calls == ["check_prerequisites"]
    (asked,) = world.asked("check_prerequisites")
    assert isinstance(asked, CheckPrerequisites)
    assert asked.unclaimed
    assert asked.mark.startswith(f"plan/{made.migration_id}/")
    assert (made.findings, made.blocked) == ((OLD_TOOLS,), False)
    assert made.steps[0] == "validate"
    assert made.steps[-1] == "decommission"


async def test_a_plan_says_what_would_be_touched_with_the_dns_record_as_it_is(stage: Stage) -> None:
    made = await plan_of(stage, World(old_ttl=300))
    (switched,) = [touch for touch in made.touches if touch.step == "switch" and touch.system == "route53"]
    assert switched.change == "10.1.0.11 -> the address of billing-web-01's instance"
    assert switched.undo == "10.1.0.11, where still ours"


async def test_a_critical_finding_blocks(stage: Stage) -> None:
    assert (await plan_of(stage, World(findings=[OLD_TOOLS, FULL]))).blocked


async def test_a_look_that_fails_is_told_in_its_own_words(stage: Stage) -> None:
    world = World()
    world.fail("check_prerequisites")
    with pytest.raises(PrerequisiteError, match="the plan could not be made: check_prerequisites failed"):
        await plan_of(stage, world)


async def test_without_a_worker_the_plan_ends_in_words_and_leaves_nothing_waiting(stage: Stage) -> None:
    migration_id = f"mig-{uuid4().hex[:12]}"
    with pytest.raises(Unavailable, match="no worker of the task queue nobody took the plan up in 1 s"):
        await planned(stage.client, "nobody", migration_id, text(migration_id), taken_within=timedelta(seconds=1))
    listed = [one async for one in stage.client.list_workflows(f"WorkflowId STARTS_WITH 'plan/{migration_id}'")]
    assert all(one.status is WorkflowExecutionStatus.TERMINATED for one in listed)


async def test_a_bad_request_from_another_client_fails_the_plan_with_every_path(stage: Stage) -> None:
    handle = await stage.client.start_workflow(
        PlanWorkflow.run, as_json('{"appName": ""}'), id=f"plan/bad/{uuid4()}", task_queue=stage.task_queue
    )
    with pytest.raises(WorkflowFailureError) as failed:
        await handle.result()
    assert isinstance(failed.value.cause, ApplicationError)
    assert failed.value.cause.type == "ValidationError"
    assert "$.appName: expected" in failed.value.cause.message
