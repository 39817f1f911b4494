"""What a pre-flight check found: a stable code, how grave it is, and what to do about it."""

from enum import StrEnum

from migration.models import Model


class Severity(StrEnum):
    """Critical blocks; a warning waits to be acknowledged when the request says so; information is only told."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFORMATION = "information"


class FindingCode(StrEnum):
    """The codes of the validate step. They are stable: people and programs match them."""

    NOT_OFFERED = "NOT_OFFERED"
    UNKNOWN_CONNECTION = "UNKNOWN_CONNECTION"
    LOOK_REFUSED = "LOOK_REFUSED"
    WINDOW_PAST = "WINDOW_PAST"
    CALLBACK_REFUSED = "CALLBACK_REFUSED"

    WRONG_ACCOUNT = "WRONG_ACCOUNT"
    SUBNET_MISSING = "SUBNET_MISSING"
    SUBNET_FULL = "SUBNET_FULL"
    SECURITY_GROUP_MISSING = "SECURITY_GROUP_MISSING"
    SECURITY_GROUP_IN_OTHER_VPC = "SECURITY_GROUP_IN_OTHER_VPC"
    INSTANCE_TYPE_NOT_OFFERED = "INSTANCE_TYPE_NOT_OFFERED"
    INSTANCE_PROFILE_MISSING = "INSTANCE_PROFILE_MISSING"
    KMS_KEY_UNUSABLE = "KMS_KEY_UNUSABLE"
    MGN_NOT_INITIALISED = "MGN_NOT_INITIALISED"
    MGN_QUOTA_EXCEEDED = "MGN_QUOTA_EXCEEDED"

    MACHINE_MISSING = "MACHINE_MISSING"
    MACHINE_POWERED_OFF = "MACHINE_POWERED_OFF"
    MACHINE_HAS_SNAPSHOTS = "MACHINE_HAS_SNAPSHOTS"
    ADDRESS_DIFFERS = "ADDRESS_DIFFERS"
    TOOLS_NOT_RUNNING = "TOOLS_NOT_RUNNING"
    MANAGED_INSTANCE_MISSING = "MANAGED_INSTANCE_MISSING"
    MANAGED_INSTANCE_OFFLINE = "MANAGED_INSTANCE_OFFLINE"

    ZONE_MISSING = "ZONE_MISSING"
    RECORD_MISSING = "RECORD_MISSING"
    ITEM_MISSING = "ITEM_MISSING"

    HOOK_IMPOSSIBLE = "HOOK_IMPOSSIBLE"
    HOOK_REFUSED = "HOOK_REFUSED"
    HOOK_FAILED = "HOOK_FAILED"
    CHANGE_MISSING = "CHANGE_MISSING"
    CHANGE_OVER = "CHANGE_OVER"


class Finding(Model):
    """One result of a check. `subject` is a server, a record, a subnet; `path` the request's field, if one is meant."""

    code: str
    severity: Severity
    message: str
    action: str | None = None
    subject: str | None = None
    path: str | None = None
