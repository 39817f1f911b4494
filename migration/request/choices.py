"""The enumerations of a request."""

from enum import StrEnum


class Environment(StrEnum):
    """What the application is for; production is treated with the most patience."""

    DEV = "dev"
    TEST = "test"
    STAGING = "staging"
    PROD = "prod"


class SourceType(StrEnum):
    """Where the servers run today."""

    VMWARE = "vmware"
    PHYSICAL = "physical"
    HYPERV = "hyperv"
    AZURE = "azure"
    GCP = "gcp"
    AWS = "aws"


class OperatingSystem(StrEnum):
    """The family of a server's operating system."""

    LINUX = "linux"
    WINDOWS = "windows"


class AgentInstall(StrEnum):
    """How the MGN agent gets onto a server."""

    SSM = "ssm"
    SSH = "ssh"
    PREINSTALLED = "preinstalled"


class BootMode(StrEnum):
    """The firmware of the launched instance."""

    USE_SOURCE = "useSource"
    LEGACY_BIOS = "legacyBios"
    UEFI = "uefi"


class Tenancy(StrEnum):
    """The EC2 tenancy of the launched instance."""

    DEFAULT = "default"
    DEDICATED = "dedicated"
    HOST = "host"


class HttpTokens(StrEnum):
    """Whether the instance metadata service demands session tokens (IMDSv2)."""

    REQUIRED = "required"
    OPTIONAL = "optional"


class VolumeType(StrEnum):
    """The EBS volume type of the launched disks; only those that boot and need no IOPS figure."""

    GP3 = "gp3"
    GP2 = "gp2"
    STANDARD = "standard"


class TestMode(StrEnum):
    """Whether the test step launches test instances."""

    __test__ = False  # not a test class, whatever its name says to pytest

    LAUNCH = "launch"
    SKIP = "skip"


class CheckTime(StrEnum):
    """The steps in which a health check runs."""

    TEST = "test"
    VERIFY = "verify"
    SOAK = "soak"


class HookTime(StrEnum):
    """When a hook runs."""

    BEFORE_QUIESCE = "beforeQuiesce"
    AFTER_QUIESCE = "afterQuiesce"
    AFTER_LAUNCH = "afterLaunch"
    BEFORE_SWITCH = "beforeSwitch"
    AFTER_SWITCH = "afterSwitch"
    BEFORE_ROLLBACK = "beforeRollback"
    AFTER_ROLLBACK = "afterRollback"
    BEFORE_DECOMMISSION = "beforeDecommission"


class Side(StrEnum):
    """The side on which a hook runs."""

    SOURCE = "source"
    TARGET = "target"


class HookType(StrEnum):
    """How a hook runs: an SSM document, or a signed HTTP call."""

    SSM = "ssm"
    WEBHOOK = "webhook"


class HookFailure(StrEnum):
    """What a failing hook means."""

    FAIL = "fail"
    WARN = "warn"


class QuiesceMethod(StrEnum):
    """How the source stops accepting work."""

    SHUTDOWN = "shutdown"
    HOOK_ONLY = "hookOnly"


class DnsProvider(StrEnum):
    """Who holds the zone."""

    ROUTE53 = "route53"
    RFC2136 = "rfc2136"


class RecordType(StrEnum):
    """The type of a DNS record."""

    A = "A"
    AAAA = "AAAA"
    CNAME = "CNAME"


class CmdbSystem(StrEnum):
    """Which configuration management database knows the servers."""

    SERVICENOW = "servicenow"
    NETBOX = "netbox"
    NONE = "none"


class SoakEnd(StrEnum):
    """What ends the soak: a person's commit, or the time alone."""

    WAIT = "wait"
    COMMIT = "commit"


class RollbackTo(StrEnum):
    """How deep a rollback goes: back to the gate with replication alive, or everything undone."""

    READY = "ready"
    START = "start"


class AfterSwitch(StrEnum):
    """Who decides a rollback once the target has taken writes: a person, or the request."""

    ASK = "ask"
    AUTO = "auto"


class FailureAction(StrEnum):
    """What a failed step leads to."""

    ROLLBACK = "rollback"
    PAUSE = "pause"


class Warnings(StrEnum):
    """What the warnings of the pre-flight checks ask for."""

    ACKNOWLEDGE = "acknowledge"
    IGNORE = "ignore"


class SourceSnapshot(StrEnum):
    """Whether the powered-off source is snapshotted before the cutover launch."""

    AT_CUTOVER = "atCutover"
    NONE = "none"


class SourceAfter(StrEnum):
    """What becomes of the source at decommission."""

    KEEP = "keep"
    POWER_OFF = "powerOff"
    DELETE = "delete"
