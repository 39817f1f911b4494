"""The local cloud's own HTTP interface: read the ledger, plan faults, see who serves each application.

GET    /ledger?service=&operation=&target=&since=    the entries as JSON lines; `since` is a sequence number
GET    /faults                                       the rules in force
POST   /faults                                       put a rule in force, or a list of them; answers their ids
DELETE /faults, DELETE /faults/{id}                  take all back, or one
GET    /applications                                 every application's DNS answer, servers and writes
"""

import json
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from localcloud.faults import FaultPlan, Rule, rule_to_json
from localcloud.ledger import Ledger

_FILTERS = {"service", "operation", "target", "since"}


class ControlServer:
    """Serves the ledger, the fault plan and the applications' state."""

    def __init__(
        self,
        ledger: Ledger,
        faults: FaultPlan,
        applications: Callable[[], Any] | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        """`applications` gives the JSON of `GET /applications`."""
        self._ledger = ledger
        self._faults = faults
        self._applications = applications
        self._address = (host, port)
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> None:
        """Listen, in a daemon thread."""
        self._server = ThreadingHTTPServer(self._address, _handler(self))
        self._server.daemon_threads = True
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="control", daemon=True
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

    @property
    def ledger_url(self) -> str:
        """Where the ledger is read."""
        return f"{self.url}/ledger"

    @property
    def faults_url(self) -> str:
        """Where faults are planned."""
        return f"{self.url}/faults"

    @property
    def applications_url(self) -> str:
        """Where the applications' state is read."""
        return f"{self.url}/applications"

    def answer(self, method: str, target: str, body: bytes) -> tuple[HTTPStatus, str, str]:
        """Status, content type and body for one request.

        Raises:
            ValueError: The request makes no sense.
        """
        url = urlsplit(target)
        resource, _, name = url.path.strip("/").partition("/")
        if (method, resource, name) == ("GET", "ledger", ""):
            return HTTPStatus.OK, "application/x-ndjson", self._ledger_lines(url.query)
        if (method, resource, name) == ("GET", "applications", "") and self._applications:
            return _json(HTTPStatus.OK, self._applications())
        if resource == "faults":
            return self._plan(method, name, body)
        return _json(HTTPStatus.NOT_FOUND, {"error": f"no {method} {url.path} here"})

    def _ledger_lines(self, query: str) -> str:
        filters = {key: values[-1] for key, values in parse_qs(query).items()}
        if unknown := sorted(set(filters) - _FILTERS):
            raise ValueError(f"unknown filters: {', '.join(unknown)}")
        since = int(filters.pop("since", "0"))
        return "".join(json.dumps(entry.to_json()) + "\n" for entry in self._ledger.entries(**filters, since=since))

    def _plan(self, method: str, name: str, body: bytes) -> tuple[HTTPStatus, str, str]:
        if (method, name) == ("GET", ""):
            return _json(HTTPStatus.OK, [rule_to_json(key, rule) for key, rule in self._faults.rules().items()])
        if (method, name) == ("POST", ""):
            document = json.loads(body)
            rules = [Rule.from_json(item) for item in (document if isinstance(document, list) else [document])]
            return _json(HTTPStatus.CREATED, {"ids": [self._faults.add(rule) for rule in rules]})
        if (method, name) == ("DELETE", ""):
            self._faults.clear()
            return HTTPStatus.NO_CONTENT, "application/json", ""
        if method == "DELETE" and self._faults.remove(name):
            return HTTPStatus.NO_CONTENT, "application/json", ""
        return _json(HTTPStatus.NOT_FOUND, {"error": f"no {method} of fault {name!r}"})


def _json(status: HTTPStatus, document: Any) -> tuple[HTTPStatus, str, str]:
    return status, "application/json", json.dumps(document)


def _handler(control: ControlServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            try:
                status, kind, text = control.answer(self.command, self.path, body)
            except ValueError as error:
                status, kind, text = _json(HTTPStatus.BAD_REQUEST, {"error": str(error)})
            self.send_response(status)
            self.send_header("Content-Type", kind)
            payload = text.encode()
            if status is not HTTPStatus.NO_CONTENT:
                self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        do_GET = do_POST = do_DELETE = _serve  # noqa: N815  http.server looks these names up

        def log_message(self, *_: Any) -> None:
            """Say nothing: the ledger is the record."""

    return Handler
