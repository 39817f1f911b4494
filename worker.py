"""The composition root: settings -> adapters -> activities -> Worker. The only file that knows both sides."""

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from datetime import timedelta
from threading import Lock
from typing import Any, Generic, TypeVar

import structlog
from temporalio.client import Client
from temporalio.worker import Worker, WorkerDeploymentConfig, WorkerDeploymentVersion
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from activities.approvals import Approvals
from activities.callbacks import Callbacks
from activities.cmdb import Inventory
from activities.cmf import FactoryUpdates
from activities.dns import DomainNameSystem
from activities.events import Events
from activities.health import ApplicationHealth
from activities.hooks import ApplicationHooks
from activities.looks import Looks
from activities.mgn import ApplicationMigration
from activities.post_launch import PostLaunchActions
from activities.prerequisites import PrerequisiteChecks
from activities.source import Sources
from activities.state import MigrationState
from activities.target import Targets
from activities.telemetry import LogContext
from activities.tickets import ChangeTickets
from activities.watching import ReplicationWatch
from adapters import tracing
from adapters.aws import AwsSessions
from adapters.aws_observed import observed
from adapters.callback_guard import CallbackGuard
from adapters.cmf import CloudMigrationFactory
from adapters.dynamodb import DynamoMigrations
from adapters.ec2 import ec2
from adapters.eventbridge import EventBridge
from adapters.http_health import HttpHealth
from adapters.mgn import mgn
from adapters.route53 import Route53
from adapters.secrets import Secrets
from adapters.servicenow import ServiceNow
from adapters.signatures import JwsSignatures
from adapters.signing_keys import approval_keys
from adapters.ssm import ssm
from adapters.vcenter import VCenter
from adapters.webhook import StandardWebhooks
from migration.errors import MigrationError, NotFound
from migration.ports import CallObserver, DomainNames
from migration.settings import Connection, FactoryConnection, Settings
from migration.telemetry import configure_logging
from starter.calls import listened_to
from starter.client import connect
from starter.measures import Measures, measures
from starter.namespace import ensure_search_attributes
from workflows.afterword import AfterwordWorkflow
from workflows.border import OneInput
from workflows.callbacks import CallbackWorkflow
from workflows.correlation import Correlation
from workflows.factory_wave import FactoryWaveWorkflow
from workflows.migration import MigrationWorkflow
from workflows.plan import PlanWorkflow
from workflows.ticket_note import TicketNoteWorkflow
from workflows.updates_last import UpdatesLast

VERSION = "0.1.0"
LATEST_CANCEL = timedelta(seconds=5)
"""An activity hears of its cancellation with a heartbeat: none is held back for longer than this."""

logger = structlog.get_logger("worker")
Adapter = TypeVar("Adapter", VCenter, ServiceNow, CloudMigrationFactory)
Known = TypeVar("Known", Connection, FactoryConnection)


def activities(settings: Settings, closing: AsyncExitStack, measures: Measures) -> list[Callable[..., Any]]:
    """Every activity of the product, over the real systems that the settings name; `closing` ends the connections."""
    observe, lags = measures.observe, measures.lags
    sessions = AwsSessions(settings.state_region, settings.external_id, observed(observe) if observe else None)
    closing.callback(sessions.close)
    hypervisors = _ByName("vCenter", settings.vcenters, VCenter, closing, observe)
    databases = _ByName("ServiceNow", settings.servicenows, ServiceNow, closing, observe)
    secrets = Secrets(sessions)
    factories = _ByName(
        "CMF", settings.factories, lambda one: CloudMigrationFactory(one, secrets, sessions), closing, observe
    )
    bound, poll, region = settings.act_bound, settings.poll, settings.state_region
    route53 = Route53(sessions.route53, servers=settings.dns_servers, poll=poll.dns)
    replication, clouds, commands = mgn(sessions), ec2(sessions), ssm(sessions)
    store = DynamoMigrations(sessions, settings.state_table)
    webhook = StandardWebhooks(CallbackGuard.allowing(settings.callback_allow))

    def names(provider: str) -> DomainNames:
        if provider != "route53":
            raise NotFound(f"there is no DNS provider {provider}")
        return route53

    classes: list[Any] = [
        PrerequisiteChecks(
            hypervisors,
            commands,
            replication,
            clouds,
            names,
            databases,
            factories,
            webhook,
            store,
            settings.mgn_replicating_servers_quota,
            databases,
        ),
        Sources(hypervisors, commands, replication, bound, poll.source),
        ApplicationMigration(replication, clouds, bound, poll.replication, poll.job, lags),
        ReplicationWatch(replication, poll.replication, lags),
        Targets(clouds, replication, bound, poll.job),
        PostLaunchActions(replication, poll.job),
        ApplicationHealth(Looks(HttpHealth(), commands, names), poll.health, poll.soak),
        DomainNameSystem(names, bound, poll.dns, poll.soak),
        Inventory(databases, bound),
        FactoryUpdates(factories, factories.name_of, bound),
        MigrationState(store),
        Events(EventBridge(sessions, settings.event_bus, region=region) if settings.event_bus else None, bound),
        Approvals(JwsSignatures(approval_keys(settings.approval_keys))),
        Callbacks(webhook, secrets, settings.callback_secret, bound),
        ApplicationHooks(commands, webhook, secrets, settings.callback_secret, bound, poll.hook),
        ChangeTickets(databases, bound, poll.ticket),
    ]
    return [method for instance in classes for method in _activity_methods(instance)]


class _ByName(Generic[Known, Adapter]):
    """A factory of adapters by connection name; no name means the only one there is."""

    def __init__(
        self,
        kind: str,
        connections: Mapping[str, Known],
        make: Callable[[Known], Adapter],
        closing: AsyncExitStack,
        observe: CallObserver | None,
    ) -> None:
        self._kind = kind
        self._observe = observe
        self._connections: Mapping[str, Known] = connections
        self._make: Callable[[Known], Adapter] = make
        self._closing = closing
        self._made: dict[str, Adapter] = {}
        self._lock = Lock()

    def name_of(self, name: str) -> str:
        """The connection's name in full. Raises `NotFound`."""
        if not name and len(self._connections) == 1:
            name = next(iter(self._connections))
        if name not in self._connections:
            known = ", ".join(sorted(self._connections)) or "none"
            raise NotFound(f"the settings have no {self._kind} connection {name!r}; they have {known}")
        return name

    def __call__(self, name: str) -> Adapter:
        """The adapter of that connection. Raises `NotFound`."""
        name = self.name_of(name)
        with self._lock:
            if name not in self._made:
                made = self._make(self._connections[name])
                self._closing.callback(made.close)
                self._made[name] = listened_to(made, self._kind.lower(), self._observe) if self._observe else made
            return self._made[name]


def _activity_methods(instance: Any) -> list[Callable[..., Any]]:
    methods = (getattr(instance, name) for name in dir(type(instance)))
    return [method for method in methods if hasattr(method, "__temporal_activity_definition")]


def build_worker(
    client: Client, settings: Settings, executor: ThreadPoolExecutor, closing: AsyncExitStack, measures: Measures
) -> Worker:
    """The worker of the product's one task queue."""
    restrictions = SandboxRestrictions.default.with_passthrough_modules("migration", "activities", "structlog")
    return Worker(
        client,
        task_queue=settings.task_queue,
        workflows=[
            MigrationWorkflow,
            CallbackWorkflow,
            AfterwordWorkflow,
            PlanWorkflow,
            FactoryWaveWorkflow,
            TicketNoteWorkflow,
        ],
        activities=activities(settings, closing, measures),
        activity_executor=executor,
        max_concurrent_activities=settings.activity_threads,
        max_concurrent_workflow_tasks=settings.max_concurrent_workflow_tasks,
        max_cached_workflows=settings.max_cached_workflows,
        sticky_queue_schedule_to_start_timeout=settings.sticky_queue_schedule_to_start_timeout,
        graceful_shutdown_timeout=settings.graceful_shutdown_timeout,
        max_heartbeat_throttle_interval=LATEST_CANCEL,
        interceptors=[LogContext(), Correlation(), OneInput()],
        workflow_runner=UpdatesLast(SandboxedWorkflowRunner(restrictions=restrictions)),
        deployment_config=WorkerDeploymentConfig(
            version=WorkerDeploymentVersion(deployment_name="migrator", build_id=VERSION), use_worker_versioning=False
        ),
    )


async def main() -> None:
    """Run one worker until SIGINT or SIGTERM."""
    settings = Settings()
    configure_logging(settings.log_level)
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    client = await connect(settings, metrics_address=settings.metrics_address)
    await ensure_search_attributes(client)
    async with AsyncExitStack() as stack:
        stack.callback(tracing.close)
        executor = stack.enter_context(ThreadPoolExecutor(settings.activity_threads, thread_name_prefix="activity"))
        measured = await measures(client, settings, stack)
        await stack.enter_async_context(build_worker(client, settings, executor, stack, measured))
        logger.info("worker started", task_queue=settings.task_queue)
        await stop.wait()
        logger.info("worker stops")


if __name__ == "__main__":
    code = 0
    try:
        asyncio.run(main())
    except MigrationError as error:
        logger.critical("worker cannot start", reason=str(error), action=error.action)
        code = 1
    # The SDK's own threads may still call into an interpreter that is being taken down, which aborts it.
    logging.shutdown()
    os._exit(code)
