"""One login to a vCenter, shared by threads and renewed when it has expired."""

import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from http.client import HTTPException
from typing import Any, TypeVar

from pyVmomi import SoapStubAdapter, vim, vmodl

from adapters.vsphere_errors import FAILURES
from migration.errors import PrerequisiteError
from migration.settings import Connection

Result = TypeVar("Result")

# vSphere 6.5. Later servers answer in the terms of the version that is asked for, unknown enumerations included.
_API_VERSION = "vim.version.version11"
_POOLED_CONNECTIONS = 16


class Session:
    """A login, and the reading of properties through it."""

    def __init__(self, connection: Connection, call_within: timedelta) -> None:
        """Keep how to log in; nothing is called yet."""
        self._connection = connection
        self._call_within = call_within
        self._lock = threading.Lock()
        self._stub: Any = None
        self._content: Any = None
        self._logins = 0

    def close(self) -> None:
        """Log out, as far as vCenter still listens, and close the pooled connections."""
        with self._lock:
            content, self._content = self._content, None
            stub, self._stub = self._stub, None
        if content is not None:
            with suppress(*FAILURES):
                content.sessionManager.Logout()
        if stub is not None:
            stub.DropConnections()

    def run(self, call: Callable[[Any], Result]) -> Result:
        """Make one SOAP call, given the service's content; logged in again when the session has expired.

        Only for single calls: a call that was answered with NotAuthenticated did nothing, and is made once more.
        """
        content, login = self._open()
        try:
            return call(content)
        except vim.fault.NotAuthenticated:
            content, _ = self._open(expired=login)
            return call(content)

    def read(
        self, objects: Sequence[Any], properties: Mapping[Any, Sequence[str]], *, whole: Any = None
    ) -> dict[Any, dict[str, Any]]:
        """Read properties of objects (PropertyCollector.RetrievePropertiesEx).

        Args:
            objects: Where to begin.
            properties: Which to read, by type.
            whole: The type whose objects must show every property; what others hide from us is left out. Else a
                property that we may not see would look like one that is not set.

        Returns:
            The properties that are set, by object.
        """
        wanted = [
            vmodl.query.PropertyCollector.PropertySpec(type=kind, pathSet=list(paths))
            for kind, paths in properties.items()
        ]
        spec = vmodl.query.PropertyCollector.FilterSpec(objectSet=list(objects), propSet=wanted)
        options = vmodl.query.PropertyCollector.RetrieveOptions()
        page = self._page(lambda content: content.propertyCollector.RetrievePropertiesEx([spec], options), whole)
        seen: dict[Any, dict[str, Any]] = {}
        while page is not None:
            seen |= {item.obj: {entry.name: entry.val for entry in item.propSet} for item in page.objects}
            page = self._next_page(page.token, whole) if page.token else None
        return seen

    def _next_page(self, token: str, whole: Any) -> Any:
        return self._page(lambda content: content.propertyCollector.ContinueRetrievePropertiesEx(token), whole)

    def _page(self, call: Callable[[Any], Any], whole: Any) -> Any:
        def checked(content: Any) -> Any:
            page = call(content)
            for item in page.objects if page else ():
                for missing in item.missingSet:
                    # A session that has ended may show here, instead of as a fault of the call.
                    if isinstance(missing.fault, vim.fault.NotAuthenticated) or (whole and isinstance(item.obj, whole)):
                        raise missing.fault
            return page

        return self._again(checked)

    def everything(self) -> Any:
        """What to read from to see every machine: the root folder, and the way down from it."""
        folders, apps = _name("folders"), _name("apps")
        down = [
            vmodl.query.PropertyCollector.TraversalSpec(
                name="folders",
                type=vim.Folder,
                path="childEntity",
                selectSet=[folders, apps, _name("datacenters"), _name("members")],
            ),
            vmodl.query.PropertyCollector.TraversalSpec(
                name="datacenters", type=vim.Datacenter, path="vmFolder", selectSet=[folders]
            ),
            vmodl.query.PropertyCollector.TraversalSpec(name="members", type=vim.VirtualApp, path="vm"),
            vmodl.query.PropertyCollector.TraversalSpec(
                name="apps", type=vim.VirtualApp, path="resourcePool", selectSet=[apps, _name("members")]
            ),
        ]
        root = self.run(lambda content: content.rootFolder)
        return vmodl.query.PropertyCollector.ObjectSpec(obj=root, skip=True, selectSet=down)

    def _again(self, call: Callable[[Any], Result]) -> Result:
        """Read a second time when the connection broke: an idle one may have been closed by the other side."""
        try:
            return self.run(call)
        except (ConnectionError, HTTPException):
            return self.run(call)

    def _open(self, *, expired: int | None = None) -> tuple[Any, int]:
        with self._lock:
            if self._content is None or expired == self._logins:
                self._content = None
                self._content = self._log_in()
                self._logins += 1
            return self._content, self._logins

    def _log_in(self) -> Any:
        self._stub = self._stub or self._new_stub()
        self._stub.cookie = ""
        content: Any = vim.ServiceInstance("ServiceInstance", self._stub).RetrieveContent()
        try:
            content.sessionManager.Login(self._connection.username, self._connection.password.get_secret_value(), None)
        except vim.fault.InvalidLogin as fault:
            raise PrerequisiteError(
                f"{self._connection.url} refused the login of {self._connection.username!r}",
                action="Correct the user name and password of this vCenter connection",
            ) from fault
        return content

    def _new_stub(self) -> Any:
        url = self._connection.url
        trust = None
        if url.startswith("https:"):
            trust = ssl.create_default_context(cafile=self._connection.ca_file)
        return SoapStubAdapter(
            url=url,
            version=_API_VERSION,
            sslContext=trust,
            poolSize=_POOLED_CONNECTIONS,
            httpConnectionTimeout=self._call_within.total_seconds(),
        )


def _name(name: str) -> Any:
    return vmodl.query.PropertyCollector.SelectionSpec(name=name)
