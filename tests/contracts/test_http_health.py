"""One look at a health URL, at applications that answer, and at some that do not."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from adapters.exchange import system_trust
from adapters.http_health import HttpHealth
from localcloud.http_server import HttpServer, Reply, Request

LOOK = HttpHealth(within=timedelta(seconds=2))


@pytest.fixture
def application() -> Iterator[HttpServer]:
    def answer(request: Request) -> Reply:
        replies = {
            "/health": Reply(200, b"ok"),
            "/failing": Reply(503, b"starting"),
            "/moved": Reply(302, b"", {"Location": "/health"}),
            "/lost": Reply(200, lost=True),
            "/huge": Reply(200, b"x" * (1 << 20)),
        }
        return replies.get(request.path, Reply(404))

    server = HttpServer(answer, name="application", host="127.0.0.1", port=0)
    server.start()
    yield server
    server.stop()


@pytest.mark.parametrize(("path", "status"), [("/health", 200), ("/failing", 503), ("/huge", 200), ("/none", 404)])
def test_a_look_tells_the_status_and_how_long_it_took(application: HttpServer, path: str, status: int) -> None:
    look = LOOK.look(application.url + path)
    assert (look.status, look.error) == (status, None)
    assert 0 <= look.elapsed_ms < 2000


def test_a_redirect_is_an_answer_and_not_followed(application: HttpServer) -> None:
    assert LOOK.look(f"{application.url}/moved").status == 302


def test_a_connection_that_is_closed_is_said_in_words(application: HttpServer) -> None:
    look = LOOK.look(f"{application.url}/lost")
    assert (look.status, look.error) == (None, "the connection was closed without a whole answer")


def test_nobody_there_is_said_in_words() -> None:
    assert LOOK.look("http://127.0.0.1:9/health").error == "connection refused"


def test_silence_is_bounded() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        began = time.monotonic()
        look = HttpHealth(within=timedelta(seconds=0.3)).look(f"http://127.0.0.1:{listener.getsockname()[1]}/health")
    assert look.error == "no answer within 0.3 s"
    assert 300 <= look.elapsed_ms < 2000
    assert time.monotonic() - began < 2


def test_an_endless_answer_is_bounded() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/health"
        listener.settimeout(5)
        began = time.monotonic()
        error = _looked_at_while_dripping(listener, url)
    assert error == "no answer within 0.5 s"
    assert time.monotonic() - began < 3


def _looked_at_while_dripping(listener: socket.socket, url: str) -> str | None:
    stop = threading.Event()

    def drip() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\n")
            while not stop.wait(0.05):
                try:
                    connection.sendall(b"X-More: and more\r\n")
                except OSError:
                    return

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    try:
        return HttpHealth(within=timedelta(seconds=0.5)).look(url).error
    finally:
        stop.set()
        thread.join(5)


def test_a_name_that_nobody_has_is_said_in_words() -> None:
    look = LOOK.look("http://nobody.invalid:8080/health")
    assert look.status is None
    assert look.error


@pytest.mark.parametrize("url", ["", "health", "ftp://127.0.0.1/x", "http://", "http://[::1/", "http://127.0.0.1:x/"])
def test_what_is_no_health_url_is_said_and_raises_nothing(url: str) -> None:
    look = LOOK.look(url)
    assert look.status is None
    assert look.error


def test_proxies_of_the_environment_are_not_asked(application: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert LOOK.look(f"{application.url}/health").status == 200


def test_a_certificate_counts_only_when_the_system_trusts_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pem = tmp_path / "server.pem"
    _self_signed(pem)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Healthy)
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    url = f"https://127.0.0.1:{server.server_address[1]}/health"
    try:
        look = LOOK.look(url)
        assert look.status is None
        assert str(look.error).startswith("certificate not trusted: self")
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
        system_trust.cache_clear()
        assert LOOK.look(url).status == 200
    finally:
        system_trust.cache_clear()
        server.shutdown()
        server.server_close()


class _Healthy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def _self_signed(pem: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "application")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pkcs8, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, pkcs8, plain)
    pem.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
