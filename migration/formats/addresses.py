"""IP addresses, DNS values and URLs."""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, StringConstraints
from typing_extensions import TypeAliasType

from migration.formats.base import Expected
from migration.formats.names import HOST_NAME_LENGTH, HOST_NAME_PATTERN

_ADDRESS = r"[0-9A-Fa-f.:]{2,45}"


def parse_address(text: str) -> IPv4Address | IPv6Address:
    """Read an IPv4 or IPv6 address, without a zone.

    Raises:
        ValueError: The text is no such address.
    """
    if "%" in text:
        raise ValueError(text)
    return ip_address(text)


def _address(text: str) -> str:
    return str(parse_address(text))


def _private_ip(text: str) -> str:
    return text if text in {"auto", "copy"} else _address(text)


def _host(text: str | None) -> str:
    """Check a URL's host: an address, or a host name by RFC 1123."""
    if text is None or len(text) > HOST_NAME_LENGTH:
        raise ValueError(text)
    if not re.fullmatch(HOST_NAME_PATTERN[1:-1], text):
        parse_address(text)
    return text


def _health_url(text: str) -> str:
    filled = text.replace("[{privateIp}]", "[2001:db8::1]").replace("{privateIp}", "192.0.2.1")
    if "{" in filled or "}" in filled:
        raise ValueError(text)
    parts = urlsplit(filled)
    if parts.username is not None or parts.port == 0:
        raise ValueError(text)
    _host(parts.hostname)
    return text


def _callback_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.port == 0:
        raise ValueError(text)
    _host(parts.hostname)
    return text


def _record_value(text: str) -> str:
    try:
        return _address(text)
    except ValueError:
        return _host(text).lower()


Address = TypeAliasType(
    "Address",
    Annotated[
        str,
        StringConstraints(strict=True, pattern=rf"^{_ADDRESS}$"),
        AfterValidator(_address),
        Expected("an IPv4 or IPv6 address"),
    ],
)
RecordValue = TypeAliasType(
    "RecordValue",
    Annotated[
        str,
        StringConstraints(strict=True, pattern=r"^[0-9A-Za-z.:-]{1,253}$"),
        AfterValidator(_record_value),
        Expected("an IPv4 or IPv6 address, or for a CNAME a host name by RFC 1123"),
    ],
)
PrivateIp = TypeAliasType(
    "PrivateIp",
    Annotated[
        str,
        StringConstraints(strict=True, pattern=rf"^(?:auto|copy|{_ADDRESS})$"),
        AfterValidator(_private_ip),
        Expected("`auto`, `copy`, or an IPv4 or IPv6 address"),
    ],
)
HealthUrl = TypeAliasType(
    "HealthUrl",
    Annotated[
        str,
        StringConstraints(strict=True, pattern=r"^https?://[!-.0->A-~][!-~]{0,2000}$"),
        AfterValidator(_health_url),
        Expected("an http or https URL without user info; `{privateIp}` stands for the server's own address"),
    ],
)
CallbackUrl = TypeAliasType(
    "CallbackUrl",
    Annotated[
        str,
        StringConstraints(
            strict=True,
            max_length=2048,
            pattern=(
                r"^(?:https://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])"
                r"|http://(?:127(?:\.[0-9]{1,3}){3}|localhost|\[::1\]))(?::[0-9]{1,5})?(?:[/?][!-~]*)?$"
            ),
        ),
        AfterValidator(_callback_url),
        Expected("an absolute https URL without user info (http for a loopback address only)"),
    ],
)
