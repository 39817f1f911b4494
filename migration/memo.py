"""What Temporal's lists say of a migration: a line for people, and the memo by which it is recognised."""

from collections.abc import Mapping
from typing import Any

from migration.correlation import Origin, correlation_id
from migration.request import MigrationRequest, request_hash

REQUEST_HASH = "requestHash"
CORRELATION_ID, TRACEPARENT = "correlationId", "traceparent"
ADOPTED = "adopted"
"""The run from which another one takes over: its workflow's input is then what that run carried."""


def summary(request: MigrationRequest) -> str:
    """One line: which application goes where, in which wave."""
    target = request.target
    wave = f", {request.wave_id}" if request.wave_id else ""
    return f"{request.app_name} ({request.environment}) -> {target.account_id}/{target.region}{wave}"


def memo(request: MigrationRequest, origin: Origin | None = None) -> dict[str, str]:
    """The memo of every run. The summary is in it because Temporal keeps a static summary for the first run alone."""
    return {
        REQUEST_HASH: request_hash(request),
        CORRELATION_ID: correlation_id(request, origin),
        "summary": summary(request),
        **({TRACEPARENT: origin.traceparent} if origin and origin.traceparent else {}),
    }


def origin_of(memo: Mapping[str, Any]) -> Origin:
    """What came with the request that a run was started with, whoever wrote its memo."""
    return Origin.of(memo.get(CORRELATION_ID), memo.get(TRACEPARENT))
