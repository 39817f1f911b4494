"""The claims, looked at: whose the migration id and the source servers are. Taking them is the workflow's."""

from collections.abc import Iterator

from migration.findings import Finding, FindingCode
from migration.findings.catalogue import finding
from migration.ports import MigrationStore
from migration.request import MigrationRequest, request_hash

_TOUCHED_NOTHING = "FAILED"
_MAY_START_AGAIN = frozenset({"ROLLED_BACK", "REJECTED", "CANCELLED"})


def check_claims(request: MigrationRequest, store: MigrationStore) -> Iterator[Finding]:
    """The id is free, or this request's; no other migration holds a server."""
    yield from _check_id(request, store)
    holders = store.holders(request.source_keys)
    for index, (server, key) in enumerate(zip(request.servers, request.source_keys, strict=True)):
        holder = holders.get(key)
        if holder is not None and holder != request.migration_id:
            yield finding(
                FindingCode.SERVER_IN_OTHER_MIGRATION,
                f"{key} is held by {holder}",
                subject=server.name,
                path=f"$.source.servers[{index}].vm",
            )


def _check_id(request: MigrationRequest, store: MigrationStore) -> Iterator[Finding]:
    held = store.claim_of(request.migration_id)
    if held is None or held.status == _TOUCHED_NOTHING:
        return
    ended = f"{request.migration_id} {f'has ended as {held.status}' if held.status else 'is live'}"
    if held.request_hash != request_hash(request):
        message = f"{ended}, with another request"
    elif held.status is not None and held.status not in _MAY_START_AGAIN:
        message = f"{ended}, and cannot be started again"
    else:
        return
    yield finding(FindingCode.MIGRATION_ID_TAKEN, message, subject=request.migration_id, path="$.migrationId")
