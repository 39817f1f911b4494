"""What comes with one workflow task is heard in one order: results, then updates."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.update.v1 import UpdateRef
from temporalio.api.workflowservice.v1 import PollWorkflowExecutionUpdateRequest
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

with workflow.unsafe.imports_passed_through():
    from tests.workflows.stage import replayer, until
    from tests.workflows.worlds import WITHIN
    from workflows.updates_last import UpdatesLast


@workflow.defn
class Listener:
    """Hears of the result of an activity and of an update; a run that `renews` ends with the result."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    @workflow.run
    async def run(self, renews: bool) -> list[str]:
        """Give what was heard, in order."""
        if workflow.info().continued_run_id is None:
            await workflow.execute_activity(completed_elsewhere, start_to_close_timeout=timedelta(seconds=WITHIN))
            self.heard.append("result")
            if renews:
                workflow.continue_as_new(renews)
        await workflow.wait_condition(lambda: "update" in self.heard)
        return self.heard

    @workflow.update
    async def tell(self) -> list[str]:
        """Give what was heard before."""
        before, self.heard = self.heard, [*self.heard, "update"]
        return before


@activity.defn
async def completed_elsewhere() -> None:
    activity.raise_complete_async()


@asynccontextmanager
async def a_worker(client: Client, task_queue: str) -> AsyncIterator[None]:
    async with Worker(
        client,
        task_queue=task_queue,
        workflows=[Listener],
        activities=[completed_elsewhere],
        workflow_runner=UpdatesLast(SandboxedWorkflowRunner()),
    ):
        yield


async def one_task(client: Client, *, renews: bool) -> tuple[WorkflowHandle[Listener, list[str]], list[str]]:
    """The result and the update come while no worker is there: the next one gets both with one task."""
    name = f"listener-{uuid.uuid4().hex[:8]}"
    async with a_worker(client, name):
        handle = await client.start_workflow(Listener.run, renews, id=name, task_queue=name)
        pending = await until(lambda: is_started(handle), "the activity has started")
    update = asyncio.create_task(handle.execute_update(Listener.tell, id="told"))
    await until(lambda: is_admitted(client, name), "the server has the update")
    await client.get_async_activity_handle(workflow_id=name, run_id=None, activity_id=pending).complete()
    async with a_worker(client, name):
        before = await asyncio.wait_for(update, WITHIN)
        await asyncio.wait_for(handle.result(), WITHIN)
    return handle, before


async def is_started(handle: WorkflowHandle[Listener, list[str]]) -> str | None:
    described = (await handle.describe()).raw_description
    return next((one.activity_id for one in described.pending_activities if one.HasField("last_started_time")), None)


async def is_admitted(client: Client, name: str) -> bool:
    told = UpdateRef(workflow_execution=WorkflowExecution(workflow_id=name), update_id="told")
    request = PollWorkflowExecutionUpdateRequest(namespace=client.namespace, update_ref=told)
    try:
        await client.workflow_service.poll_workflow_execution_update(request)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return False
    return True


async def test_an_update_that_comes_with_a_result_is_heard_after_it(temporal_address: str) -> None:
    handle, before = await one_task(await Client.connect(temporal_address), renews=False)
    assert before == ["result"]
    await replayer([Listener]).replay_workflow(await handle.fetch_history())


async def test_an_update_that_comes_with_the_end_of_a_run_is_answered_by_the_next_one(temporal_address: str) -> None:
    _, before = await one_task(await Client.connect(temporal_address), renews=True)
    assert before == []
