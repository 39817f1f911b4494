"""Signed decisions: what counts is the decider's own signature, about this very migration, for the first time."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from adapters.signatures import sign
from migration.messages import MessageType
from migration.status import MigrationStatus, Phase, Side
from migration.steps import Step
from tests.workflows.migration_requests import APPROVER, OTHER_APPROVER, REQUESTER
from tests.workflows.signers import KEYS, STRANGERS, decision_on, name_of, signed
from tests.workflows.stage import Migration, Stage, until

SIGNED: dict[str, Any] = {"approval": {"approvers": [APPROVER, OTHER_APPROVER], "signed": True}}
TWO_SIGNED: dict[str, Any] = {"approval": SIGNED["approval"] | {"minimum": 2}}
WRONG_HASH = "0" * 64


async def at_the_gate(stage: Stage, **parts: Any) -> tuple[Migration, MigrationStatus]:
    migration = await stage.start_light(**(SIGNED | parts))
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    return migration, await migration.status()


async def at_the_gate_again(migration: Migration) -> MigrationStatus:
    def again() -> Any:
        seen = migration.world.seen()
        return seen and next(line for line in seen.steps if line.step is Step.APPROVE).entry > 1

    await until(again, "the gate is entered again")
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    return await migration.status()


# --- what counts -------------------------------------------------------------------------------------------------


async def test_an_unsigned_decision_counts_for_nothing(stage: Stage) -> None:
    migration, _ = await at_the_gate(stage)
    for name in ("approve", "reject"):
        refused = await migration.refuses(name, APPROVER)
        assert refused.startswith("only signed decisions count here: sign it")
    await migration.signal("approve", APPROVER)

    async def is_kept() -> bool:
        return len((await migration.status()).decisions) > 2

    await until(is_kept, "the signal is refused")
    status = await migration.status()
    assert (status.phase, status.approvals) == (Phase.AWAITING_APPROVAL, [])


async def test_the_right_signatures_of_two_people_open_the_gate(stage: Stage) -> None:
    migration, status = await at_the_gate(stage, **TWO_SIGNED)
    first = await migration.decide("approve", APPROVER, jws=signed(status, APPROVER))
    second = await migration.decide("approve", OTHER_APPROVER, jws=signed(status, OTHER_APPROVER))
    assert (first.message, second.message) == ("approval 1 of 2", "approval 2 of 2")
    assert (await migration.ends()).served_by is Side.TARGET


async def test_a_signature_counts_as_a_signal_too(stage: Stage) -> None:
    migration, status = await at_the_gate(stage)
    await migration.signal("approve", APPROVER, jws=signed(status))
    assert (await migration.ends()).status is Phase.COMPLETED


async def test_a_signed_reject_turns_the_migration_back(stage: Stage) -> None:
    migration, status = await at_the_gate(stage)
    await migration.decide("reject", APPROVER, to="start", jws=signed(status, decision="reject"))
    assert (await migration.ends()).status is Phase.REJECTED


async def test_other_decisions_need_no_signature(stage: Stage) -> None:
    migration, _ = await at_the_gate(stage)
    await migration.decide("abandon", reason="not this year")
    assert (await migration.ends()).status is Phase.CANCELLED


# --- what does not -----------------------------------------------------------------------------------------------


def for_an_hour(status: MigrationStatus, hours: int) -> str:
    """A signature that is good for one hour, which begins so many hours from now."""
    begins = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=hours)
    return signed(status, issued_at=begins, expires_at=begins + timedelta(hours=1))


WRONG: dict[str, tuple[Callable[[MigrationStatus], str], str]] = {
    "another evidence": (lambda now: signed(now, evidence_hash=WRONG_HASH), f"evidence hash {WRONG_HASH}, not "),
    "another generation": (lambda now: signed(now, generation=7), "generation 7, not 1"),
    "another migration": (lambda now: signed(now, migration_id="mig-other"), "migrationId mig-other, not "),
    "another decision": (lambda now: signed(now, decision="reject"), "decision reject, not approve"),
    "another approval": (lambda now: signed(now, decision="approve-delete"), "decision approve-delete, not approve"),
    "another person's": (lambda now: signed(now, OTHER_APPROVER), f"subject {OTHER_APPROVER}, not {APPROVER}"),
    "another person's name": (lambda now: signed(now, subject=OTHER_APPROVER), "its key is another person's"),
    "expired": (lambda now: for_an_hour(now, -2), "the signature has expired at "),
    "not yet valid": (lambda now: for_an_hour(now, 2), "the signature is not valid yet"),
    "a stranger's key": (lambda now: sign(decision_on(now), STRANGERS), "the key is unknown"),
    "forged": (lambda now: sign(decision_on(now), STRANGERS, name_of(KEYS[APPROVER])), "the signature is wrong"),
    "altered": (lambda now: f"{signed(now)[:-6]}AAAAAA", "the signature is wrong"),
    "no token": (lambda _: "not a token", "the signature is malformed"),
}


@pytest.mark.parametrize("kind", WRONG)
async def test_a_signature_for_anything_else_is_refused_and_kept_with_its_reason(stage: Stage, kind: str) -> None:
    make, words = WRONG[kind]
    migration, status = await at_the_gate(stage)
    refused = await migration.refuses("approve", APPROVER, jws=make(status))
    assert words in refused
    status = await migration.status()
    (record,) = status.decisions
    assert (record.name, record.by, record.accepted, record.message) == ("approve", APPROVER, False, refused)
    assert (status.phase, status.approvals, status.used_signatures) == (Phase.AWAITING_APPROVAL, [], [])
    assert migration.world.asked("shut_down_sources") == []
    carried = await migration.handle.query("carried", result_type=dict)
    assert MessageType.DECISION_REFUSED in [event["type"] for event in carried["events"]]


async def test_a_signature_counts_once(stage: Stage) -> None:
    migration, status = await at_the_gate(stage, **TWO_SIGNED)
    token = signed(status)
    await migration.decide("approve", APPROVER, jws=token)
    assert await migration.refuses("approve", APPROVER, jws=token) == "the signature was used before: sign again"
    assert "has approved already" in await migration.refuses("approve", APPROVER, jws=signed(status))
    assert [given.approver for given in (await migration.status()).approvals] == [APPROVER]


async def test_a_signature_that_was_used_is_remembered_for_as_long_as_the_migration_lives(stage: Stage) -> None:
    migration, before = await at_the_gate(stage)
    token = decision_on(before, decision="reject")
    await migration.decide("reject", APPROVER, to="ready", jws=sign(token, KEYS[APPROVER]))
    now = await at_the_gate_again(migration)
    old = sign(token.model_copy(update={"decision": "approve"}), KEYS[APPROVER])
    assert "the signature is for another decision: evidence hash" in await migration.refuses(
        "approve", APPROVER, jws=old
    )
    renamed = token.model_copy(update={"decision": "approve", "evidence_hash": now.evidence_hash})
    replayed = sign(renamed, KEYS[APPROVER])
    assert await migration.refuses("approve", APPROVER, jws=replayed) == "the signature was used before: sign again"


async def test_a_signature_makes_nobody_an_approver(stage: Stage) -> None:
    migration, status = await at_the_gate(stage)
    refused = await migration.refuses("approve", REQUESTER, jws=signed(status, REQUESTER))
    assert refused.startswith(f"{REQUESTER} is not an approver")


# --- deleting the source -----------------------------------------------------------------------------------------


async def test_deleting_the_source_takes_a_signature_of_its_own(stage: Stage) -> None:
    migration, status = await at_the_gate(stage, sourceAfter="delete")
    await migration.decide("approve", APPROVER, jws=signed(status))
    await migration.stands(Phase.AWAITING_DECISION, "delete")
    status = await migration.status()
    unsigned = await migration.refuses("approve", APPROVER, **{"for": "delete"})
    assert unsigned.startswith("only signed decisions count here")
    again = await migration.refuses("approve", APPROVER, **{"for": "delete", "jws": signed(status)})
    assert "decision approve, not approve-delete" in again
    token = signed(status, decision="approve-delete")
    await migration.decide("approve", APPROVER, **{"for": "delete", "jws": token})
    assert (await migration.ends()).status is Phase.COMPLETED
    assert migration.world.acted("delete_sources") == ["delete_sources"]
