"""What a Temporal namespace must know before a worker may start: the search attributes."""

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.client import Client
from temporalio.service import RPCError

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


async def ensure_search_attributes(client: Client) -> None:
    """Register what is missing: a workflow that sets an unknown attribute would stand still for ever.

    Raises:
        PrerequisiteError: The server does not let us; the error names the command for somebody who may.
    """
    try:
        known = await client.operator_service.list_search_attributes(
            ListSearchAttributesRequest(namespace=client.namespace)
        )
        missing = {name: kind for name, kind in SEARCH_ATTRIBUTES.items() if name not in known.custom_attributes}
        if missing:
            await client.operator_service.add_search_attributes(
                AddSearchAttributesRequest(
                    namespace=client.namespace, search_attributes={name: _TYPES[kind] for name, kind in missing.items()}
                )
            )
    except RPCError as error:
        raise PrerequisiteError(
            f"the search attributes could not be registered: {error.message}", action=f"run: {create_command()}"
        ) from error


async def search_attribute_problems(client: Client) -> list[str]:
    """Which of them are missing, or of another type. Raises `RPCError`."""
    known = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace)
    )
    problems = []
    for name, kind in SEARCH_ATTRIBUTES.items():
        if name not in known.custom_attributes:
            problems.append(f"{name} is missing")
        elif known.custom_attributes[name] != _TYPES[kind]:
            problems.append(f"{name} is not of the type {kind}")
    return problems


def create_command() -> str:
    """The command that registers them all."""
    return "temporal operator search-attribute create " + " ".join(
        f"--name {name} --type {kind}" for name, kind in SEARCH_ATTRIBUTES.items()
    )
