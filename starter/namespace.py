"""What a Temporal namespace must know before a worker may start: the search attributes."""

import re
from collections.abc import Mapping

import structlog
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from migration.errors import PrerequisiteError

SEARCH_ATTRIBUTES = {
    "MigrationPhase": "Keyword",
    "WaveId": "Keyword",
    "AppName": "Keyword",
    "TargetAccount": "Keyword",
    "TargetRegion": "Keyword",
    "AwaitingDecision": "Bool",
    "PhaseSince": "Datetime",
}
_TYPES = {
    "Keyword": IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD,
    "Bool": IndexedValueType.INDEXED_VALUE_TYPE_BOOL,
    "Datetime": IndexedValueType.INDEXED_VALUE_TYPE_DATETIME,
}
_CLOUD = re.compile(r"\.(tmprl\.cloud|api\.temporal\.io):\d+$")
"""Addresses of Temporal Cloud, of one namespace and of a region: https://docs.temporal.io/cloud/namespaces."""
_NOT_FOR_US = frozenset({RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNIMPLEMENTED})

logger = structlog.get_logger("namespace")


def is_cloud(address: str) -> bool:
    """Whether HOST:PORT is Temporal Cloud, where namespaces and search attributes are made by another API."""
    return bool(_CLOUD.search(address))


async def ensure_search_attributes(client: Client) -> list[str]:
    """Register what is missing, and return its names: a workflow that sets an unknown one would stand still for ever.

    Raises:
        PrerequisiteError: The server does not let us, or has one of another type; with the command for those who may.
    """
    try:
        known = await _known(client)
        if known is None:
            logger.warning("Temporal Cloud does not say which search attributes there are", needed=SEARCH_ATTRIBUTES)
            return []
        if wrong := _of_another_type(known):
            raise PrerequisiteError("; ".join(wrong), action=REPLACE)
        missing = [name for name in SEARCH_ATTRIBUTES if name not in known]
        if missing:
            await client.operator_service.add_search_attributes(
                AddSearchAttributesRequest(
                    namespace=client.namespace,
                    search_attributes={name: _TYPES[SEARCH_ATTRIBUTES[name]] for name in missing},
                )
            )
    except RPCError as error:
        raise PrerequisiteError(
            f"the search attributes could not be registered: {error.message}",
            action=f"run: {create_command(client.namespace, client.service_client.config.target_host)}",
        ) from error
    return missing


async def _known(client: Client) -> Mapping[str, IndexedValueType.ValueType] | None:
    """Name and type of each; None where Temporal Cloud keeps that to itself. Raises `RPCError`."""
    try:
        reply = await client.operator_service.list_search_attributes(
            ListSearchAttributesRequest(namespace=client.namespace)
        )
    except RPCError as error:
        if error.status in _NOT_FOR_US and is_cloud(client.service_client.config.target_host):
            return None
        raise
    return reply.custom_attributes


async def search_attribute_problems(client: Client) -> list[str] | None:
    """Which of them are missing, or of another type; None where nobody can know. Raises `RPCError`."""
    known = await _known(client)
    if known is None:
        return None
    missing = [f"{name} is missing" for name in SEARCH_ATTRIBUTES if name not in known]
    return [*missing, *_of_another_type(known)]


def _of_another_type(known: Mapping[str, IndexedValueType.ValueType]) -> list[str]:
    return [
        f"{name} is not of the type {kind}"
        for name, kind in SEARCH_ATTRIBUTES.items()
        if known.get(name, _TYPES[kind]) != _TYPES[kind]
    ]


REPLACE = "One of another type is removed first (temporal operator search-attribute remove --name NAME)."


def create_command(namespace: str, address: str) -> str:
    """The command that registers them all."""
    if is_cloud(address):
        words = " ".join(f"--search-attribute {name}={kind}" for name, kind in SEARCH_ATTRIBUTES.items())
        return f"tcld namespace search-attributes add --namespace {namespace} {words}"
    words = " ".join(f"--name {name} --type {kind}" for name, kind in SEARCH_ATTRIBUTES.items())
    return f"temporal operator search-attribute create --namespace {namespace} {words}"
