"""Ids and names as AWS spells them."""

from typing import Annotated

from pydantic import AfterValidator, StringConstraints, WithJsonSchema
from typing_extensions import TypeAliasType

from migration.formats.base import Expected, text

_PARTITION = r"arn:aws(?:-[a-z]+)*"

AccountId = TypeAliasType("AccountId", Annotated[str, *text(r"^[0-9]{12}$", "a 12-digit account id as a string")])
Region = TypeAliasType(
    "Region",
    Annotated[str, *text(r"^[a-z]{2,4}(?:-[a-z]+)?-[a-z]+-[0-9]{1,2}$", "an AWS region, such as eu-central-1")],
)
SubnetId = TypeAliasType(
    "SubnetId",
    Annotated[
        str,
        *text(r"^subnet-[0-9a-f]{8}(?:[0-9a-f]{9})?$", "a subnet id: `subnet-` and 8 or 17 hexadecimal digits"),
    ],
)
SecurityGroupId = TypeAliasType(
    "SecurityGroupId",
    Annotated[
        str,
        *text(r"^sg-[0-9a-f]{8}(?:[0-9a-f]{9})?$", "a security group id: `sg-` and 8 or 17 hexadecimal digits"),
    ],
)
ManagedInstanceId = TypeAliasType(
    "ManagedInstanceId",
    Annotated[str, *text(r"^mi-[0-9a-f]{17}$", "the id of an SSM managed instance: `mi-` and 17 hexadecimal digits")],
)
RoleArn = TypeAliasType(
    "RoleArn",
    Annotated[
        str,
        *text(
            rf"^{_PARTITION}:iam::[0-9]{{12}}:role/(?:[!-.0-~]+/)*[A-Za-z0-9_+=,.@-]{{1,64}}$",
            "the ARN of an IAM role, such as arn:aws:iam::123456789012:role/migrator",
        ),
    ],
)
InstanceProfile = TypeAliasType(
    "InstanceProfile",
    Annotated[
        str,
        *text(
            rf"^(?:{_PARTITION}:iam::[0-9]{{12}}:instance-profile/(?:[!-.0-~]+/)*)?[A-Za-z0-9_+=,.@-]{{1,128}}$",
            "the name or the ARN of an IAM instance profile",
        ),
    ],
)
KmsKeyId = TypeAliasType(
    "KmsKeyId",
    Annotated[
        str,
        *text(
            rf"^(?:(?:{_PARTITION}:kms:[a-z0-9-]+:[0-9]{{12}}:)?alias/[A-Za-z0-9/_-]{{1,250}}"
            rf"|(?:{_PARTITION}:kms:[a-z0-9-]+:[0-9]{{12}}:key/)?"
            r"(?:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|mrk-[0-9a-f]{32}))$",
            "a KMS key: its id, its ARN, or an alias beginning with `alias/`",
        ),
    ],
)
InstanceType = TypeAliasType(
    "InstanceType",
    Annotated[
        str,
        *text(r"^[a-z][a-z0-9-]{0,30}\.[a-z0-9][a-z0-9-]{0,30}$", "an EC2 instance type, such as m5.large"),
    ],
)
HostedZoneId = TypeAliasType(
    "HostedZoneId",
    Annotated[str, *text(r"^[A-Z0-9]{1,32}$", "the id of a Route 53 hosted zone: 1 to 32 capitals and digits")],
)


def _not_reserved(key: str) -> str:
    """Refuse the prefixes of AWS, and of the marks by which the product finds its own effects again."""
    if key.lower().startswith(("aws:", "migrator:")):
        raise ValueError(key)
    return key


TagKey = TypeAliasType(
    "TagKey",
    Annotated[
        str,
        StringConstraints(strict=True, pattern=r"^[^\x00-\x1f\x7f]{1,128}$"),
        WithJsonSchema(
            {
                "type": "string",
                "pattern": r"^[^\x00-\x1f\x7f]{1,128}$",
                "not": {"pattern": r"^(?:[aA][wW][sS]|[mM][iI][gG][rR][aA][tT][oO][rR]):|\n"},
            }
        ),
        AfterValidator(_not_reserved),
        Expected("a tag key of 1 to 128 characters that does not begin with `aws:` or `migrator:`"),
    ],
)
TagValue = TypeAliasType(
    "TagValue",
    Annotated[str, *text(r"^[^\x00-\x1f\x7f]{0,256}$", "a tag value of at most 256 characters, as a string")],
)
