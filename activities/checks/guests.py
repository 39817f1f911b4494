"""The guest's operating system, by the hypervisor's name for it (vSphere API, `VirtualMachineGuestOsIdentifier`)."""

import re
from collections.abc import Iterator

from migration.findings import Finding, FindingCode
from migration.findings.catalogue import finding
from migration.ports import SourceMachine
from migration.request import OperatingSystem, Server

_WINDOWS = re.compile(r"win", re.IGNORECASE)

_SUPPORTED = re.compile(
    r"winNet|winLonghorn|windows([7-9]|1[0-2]|20)"
    r"|rhel([5-9]|10)|centos(64|[6-9]|10)?(_64)?Guest|oracleLinux([6-9]|10)|rockylinux|almalinux|amazonlinux"
    r"|sles1[125]|debian([6-9]|1\d)|ubuntu"
)
"""Families of MGN's list of supported operating systems (MGN user guide, "Supported operating systems").

The names tell families rather than releases: what they do not tell, the agent's installer says.
"""

_NO_AGENT = re.compile(
    r"darwin|freebsd|solaris|netware|os2|eComStation|dos|openServer|unixWare|vmkernel|win31|win9|winMe"
)


def check_system(server: Server, machine: SourceMachine, path: str) -> Iterator[Finding]:
    """The agent exists for this system, and the request names the right kind of it."""
    guest = machine.guest_id
    if guest is None:
        return
    says = f"vCenter says that {machine.vm} runs {machine.guest_os or guest} ({guest})"
    if _NO_AGENT.match(guest):
        yield finding(FindingCode.GUEST_OS_UNSUPPORTED, says, subject=server.name)
        return
    if not _SUPPORTED.match(guest):
        yield finding(FindingCode.GUEST_OS_UNKNOWN, says, subject=server.name)
        return
    if bool(_WINDOWS.match(guest)) is not (server.os is OperatingSystem.WINDOWS):
        message = f"{says}, the request says {server.os}"
        yield finding(FindingCode.GUEST_OS_DIFFERS, message, subject=server.name, path=f"{path}.os")
