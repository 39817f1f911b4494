"""What a pre-flight check found: a stable code, how grave it is, and what to do about it."""

from enum import StrEnum

from migration.models import Model


class Severity(StrEnum):
    """Critical blocks; a warning waits to be acknowledged when the request says so; information is only told."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFORMATION = "information"


class Finding(Model):
    """One result of a check. `subject` is a server, a record, a subnet; `path` the request's field, if one is meant."""

    code: str
    severity: Severity
    message: str
    action: str | None = None
    subject: str | None = None
    path: str | None = None
