"""`migrator alive`: the health check of a container, asked of the server that the worker is there for."""

import socket
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import PollerInfo, TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.service import RPCError

from migration.errors import NotFound, Unavailable
from migration.settings import Settings
from starter.client import connect
from starter.terminal import Output, OutputOption, answered, run

FRESH = timedelta(minutes=2)
"""Twice the minute after which the server ends a poll that found nothing: a worker that lives has polled again."""


def alive(output: OutputOption = Output.TEXT) -> None:
    """Look whether a worker of this host takes work. Exit code 0: it does; 3: none; 1: Temporal does not answer."""
    identity = run(_polls_from_here, output)
    answered({"alive": True, "worker": identity}, f"{identity} polls", output)


async def pollers(client: Client, task_queue: str, kind: TaskQueueType.ValueType) -> list[PollerInfo]:
    """Who asked the server for work of that kind in the last minutes. Raises `RPCError`."""
    request = DescribeTaskQueueRequest(
        namespace=client.namespace, task_queue=TaskQueue(name=task_queue), task_queue_type=kind
    )
    return list((await client.workflow_service.describe_task_queue(request)).pollers)


def polls_from(host: str, seen: Iterable[PollerInfo], now: datetime) -> str | None:
    """The identity of a worker of that host that has polled lately, or None; the SDK's identity is PROCESS@HOST."""
    fresh = (one for one in seen if now - one.last_access_time.ToDatetime(UTC) < FRESH)
    return next((one.identity for one in fresh if one.identity.endswith(f"@{host}")), None)


async def _polls_from_here() -> str:
    settings, host = Settings(), socket.gethostname()
    task_queue = settings.task_queue
    try:
        seen = await pollers(await connect(settings), task_queue, TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW)
    except RPCError as error:
        raise Unavailable(f"Temporal does not answer: {error.message}") from error
    identity = polls_from(host, seen, datetime.now(UTC))
    if identity is None:
        raise NotFound(f"no worker of {host} polls the task queue {task_queue}")
    return identity
