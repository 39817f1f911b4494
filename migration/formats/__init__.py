"""The formats of the request's values: what is written in JSON, what it means, and how it is said in an error.

Each is a named type, so that the JSON Schema holds its pattern once. The patterns keep to what the regular
expressions of Rust, Python and JavaScript share.
"""

from migration.formats.addresses import Address, CallbackUrl, HealthUrl, PrivateIp, RecordValue, parse_address
from migration.formats.aws import (
    AccountId,
    HostedZoneId,
    InstanceProfile,
    InstanceType,
    KmsKeyId,
    ManagedInstanceId,
    Region,
    RoleArn,
    SecurityGroupId,
    SubnetId,
    TagKey,
    TagValue,
)
from migration.formats.base import Expected, branch, broken_rule, is_branch, mismatch
from migration.formats.names import (
    AppName,
    ConnectionName,
    CorrelationId,
    DnsName,
    MigrationId,
    Name,
    Person,
    SecretReference,
    Sentence,
    ServerName,
    WaveId,
)
from migration.formats.times import (
    Duration,
    Timestamp,
    format_duration,
    format_timestamp,
    parse_duration,
    parse_timestamp,
)

__all__ = [
    "AccountId",
    "Address",
    "AppName",
    "CallbackUrl",
    "ConnectionName",
    "CorrelationId",
    "DnsName",
    "Duration",
    "Expected",
    "HealthUrl",
    "HostedZoneId",
    "InstanceProfile",
    "InstanceType",
    "KmsKeyId",
    "ManagedInstanceId",
    "MigrationId",
    "Name",
    "Person",
    "PrivateIp",
    "RecordValue",
    "Region",
    "RoleArn",
    "SecretReference",
    "SecurityGroupId",
    "Sentence",
    "ServerName",
    "SubnetId",
    "TagKey",
    "TagValue",
    "Timestamp",
    "WaveId",
    "branch",
    "broken_rule",
    "format_duration",
    "format_timestamp",
    "is_branch",
    "mismatch",
    "parse_address",
    "parse_duration",
    "parse_timestamp",
]
