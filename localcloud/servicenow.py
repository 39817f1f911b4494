"""A ServiceNow stand-in: the documented Table API on a few CMDB tables and change requests, strict in what it accepts.

Source: ServiceNow REST API reference, Table API. Where the real one shrugs (it drops unknown fields and ignores a
query that it cannot read), this one refuses, so that a mistake is seen.
"""

import base64
import hashlib
import json
import threading
import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from localcloud import change_requests
from localcloud.faults import FaultPlan, Rule
from localcloud.http_server import HttpServer, Reply, Request
from localcloud.ledger import Ledger
from localcloud.world import Application, SourceMachine

_SYSTEM = frozenset(
    {
        "sys_id",
        "sys_class_name",
        "sys_created_on",
        "sys_created_by",
        "sys_updated_on",
        "sys_updated_by",
        "sys_mod_count",
    }
)
_ITEM = frozenset(
    {
        "name",
        "ip_address",
        "install_status",
        "operational_status",
        "correlation_id",
        "comments",
        "short_description",
        "discovery_source",
    }
)
TABLES: Mapping[str, frozenset[str]] = {
    "cmdb_ci_server": _ITEM | {"virtual", "os", "object_id"},
    "cmdb_ci_vm_instance": _ITEM | {"object_id"},
    "cmdb_rel_ci": frozenset({"parent", "child", "type"}),
    change_requests.TABLE: change_requests.FIELDS,
}
_REFERENCES = {"parent": "cmdb_ci", "child": "cmdb_ci", "type": "cmdb_rel_type"}
_OPTIONS = frozenset(
    {
        "sysparm_query",
        "sysparm_fields",
        "sysparm_limit",
        "sysparm_offset",
        "sysparm_display_value",
        "sysparm_exclude_reference_link",
    }
)
_DEFAULT_LIMIT = 10_000

Record = dict[str, str]


class _Refusal(Exception):  # noqa: N818  an answer, not a failure of ours
    def __init__(self, status: int, message: str, detail: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.detail = detail

    def reply(self, headers: Mapping[str, str] | None = None) -> Reply:
        """ServiceNow's error body."""
        error = {"message": self.message, "detail": self.detail}
        return Reply.json(self.status, {"error": error, "status": "failure"}, headers)


def ci_sys_id(name: str) -> str:
    """The id of the seeded configuration item of this name: 32 hexadecimal digits, always the same."""
    return hashlib.sha256(f"cmdb_ci_server/{name}".encode()).hexdigest()[:32]


class ServiceNow:
    """Serves `/api/now/table/...` with basic authentication."""

    def __init__(
        self,
        ledger: Ledger,
        faults: FaultPlan,
        *,
        username: str,
        password: str,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        """Start with empty tables; the ledger gets every write, the fault plan may act on every call."""
        self._ledger = ledger
        self._faults = faults
        self._username = username
        self._expected = "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()
        self._tables: dict[str, dict[str, Record]] = {table: {} for table in TABLES}
        self._journal: dict[str, str] = {}
        self._lock = threading.Lock()
        self._server = HttpServer(self._answer, name="servicenow", host=host, port=port)

    def start(self) -> None:
        """Listen."""
        self._server.start()

    def stop(self) -> None:
        """Stop listening; the records stay."""
        self._server.stop()

    @property
    def url(self) -> str:
        """The instance's base address."""
        return self._server.url

    def seed_servers(self, machines: Iterable[SourceMachine]) -> None:
        """Make a server item of each source machine, in use, under `ci_sys_id(name)`."""
        for machine in machines:
            fields = {
                "name": machine.name,
                "ip_address": machine.address,
                "os": machine.os,
                "object_id": machine.uuid,
                "virtual": "true",
                "install_status": "1",
                "operational_status": "1",
                "discovery_source": "ServiceNow",
                "short_description": f"{machine.application} in the data centre",
            }
            self.seed("cmdb_ci_server", ci_sys_id(machine.name), fields)

    def seed_changes(self, applications: Iterable[Application]) -> None:
        """Make a change request for each application, approved and planned for now, under `change_number(name)`."""
        for sys_id, fields in change_requests.seeds(applications):
            self.seed(change_requests.TABLE, sys_id, fields)

    def seed(self, table: str, sys_id: str, fields: Mapping[str, str]) -> None:
        """Put a record in, as if it had been there for ever: the ledger does not see it."""
        with self._lock:
            self._tables[table][sys_id] = self._new(table, sys_id, _writable(table, dict(fields)))

    # --- a call ---------------------------------------------------------------------------------------------------

    def _answer(self, request: Request) -> Reply:
        if request.headers.get("Authorization") != self._expected:
            refusal = _Refusal(401, "User Not Authenticated", "Required to provide Auth information")
            return refusal.reply({"WWW-Authenticate": 'Basic realm="Service-now"'})
        try:
            table, sys_id = _place(request)
            operation = _operation(request.method, sys_id)
            rule = self._faults.take(
                service=_service(table), operation=operation, targets=self._targets(table, sys_id, request)
            )
            options = _options(request)

            def act() -> Reply:
                with self._lock:
                    return self._act(operation, table, sys_id, options, request)

            return self._faults.meet(rule, act, refusal=_planned_refusal, silence=Reply.silence)
        except _Refusal as refusal:
            return refusal.reply()

    def _targets(self, table: str, sys_id: str, request: Request) -> list[str]:
        """The table, the record's id and its name, so that a fault can be planned by any of them."""
        asked = f"^{dict(request.query).get('sysparm_query', '')}^"
        with self._lock:
            record = self._tables[table].get(sys_id)
            numbered = [
                r for r in self._tables[table].values() if not sys_id and f"^number={r.get('number')}^" in asked
            ]
        if numbered:
            record = numbered[0]
        if record is None and request.method == "POST":
            record = {name: value for name, value in _body(request).items() if isinstance(value, str)}
        return [name for name in (table, sys_id, *_names(record or {})) if name]

    def _act(self, operation: str, table: str, sys_id: str, options: Mapping[str, str], request: Request) -> Reply:
        if operation == "list":
            return self._list(table, options)
        if operation == "create":
            record = self._create(table, _writable(table, _body(request)))
            location = f"{self.url}/api/now/table/{table}/{record['sys_id']}"
            return Reply.json(201, {"result": self._shown(record, table, options)}, {"Location": location})
        record = self._tables[table].get(sys_id) or {}
        if not record:
            raise _Refusal(404, "No Record found", "Record doesn't exist or ACL restricts the record retrieval")
        if operation == "update":
            self._update(table, record, _writable(table, _body(request)))
        return Reply.json(200, {"result": self._shown(record, table, options)})

    def _list(self, table: str, options: Mapping[str, str]) -> Reply:
        wanted = _conditions(table, options.get("sysparm_query", ""))
        found = [record for record in self._tables[table].values() if _matches(record, wanted)]
        offset = _number(options, "sysparm_offset", 0)
        page = found[offset : offset + _number(options, "sysparm_limit", _DEFAULT_LIMIT)]
        result = [self._shown(record, table, options) for record in page]
        return Reply.json(200, {"result": result}, {"X-Total-Count": str(len(found))})

    def _shown(self, record: Record, table: str, options: Mapping[str, str]) -> dict[str, Any]:
        """The fields asked for, each with what people see of it when that is wanted too."""
        shown = _shown(record, table, options)
        if options.get("sysparm_display_value") != "all":
            return shown
        seen = {name: change_requests.displayed(name, record[name]) for name in shown}
        if change_requests.JOURNAL in seen:
            seen[change_requests.JOURNAL] = self._journal.get(record["sys_id"], "")
        return {name: {"display_value": seen[name], "value": record[name]} for name in shown}

    def _create(self, table: str, fields: Record) -> Record:
        record = self._new(table, uuid.uuid4().hex, fields)
        self._tables[table][record["sys_id"]] = record
        self._record("create", table, record, fields)
        return record

    def _update(self, table: str, record: Record, fields: Record) -> None:
        """Only a write that changes something counts as one, as in ServiceNow."""
        changed = {name: value for name, value in fields.items() if record[name] != value}
        if not changed:
            return
        if table == change_requests.TABLE and (reason := change_requests.refusal(record, changed)):
            raise _Refusal(403, "Operation Failed", reason)
        count = int(record["sys_mod_count"]) + 1
        stored = {name: value for name, value in changed.items() if name != change_requests.JOURNAL}
        if note := changed.get(change_requests.JOURNAL):
            written = change_requests.entry(_now(), self._username, note)
            self._journal[record["sys_id"]] = written + self._journal.get(record["sys_id"], "")
        record.update(stored, sys_updated_on=_now(), sys_updated_by=self._username, sys_mod_count=str(count))
        self._record("update", table, record, changed)

    def _new(self, table: str, sys_id: str, fields: Record) -> Record:
        stamp = {"sys_created_on": _now(), "sys_created_by": self._username}
        stamp |= {"sys_updated_on": stamp["sys_created_on"], "sys_updated_by": self._username, "sys_mod_count": "0"}
        return dict.fromkeys(TABLES[table], "") | fields | stamp | {"sys_id": sys_id, "sys_class_name": table}

    def _record(self, operation: str, table: str, record: Record, fields: Record) -> None:
        targets = [record["sys_id"], *_names(record)]
        detail = {"table": table, "fields": fields}
        self._ledger.record(
            service=_service(table), operation=operation, targets=targets, caller=self._username, detail=detail
        )


def _service(table: str) -> str:
    """What ledger and fault plan call it: the CMDB, or the change tickets that are written beside a migration."""
    return "change" if table == change_requests.TABLE else "servicenow"


def _names(record: Record) -> list[str]:
    """What people call a record, and what it is about: a change request has its application for a correlation id."""
    named = [record.get("name", ""), record.get("number", "")]
    about = [record.get("correlation_id", "")] if record.get("number") else []
    return [name for name in (*named, *about) if name]


def _place(request: Request) -> tuple[str, str]:
    match request.segments:
        case ("api", "now", ("v1" | "v2"), "table", table, *rest) | ("api", "now", "table", table, *rest):
            if len(rest) > 1:
                raise _Refusal(404, "Requested URI does not represent any resource", request.path)
            if table not in TABLES:
                raise _Refusal(400, f"Invalid table {table}")
            return table, rest[0] if rest else ""
    raise _Refusal(400, "Requested URI does not represent any resource", request.path)


def _operation(method: str, sys_id: str) -> str:
    operations = {"GET": "read", "PATCH": "update", "PUT": "update"} if sys_id else {"GET": "list", "POST": "create"}
    if method not in operations:
        raise _Refusal(405, "Method not supported", f"{method} is not allowed here")
    return operations[method]


def _options(request: Request) -> Mapping[str, str]:
    options = dict(request.query)
    if unknown := sorted(set(options) - _OPTIONS):
        raise _Refusal(400, "Invalid parameters", f"not supported here: {', '.join(unknown)}")
    if options.get("sysparm_display_value", "false") not in ("false", "all"):
        raise _Refusal(400, "Invalid parameters", "sysparm_display_value: only false and all are supported here")
    return options


def _body(request: Request) -> dict[str, Any]:
    kind = request.headers.get_content_type() if request.headers.get("Content-Type") else "none"
    if kind != "application/json":
        raise _Refusal(415, "Unsupported media type", f"Content-Type is {kind}, expected application/json")
    try:
        document = json.loads(request.body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise _Refusal(400, "Exception while reading request", "The payload is not valid JSON")
    return document


def _writable(table: str, fields: dict[str, Any]) -> Record:
    for name, value in fields.items():
        if name in _SYSTEM:
            raise _Refusal(400, "Invalid field", f"{name} is read only")
        if name not in TABLES[table]:
            raise _Refusal(400, "Invalid field", f"{table} has no field {name}")
        if not isinstance(value, str):
            raise _Refusal(400, "Invalid value", f"{name} must be a string, not {json.dumps(value)}")
    return fields


def _conditions(table: str, query: str) -> Record:
    """An encoded query of equalities joined by `^`."""
    conditions = {}
    for part in filter(None, query.split("^")):
        name, equals, value = part.partition("=")
        if not equals or name not in TABLES[table] | _SYSTEM:
            raise _Refusal(400, "Invalid query", f"cannot read {part!r}: expected FIELD=VALUE of {table}")
        conditions[name] = value
    return conditions


def _matches(record: Record, wanted: Record) -> bool:
    """ServiceNow compares strings without regard to case."""
    return all(record[name].casefold() == value.casefold() for name, value in wanted.items())


def _number(options: Mapping[str, str], name: str, default: int) -> int:
    text = options.get(name, str(default))
    if not (text.isascii() and text.isdigit()):
        raise _Refusal(400, "Invalid parameters", f"{name} must be a whole number, not {text!r}")
    return int(text)


def _shown(record: Record, table: str, options: Mapping[str, str]) -> dict[str, Any]:
    """The fields asked for; a reference is a link unless the caller leaves links out."""
    names = [name for name in options.get("sysparm_fields", "").split(",") if name] or sorted(record)
    if unknown := sorted(set(names) - set(record)):
        raise _Refusal(400, "Invalid field", f"{table} has no field {', '.join(unknown)}")
    shown: dict[str, Any] = {name: record[name] for name in names}
    if options.get("sysparm_exclude_reference_link") != "true":
        for name in _REFERENCES.keys() & shown.keys():
            link = f"/api/now/table/{_REFERENCES[name]}/{shown[name]}"
            shown[name] = {"link": link, "value": shown[name]}
    return shown


def _planned_refusal(rule: Rule) -> Reply:
    message = rule.message or rule.code or "Refused by the fault plan"
    headers = {"Retry-After": str(rule.retry_after)} if rule.http_status == 429 else {}  # noqa: PLR2004  HTTP's number
    return _Refusal(rule.http_status, message).reply(headers)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
