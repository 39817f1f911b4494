"""Health by HTTP and TCP: one short look at an address."""

import functools
import socket
import ssl
import time
from dataclasses import dataclass
from datetime import timedelta

from adapters.exchange import Call, NoAnswer, exchange, in_words
from migration.ports import HealthLook, HttpLook

BODY_BYTES = 64 * 1024
"""How much of a body is read at most."""

_TRUSTS_KEPT = 256


@dataclass(frozen=True)
class HttpHealth:
    """Looks at applications; redirects are an answer like any other."""

    within: timedelta = timedelta(seconds=5)

    def get(self, look: HttpLook) -> HealthLook:
        """GET once. Never raises for what the application does."""
        own = {"User-Agent": "migrator", "Accept-Encoding": "identity"} | ({"Host": look.host} if look.host else {})
        call = Call(
            "GET",
            look.url,
            within=self.within,
            read_bytes=BODY_BYTES if look.read_body else 0,
            headers={**own, **look.headers},
            server_name=look.server_name,
            trust=_trust(look.ca, verify=look.verify),
        )
        try:
            answer = exchange(call)
        except NoAnswer as error:
            return HealthLook(elapsed_ms=error.elapsed_ms, error=str(error))
        return HealthLook(
            status=answer.status,
            headers={name.lower(): value for name, value in answer.headers.items()},
            body=answer.body.decode(errors="replace"),
            elapsed_ms=answer.elapsed_ms,
        )

    def connect(self, address: str, port: int) -> HealthLook:
        """Connect once. Never raises for what the application does."""
        began, error = time.monotonic(), None
        try:
            socket.create_connection((address, port), timeout=self.within.total_seconds()).close()
        except TimeoutError:
            error = f"no answer within {self.within.total_seconds():g} s"
        except OSError as refused:
            error = in_words(refused)
        return HealthLook(elapsed_ms=round((time.monotonic() - began) * 1000), error=error)


@functools.lru_cache(maxsize=_TRUSTS_KEPT)
def _trust(ca: str | None, *, verify: bool) -> ssl.SSLContext | None:
    """What a check's certificates are verified against; None: the system's authorities."""
    if ca is None and verify:
        return None
    trust = ssl.create_default_context(cadata=ca)
    if not verify:
        trust.check_hostname = False
        trust.verify_mode = ssl.CERT_NONE
    return trust
