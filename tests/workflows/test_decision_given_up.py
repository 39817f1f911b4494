"""A decision that no worker takes is given up when its caller says so, not in the words of a lack of workers."""

import asyncio
import uuid
from typing import Any

import pytest
from temporalio.client import Client, Interceptor, OutboundInterceptor, StartWorkflowUpdateInput, WorkflowUpdateHandle

from starter.client import WORKFLOW, Migrations
from tests.workflows.migration_requests import APPROVER, a_request
from tests.workflows.stage import Stage


class Sending(Interceptor):
    """Says when an update is about to be sent."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()

    def intercept_client(self, following: OutboundInterceptor) -> OutboundInterceptor:
        begun = self.begun

        class Outbound(OutboundInterceptor):
            async def start_workflow_update(self, update: StartWorkflowUpdateInput) -> WorkflowUpdateHandle[Any]:
                begun.set()
                return await super().start_workflow_update(update)

        return Outbound(following)


async def test_a_caller_that_is_interrupted_while_a_decision_waits_is_told_of_no_missing_worker(stage: Stage) -> None:
    migration_id, sending = f"mig-{uuid.uuid4().hex[:12]}", Sending()
    client = await Client.connect(stage.address, interceptors=[sending])
    handle = await client.start_workflow(
        WORKFLOW, a_request(migration_id), id=migration_id, task_queue="that nobody serves"
    )
    try:
        decision = asyncio.create_task(
            Migrations(client, stage.task_queue).decide(migration_id, "approve", {"approver": APPROVER})
        )
        await sending.begun.wait()
        decision.cancel()
        with pytest.raises(asyncio.CancelledError):
            await decision
    finally:
        await handle.terminate("no worker ever takes it")
