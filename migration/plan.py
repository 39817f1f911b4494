"""A plan: what a migration would find and touch, and what a rollback would do about it. Nothing is changed for it."""

from migration.findings import Finding, Severity
from migration.models import Model
from migration.steps import Step


def plan_id(migration_id: str, unique: str) -> str:
    """The workflow id; the slash keeps it apart from every migration id."""
    return f"plan/{migration_id}/{unique}"


class Touch(Model):
    """One thing that a step would change.

    Attributes:
        system: Where it is: `MGN`, `EC2`, `vCenter vcenter-1`.
        undo: What a rollback does about it; None: it stays as the step leaves it.
    """

    step: Step
    system: str
    resource: str
    change: str
    undo: str | None = None


class Plan(Model):
    """The steps of a request, what the pre-flight checks found, and everything that would be touched, in order."""

    migration_id: str
    request_hash: str
    steps: tuple[Step, ...]
    findings: tuple[Finding, ...]
    touches: tuple[Touch, ...]

    @property
    def blocked(self) -> bool:
        """Whether a critical finding would end the migration before its first act."""
        return any(finding.severity is Severity.CRITICAL for finding in self.findings)
