"""The local cloud's own HTTP interface: read the ledger, plan faults, see who serves each application.

GET    /ledger?service=&operation=&target=&since=    the entries as JSON lines; `since` is a sequence number
GET    /faults                                       the rules in force
POST   /faults                                       put a rule in force, or a list of them; answers their ids
DELETE /faults, DELETE /faults/{id}                  take all back, or one
GET    /applications                                 every application's DNS answer, servers and writes
"""

import json
from collections.abc import Callable
from typing import Any

from localcloud.faults import FaultPlan, Rule, rule_to_json
from localcloud.http_server import HttpServer, Reply, Request
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
        self._server = HttpServer(self._serve, name="control", host=host, port=port)

    def start(self) -> None:
        """Listen."""
        self._server.start()

    def stop(self) -> None:
        """Stop listening."""
        self._server.stop()

    @property
    def url(self) -> str:
        """The base address. Raises `RuntimeError` before `start`."""
        return self._server.url

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

    def _serve(self, request: Request) -> Reply:
        try:
            return self._answer(request) or Reply.json(404, {"error": f"no {request.method} {request.path} here"})
        except ValueError as error:
            return Reply.json(400, {"error": str(error)})

    def _answer(self, request: Request) -> Reply | None:
        match request.method, *request.segments:
            case "GET", "ledger":
                return Reply(200, self._lines(dict(request.query)), {"Content-Type": "application/x-ndjson"})
            case "GET", "applications" if self._applications:
                return Reply.json(200, self._applications())
            case "GET", "faults":
                return Reply.json(200, [rule_to_json(key, rule) for key, rule in self._faults.rules().items()])
            case "POST", "faults":
                return Reply.json(201, {"ids": self._plan(json.loads(request.body))})
            case "DELETE", "faults", *rule_ids if self._take_back(rule_ids):
                return Reply(204)
        return None

    def _lines(self, filters: dict[str, str]) -> bytes:
        if unknown := sorted(set(filters) - _FILTERS):
            raise ValueError(f"unknown filters: {', '.join(unknown)}")
        since = int(filters.pop("since", "0"))
        entries = self._ledger.entries(**filters, since=max(0, since))
        return "".join(json.dumps(entry.to_json()) + "\n" for entry in entries).encode()

    def _take_back(self, rule_ids: list[str]) -> bool:
        if not rule_ids:
            self._faults.clear()
        return all(self._faults.remove(rule_id) for rule_id in rule_ids)

    def _plan(self, document: Any) -> list[str]:
        rules = [Rule.from_json(item) for item in (document if isinstance(document, list) else [document])]
        return [self._faults.add(rule) for rule in rules]
