"""Where callbacks may go: to public addresses, and to what the settings allow besides.

A URL comes from whoever writes a request, and the worker that calls it stands inside the company's network: without a
guard it would fetch what only the worker can reach (server-side request forgery). So a host is resolved once for each
attempt, every address that it has is judged, and the connection is made to one of those: a name that changes its
answer in between leads nowhere else.
"""

import re
import socket
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from threading import Thread
from typing import TypeVar
from urllib.parse import urlsplit

from pydantic import TypeAdapter
from pydantic import ValidationError as PydanticValidationError

from migration.errors import ValidationError
from migration.formats import CallbackUrl, DnsName, parse_address

_Address = IPv4Address | IPv6Address
_Network = IPv4Network | IPv6Network
LookUp = Callable[[str], Sequence[str]]
Found = TypeVar("Found")

_URL: TypeAdapter[str] = TypeAdapter(CallbackUrl)
_NAME: TypeAdapter[str] = TypeAdapter(DnsName)
_ENDS_IN_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)", re.IGNORECASE)
_THIS_NETWORK = IPv4Network("0.0.0.0/8")
_NAT64 = IPv6Network("64:ff9b::/96")


class Refused(Exception):  # noqa: N818  an answer to the caller: it must not be called, and why
    """This URL must not be called, in words."""


class Unresolved(Exception):  # noqa: N818  an answer to the caller: nobody knows yet
    """The host of this URL has no address now, in words."""


def system_look_up(host: str) -> Sequence[str]:
    """The addresses of a name as the system knows them, in the order in which it would try them. Raises `OSError`."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]


@dataclass(frozen=True)
class CallbackGuard:
    """Says where a callback URL leads, or why it must not be called.

    Attributes:
        hosts: Names that may have any address.
        networks: Addresses that may be called though they are not public.
        look_up: Resolves a name.
    """

    hosts: frozenset[str] = frozenset()
    networks: tuple[_Network, ...] = ()
    look_up: LookUp = system_look_up

    @classmethod
    def allowing(cls, entries: Iterable[str], look_up: LookUp = system_look_up) -> "CallbackGuard":
        """A guard that lets these host names and CIDRs pass.

        Raises:
            ValidationError: An entry is neither.
        """
        hosts, networks = set[str](), list[_Network]()
        for entry in entries:
            if (network := _network(entry)) is not None:
                networks.append(network)
            else:
                hosts.add(_host_name(entry))
        return cls(frozenset(hosts), tuple(networks), look_up)

    def addresses(self, url: str, within: timedelta) -> tuple[str, ...]:
        """Resolve the URL's host, once; gives the addresses that may be connected to, in order.

        Raises:
            Refused: One of them must not be, or the URL is none for callbacks.
            Unresolved: There is none, or none was found within the time.
        """
        scheme, host = _parts(url)
        found = self._resolve(host, within)
        for address in found:
            if reason := self._refusal(host, address):
                raise Refused(reason)
            if scheme == "http" and not _judged(address).is_loopback:
                raise Refused(f"http to {address}: callbacks go over https, but for a loopback address")
        return tuple(map(str, found))

    def _resolve(self, host: str, within: timedelta) -> list[_Address]:
        if (literal := _literal(host)) is not None:
            return [literal]
        try:
            found = _bounded(lambda: self.look_up(host), within.total_seconds())
        except TimeoutError:
            raise Unresolved(f"{host} cannot be resolved within {within.total_seconds():g} s") from None
        except (OSError, UnicodeError) as error:
            raise Unresolved(f"{host} cannot be resolved: {getattr(error, 'strerror', None) or error}") from error
        if not found:
            raise Unresolved(f"{host} has no address")
        return [ip_address(address) for address in dict.fromkeys(found)]

    def _refusal(self, host: str, address: _Address) -> str | None:
        judged = _judged(address)
        listed = host in self.hosts or any(one in network for network in self.networks for one in (address, judged))
        kind = _kind(judged)
        if listed or kind is None:
            return None
        where = f"{address}" if host == str(address) else f"{host} is at {address}"
        return f"{where}, {kind}, and the setting callback_allow does not name it"


def _parts(url: str) -> tuple[str, str]:
    """The scheme and the host of a URL that callbacks may have: the form that requests are checked for too.

    A name that ends in a number is an IPv4 address to some resolvers (`0x7f.1`), and to no person.
    """
    try:
        parts = urlsplit(_URL.validate_python(url))
    except PydanticValidationError:
        raise Refused("it is no absolute https URL of a host, without user info or fragment") from None
    host = parts.hostname or ""
    if _ENDS_IN_NUMBER.fullmatch(host) and _literal(host) is None:
        raise Refused(f"{host} is neither a host name nor an address as people write it")
    return parts.scheme, host


def _judged(address: _Address) -> _Address:
    """The IPv4 address that an IPv6 address only wraps (mapped, NAT64, 6to4): packets go there."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _kind(address: _Address) -> str | None:
    """What keeps an address from being the public one of a single machine, in words; None when nothing does."""
    kinds = {
        "the unspecified address": address.is_unspecified or address in _THIS_NETWORK,
        "a loopback address": address.is_loopback,
        "a link-local address, where clouds give credentials away": address.is_link_local,
        "a multicast address": address.is_multicast,
        "a reserved address": address.is_reserved,
        "a private address": address.is_private or getattr(address, "is_site_local", False),
        "an address shared by a carrier's customers (RFC 6598)": not address.is_global,
    }
    return next((kind for kind, holds in kinds.items() if holds), None)


def _network(entry: str) -> _Network | None:
    try:
        return ip_network(entry)
    except ValueError:
        return None


def _host_name(entry: str) -> str:
    try:
        name = _NAME.validate_python(entry)
    except PydanticValidationError:
        name = "0"
    if _ENDS_IN_NUMBER.fullmatch(name):
        raise ValidationError(
            f"the setting callback_allow has {entry!r}, which is neither a host name nor a network",
            action="Write host names, and networks such as 10.1.0.0/16.",
        )
    return name


def _literal(host: str) -> _Address | None:
    try:
        return parse_address(host)
    except ValueError:
        return None


def _bounded(call: Callable[[], Found], seconds: float) -> Found:
    """What a call gives that cannot be told how long it may take. Raises `TimeoutError`, and what the call raises."""
    result: Future[Found] = Future()

    def run() -> None:
        try:
            result.set_result(call())
        except Exception as error:  # noqa: BLE001  handed on to who waits
            result.set_exception(error)

    Thread(target=run, name="look-up", daemon=True).start()
    return result.result(seconds)
