"""A small threaded HTTP server for the stand-ins: a request in, a reply out, or none at all."""

import json
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from localcloud.faults import wait_for_hang_up

_LOG = logging.getLogger(__name__)
LARGEST_BODY = 1 << 20


@dataclass(frozen=True)
class Request:
    """One request. Path segments are decoded; headers are looked up without regard to case."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: Message
    body: bytes

    @property
    def segments(self) -> tuple[str, ...]:
        """The parts of the path between the slashes."""
        return tuple(unquote(part) for part in self.path.strip("/").split("/"))


@dataclass(frozen=True)
class Reply:
    """What is sent back; with `lost`, the connection is closed instead, when the caller has waited `held` seconds."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    lost: bool = False
    held: float = 0.0

    @classmethod
    def json(cls, status: int, document: Any, headers: Mapping[str, str] | None = None) -> "Reply":
        """A reply with a JSON body."""
        body = json.dumps(document).encode()
        return cls(status, body, {"Content-Type": "application/json;charset=UTF-8", **(headers or {})})

    @classmethod
    def silence(cls, seconds: float) -> "Reply":
        """No reply: the connection is closed after so many seconds, or when the caller hangs up."""
        return cls(0, lost=True, held=seconds)


class HttpServer:
    """Serves `answer` from daemon threads."""

    def __init__(self, answer: Callable[[Request], Reply], *, name: str, host: str, port: int) -> None:
        """Keep what to serve and where; port 0 takes a free one."""
        self._answer = answer
        self._name = name
        self._address = (host, port)
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> None:
        """Listen."""
        self._server = ThreadingHTTPServer(self._address, _handler(self._answer))
        self._server.daemon_threads = True
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name=self._name, daemon=True
        ).start()

    def stop(self) -> None:
        """Stop listening."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    @property
    def url(self) -> str:
        """The base address. Raises `RuntimeError` before `start`."""
        if not self._server:
            raise RuntimeError("not started")
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"


def _handler(answer: Callable[[Request], Reply]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            if length > LARGEST_BODY:
                self._send(Reply.json(413, {"error": f"more than {LARGEST_BODY} bytes"}, {"Connection": "close"}))
                return
            url = urlsplit(self.path)
            query = tuple(parse_qsl(url.query, keep_blank_values=True))
            request = Request(self.command, url.path, query, self.headers, self.rfile.read(length))
            try:
                reply = answer(request)
            except Exception:  # noqa: BLE001  a mistake of ours must look like one, not like a lost connection
                _LOG.exception("%s %s failed", self.command, self.path)
                reply = Reply.json(500, {"error": "the stand-in failed; see its log"})
            self._send(reply)

        def _send(self, reply: Reply) -> None:
            if reply.lost:
                wait_for_hang_up(self.connection, reply.held)
                self.close_connection = True
                return
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            if reply.status != HTTPStatus.NO_CONTENT:
                self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815  http.server looks these names up

        def log_message(self, *_: Any) -> None:
            """Say nothing: the ledger is the record."""

    return Handler
