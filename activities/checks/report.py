"""How a check says what it found."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from migration.errors import MigrationError, NotFound, Unavailable
from migration.findings import Finding, FindingCode
from migration.findings.catalogue import finding

Connected = TypeVar("Connected")


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
            for one in findings:
                self._findings.append(one)
        except Unavailable:
            raise
        except MigrationError as refusal:
            self._findings.append(finding(FindingCode.LOOK_REFUSED, str(refusal), action=refusal.action))

    def connect(self, connections: Callable[[str], Connected], name: str, path: str) -> Connected | None:
        """Find a system by its connection name; one that the settings do not know is a finding."""
        try:
            return connections(name)
        except NotFound as unknown:
            self._findings.append(finding(FindingCode.UNKNOWN_CONNECTION, str(unknown), subject=name, path=path))
            return None
