"""Which warnings an acknowledgement is about: those that its giver has seen, and no others."""

from datetime import UTC, datetime
from typing import Any

from migration.findings import Finding, Severity
from migration.status import Acknowledgement, MigrationStatus

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SEEN = Finding(code="MACHINE_HAS_SNAPSHOTS", severity=Severity.WARNING, message="2 snapshots", subject="billing-web-01")
KNOWN = Acknowledgement(code=SEEN.code, subject=SEEN.subject, message=SEEN.message, by="operator-1@example.com", at=NOW)


def still_open(**changes: Any) -> bool:
    """Whether the finding, changed, is not covered by what was acknowledged before."""
    status = MigrationStatus(
        migration_id="mig-billing",
        app_name="billing",
        environment="test",
        correlation_id="mig-billing",
        requested_by="requester@example.com",
        started=NOW,
        updated=NOW,
        findings=[SEEN.model_copy(update=changes)],
        acknowledged=[KNOWN],
    )
    return bool(status.open_warnings)


def test_a_warning_that_was_acknowledged_is_not_asked_about_again() -> None:
    assert not still_open()


def test_the_same_warning_about_another_server_is_not_covered() -> None:
    assert still_open(subject="billing-web-02")


def test_a_warning_that_says_something_else_by_now_is_not_covered() -> None:
    assert still_open(message="3 snapshots")


def test_another_warning_is_not_covered() -> None:
    assert still_open(code="DISK_SHARED")


def test_only_warnings_ask_for_an_acknowledgement() -> None:
    assert not still_open(code="MACHINE_ENCRYPTED", severity=Severity.INFORMATION)
