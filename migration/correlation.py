"""The one id under which a migration is found in logs, events, callbacks, AWS tags and Temporal.

The request's own `correlationId` goes first, then what came with the request: the sender's `correlationId`, or the
trace that it is part of. The migrationId is the last resort. What comes with a request is no part of it: the same
request in another trace is the same request.
"""

import re
from uuid import uuid4

from pydantic import TypeAdapter, ValidationError

from migration.formats import CorrelationId
from migration.models import Model
from migration.request import MigrationRequest

CORRELATION_HEADER = "migrator-correlation-id"
"""The Temporal header in which the id goes from a workflow to its activities and child workflows."""

_FORMAT: TypeAdapter[str] = TypeAdapter(CorrelationId)
_TRACEPARENT = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-[!-~]*)?")
_LONGEST_TRACEPARENT = 256


class Origin(Model):
    """What came with a request, beside it.

    Attributes:
        correlation_id: The sender's id for the matter.
        traceparent: The trace that the request is part of (W3C Trace Context, level 1).
    """

    correlation_id: str | None = None
    traceparent: str | None = None

    @classmethod
    def of(cls, correlation_id: object, *traceparents: object) -> "Origin":
        """Keep the id if it is fit to be one, and the first valid traceparent: what is invalid counts as absent."""
        return cls(
            correlation_id=fit_correlation_id(correlation_id),
            traceparent=next((str(value) for value in traceparents if trace_id(value)), None),
        )

    @property
    def id(self) -> str | None:
        """The id that a request has from it."""
        return self.correlation_id or trace_id(self.traceparent)


def correlation_id(request: MigrationRequest, origin: Origin | None = None) -> str:
    """Return the request's own correlation id, else the one that came with it, else its migrationId."""
    return request.correlation_id or (origin and origin.id) or request.migration_id


def new_correlation_id() -> str:
    """Make an id for a message that has none at all. Not for workflow code: it is random."""
    return f"corr-{uuid4().hex}"


def fit_correlation_id(value: object) -> str | None:
    """Return the value if it is a correlation id."""
    try:
        return _FORMAT.validate_python(value)
    except ValidationError:
        return None


def trace_id(value: object) -> str | None:
    """Return the trace-id of a valid traceparent (W3C Trace Context, section 3.2).

    A version after 00 may go on behind another hyphen; ff is none, and an id of zeros means that there is no trace.
    """
    if not isinstance(value, str) or len(value) > _LONGEST_TRACEPARENT:
        return None
    found = _TRACEPARENT.fullmatch(value)
    if found is None or (found[1] == "00" and found[3] is not None):
        return None
    return found[2]
