"""The local cloud's own HTTP interface: read the ledger, plan faults, see who serves each application, who called what.

GET    /ledger?service=&operation=&target=&since=    the entries as JSON lines; `since` is a sequence number
GET    /faults                                       the rules in force
POST   /faults                                       put a rule in force, or a list of them; answers their ids
DELETE /faults, DELETE /faults/{id}                  take all back, or one
GET    /applications                                 every application's DNS answer, servers and writes
GET    /calls                                        who called what of AWS, and how often, looks too

A fault is a JSON object. It says which calls it meets:

    service    mgn, ec2, route53, dynamodb, sqs, ssm, vcenter, servicenow, cmf, events or callback, as in the ledger
    operation  as in the ledger: StartCutover, PowerOffVM_Task, update, deliver; a SendCommand whose script only looks
               is LookupAgentPrerequisites, and is not in the ledger
    target     an id or name that the call touches, such as billing-web-01; left out: every call
    after      how many such calls pass first (0); the nth call alone is {"after": n - 1, "times": 1}
    times      how many it then hits; left out: all, for good

and what becomes of them, by its `action`:

    refuse      an error: `status` (503), `code`, `message`. `when` "after": the effect is had, and then comes the error
    throttle    the service's own "too fast"; `seconds` (1) in Retry-After, where the service sends it
    wrongState  the service's own "not in that state"
    replyLost   the effect is had, the connection is closed without a reply. `when` "before": the request is lost
    delay       `seconds` (1) pass before the effect; `when` "after": between effect and reply
    hang        no effect and no reply, until the caller hangs up or `seconds` (600) have passed. `when` "after": an
                effect, and no reply
    kill        the process that called gets SIGKILL (the ingress for sqs, else the worker; `up` starts it again).
                `when` "before" its call has an effect (the default), or "after"

Some are no calls of a client, and stand under a name of their own:

    mgn launch, launchFailed                 a launch job fails for the server `target` (or `target`/test,
                                             `target`/cutover), with `message` as its raw error
    mgn snapshot, launchFailed               the launch uses the previous snapshot (SNAPSHOT_FAIL in its job's log)
    mgn conversion, launchFailed             the launch fails in its conversion (CONVERSION_FAIL)
    mgn action, launchFailed                 a post-launch action fails; `target` may also be the action's name
    mgn trouble, replicationStalled          the replication of `target` is STALLED with `code` (SNAPSHOTS_FAILURE), its
                                             agent in sight: for `seconds`, or until taken back
    mgn replication, replicationStalled      MGN does not see the agent of `target`: for `seconds`, or until taken back
    mgn replication, lagFlaps                MGN sees the agent of `target` every other `seconds` (2); `times` flaps
    application health, neverHealthy         the launched instance of `target` (or `target`/test, `target`/cutover, or
                                             an instance id) answers 503
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
        calls: Callable[[], Any] | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        """`applications` and `calls` give the JSON of `GET /applications` and of `GET /calls`."""
        self._ledger = ledger
        self._faults = faults
        self._reports = {"applications": applications, "calls": calls}
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
    def calls_url(self) -> str:
        """Where it is read who called what of AWS."""
        return f"{self.url}/calls"

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
            case "GET", name if report := self._reports.get(name):
                return Reply.json(200, report())
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
