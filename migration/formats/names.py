"""Ids, names and free text of a request."""

from typing import Annotated

from pydantic import StringConstraints
from typing_extensions import TypeAliasType

from migration.formats.base import Expected, text

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
HOST_NAME_PATTERN = rf"^{_LABEL}(?:\.{_LABEL})*$"
HOST_NAME_LENGTH = 253
_WORDS = r"^[^\x00-\x20\x7f](?:[^\x00-\x1f\x7f]*[^\x00-\x20\x7f])?$"

MigrationId = TypeAliasType(
    "MigrationId",
    Annotated[
        str,
        *text(
            r"^mig-[a-z0-9][a-z0-9-]{1,59}$",
            "a migration id: `mig-`, then 2 to 60 lower-case letters, digits and hyphens, no hyphen first",
        ),
    ],
)
WaveId = TypeAliasType(
    "WaveId",
    Annotated[
        str,
        *text(
            r"^wave-[a-z0-9][a-z0-9-]{0,58}$",
            "a wave id: `wave-`, then 1 to 59 lower-case letters, digits and hyphens, no hyphen first",
        ),
    ],
)
AppName = TypeAliasType(
    "AppName",
    Annotated[str, *text(r"^[A-Za-z0-9._-]{1,64}$", "1 to 64 of letters, digits, `.`, `_` and `-`")],
)
CorrelationId = TypeAliasType(
    "CorrelationId",
    Annotated[str, *text(r"^[!-~]{1,128}$", "1 to 128 printable ASCII characters without blanks")],
)
ServerName = TypeAliasType(
    "ServerName",
    Annotated[str, *text(HOST_NAME_PATTERN, "the name of a server: a host name by RFC 1123", HOST_NAME_LENGTH)],
)
DnsName = TypeAliasType(
    "DnsName",
    Annotated[
        str,
        StringConstraints(strict=True, pattern=HOST_NAME_PATTERN, max_length=HOST_NAME_LENGTH, to_lower=True),
        Expected("a host name by RFC 1123, without a dot at its end"),
    ],
)
ConnectionName = TypeAliasType(
    "ConnectionName",
    Annotated[
        str,
        *text(
            r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$",
            "the name of a connection of the settings: 1 to 63 of letters, digits, `.`, `_` and `-`",
        ),
    ],
)
Person = TypeAliasType(
    "Person",
    Annotated[str, *text(_WORDS, "a person's name or address, not empty, of at most 254 characters", 254)],
)
Name = TypeAliasType(
    "Name",
    Annotated[
        str, *text(_WORDS, "a name of 1 to 255 characters, without control characters or blanks at its ends", 255)
    ],
)
Sentence = TypeAliasType(
    "Sentence",
    Annotated[str, *text(_WORDS, "a sentence of 1 to 1024 characters on one line", 1024)],
)
SecretReference = TypeAliasType(
    "SecretReference",
    Annotated[
        str,
        *text(
            r"^(?:secretsmanager:[A-Za-z0-9/_+=.@-]{1,512}|env:[A-Za-z_][A-Za-z0-9_]{0,127})$",
            "a reference to a secret, `secretsmanager:NAME` or `env:NAME`, never the secret itself",
        ),
    ],
)
