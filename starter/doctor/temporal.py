"""Temporal: the server, the namespace, the search attributes, and whether anybody works."""

import asyncio
from datetime import UTC, timedelta

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from migration.errors import MigrationError, PrerequisiteError, Unavailable
from migration.settings import Settings
from starter.alive import pollers
from starter.client import connect
from starter.doctor.checks import Check, State, Verdict
from starter.namespace import REPLACE, search_attribute_problems

_KINDS = {
    "workflows": TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
    "activities": TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
}
_NO_SERVER = Verdict(State.NOT_CHECKED, "Temporal does not answer")
_CONNECTED_WITHIN = timedelta(seconds=6)
_CONNECTION = (
    "Look at TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE and TEMPORAL_API_KEY, or at the profile of the temporal CLI."
)


class Temporal:
    """The checks of one server, which share one connection."""

    def __init__(self, settings: Settings | None) -> None:
        """Nothing is called yet; None: the settings, which name the queue, cannot be read."""
        self._settings = settings
        self._connecting: asyncio.Task[Client] | None = None

    def checks(self) -> list[Check]:
        """In the order in which they depend on each other."""
        return [
            Check("Temporal", self._reachable),
            Check("Temporal namespace", self._namespace),
            Check("search attributes", self._search_attributes),
            Check("workers", self._workers),
        ]

    async def _client(self) -> Client:
        if self._connecting is None:
            self._connecting = asyncio.create_task(_connected_in_time(self._settings or Settings.model_construct()))
        return await asyncio.shield(self._connecting)

    async def _reachable(self) -> str:
        try:
            client = await self._client()
        except MigrationError as error:
            raise PrerequisiteError(str(error), action=error.action or _CONNECTION) from error
        return f"{client.service_client.config.target_host} answers"

    async def _namespace(self) -> str | Verdict:
        if (client := await self._connected()) is None:
            return _NO_SERVER
        try:
            reply = await client.workflow_service.describe_namespace(
                DescribeNamespaceRequest(namespace=client.namespace)
            )
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            action = "Run: migrator setup-namespace"
            raise PrerequisiteError(f"there is no namespace {client.namespace}", action=action) from error
        days = reply.config.workflow_execution_retention_ttl.ToTimedelta().days
        return f"{client.namespace}, keeps ended migrations for {days} days"

    async def _search_attributes(self) -> str | Verdict:
        if (client := await self._connected()) is None:
            return _NO_SERVER
        problems = await search_attribute_problems(client)
        if problems is None:
            return Verdict(State.NOT_CHECKED, "Temporal Cloud does not say which there are")
        if problems:
            raise PrerequisiteError("; ".join(problems), action=f"Run: migrator setup-namespace. {REPLACE}")
        return "all registered"

    async def _workers(self) -> str | Verdict:
        if self._settings is None:
            return Verdict(State.NOT_CHECKED, "the settings, which name the task queue, cannot be read")
        if (client := await self._connected()) is None:
            return _NO_SERVER
        task_queue = self._settings.task_queue
        found = {kind: await self._pollers(client, task_queue, number) for kind, number in _KINDS.items()}
        if idle := [kind for kind, seen in found.items() if not seen]:
            raise PrerequisiteError(
                f"nobody takes {' or '.join(idle)} from the task queue {task_queue}",
                action="Start a worker (python worker.py) with the same task_queue and namespace.",
            )
        return f"on {task_queue}: {', '.join(sorted(found['workflows']))}"

    async def _pollers(self, client: Client, task_queue: str, kind: TaskQueueType.ValueType) -> set[str]:
        return {
            f"{poller.identity}, last seen {poller.last_access_time.ToDatetime(UTC):%H:%M:%S} UTC"
            for poller in await pollers(client, task_queue, kind)
        }

    async def _connected(self) -> Client | None:
        """The client, or None: the first check says why."""
        try:
            return await self._client()
        except MigrationError:
            return None


async def _connected_in_time(settings: Settings) -> Client:
    """Connect before the checks that wait for it are cut short themselves."""
    try:
        return await asyncio.wait_for(connect(settings, without_namespace=True), _CONNECTED_WITHIN.total_seconds())
    except TimeoutError:
        raise Unavailable(f"Temporal did not answer within {_CONNECTED_WITHIN.total_seconds():.0f} s") from None
