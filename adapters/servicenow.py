"""ServiceNow's Table API (REST API reference, Table API), as the CMDB and as the system of change tickets."""

import ssl
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx

from adapters.exchange import in_words, retry_after, system_trust
from migration.errors import Conflict, NotFound, Unavailable
from migration.ports import ConfigurationItem, Ticket
from migration.settings import Connection

_WITHIN = timedelta(seconds=10)
_PLAIN_VALUES = {"sysparm_display_value": "false", "sysparm_exclude_reference_link": "true"}
_AT_MOST = "100"
_BUSY = {408, 425, 429}
_RELATIONS = "cmdb_rel_ci"

_CHANGES = "change_request"
_CHANGE_FIELDS = ("sys_id", "number", "state", "approval", "on_hold", "start_date", "end_date", "work_notes")
_BOTH_VALUES = {"sysparm_display_value": "all"}
"""Values as they are stored, dates in UTC, beside what people see, which for a journal is everything written so far."""

_SCHEDULED, _IMPLEMENT, _REVIEW, _CLOSED, _CANCELLED = "-2", "-1", "0", "3", "4"
"""States of the change state model (ServiceNow, "State model and transitions")."""

_TO_BE_DONE = frozenset({_SCHEDULED, _IMPLEMENT})
_OVER = frozenset({_CLOSED, _CANCELLED})
_NEXT = {_SCHEDULED: _IMPLEMENT, _IMPLEMENT: _REVIEW, _REVIEW: _CLOSED}


class ServiceNow:
    """The configuration items and change requests of one instance. Safe to share between threads."""

    def __init__(self, connection: Connection, *, table: str = "cmdb_ci_server") -> None:
        """Prepare a client; nothing is called yet.

        Args:
            connection: The instance's base URL and an account of it.
            table: Where the items are.
        """
        self._table = table
        self._host = httpx.URL(connection.url).host
        self._client = httpx.Client(
            base_url=f"{connection.url.rstrip('/')}/api/now/table/",
            auth=(connection.username, connection.password.get_secret_value()),
            headers={"Accept": "application/json", "User-Agent": "migrator"},
            verify=_trust(connection),
            timeout=_WITHIN.total_seconds(),
            follow_redirects=False,
            trust_env=False,
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def about(self) -> str:
        """Log in, and read one item of the table; where it listens. Raises `Conflict` when the account may not."""
        self._call("GET", self._table, {"sysparm_limit": "1"})
        return self._host

    def read(self, item_id: str) -> ConfigurationItem:
        """Read the item's fields. Raises `NotFound`."""
        return _item(self._call("GET", f"{self._table}/{quote(item_id, safe='')}"))

    def update(self, item_id: str, fields: Mapping[str, str]) -> ConfigurationItem:
        """Set these fields where they differ, read them back, and return the item as it then is.

        Raises:
            NotFound: There is no such item.
            Conflict: The instance refused the write, or took it and kept other values: an access rule or a business
                rule does that, and says nothing.
        """
        item = self.read(item_id)
        wanted = {name: value for name, value in fields.items() if item.fields.get(name) != value}
        if not wanted:
            return item
        self._call("PATCH", f"{self._table}/{quote(item_id, safe='')}", body=wanted)
        item = self.read(item_id)
        if kept := sorted(name for name, value in wanted.items() if item.fields.get(name) != value):
            raise Conflict(
                f"{self._host} took the write to {self._table} {item_id} but kept its own {', '.join(kept)}",
                action="Look for an access rule or a business rule on these fields",
            )
        return item

    def find(self, correlation_id: str) -> tuple[ConfigurationItem, ...]:
        """The items that carry this correlation id."""
        return tuple(map(_item, self._query(self._table, {"correlation_id": correlation_id})))

    def relate(self, *, parent: str, child: str, relation_type: str) -> str:
        """Make the relation between two items unless it is there; returns its id.

        Args:
            parent: The parent's id.
            child: The child's id.
            relation_type: The id of a `cmdb_rel_type`.
        """
        relation = {"parent": parent, "child": child, "type": relation_type}
        if found := self._query(_RELATIONS, relation):
            return str(found[0]["sys_id"])
        return str(self._call("POST", _RELATIONS, body=relation)["sys_id"])

    # --- change requests -----------------------------------------------------------------------------------------

    def ticket(self, number: str) -> Ticket:
        """Read a change request by its number, with its work notes.

        Raises:
            NotFound: There is none, or the account may not see it: ServiceNow does not tell the two apart.
            Conflict: Several have the number.
        """
        rows = self._query(_CHANGES, {"number": number}, {**_BOTH_VALUES, "sysparm_fields": ",".join(_CHANGE_FIELDS)})
        if not rows:
            raise NotFound(f"ServiceNow at {self._host} has no change request {number}, or none for this account")
        if len(rows) > 1:
            raise Conflict(f"ServiceNow at {self._host} has {len(rows)} change requests {number}")
        return _ticket(rows[0])

    def add_note(self, ticket_id: str, note: str) -> None:
        """Append one work note: a write to a journal field adds an entry and changes none."""
        self._call("PATCH", f"{_CHANGES}/{quote(ticket_id, safe='')}", body={"work_notes": note})

    def advance(self, ticket_id: str, *, code: str, notes: str) -> bool:
        """Bring a change request into the next state of the state model; Closed is the last.

        Returns:
            False when it is closed or cancelled already; then nothing was done.

        Raises:
            Conflict: It has a state of another model, or stayed in the one it had, as a business rule may want it.
        """
        path = f"{_CHANGES}/{quote(ticket_id, safe='')}"
        state = str(self._call("GET", path)["state"])
        if state in _OVER:
            return False
        if state not in _NEXT:
            raise Conflict(f"the change request {ticket_id} has the state {state}, from which nothing leads to Closed")
        closing = {"close_code": code, "close_notes": notes} if _NEXT[state] == _CLOSED else {}
        self._call("PATCH", path, body={"state": _NEXT[state], **closing})
        if str(self._call("GET", path)["state"]) == state:
            raise Conflict(
                f"{self._host} took the write to the change request {ticket_id} but kept its state {state}",
                action="Close it by hand: a business rule wants something more of it first.",
            )
        return True

    def _query(
        self, table: str, wanted: Mapping[str, str], parameters: Mapping[str, str] | None = None
    ) -> list[dict[str, Any]]:
        for name, value in wanted.items():
            if "^" in value:
                raise Conflict(f"{name} {value!r} holds a ^, which ends a condition of an encoded query")
        query = "^".join(f"{name}={value}" for name, value in wanted.items())
        asked = {"sysparm_query": query, "sysparm_limit": _AT_MOST, **(parameters or {})}
        rows: list[dict[str, Any]] = self._call("GET", table, asked)
        return rows

    def _call(
        self, method: str, path: str, parameters: Mapping[str, str] | None = None, body: Mapping[str, str] | None = None
    ) -> Any:
        try:
            response = self._client.request(method, path, params={**_PLAIN_VALUES, **(parameters or {})}, json=body)
        except httpx.HTTPError as error:
            raise Unavailable(f"ServiceNow at {self._host}: {in_words(error)}") from error
        if not response.is_success:
            raise self._refusal(response, f"{method} {path}")
        try:
            return response.json()["result"]
        except (ValueError, LookupError, TypeError) as error:
            # A hibernating instance, or a proxy before it, answers 200 with a page for people.
            raise Unavailable(f"ServiceNow at {self._host} answered {method} {path} with something else") from error

    def _refusal(self, response: httpx.Response, call: str) -> Exception:
        words = f"ServiceNow at {self._host} answered {call} with {response.status_code}: {_said(response)}"
        status = response.status_code
        if status in _BUSY or response.is_server_error:
            return Unavailable(words, retry_after=retry_after(response.headers))
        if status == httpx.codes.NOT_FOUND:
            return NotFound(words)
        if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            return Conflict(words, action="Check the account of this connection and its roles")
        return Conflict(words)


def _trust(connection: Connection) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(connection.ca_file)) if connection.ca_file else system_trust()


def _item(record: Mapping[str, Any]) -> ConfigurationItem:
    fields = {name: value for name, value in record.items() if isinstance(value, str)}
    return ConfigurationItem(id=fields.get("sys_id", ""), fields=fields)


def _ticket(record: Mapping[str, Any]) -> Ticket:
    stored = {name: str(record[name]["value"]) for name in _CHANGE_FIELDS if isinstance(record.get(name), Mapping)}
    shown = {name: str(record[name]["display_value"]) for name in stored}
    state = stored.get("state", "")
    return Ticket(
        id=stored["sys_id"],
        number=stored["number"],
        state=shown.get("state", state),
        to_be_done=state in _TO_BE_DONE,
        over=state in _OVER,
        approval=shown.get("approval", ""),
        approved=stored.get("approval") == "approved",
        on_hold=stored.get("on_hold") == "true",
        starts=_moment(stored.get("start_date")),
        ends=_moment(stored.get("end_date")),
        notes=shown.get("work_notes", ""),
    )


def _moment(stored: str | None) -> datetime | None:
    """A date as ServiceNow stores it: UTC, without saying so."""
    return datetime.strptime(stored, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC) if stored else None


def _said(response: httpx.Response) -> str:
    """The message and detail of ServiceNow's error body, or the reason phrase."""
    try:
        error = response.json()["error"]
        return ", ".join(str(part) for part in (error.get("message"), error.get("detail")) if part)
    except (ValueError, LookupError, TypeError, AttributeError):
        return response.reason_phrase
