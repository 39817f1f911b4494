"""What Temporal's histories say of a workflow: all its runs, from the first one on."""

from collections.abc import AsyncIterator

from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client


async def scheduled_activities(client: Client, workflow_id: str) -> list[str]:
    """The types of all activities that a workflow scheduled, in their order."""
    return [
        event.activity_task_scheduled_event_attributes.activity_type.name
        async for event in _events(client, workflow_id)
        if event.HasField("activity_task_scheduled_event_attributes")
    ]


async def _events(client: Client, workflow_id: str) -> AsyncIterator[HistoryEvent]:
    latest = await anext(client.get_workflow_handle(workflow_id).fetch_history_events())
    run_id = latest.workflow_execution_started_event_attributes.first_execution_run_id
    while run_id:
        following = ""
        async for event in client.get_workflow_handle(workflow_id, run_id=run_id).fetch_history_events():
            yield event
            following = event.workflow_execution_continued_as_new_event_attributes.new_execution_run_id or following
        run_id = following
