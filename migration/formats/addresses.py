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
_HOST = r"(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])"
_LOOPBACK = r"(?:127(?:\.[0-9]{1,3}){3}|localhost|\[::1\])"
_REST = r'(?::[0-9]{1,5})?(?:[/?][!"$-~]*)?'
_HEALTH_URL = rf"^https?://(?:\{{privateIp\}}|\[\{{privateIp\}}\]){_REST}$"
_CALLBACK_URL = rf"^(?:https://{_HOST}|http://{_LOOPBACK}){_REST}$"


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
    """Check a host: an address, or a host name by RFC 1123, whose last label is never a number (section 2.1)."""
    if text is None or len(text) > HOST_NAME_LENGTH:
        raise ValueError(text)
    if text.rpartition(".")[2].isdigit() or not re.fullmatch(HOST_NAME_PATTERN[1:-1], text):
        return _address(text)
    return text


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.port == 0:
        raise ValueError(text)
    _host(parts.hostname)
    return text


def _health_url(text: str) -> str:
    filled = text.replace("[{privateIp}]", "[2001:db8::1]").replace("{privateIp}", "192.0.2.1")
    if "{" in filled or "}" in filled:
        raise ValueError(text)
    _url(filled)
    return text


def _record_value(text: str) -> str:
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
        StringConstraints(strict=True, max_length=2048, pattern=_HEALTH_URL),
        AfterValidator(_health_url),
        Expected(
            "an http or https URL without user info or fragment, whose host is `{privateIp}`: the server's own address"
        ),
    ],
)
CallbackUrl = TypeAliasType(
    "CallbackUrl",
    Annotated[
        str,
        StringConstraints(
            strict=True,
            max_length=2048,
            pattern=_CALLBACK_URL,
        ),
        AfterValidator(_url),
        Expected("an absolute https URL without user info or fragment (http for a loopback address only)"),
    ],
)
