"""`migrator setup-namespace`: the Temporal namespace as migrations need it, made or brought up to date."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

import typer
from google.protobuf.duration_pb2 import Duration
from temporalio.api.namespace.v1 import NamespaceConfig
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceRequest,
    RegisterNamespaceRequest,
    UpdateNamespaceRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from migration.errors import MigrationError, PrerequisiteError, Unavailable
from migration.settings import Settings
from starter.client import connect
from starter.connection import connection
from starter.namespace import SEARCH_ATTRIBUTES, create_command, ensure_search_attributes, is_cloud
from starter.terminal import Output, OutputOption, answered, run

KEPT = timedelta(days=30)
"""How long a new namespace keeps what has ended: as long as dead callbacks, and terminated migrations that `reconcile`
takes over, are of use."""

_KNOWN_WITHIN = timedelta(seconds=90)
"""Each service of a server looks for news of namespaces only every so often."""
_LOOK_EVERY = timedelta(seconds=0.5)
_NOT_YET = frozenset({RPCStatusCode.NOT_FOUND, RPCStatusCode.INVALID_ARGUMENT})


@dataclass(frozen=True)
class Ready:
    """A namespace that migrations can use, and what was done to it just now."""

    namespace: str
    created: bool
    retention: timedelta
    retention_changed: bool
    registered: tuple[str, ...]

    def as_dict(self) -> dict[str, object]:
        """For programs."""
        return {
            "namespace": self.namespace,
            "created": self.created,
            "retentionDays": self.retention.days,
            "retentionChanged": self.retention_changed,
            "registered": self.registered,
        }

    def as_text(self) -> str:
        """For people."""
        how = "created" if self.created else "was there"
        changed = ", changed" if self.retention_changed else ""
        return "\n".join(
            (
                f"namespace {self.namespace}: {how}",
                f"keeps ended migrations for {self.retention.days} days{changed}",
                f"search attributes: all there, {', '.join(self.registered) or 'none'} registered now",
            )
        )


def setup_namespace(
    retention: Annotated[
        int | None,
        typer.Option(metavar="DAYS", min=1, help="how long Temporal keeps what has ended; a new namespace: 30 days"),
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Make the Temporal namespace ready, or bring it up to date: retention and search attributes."""
    wanted = None if retention is None else timedelta(days=retention)

    async def go() -> Ready:
        settings = Settings()
        config = connection(plaintext_allowed=settings.allow_plaintext_temporal)
        if is_cloud(config["target_host"]):
            raise _on_cloud(config.get("namespace", "default"), config["target_host"], wanted or KEPT)
        return await ready(await connect(settings, without_namespace=True), wanted)

    made = run(go, output)
    answered(made.as_dict(), made.as_text(), output)


async def ready(client: Client, wanted: timedelta | None) -> Ready:
    """Do what is missing, and return when the server knows of it.

    Args:
        client: Its namespace is the one.
        wanted: How long what has ended is kept; None: as it is, or `KEPT` for a new namespace.

    Raises:
        PrerequisiteError: The server does not let us, or a search attribute is of another type.
        Unavailable: The server does not answer, or not soon enough with what was done.
    """
    try:
        async with asyncio.timeout(_KNOWN_WITHIN.total_seconds()):
            before = await _retention(client)
            if before is None:
                await _register(client, wanted or KEPT)
            elif wanted not in (None, before):
                await _keep_for(client, wanted or before)
            registered = await _search_attributes(client)
            kept = await _retention(client) or KEPT
    except TimeoutError:
        raise Unavailable(f"the server does not know of {client.namespace} yet; run it again") from None
    except RPCError as error:
        raise _refused(client, error) from error
    return Ready(client.namespace, before is None, kept, before not in (None, kept), tuple(registered))


async def _retention(client: Client) -> timedelta | None:
    """How long the namespace keeps what has ended; None: it is not there. Raises `RPCError`."""
    try:
        reply = await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=client.namespace))
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return None
        raise
    return reply.config.workflow_execution_retention_ttl.ToTimedelta()


async def _register(client: Client, kept: timedelta) -> None:
    request = RegisterNamespaceRequest(
        namespace=client.namespace,
        description="Applications on their way into AWS (migrator)",
        workflow_execution_retention_period=_duration(kept),
    )
    try:
        await client.workflow_service.register_namespace(request)
    except RPCError as error:
        if error.status is not RPCStatusCode.ALREADY_EXISTS:  # somebody else made it just now
            raise


async def _keep_for(client: Client, kept: timedelta) -> None:
    config = NamespaceConfig(workflow_execution_retention_ttl=_duration(kept))
    await client.workflow_service.update_namespace(UpdateNamespaceRequest(namespace=client.namespace, config=config))


def _duration(time: timedelta) -> Duration:
    duration = Duration()
    duration.FromTimedelta(time)
    return duration


async def _search_attributes(client: Client) -> list[str]:
    """Register what is missing, and wait until migrations can be asked for by them."""
    await _answered(client, "")
    registered = await ensure_search_attributes(client)
    await _answered(client, " OR ".join(f"{name} IS NOT NULL" for name in SEARCH_ATTRIBUTES))
    return registered


async def _answered(client: Client, query: str) -> None:
    while True:
        try:
            await client.count_workflows(query)
        except RPCError as error:
            if error.status not in _NOT_YET:
                raise
        else:
            return
        await asyncio.sleep(_LOOK_EVERY.total_seconds())


def _refused(client: Client, error: RPCError) -> MigrationError:
    name, address = client.namespace, client.service_client.config.target_host
    if error.status in (RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNAUTHENTICATED):
        return PrerequisiteError(
            f"{address} does not let us make or change the namespace {name}: {error.message}",
            action="Have an administrator of the Temporal server run this command.",
        )
    return Unavailable(f"Temporal at {address} refused, or did not answer: {error.message}")


def _on_cloud(namespace: str, address: str, kept: timedelta) -> MigrationError:
    return PrerequisiteError(
        f"{address} is Temporal Cloud, where namespaces are made by its own API",
        action=f"""\
Make the namespace, where it is not there yet (NAME is {namespace} without the account behind the dot; how clients
authenticate is said there too: tcld namespace create --help):
  tcld namespace create --namespace NAME --region REGION --retention-days {kept.days}
Then, or where it is there:
  tcld namespace retention set --namespace {namespace} --retention-days {kept.days}
  {create_command(namespace, address)}""",
    )
