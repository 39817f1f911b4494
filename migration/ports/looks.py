"""Short looks at an application."""

from collections.abc import Mapping
from typing import Protocol

from migration.models import Model


class HttpLook(Model):
    """One GET at an address.

    Attributes:
        url: With an address as its host.
        host: The name that the request is for, in its Host field; None: the URL's own host.
        server_name: The name that TLS asks for and verifies; None: the URL's own host.
        ca: The authorities that count, in PEM; None: those of the system.
        verify: Whether the certificate counts at all.
        read_body: Whether the answer's body is wanted.
    """

    url: str
    host: str | None = None
    headers: Mapping[str, str] = {}
    server_name: str | None = None
    ca: str | None = None
    verify: bool = True
    read_body: bool = False


class HealthLook(Model):
    """What a look found: status, header fields by lower-case names, the body's beginning; or in `error` why nothing."""

    status: int | None = None
    headers: Mapping[str, str] = {}
    body: str = ""
    elapsed_ms: int = 0
    error: str | None = None


class HealthProbe(Protocol):
    """One short look at an application. Never raises for what the application does."""

    def get(self, look: HttpLook) -> HealthLook:
        """GET once, within seconds, following no redirect, and read 64 KiB of the body at most."""

    def connect(self, address: str, port: int) -> HealthLook:
        """Open a TCP connection and close it, within seconds; no `error`: it was accepted."""
