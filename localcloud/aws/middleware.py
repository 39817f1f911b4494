"""Stands before moto: the fault plan acts here, and accepted calls that change something are written down."""

import contextlib
import io
import json
import socket
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn
from uuid import uuid4
from xml.sax.saxutils import escape

from localcloud.aws.callers import Callers
from localcloud.aws.calls import Aliases, Call, read_call, with_results
from localcloud.faults import FaultPlan, Rule, wait_for_hang_up
from localcloud.ledger import Ledger

StartResponse = Callable[..., Any]
WsgiApp = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]

RECORDED = frozenset({"mgn", "ec2", "route53", "dynamodb", "sqs", "ssm", "events"})
_USUAL_CODES = {
    400: "ValidationException",
    402: "ServiceQuotaExceededException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    409: "ConflictException",
    429: "ThrottlingException",
    500: "InternalServerException",
    503: "ServiceUnavailable",
}
_REFUSALS = {
    "throttle": {
        "mgn": (429, "ThrottlingException"),
        "ec2": (503, "RequestLimitExceeded"),
        "route53": (400, "Throttling"),
        "dynamodb": (400, "ProvisionedThroughputExceededException"),
        "sqs": (400, "RequestThrottled"),
    },
    "wrongState": {
        "ec2": (400, "IncorrectInstanceState"),
        "route53": (400, "InvalidChangeBatch"),
        "dynamodb": (400, "ConditionalCheckFailedException"),
        "sqs": (400, "QueueDeletedRecently"),
        "ssm": (400, "InvalidInstanceId"),
    },
}
"""How each service says it, as its API reference has it; the others say it as below."""

_USUAL_REFUSALS = {"throttle": (400, "ThrottlingException"), "wrongState": (409, "ConflictException")}
_ACCEPTED = 400


@dataclass(frozen=True)
class Answered:
    """A whole reply, kept back until it is known whether it may leave."""

    status: str
    headers: Sequence[tuple[str, str]]
    body: bytes

    @property
    def accepted(self) -> bool:
        """Whether the call was carried out."""
        return int(self.status.split(" ", 1)[0]) < _ACCEPTED


class Middleware:
    """A WSGI application around moto's."""

    def __init__(self, app: WsgiApp, ledger: Ledger, faults: FaultPlan, *, turn: threading.RLock) -> None:
        """`turn` is held during every call but long polls, as moto has no locks: so the ledger's order is the true one.

        Nothing is recorded, and no fault acts, until `open`.
        """
        self._app = app
        self._ledger = ledger
        self._faults = faults
        self._turn = turn
        self.callers = Callers()
        self._aliases: Aliases | None = None
        self._changed: Callable[[], object] = lambda: None

    def open(self, aliases: Aliases, changed: Callable[[], object]) -> None:
        """From now on record and fail calls.

        Args:
            aliases: Other names of what an id stands for.
            changed: Called after each accepted call that may have changed MGN, EC2 or DNS.
        """
        self._aliases = aliases
        self._changed = changed

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        body = _take_body(environ)
        call = read_call(environ, body, self._aliases) if self._aliases else None
        if call is None:
            return self._app(environ, start_response)
        self.callers.called(call)
        rule = self._faults.take(service=call.service, operation=call.operation, targets=call.targets)
        answered = self._faults.meet(
            rule,
            lambda: self._carry_out(call, environ, body),
            refusal=lambda rule: refusal(call, rule),
            silence=lambda seconds: _hang_up(environ, seconds),
        )
        start_response(answered.status, list(answered.headers))
        return [answered.body]

    def _carry_out(self, call: Call, environ: dict[str, Any], body: bytes) -> Answered:
        if call.operation == "ReceiveMessage":
            return _run(self._app, environ)
        with self._turn:
            answered = _run(self._app, environ)
            if answered.accepted and call.mutating and call.service in RECORDED:
                self._record(call, answered)
            if answered.accepted and call.operation == "AssumeRole":
                self.callers.assumed(body, answered.body)
            return answered

    def _record(self, call: Call, answered: Answered) -> None:
        if self._aliases:
            call = with_results(call, answered.body, self._aliases)
        self._ledger.record(
            service=call.service,
            operation=call.operation,
            targets=call.targets,
            caller=self.callers.name(call.caller),
            detail=call.detail,
        )
        if call.service in ("mgn", "ec2", "route53"):
            self._changed()


def refusal(call: Call, rule: Rule) -> Answered:
    """The planned error in the shape of the service's protocol."""
    status, code = _status_and_code(call.service, rule)
    message = rule.message or f"{call.operation} is refused by the fault plan"
    request_id = str(uuid4())
    headers = [("x-amzn-RequestId", request_id)]
    if rule.action == "throttle" and call.service == "mgn":  # of these services the only one that says how long
        headers.append(("Retry-After", str(rule.retry_after)))
    if call.protocol in ("json", "rest-json"):
        kind = "application/json" if call.protocol == "rest-json" else "application/x-amz-json-1.1"
        headers.append(("x-amzn-ErrorType", code))
        body = json.dumps({"__type": code, "message": message, "code": code})
    else:
        kind = "text/xml"
        error = f"<Error><Type>Sender</Type><Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error>"
        if call.protocol == "ec2":
            body = f"<Response><Errors>{error}</Errors><RequestID>{request_id}</RequestID></Response>"
        else:
            body = f"<ErrorResponse>{error}<RequestId>{request_id}</RequestId></ErrorResponse>"
    payload = body.encode()
    headers += [("Content-Type", kind), ("Content-Length", str(len(payload)))]
    return Answered(f"{status} Refused", headers, payload)


def _status_and_code(service: str, rule: Rule) -> tuple[int, str]:
    if rule.action not in _USUAL_REFUSALS:
        status = rule.http_status
        return status, rule.code or _USUAL_CODES.get(status, "ServiceUnavailable")
    status, code = _REFUSALS[rule.action].get(service, _USUAL_REFUSALS[rule.action])
    return rule.status or status, rule.code or code


def _take_body(environ: dict[str, Any]) -> bytes:
    body: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    return body


def _run(app: WsgiApp, environ: dict[str, Any]) -> Answered:
    head: list[Any] = []

    def start_response(status: str, headers: Sequence[tuple[str, str]], _: object = None) -> Callable[[bytes], object]:
        head[:] = [status, headers]
        return lambda _: None

    parts = app(environ, start_response)
    try:
        body = b"".join(parts)
    finally:
        if hasattr(parts, "close"):
            parts.close()
    return Answered(head[0], head[1], body)


def _hang_up(environ: dict[str, Any], seconds: float) -> NoReturn:
    """Close the connection as a network that fails does, after so many seconds: no reply, no end.

    Raises:
        ConnectionResetError: Always; the server takes it as the client's own going away.
    """
    wait_for_hang_up(environ["werkzeug.socket"], seconds)
    with contextlib.suppress(OSError):
        environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    raise ConnectionResetError("the reply is lost, as planned")
