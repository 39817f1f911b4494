"""What a pre-flight check found: a stable code, how grave it is, and what to do about it."""

from enum import StrEnum

from migration.models import Model


class Severity(StrEnum):
    """Critical blocks; a warning waits to be acknowledged when the request says so; information is only told."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFORMATION = "information"


class FindingCode(StrEnum):
    """The codes of the validate step. They are stable: people and programs match them.

    How grave each is, what it means and what to do about it is in `migration.findings.catalogue`.
    """

    NOT_OFFERED = "NOT_OFFERED"
    UNKNOWN_CONNECTION = "UNKNOWN_CONNECTION"
    LOOK_REFUSED = "LOOK_REFUSED"
    WINDOW_PAST = "WINDOW_PAST"
    CALLBACK_REFUSED = "CALLBACK_REFUSED"
    MIGRATION_ID_TAKEN = "MIGRATION_ID_TAKEN"
    SERVER_IN_OTHER_MIGRATION = "SERVER_IN_OTHER_MIGRATION"

    WRONG_ACCOUNT = "WRONG_ACCOUNT"
    SUBNET_MISSING = "SUBNET_MISSING"
    SUBNET_FULL = "SUBNET_FULL"
    ADDRESS_OUTSIDE_SUBNET = "ADDRESS_OUTSIDE_SUBNET"
    SECURITY_GROUP_MISSING = "SECURITY_GROUP_MISSING"
    SECURITY_GROUP_IN_OTHER_VPC = "SECURITY_GROUP_IN_OTHER_VPC"
    INSTANCE_TYPE_NOT_OFFERED = "INSTANCE_TYPE_NOT_OFFERED"
    INSTANCE_PROFILE_MISSING = "INSTANCE_PROFILE_MISSING"
    KMS_KEY_UNUSABLE = "KMS_KEY_UNUSABLE"
    MGN_NOT_INITIALISED = "MGN_NOT_INITIALISED"
    MGN_QUOTA_EXCEEDED = "MGN_QUOTA_EXCEEDED"
    MGN_JOBS_BUSY = "MGN_JOBS_BUSY"
    FREE_PERIOD_EXCEEDED = "FREE_PERIOD_EXCEEDED"

    MACHINE_MISSING = "MACHINE_MISSING"
    MACHINE_NAMED_TWICE = "MACHINE_NAMED_TWICE"
    MACHINE_POWERED_OFF = "MACHINE_POWERED_OFF"
    MACHINE_HAS_SNAPSHOTS = "MACHINE_HAS_SNAPSHOTS"
    MACHINE_ENCRYPTED = "MACHINE_ENCRYPTED"
    CONSOLIDATION_NEEDED = "CONSOLIDATION_NEEDED"
    TOOLS_NOT_RUNNING = "TOOLS_NOT_RUNNING"
    ADDRESS_MISSING = "ADDRESS_MISSING"
    ADDRESS_DIFFERS = "ADDRESS_DIFFERS"
    GUEST_OS_UNSUPPORTED = "GUEST_OS_UNSUPPORTED"
    GUEST_OS_UNKNOWN = "GUEST_OS_UNKNOWN"
    GUEST_OS_DIFFERS = "GUEST_OS_DIFFERS"
    DISKS_TOO_MANY = "DISKS_TOO_MANY"
    DISKS_MANY = "DISKS_MANY"
    DISK_TOO_LARGE = "DISK_TOO_LARGE"
    DISK_RAW_MAPPED = "DISK_RAW_MAPPED"
    DISK_INDEPENDENT = "DISK_INDEPENDENT"
    DISK_SHARED = "DISK_SHARED"
    PASSTHROUGH_DEVICE = "PASSTHROUGH_DEVICE"
    VIRTUAL_TPM = "VIRTUAL_TPM"

    MANAGED_INSTANCE_MISSING = "MANAGED_INSTANCE_MISSING"
    MANAGED_INSTANCE_OFFLINE = "MANAGED_INSTANCE_OFFLINE"
    AGENT_NOT_LOOKED_AT = "AGENT_NOT_LOOKED_AT"
    AGENT_WITHOUT_ROOT = "AGENT_WITHOUT_ROOT"
    AGENT_SPACE_LOW = "AGENT_SPACE_LOW"
    AGENT_ENDPOINT_UNREACHABLE = "AGENT_ENDPOINT_UNREACHABLE"
    AGENT_STAGING_UNREACHABLE = "AGENT_STAGING_UNREACHABLE"
    AGENT_DHCP_MISSING = "AGENT_DHCP_MISSING"

    ZONE_MISSING = "ZONE_MISSING"
    RECORD_MISSING = "RECORD_MISSING"
    ITEM_MISSING = "ITEM_MISSING"


class Finding(Model):
    """One result of a check. `subject` is a server, a record, a subnet; `path` the request's field, if one is meant."""

    code: str
    severity: Severity
    message: str
    action: str | None = None
    subject: str | None = None
    path: str | None = None

    @property
    def key(self) -> str:
        """What an acknowledgement is about: the code, and of which server, record or subnet."""
        return f"{self.code}/{self.subject}" if self.subject else self.code
