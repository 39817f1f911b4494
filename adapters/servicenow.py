"""ServiceNow's Table API (REST API reference, Table API), as the CMDB."""

import ssl
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import httpx

from adapters.exchange import in_words, retry_after, system_trust
from migration.errors import Conflict, NotFound, Unavailable
from migration.ports import ConfigurationItem
from migration.settings import Connection

_WITHIN = timedelta(seconds=10)
_PLAIN_VALUES = {"sysparm_display_value": "false", "sysparm_exclude_reference_link": "true"}
_AT_MOST = "100"
_BUSY = {408, 425, 429}
_RELATIONS = "cmdb_rel_ci"


class ServiceNow:
    """The configuration items of one instance. Safe to share between threads."""

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

    def _query(self, table: str, wanted: Mapping[str, str]) -> list[dict[str, Any]]:
        for name, value in wanted.items():
            if "^" in value:
                raise Conflict(f"{name} {value!r} holds a ^, which ends a condition of an encoded query")
        query = "^".join(f"{name}={value}" for name, value in wanted.items())
        rows: list[dict[str, Any]] = self._call("GET", table, {"sysparm_query": query, "sysparm_limit": _AT_MOST})
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


def _said(response: httpx.Response) -> str:
    """The message and detail of ServiceNow's error body, or the reason phrase."""
    try:
        error = response.json()["error"]
        return ", ".join(str(part) for part in (error.get("message"), error.get("detail")) if part)
    except (ValueError, LookupError, TypeError, AttributeError):
        return response.reason_phrase
