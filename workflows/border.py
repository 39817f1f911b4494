"""The border: what comes in is read as JSON text and validated inside, so that bad input is answered, not dropped.

A typed `run` or signal would fail its workflow task for ever, or vanish in silence, on input that does not fit.
"""

import json
from collections.abc import Sequence

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from migration.parsing import RequestErrors, parse_request
    from migration.request import MigrationRequest

_JSON = frozenset({b"json/plain", b"json/protobuf"})


def json_text(payload: RawValue) -> bytes:
    """The JSON text of a payload: `null` for an empty one, nothing (so not JSON) for one of another encoding."""
    encoding = payload.payload.metadata.get("encoding", b"")
    if encoding == b"binary/null":
        return b"null"
    return payload.payload.data if encoding in _JSON else b""


def read_request(payloads: Sequence[RawValue], workflow_id: str) -> MigrationRequest:
    """The request that a migration was started with. Fails the workflow, naming every path that is wrong."""
    if len(payloads) != 1:
        raise _bad_request([f"$: expected one input, the migration request, found {len(payloads)}"])
    try:
        request = parse_request(json_text(payloads[0]))
    except RequestErrors as errors:
        raise _bad_request([str(error) for error in errors.errors]) from None
    if request.migration_id != workflow_id:
        found = json.dumps(request.migration_id)
        raise _bad_request([f"$.migrationId: expected the workflow id, {json.dumps(workflow_id)}, found {found}"])
    return request


def read_text(text: str) -> MigrationRequest:
    """The request that an earlier run accepted."""
    return parse_request(text)


def _bad_request(errors: Sequence[str]) -> ApplicationError:
    message = "the request is not valid:\n" + "\n".join(errors)
    return ApplicationError(message, {"errors": list(errors)}, type="ValidationError", non_retryable=True)
