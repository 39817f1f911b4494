"""Messages: one JSON Schema each, ids that stay, and what each type says."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from migration.messages import DATA, OF_A_MIGRATION, Message, MessageType, RequestRefused
from migration.schema import FILES, event_schema
from migration.status import (
    Approval,
    Awaiting,
    DecisionRecord,
    Failure,
    MigrationStatus,
    Phase,
    Preserved,
    ServerProgress,
    Window,
)

VALIDATORS = {kind: Draft202012Validator(event_schema(kind)) for kind in MessageType}
ROOT = Path(__file__).resolve().parents[2]
AT = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)


def a_status(**parts: Any) -> MigrationStatus:
    usual: dict[str, Any] = {
        "migration_id": "mig-billing",
        "app_name": "billing",
        "environment": "prod",
        "wave_id": "wave-07",
        "correlation_id": "corr-1",
        "requested_by": "requester@example.com",
        "generation": 2,
        "phase": Phase.TESTING,
        "started": AT,
        "updated": AT,
        "message": "test started",
    }
    return MigrationStatus(**usual | parts)


def everything() -> MigrationStatus:
    """A status that has something in every member that a message tells."""
    return a_status(
        ended=AT,
        downtime=timedelta(minutes=7, seconds=30),
        awaiting=Awaiting(what="approve", message="2 approvals", who=("approver-1@example.com",), until=AT),
        failure=Failure(type="CutoverError", message="no", action="Look."),
        servers=[ServerProgress(name="web-01", source_server_id="s-1", instance_id="i-1", address="10.2.0.1")],
        evidence_hash="ab" * 32,
        window=Window.between(AT, AT + timedelta(hours=4), timedelta(minutes=20)),
        approvals=[Approval(approver="approver-1@example.com", at=AT)],
        decisions=[DecisionRecord(name="approve", at=AT, accepted=False, message="not yet", by="a@example.com")],
        preserved=[Preserved(since=AT, until=AT, instance_ids=("i-1",), snapshot_ids=("snap-1",), keep_until=AT)],
    )


def told(kind: MessageType, status: MigrationStatus) -> dict[str, Any]:
    """A message as it is sent."""
    message = Message.about(kind, status, sequence=3, at=AT)
    sent: dict[str, Any] = json.loads(message.model_dump_json(by_alias=True))
    return sent


@pytest.mark.parametrize("kind", MessageType)
def test_every_type_has_data_and_a_committed_schema_that_is_one(kind: MessageType) -> None:
    assert DATA[kind].__doc__
    committed = json.loads((ROOT / "migration" / "schema" / "events" / f"{kind}.json").read_text())
    Draft202012Validator.check_schema(committed)
    assert committed["properties"]["type"]["const"] == kind
    assert set(committed["required"]) == {"id", "type", "timestamp", "data"}
    assert f"migration/schema/events/{kind}.json" in FILES


@pytest.mark.parametrize("kind", OF_A_MIGRATION)
@pytest.mark.parametrize("status", [everything(), a_status(**dict.fromkeys(("wave_id",)))], ids=["full", "bare"])
def test_what_is_told_fits_its_schema_and_only_its_own(kind: MessageType, status: MigrationStatus) -> None:
    needed = {MessageType.APPROVAL_REQUESTED, MessageType.DECISION_NEEDED}
    if status.awaiting is None and kind in needed:
        status = status.model_copy(update={"awaiting": Awaiting(what="failure", message="it failed")})
    if not status.decisions and kind is MessageType.DECISION_REFUSED:
        refused = DecisionRecord(name="commit", at=AT, accepted=False, message="not now")
        status = status.model_copy(update={"decisions": [refused]})
    message = told(kind, status)
    assert {other for other, validator in VALIDATORS.items() if validator.is_valid(message)} == {kind}


def test_every_message_says_whose_it_is_where_that_stands_and_who_must_act() -> None:
    data = told(MessageType.STATUS_CHANGED, everything())["data"]
    assert data == {
        "migrationId": "mig-billing",
        "appName": "billing",
        "environment": "prod",
        "waveId": "wave-07",
        "correlationId": "corr-1",
        "generation": 2,
        "status": "TESTING",
        "servedBy": "source",
        "message": "test started",
        "awaiting": {
            "what": "approve",
            "step": None,
            "message": "2 approvals",
            "who": ["approver-1@example.com"],
            "needed": 1,
            "choices": [],
            "until": "2026-11-23T10:00:00Z",
        },
        "failure": {"type": "CutoverError", "message": "no", "action": "Look."},
        "sequence": 3,
    }


def test_a_success_names_the_instances_and_the_downtime() -> None:
    data = told(MessageType.SUCCEEDED, everything())["data"]
    assert data["downtime"] == "PT7M30S"
    assert data["servers"] == [{"name": "web-01", "sourceServerId": "s-1", "instanceId": "i-1", "address": "10.2.0.1"}]


def test_a_rollback_names_what_holds_the_writes() -> None:
    (preserved,) = told(MessageType.ROLLED_BACK, everything())["data"]["preserved"]
    assert (preserved["instanceIds"], preserved["snapshotIds"]) == (["i-1"], ["snap-1"])


def test_a_request_for_approval_carries_the_hash_of_the_evidence_and_not_the_evidence() -> None:
    data = told(MessageType.APPROVAL_REQUESTED, everything())["data"]
    assert data["evidenceHash"] == "ab" * 32
    assert data["window"]["notBefore"] == "2026-11-23T10:00:00Z"
    assert "evidence" not in data


def test_a_refused_decision_says_which_whose_and_why_and_nothing_of_how_it_was_sent() -> None:
    decision = told(MessageType.DECISION_REFUSED, everything())["data"]["decision"]
    assert decision == {"name": "approve", "by": "a@example.com", "at": "2026-11-23T10:00:00Z", "message": "not yet"}


def test_the_id_is_made_of_migration_generation_and_sequence() -> None:
    first, again = (Message.about(MessageType.STATUS_CHANGED, a_status(), sequence=3, at=AT) for _ in range(2))
    assert first.id == again.id == "mig-billing:2:3"


def test_tries_that_were_never_granted_a_claim_do_not_share_ids() -> None:
    status = a_status(generation=0)
    ids = {Message.about(MessageType.FAILED, status, sequence=1, at=AT, run=run).id for run in ("run-1", "run-2")}
    assert ids == {"mig-billing:run-1:1", "mig-billing:run-2:1"}


def test_a_refused_request_is_told_by_the_id_of_its_message() -> None:
    refused = RequestRefused(message_id="m-1", error_type="ValidationError", reasons=("$.appName: missing",))
    message = Message.refused(refused, at=AT)
    assert message.id == "m-1:refused"
    sent = json.loads(message.model_dump_json(by_alias=True))
    VALIDATORS[MessageType.REQUEST_REFUSED].validate(sent)
    assert sent["data"]["reasons"] == ["$.appName: missing"]


def test_the_page_about_events_has_a_chapter_for_each() -> None:
    page = (ROOT / "docs" / "events.md").read_text()
    assert [kind for kind in MessageType if f"\n## {kind}\n" not in page] == []
