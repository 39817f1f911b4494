"""One look at a health URL, at applications that answer, and at some that do not."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol

import pytest
import trustme

from adapters.exchange import system_trust
from adapters.http_health import HttpHealth
from localcloud.http_server import HttpServer, Reply, Request
from migration.ports import HealthLook, HttpLook

LOOK = HttpHealth(within=timedelta(seconds=2))


def looked(url: str, **how: Any) -> HealthLook:
    return LOOK.get(HttpLook(url=url, **how))


@pytest.fixture
def application() -> Iterator[HttpServer]:
    def answer(request: Request) -> Reply:
        replies = {
            "/health": Reply(200, b"ok"),
            "/failing": Reply(503, b"starting"),
            "/moved": Reply(302, b"", {"Location": "/health"}),
            "/lost": Reply(200, lost=True),
            "/huge": Reply(200, b"x" * (1 << 20)),
            "/binary": Reply(200, b"ok \xff\x00 ready"),
            "/probed": Reply(200 if request.headers.get("X-Probe") == "1" else 403),
        }
        return replies.get(request.path, Reply(404))

    server = HttpServer(answer, name="application", host="127.0.0.1", port=0)
    server.start()
    yield server
    server.stop()


@pytest.mark.parametrize(("path", "status"), [("/health", 200), ("/failing", 503), ("/huge", 200), ("/none", 404)])
def test_a_look_tells_the_status_and_how_long_it_took(application: HttpServer, path: str, status: int) -> None:
    look = looked(application.url + path)
    assert (look.status, look.error) == (status, None)
    assert 0 <= look.elapsed_ms < 2000


def test_a_redirect_is_an_answer_and_not_followed(application: HttpServer) -> None:
    assert looked(f"{application.url}/moved").status == 302


def test_a_connection_that_is_closed_is_said_in_words(application: HttpServer) -> None:
    look = looked(f"{application.url}/lost")
    assert (look.status, look.error) == (None, "the connection was closed without a whole answer")


def test_nobody_there_is_said_in_words() -> None:
    assert looked("http://127.0.0.1:9/health").error == "connection refused"


def test_silence_is_bounded() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        began = time.monotonic()
        look = HttpHealth(within=timedelta(seconds=0.3)).get(
            HttpLook(url=f"http://127.0.0.1:{listener.getsockname()[1]}/health")
        )
    assert look.error == "no answer within 0.3 s"
    assert 300 <= look.elapsed_ms < 2000
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    ("head", "more"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"X-More: and more\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 65536\r\n\r\n", b"and more"),
    ],
)
def test_an_endless_answer_is_bounded(head: bytes, more: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)
        began = time.monotonic()
        error = _looked_at_while_dripping(listener, head, more)
    assert error == "no answer within 0.5 s"
    assert time.monotonic() - began < 3


def _looked_at_while_dripping(listener: socket.socket, head: bytes, more: bytes) -> str | None:
    stop = threading.Event()

    def drip() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(head)
            while not stop.wait(0.05):
                try:
                    connection.sendall(more)
                except OSError:
                    return

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    look = HttpLook(url=f"http://127.0.0.1:{listener.getsockname()[1]}/health", read_body=True)
    try:
        return HttpHealth(within=timedelta(seconds=0.5)).get(look).error
    finally:
        stop.set()
        thread.join(5)


def test_a_name_that_nobody_has_is_said_in_words() -> None:
    look = looked("http://nobody.invalid:8080/health")
    assert look.status is None
    assert look.error


@pytest.mark.parametrize("url", ["", "health", "ftp://127.0.0.1/x", "http://", "http://[::1/", "http://127.0.0.1:x/"])
def test_what_is_no_health_url_is_said_and_raises_nothing(url: str) -> None:
    look = looked(url)
    assert look.status is None
    assert look.error


def test_proxies_of_the_environment_are_not_asked(application: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert looked(f"{application.url}/health").status == 200


# --- TLS ---------------------------------------------------------------------------------------------------------

NAME = "billing.example.internal"


class TlsApplication(Protocol):
    """Starts an application behind TLS, whose certificate an authority gives to this host; returns its URL."""

    def __call__(self, authority: trustme.CA, host: str) -> str: ...


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls_application() -> Iterator[TlsApplication]:
    with ExitStack() as running:

        def start(authority: trustme.CA, host: str) -> str:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert(host).configure_cert(context)
            server = running.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), _Healthy))
            server.daemon_threads = True
            server.socket = context.wrap_socket(server.socket, server_side=True)
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
            running.callback(server.shutdown)
            return f"https://127.0.0.1:{server.server_address[1]}/health"

        yield start


class _Healthy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = str(self.headers["Host"]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def pem_of(authority: trustme.CA) -> str:
    return authority.cert_pem.bytes().decode()


def test_a_certificate_counts_only_when_the_system_trusts_it(
    authority: trustme.CA, tls_application: TlsApplication, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = tls_application(authority, "127.0.0.1")
    look = looked(url)
    assert look.status is None
    assert str(look.error).startswith("certificate not trusted: ")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    system_trust.cache_clear()
    try:
        assert looked(url).status == 200
    finally:
        system_trust.cache_clear()


def test_an_authority_of_the_check_counts_and_no_other(authority: trustme.CA, tls_application: TlsApplication) -> None:
    url = tls_application(authority, "127.0.0.1")
    assert looked(url, ca=pem_of(authority)).status == 200
    assert str(looked(url, ca=pem_of(trustme.CA())).error).startswith("certificate not trusted: ")


def test_a_certificate_is_verified_for_the_name_of_the_check(
    authority: trustme.CA, tls_application: TlsApplication
) -> None:
    url, ca = tls_application(authority, NAME), pem_of(authority)
    look = looked(url, ca=ca, server_name=NAME, host=f"{NAME}:8443", read_body=True)
    assert (look.status, look.body) == (200, f"{NAME}:8443")
    assert "127.0.0.1" in str(looked(url, ca=ca).error)
    assert "certificate not trusted" in str(looked(url, ca=ca, server_name="other.example.internal").error)


def test_a_certificate_that_does_not_count_is_not_verified(
    authority: trustme.CA, tls_application: TlsApplication
) -> None:
    assert looked(tls_application(authority, NAME), verify=False).status == 200


# --- what is read, and what is not -------------------------------------------------------------------------------


def test_the_body_and_the_header_fields_are_there_to_be_judged(application: HttpServer) -> None:
    look = looked(f"{application.url}/health", read_body=True)
    assert look.body == "ok"
    assert look.headers["content-length"] == "2"


def test_no_more_than_64_kib_of_a_body_is_read(application: HttpServer) -> None:
    assert looked(f"{application.url}/huge", read_body=True).body == "x" * 65536


def test_a_body_in_no_encoding_at_all_is_read_as_far_as_it_can_be(application: HttpServer) -> None:
    assert looked(f"{application.url}/binary", read_body=True).body == "ok \N{REPLACEMENT CHARACTER}\x00 ready"


def test_header_fields_of_the_check_are_sent(application: HttpServer) -> None:
    assert looked(f"{application.url}/probed", headers={"X-Probe": "1"}).status == 200
    assert looked(f"{application.url}/probed").status == 403


# --- TCP ---------------------------------------------------------------------------------------------------------


def test_a_port_that_accepts_a_connection_is_healthy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert LOOK.connect("127.0.0.1", listener.getsockname()[1]).error is None


def test_a_port_that_nobody_listens_on_is_said_in_words() -> None:
    assert LOOK.connect("127.0.0.1", 9).error == "connection refused"


def test_a_port_that_does_not_answer_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, ExitStack() as waiting:
        port = listener.getsockname()[1]
        for _ in range(2):  # nobody accepts, so that the queue is full and the next one hears nothing
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        look = HttpHealth(within=timedelta(seconds=0.3)).connect("127.0.0.1", port)
    assert look.error == "no answer within 0.3 s"
    assert look.elapsed_ms < 2000
