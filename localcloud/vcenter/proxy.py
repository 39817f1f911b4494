"""What stands in front of the simulator: reads each SOAP call, asks the fault plan, keeps the ledger."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from localcloud.faults import FaultPlan, Rule
from localcloud.http_server import Reply, Request
from localcloud.ledger import Ledger
from localcloud.vcenter.program import Program

SERVICE = "vcenter"
MUTATING = frozenset(
    {
        "CloneVM_Task",
        "CreateSnapshotEx_Task",
        "CreateSnapshot_Task",
        "CreateVM_Task",
        "Destroy_Task",
        "MarkAsTemplate",
        "PowerOffVM_Task",
        "PowerOnVM_Task",
        "RebootGuest",
        "ReconfigVM_Task",
        "RelocateVM_Task",
        "RemoveAllSnapshots_Task",
        "RemoveSnapshot_Task",
        "Rename_Task",
        "ResetVM_Task",
        "RevertToCurrentSnapshot_Task",
        "RevertToSnapshot_Task",
        "ShutdownGuest",
        "StandbyGuest",
        "SuspendVM_Task",
        "UnregisterVM",
    }
)
_BODY = "{http://schemas.xmlsoap.org/soap/envelope/}Body"
_TASK = re.compile(rb'<returnval[^>]*type="Task"[^>]*>([^<]+)<')
_TASK_WITHIN = 10.0
_ANSWER_WITHIN = 300.0
_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"})
_OK = 200

_FAULT = """<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" \
xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
<soapenv:Body><soapenv:Fault><faultcode>ServerFaultCode</faultcode><faultstring>{message}</faultstring>
<detail><{code}Fault xmlns="urn:vim25" xsi:type="{code}"/></detail></soapenv:Fault></soapenv:Body></soapenv:Envelope>
"""


@dataclass(frozen=True)
class Call:
    """One SOAP call: its method, what it is called on, and what it says of names and devices."""

    method: str
    kind: str
    reference: str
    detail: Mapping[str, Any]


def read_call(body: bytes) -> Call | None:
    """Read a SOAP request, or None when it is something else."""
    try:
        envelope = ET.fromstring(body)  # noqa: S314  from clients on this machine
    except ET.ParseError:
        return None
    method = next(iter(envelope.find(_BODY) or ()), None)
    if method is None:
        return None
    this = next((child for child in method if _local(child.tag) == "_this"), None)
    named = {_local(child.tag): child.text or "" for child in method if _local(child.tag) in {"name", "newName"}}
    kind, reference = (this.get("type", ""), this.text or "") if this is not None else ("", "")
    return Call(_local(method.tag), kind, reference, named)


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


class Proxy:
    """Passes every request on, unless the fault plan says otherwise."""

    def __init__(self, program: Program, ledger: Ledger, faults: FaultPlan) -> None:
        """Keep where to pass requests to, and where to keep account."""
        self._program = program
        self._ledger = ledger
        self._faults = faults

    def answer(self, request: Request) -> Reply:
        """One request: refused, passed on, or passed on without the reply.

        A mutating call is in the ledger, and its effect was told, before its reply is sent.
        """
        call = read_call(request.body)
        if call is None:
            return self._pass_on(request)
        targets = self._program.targets(call.kind, call.reference)
        rule = self._faults.take(service=SERVICE, operation=call.method, targets=targets)
        return self._faults.meet(
            rule, lambda: self._carry_out(call, targets, request), refusal=refusal, silence=Reply.silence
        )

    def _carry_out(self, call: Call, targets: list[str], request: Request) -> Reply:
        reply = self._pass_on(request)
        if call.method in MUTATING and self._took_effect(reply):
            self._ledger.record(
                service=SERVICE,
                operation=call.method,
                targets=targets or [call.reference],
                detail={"on": f"{call.kind}:{call.reference}", **call.detail},
            )
        return reply

    def _took_effect(self, reply: Reply) -> bool:
        if reply.status != _OK:
            return False
        task = _TASK.search(reply.body)
        return task is None or self._program.task_succeeded(task[1].decode(), within=_TASK_WITHIN) is not False

    def _pass_on(self, request: Request) -> Reply:
        address = urlsplit(self._program.address)
        connection = HTTPConnection(address.hostname or "", address.port, timeout=_ANSWER_WITHIN)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
        # The reply is read here, so it must come as plain text.
        headers["Accept-Encoding"] = "identity"
        try:
            connection.request(request.method, request.path, request.body or None, headers)
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        kept = {name: value for name, value in response.getheaders() if name.lower() not in _HOP_BY_HOP}
        return Reply(response.status, body, kept)


def refusal(rule: Rule) -> Reply:
    """A SOAP fault of the type that the rule's code names (`InvalidState`); SOAP 1.1 wants status 500 for all."""
    code = rule.code or ("InvalidPowerState" if rule.action == "wrongState" else "SystemError")
    message = rule.message or f"refused by the fault plan: {code}"
    body = _FAULT.format(code=escape(code), message=escape(message)).encode()
    return Reply(500, body, {"Content-Type": 'text/xml; charset="utf-8"'})
