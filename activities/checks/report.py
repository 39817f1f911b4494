"""How a check says what it found."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from migration.errors import MigrationError, NotFound, Unavailable
from migration.findings import Finding, FindingCode, Severity

Connected = TypeVar("Connected")


def critical(
    code: FindingCode, message: str, *, action: str, subject: str | None = None, path: str | None = None
) -> Finding:
    """What blocks the migration."""
    return Finding(code=code, severity=Severity.CRITICAL, message=message, action=action, subject=subject, path=path)


def warning(
    code: FindingCode, message: str, *, action: str, subject: str | None = None, path: str | None = None
) -> Finding:
    """What a person should know before going on."""
    return Finding(code=code, severity=Severity.WARNING, message=message, action=action, subject=subject, path=path)


class Report:
    """All findings of one run, from checks that do not stop each other."""

    def __init__(self) -> None:
        """Begin with nothing found."""
        self._findings: list[Finding] = []

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was found, in the order of the checks."""
        return tuple(self._findings)

    def add(self, findings: Iterable[Finding]) -> None:
        """Run a check to its end; a system that refuses the look is itself a finding.

        Raises:
            Unavailable: The system did not answer; the whole activity is tried again.
        """
        try:
            for finding in findings:
                self._findings.append(finding)
        except Unavailable:
            raise
        except MigrationError as refusal:
            self._findings.append(
                critical(FindingCode.LOOK_REFUSED, str(refusal), action=refusal.action or "Allow the look, then retry.")
            )

    def connect(self, connections: Callable[[str], Connected], name: str, path: str) -> Connected | None:
        """Find a system by its connection name; one that the settings do not know is a finding."""
        try:
            return connections(name)
        except NotFound as unknown:
            self._findings.append(
                critical(
                    FindingCode.UNKNOWN_CONNECTION,
                    str(unknown),
                    action="Name a connection of the settings, or add this one to them.",
                    subject=name,
                    path=path,
                )
            )
            return None
