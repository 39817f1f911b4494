"""One HTTP exchange, bounded in time and size: no redirects, no proxies or credentials from the environment."""

import asyncio
import functools
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import httpx


@dataclass(frozen=True)
class Exchange:
    """What came back: status, headers, the beginning of the body, and how long it took in milliseconds."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    elapsed_ms: int


@dataclass(frozen=True)
class Call:
    """One request, and how much of an answer is waited for and read.

    Attributes:
        within: Bound of the whole exchange, from the name lookup to the last byte read.
        read_bytes: How much of the body is read at most, as it comes, compressed or not; the rest is left unread.
        addresses: Where to connect to, the first that takes the connection; none: what the host resolves to. The
            host keeps its name in the Host header, in TLS's SNI and for the check of the certificate.
        read_bytes: How much of the body is read at most; the rest is left unread.
        server_name: The name that TLS asks for and verifies; None: the URL's host.
        trust: What certificates are verified against; None: the system's authorities.
    """

    method: str
    url: str
    within: timedelta
    read_bytes: int
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None
    addresses: Sequence[str] = ()
    server_name: str | None = None
    trust: ssl.SSLContext | None = None


class NoAnswer(Exception):  # noqa: N818  an answer to the caller: there was none, and why
    """The exchange did not come to an HTTP status, in words."""

    def __init__(self, words: str, elapsed_ms: int) -> None:
        """Keep the words and how long it took to fail."""
        super().__init__(words)
        self.elapsed_ms = elapsed_ms


def exchange(call: Call, *, began: float | None = None) -> Exchange:
    """Make the call once.

    Args:
        call: What to ask, and for how long.
        began: When the time began to run, by the monotonic clock; None: now.

    Raises:
        NoAnswer: No status came back, within the time or at all.
    """
    began = time.monotonic() if began is None else began
    try:
        return asyncio.run(_exchange(call, began))
    except (TimeoutError, httpx.TimeoutException) as error:
        seconds = call.within.total_seconds()
        raise NoAnswer(f"no answer within {seconds:g} s", _elapsed(began)) from error
    except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
        raise NoAnswer(in_words(error), _elapsed(began)) from error


async def _exchange(call: Call, began: float) -> Exchange:
    left = began + call.within.total_seconds() - time.monotonic()
    limits = httpx.Timeout(left, connect=left / max(1, len(call.addresses)))
    trust = call.trust or system_trust()
    client = httpx.AsyncClient(verify=trust, trust_env=False, follow_redirects=False, timeout=limits)
    body = b""
    async with asyncio.timeout(left), client, aclosing(await _sent(client, call)) as response:
        async for chunk in response.aiter_raw():
            body += chunk[: call.read_bytes - len(body)]
            if len(body) >= call.read_bytes:
                break
    return Exchange(response.status_code, response.headers, body, _elapsed(began))


async def _sent(client: httpx.AsyncClient, call: Call) -> httpx.Response:
    """Send the request over the first connection that can be had; nothing was sent over the others."""
    *others, last = _requests(client, call)
    for request in others:
        with suppress(httpx.ConnectError, httpx.ConnectTimeout):
            return await client.send(request, stream=True)
    return await client.send(last, stream=True)


def _requests(client: httpx.AsyncClient, call: Call) -> Iterator[httpx.Request]:
    """The request, for each address that it may go to."""
    url = httpx.URL(call.url)
    name = {"sni_hostname": call.server_name or url.raw_host.decode()}
    ask = functools.partial(client.build_request, call.method, content=call.content)
    if not call.addresses:
        yield ask(url, headers=call.headers, extensions=name if call.server_name else None)
    for address in call.addresses:
        yield ask(url.copy_with(host=address), headers={"Host": url.netloc.decode(), **call.headers}, extensions=name)


@functools.cache
def system_trust() -> ssl.SSLContext:
    """The system's certificate authorities, which on a company network include the company's own."""
    return ssl.create_default_context()


def in_words(error: Exception) -> str:
    """Why an exchange failed, without the library's class names where words say it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ConnectionRefusedError):
            return "connection refused"
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"certificate not trusted: {cause.verify_message}"
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    if isinstance(error, httpx.RemoteProtocolError):
        return "the connection was closed without a whole answer"
    return str(error) or type(error).__name__


def retry_after(headers: Mapping[str, str]) -> timedelta | None:
    """How long a `Retry-After` header asks to wait (RFC 9110, section 10.2.3); None without a readable one."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return min(timedelta(seconds=int(text[:9])), timedelta(days=1))
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return max(timedelta(0), min((at if at.tzinfo else at.replace(tzinfo=UTC)) - datetime.now(UTC), timedelta(days=1)))


def _elapsed(began: float) -> int:
    return round((time.monotonic() - began) * 1000)
