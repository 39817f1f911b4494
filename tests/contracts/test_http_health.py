"""One look at a health URL, at applications that answer, and at some that do not."""

import socket
import threading
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest

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
        look = _looked_at_while_dripping(listener, url)
    assert look == "no answer within 0.5 s"


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


def test_a_certificate_that_nobody_vouches_for_is_not_taken(application: HttpServer) -> None:
    look = LOOK.look(application.url.replace("http:", "https:"))
    assert look.status is None
    assert look.error
