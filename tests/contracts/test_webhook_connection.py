"""How a callback connects: to a checked address and no other, under the name of its host, within bounds."""

import asyncio
import gzip
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme

from adapters.callback_guard import CallbackGuard
from adapters.exchange import system_trust
from adapters.webhook import StandardWebhooks
from migration.ports import Delivery

SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
HOST = "hooks.example.com"
CHECKED, OTHER = "127.0.0.2", "127.0.0.3"
"""Loopback stands for both: the tests' setting allows the first address, and not the second."""

BODY = "{}"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

Behaviour = Callable[[socket.socket], None]


def answering(reply: bytes) -> Behaviour:
    return lambda connection: connection.sendall(reply)


@dataclass
class Endpoint:
    """Something that listens: what it was asked, under which names, and how often."""

    port: int
    connections: int = 0
    names: list[str | None] = field(default_factory=list)
    requests: list[bytes] = field(default_factory=list)


class Site:
    """Endpoints by address, all on one port, and a certificate authority that the system trusts or not."""

    def __init__(self) -> None:
        self.authority = trustme.CA()
        self._listeners: list[socket.socket] = []

    def listen(self, address: str, behave: Behaviour, *, port: int = 0, named: str | None = HOST) -> Endpoint:
        """Serve an address; with a certificate of that name, or in plain HTTP without one."""
        listener = socket.create_server((address, port))
        self._listeners.append(listener)
        endpoint = Endpoint(listener.getsockname()[1])
        context = self._context(endpoint, named) if named else None
        threading.Thread(target=_serve, args=(listener, endpoint, context, behave), daemon=True).start()
        return endpoint

    def _context(self, endpoint: Endpoint, named: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert(named).configure_cert(context)
        context.sni_callback = lambda _socket, name, _context: endpoint.names.append(name)
        return context

    def stop(self) -> None:
        for listener in self._listeners:
            listener.close()


def _serve(listener: socket.socket, endpoint: Endpoint, context: ssl.SSLContext | None, behave: Behaviour) -> None:
    while True:
        try:
            plain, _ = listener.accept()
        except OSError:
            return
        endpoint.connections += 1
        threading.Thread(target=_take, args=(plain, endpoint, context, behave), daemon=True).start()


def _take(plain: socket.socket, endpoint: Endpoint, context: ssl.SSLContext | None, behave: Behaviour) -> None:
    plain.settimeout(10)
    try:
        with context.wrap_socket(plain, server_side=True) if context else plain as connection:
            endpoint.requests.append(_request(connection))
            behave(connection)
    except OSError:
        plain.close()


def _request(connection: socket.socket) -> bytes:
    """A whole request: who closes with bytes unread resets the connection, and his answer may be lost."""
    request = b""
    while not request.endswith(BODY.encode()) and (more := connection.recv(1 << 16)):
        request += more
    return request


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    site = Site()
    trusted = tmp_path / "authority.pem"
    site.authority.cert_pem.write_to_path(trusted)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    system_trust.cache_clear()
    yield site
    system_trust.cache_clear()
    site.stop()


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The address of every connection that anybody tries to make."""
    tried: list[str] = []
    connect = asyncio.selector_events.BaseSelectorEventLoop.sock_connect

    async def noted(self: Any, sock: socket.socket, address: Any) -> None:
        tried.append(address[0])
        await connect(self, sock, address)

    monkeypatch.setattr(asyncio.selector_events.BaseSelectorEventLoop, "sock_connect", noted)
    return tried


def deliver(url: str, *answers: list[str], within: float = 5.0) -> Delivery:
    """Deliver to a URL whose host has these addresses: one answer for each time that it is looked up."""
    coming = iter(answers)
    guard = CallbackGuard.allowing([f"{CHECKED}/32", "127.0.0.4/32"], look_up=lambda _: next(coming))
    adapter = StandardWebhooks(guard, within=timedelta(seconds=within))
    return adapter.deliver(url, message_id="mig-billing-1:1:1", body=BODY, secret=SECRET)


# --- the name ----------------------------------------------------------------------------------------------------


def test_tls_and_the_host_header_keep_the_name_though_an_address_is_called(site: Site, connected: list[str]) -> None:
    endpoint = site.listen(CHECKED, answering(OK))
    delivery = deliver(f"https://{HOST}:{endpoint.port}/migrations?team=1", [CHECKED])
    assert delivery == Delivery(outcome="delivered", status=200)
    assert connected == [CHECKED]
    assert endpoint.names == [HOST]
    (request,) = endpoint.requests
    assert request.startswith(b"POST /migrations?team=1 HTTP/1.1\r\n")
    assert f"\r\nHost: {HOST}:{endpoint.port}\r\n".encode() in request


@pytest.mark.parametrize("named", ["other.example.com", CHECKED])
def test_a_certificate_of_another_name_is_not_taken(site: Site, named: str) -> None:
    endpoint = site.listen(CHECKED, answering(OK), named=named)
    delivery = deliver(f"https://{HOST}:{endpoint.port}/", [CHECKED])
    assert delivery.outcome == "retry"
    assert str(delivery.error).startswith("certificate not trusted: Hostname mismatch")
    assert endpoint.requests in ([], [b""])


def test_a_certificate_that_nobody_vouches_for_is_not_taken(site: Site) -> None:
    site.authority = trustme.CA()
    endpoint = site.listen(CHECKED, answering(OK))
    assert "certificate not trusted" in str(deliver(f"https://{HOST}:{endpoint.port}/", [CHECKED]).error)


def test_an_address_in_the_url_needs_a_certificate_of_that_address(site: Site) -> None:
    endpoint = site.listen(CHECKED, answering(OK), named=CHECKED)
    assert deliver(f"https://{CHECKED}:{endpoint.port}/").outcome == "delivered"


# --- the address -------------------------------------------------------------------------------------------------


def test_a_name_that_changes_its_answer_after_the_check_leads_nowhere_else(
    site: Site, connected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = site.listen(CHECKED, answering(OK))
    other = site.listen(OTHER, answering(OK), port=checked.port)
    rebound = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (OTHER, checked.port))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_kwargs: rebound)
    url = f"https://{HOST}:{checked.port}/"
    assert deliver(url, [CHECKED], [OTHER]).outcome == "delivered"
    refused = StandardWebhooks(CallbackGuard.allowing([f"{CHECKED}/32"]))
    delivery = refused.deliver(url, message_id="mig-billing-1:1:1", body=BODY, secret=SECRET)
    assert delivery.outcome == "retry"
    assert "hooks.example.com is at 127.0.0.3, a loopback address" in str(delivery.error)
    assert connected == [CHECKED]
    assert (checked.connections, other.connections) == (1, 0)


@pytest.mark.parametrize("also", [OTHER, "10.0.0.1", "169.254.169.254", "fd00:ec2::254", "::ffff:169.254.169.254"])
def test_one_address_that_must_not_be_called_is_enough_to_call_none(
    site: Site, connected: list[str], also: str
) -> None:
    endpoint = site.listen(CHECKED, answering(OK))
    delivery = deliver(f"https://{HOST}:{endpoint.port}/", [CHECKED, also])
    assert (delivery.outcome, delivery.status) == ("retry", None)
    assert str(delivery.error).startswith("the callback URL is not allowed: hooks.example.com is at ")
    assert connected == []


def test_an_address_that_does_not_answer_leaves_the_next_one_its_turn(site: Site, connected: list[str]) -> None:
    endpoint = site.listen(CHECKED, answering(OK))
    assert deliver(f"https://{HOST}:{endpoint.port}/", ["127.0.0.4", CHECKED]).outcome == "delivered"
    assert connected == ["127.0.0.4", CHECKED]


def test_a_host_that_is_not_known_now_is_tried_later(connected: list[str]) -> None:
    delivery = deliver(f"https://{HOST}/", [])
    assert (delivery.outcome, delivery.error) == ("retry", "hooks.example.com has no address")
    assert connected == []


@pytest.mark.parametrize(
    ("status", "to"),
    [
        *((status, "http://169.254.169.254/latest/meta-data/") for status in (301, 302, 303, 307, 308)),
        (308, f"https://{HOST}/"),
        (302, "//127.0.0.3/"),
    ],
)
def test_a_redirect_is_not_followed_wherever_it_leads(site: Site, connected: list[str], status: int, to: str) -> None:
    reply = f"HTTP/1.1 {status} Moved\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n".encode()
    endpoint = site.listen(CHECKED, answering(reply))
    delivery = deliver(f"https://{HOST}:{endpoint.port}/", [CHECKED])
    assert (delivery.outcome, delivery.status) == ("retry", status)
    assert connected == [CHECKED]


def test_proxies_of_the_environment_are_not_asked(
    site: Site, connected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://{OTHER}:9")
    endpoint = site.listen(CHECKED, answering(OK))
    assert deliver(f"https://{HOST}:{endpoint.port}/", [CHECKED]).outcome == "delivered"
    assert connected == [CHECKED]


@pytest.mark.parametrize("answer", [[CHECKED], [OTHER], ["10.0.0.1"], []])
def test_what_the_validate_step_refuses_is_what_a_delivery_refuses(connected: list[str], answer: list[str]) -> None:
    adapter = StandardWebhooks(CallbackGuard.allowing([CHECKED], look_up=lambda _: answer))
    refusal = adapter.refused_because(f"https://{HOST}:9/")
    delivery = adapter.deliver(f"https://{HOST}:9/", message_id="a:1:1", body=BODY, secret=SECRET)
    assert ("the callback URL is not allowed" in str(delivery.error)) == (refusal is not None)
    assert refusal is None or refusal in str(delivery.error)
    assert (refusal is None) == (answer in ([CHECKED], [])), "a name that is not known yet is no reason to fail"
    assert connected == answer * (answer == [CHECKED])


# --- bounds ------------------------------------------------------------------------------------------------------


def dripping(beginning: bytes, drop: bytes) -> Behaviour:
    """An answer that never ends, a little at a time."""

    def drip(connection: socket.socket) -> None:
        connection.sendall(beginning)
        while True:
            connection.sendall(drop)
            time.sleep(0.05)

    return drip


@pytest.mark.parametrize(
    ("beginning", "drop"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"X-More: and more\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    ],
)
def test_a_receiver_that_drips_is_given_up_in_time(site: Site, beginning: bytes, drop: bytes) -> None:
    endpoint = site.listen(CHECKED, dripping(beginning, drop))
    began = time.monotonic()
    delivery = deliver(f"https://{HOST}:{endpoint.port}/", [CHECKED], within=0.5)
    assert (delivery.outcome, delivery.error) == ("retry", "no answer within 0.5 s")
    assert time.monotonic() - began < 3


def test_the_time_runs_from_the_name_lookup_on(site: Site) -> None:
    endpoint = site.listen(CHECKED, dripping(b"", b"H"))

    def slow(_: str) -> list[str]:
        time.sleep(0.9)
        return [CHECKED]

    adapter = StandardWebhooks(CallbackGuard.allowing([CHECKED], look_up=slow), within=timedelta(seconds=1))
    began = time.monotonic()
    delivery = adapter.deliver(f"https://{HOST}:{endpoint.port}/", message_id="a:1:1", body=BODY, secret=SECRET)
    assert delivery.error == "no answer within 1 s"
    assert time.monotonic() - began < 1.7


@pytest.mark.parametrize("head", ["Transfer-Encoding: chunked", "Content-Length: 1073741824"])
def test_an_answer_without_end_is_read_to_64_kilobytes(site: Site, head: str) -> None:
    sent = threading.Event()

    def flood(connection: socket.socket) -> None:
        connection.sendall(f"HTTP/1.1 500 Oh\r\n{head}\r\n\r\n".encode())
        chunk = b"4000\r\n" + b"x" * 0x4000 + b"\r\n" if "chunked" in head else b"x" * 0x4000
        try:
            while True:
                connection.sendall(chunk)
        finally:
            sent.set()

    endpoint = site.listen(CHECKED, flood)
    delivery = deliver(f"https://{HOST}:{endpoint.port}/", [CHECKED])
    assert delivery.error == "HTTP 500: " + "x" * 200
    assert sent.wait(5), "the connection is closed, and the rest never read"


def test_an_answer_that_is_compressed_is_never_blown_up(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = gzip.compress(b"\0" * (1 << 24))
    head = f"HTTP/1.1 500 Oh\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n".encode()
    endpoint = site.listen(CHECKED, answering(head + bomb))
    delivery = deliver(f"https://{HOST}:{endpoint.port}/", [CHECKED])
    assert (delivery.outcome, delivery.status) == ("retry", 500)
    assert "\0" * 200 not in str(delivery.error)
    assert b"\r\nAccept-Encoding: identity\r\n" in endpoint.requests[0]
