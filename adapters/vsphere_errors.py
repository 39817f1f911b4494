"""vSphere's faults, and what breaks on the way to it, as the errors of `migration.errors`: translated here only."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException

from pyVmomi import vim, vmodl

from migration.errors import Conflict, MigrationError, NotFound, PrerequisiteError, SourcePreparationError, Unavailable

FAILURES = (vmodl.MethodFault, OSError, HTTPException)
"""What pyvmomi raises when a call was refused, or its reply did not come."""

_PASSING = (
    vim.fault.ConcurrentAccess,
    vim.fault.HostConnectFault,
    vim.fault.NotAuthenticated,
    vim.fault.ResourceInUse,
    vim.fault.TaskInProgress,
    vim.fault.Timedout,
    vmodl.fault.HostCommunication,
    vmodl.fault.RequestCanceled,
    vmodl.fault.SystemError,
    OSError,
    HTTPException,
)


@contextmanager
def translated(vm: str) -> Iterator[None]:
    """Raise what goes wrong inside in the words of `migration.errors`, naming the machine."""
    try:
        yield
    except FAILURES as error:
        raise _translate(vm, error) from error


def _translate(vm: str, error: Exception) -> MigrationError:
    words = f"{vm}: {_in_words(error)}"
    match error:
        case ssl.SSLCertVerificationError():
            return PrerequisiteError(words, action="Set ca_file of this vCenter connection to its CA certificates")
        case vim.fault.ToolsUnavailable():
            return Conflict(words, action="Start the guest tools, or cut the power", retryable=True)
        case vim.fault.NoPermission() if not isinstance(error, vim.fault.NotAuthenticated):
            return PrerequisiteError(words, action=f"Give our vCenter user the privilege {error.privilegeId}")
    return _class_of(error)(words)


def _class_of(error: Exception) -> type[MigrationError]:
    match error:
        case vmodl.fault.ManagedObjectNotFound():
            # Only a machine that is gone is an answer; a task or snapshot that is gone is worth another look.
            return NotFound if isinstance(error.obj, vim.VirtualMachine) else Unavailable
        case vim.fault.InvalidState():
            return Conflict
    return Unavailable if isinstance(error, _PASSING) else SourcePreparationError


def _in_words(error: Exception) -> str:
    if isinstance(error, vmodl.MethodFault):
        kind = type(error).__name__.rpartition(".")[2]
        return f"vCenter answered {kind}{f', {error.msg}' if error.msg else ''}"
    return f"vCenter did not answer: {error or type(error).__name__}"
