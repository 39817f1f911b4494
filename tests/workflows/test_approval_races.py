"""Many people decide at the same moment: the cutover starts once or not at all, and every decision is kept.

The order in which decisions are taken is Temporal's; an oracle in here says of each what it has to come to in
that order.
"""

import asyncio
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowUpdateFailedError

from adapters.signatures import sign
from migration.status import DecisionRecord, MigrationStatus, Phase, Side
from tests.workflows.migration_requests import APPROVER, OTHER_APPROVER, REQUESTER
from tests.workflows.signers import KEYS, STRANGERS, approvals, decision_on, name_of
from tests.workflows.stage import Migration, Stage, set_up, until
from tests.workflows.worlds import World

THIRD_APPROVER = "approver-3@example.com"
STRANGER = "somebody@example.com"
APPROVERS = (APPROVER, OTHER_APPROVER, THIRD_APPROVER, REQUESTER)
WRONG_HASH = "0" * 64
LATE = "is possible while the migration is AWAITING_APPROVAL"
AT_ONCE = 50


@dataclass(frozen=True)
class Sent:
    """One decision, told apart by its number; one that is malformed says neither who nor which."""

    number: int
    name: str
    by: str
    evidence_hash: str | None = None
    as_signal: bool = False
    malformed: bool = False
    jws: str | None = None
    trouble: str | None = None

    @property
    def fields(self) -> dict[str, Any]:
        """What is sent."""
        if self.malformed:
            return {"by": "", "comment": f"d-{self.number}"}
        asked = {"by": self.by, "comment": f"d-{self.number}", "evidenceHash": self.evidence_hash, "jws": self.jws}
        return {name: value for name, value in asked.items() if value} | self._depth

    @property
    def _depth(self) -> dict[str, str]:
        return {"to": "start"} if self.name == "reject" else {}


@dataclass
class Oracle:
    """What each decision has to come to, told in the order in which they were taken."""

    minimum: int
    approved: set[str] = field(default_factory=set)
    used: set[str] = field(default_factory=set)
    rejected: bool = False
    late: bool = False

    @property
    def opened(self) -> bool:
        """Whether the gate has to open."""
        return len(self.approved) >= self.minimum and not self.rejected

    def judge(self, sent: Sent, record: DecisionRecord) -> None:
        """Compare one record with what it has to be."""
        if sent.jws is not None and (trouble := self._trouble_with_signature(sent)):
            assert (record.accepted, trouble in record.message) == (False, True), record
        elif LATE in record.message or self.late:
            assert not record.accepted
            assert LATE in record.message
            assert self.rejected or self.opened, f"refused as late while the gate was open: {record}"
            self.late = True
        else:
            expected, accepted = self._at_the_gate(sent)
            assert (expected in record.message, record.accepted) == (True, accepted), (sent, record)

    def _trouble_with_signature(self, sent: Sent) -> str | None:
        if sent.trouble:
            return sent.trouble
        if sent.jws in self.used:
            return "the signature was used before"
        self.used.add(sent.jws or "")
        return None

    def _at_the_gate(self, sent: Sent) -> tuple[str, bool]:
        who, approves = sent.by.casefold(), sent.name == "approve"
        refusals = [
            (self.rejected, "rejected by"),
            (who not in APPROVERS, "is not an approver"),
            (approves and who == REQUESTER, "another person has to approve it"),
            (approves and sent.evidence_hash == WRONG_HASH, "the evidence has changed since"),
            (approves and who in self.approved, "has approved already"),
        ]
        if refused := [words for applies, words in refusals if applies]:
            return refused[0], False
        if not approves:
            self.rejected = True
            return "rejected: everything is undone", True
        self.approved.add(who)
        return f"approval {len(self.approved)} of {self.minimum}", True


@dataclass
class Race:
    """A migration at its gate, held where the cutover would stop the source, and where a rollback would end."""

    migration: Migration
    world: World
    oracle: Oracle

    async def evidence_hash(self) -> str:
        """What approvers see."""
        return (await self.migration.status()).evidence_hash or ""

    async def run(self, sent: Sequence[Sent]) -> list[DecisionRecord]:
        """Send everything at once; each has to be kept, with the answer that its sender got, as the oracle says."""
        before = len((await self.migration.status()).decisions)
        answers = await asyncio.gather(*(self._send(one) for one in sent))
        status = await self._has_kept(before + len(sent))
        records = status.decisions[before:]
        self._judge(sent, records)
        kept = {record.comment: record for record in records}
        for one, answer in zip(sent, answers, strict=True):
            assert answer is None or answer == kept[f"d-{one.number}"].message
        return records

    async def _send(self, one: Sent) -> str | None:
        if one.as_signal:
            await self.migration.handle.signal(one.name, one.fields)
            return None
        try:
            return (await self.migration.update(one.name, one.fields)).message
        except WorkflowUpdateFailedError as refused:
            return getattr(refused.cause, "message", str(refused.cause))

    async def _has_kept(self, number: int) -> MigrationStatus:
        async def kept() -> MigrationStatus | None:
            status = await self.migration.status()
            return status if len(status.decisions) >= number else None

        status: MigrationStatus = await until(kept, f"{number} decisions are kept")
        return status

    def _judge(self, sent: Sequence[Sent], records: Sequence[DecisionRecord]) -> None:
        numbered = {f"d-{one.number}": one for one in sent if not one.malformed}
        for record in records:
            if record.comment is None:
                assert (record.accepted, record.by) == (False, None)
                assert "$.by" in record.message
            else:
                self.oracle.judge(numbered.pop(record.comment), record)
        assert not numbered, "every decision is kept, once"

    async def ends_as_judged(self) -> None:
        """One cutover, or none and everything undone, or the gate still closed."""
        if not self.oracle.opened and not self.oracle.rejected:
            assert (await self.migration.status()).phase is Phase.AWAITING_APPROVAL
            assert self.world.asked("shut_down_sources") == self.world.asked("start_cutover") == []
            return
        self.world.release_all()
        result = await self.migration.ends()
        if self.oracle.rejected:
            assert (result.status, result.served_by) == (Phase.REJECTED, Side.SOURCE)
            assert self.world.asked("shut_down_sources") == self.world.asked("start_cutover") == []
        else:
            assert (result.status, result.served_by) == (Phase.COMPLETED, Side.TARGET)
            assert self.world.acted("start_cutover") == ["start_cutover"]


async def a_race(stage: Stage, minimum: int = 2, **rules: Any) -> Race:
    world = World()
    world.hold("shut_down_sources")
    world.hold("remove_records")
    approval = {"approvers": list(APPROVERS), "minimum": minimum, **rules}
    migration = await stage.start_light(world, approval=approval)
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    return Race(migration, world, Oracle(minimum))


def numbered(decisions: Iterable[dict[str, Any]]) -> list[Sent]:
    """Every other one as a signal."""
    return [Sent(number=n, **{"as_signal": n % 2 == 1, **parts}) for n, parts in enumerate(decisions)]


def approve(by: str, evidence_hash: str | None = None, **more: Any) -> dict[str, Any]:
    return {"name": "approve", "by": by, "evidence_hash": evidence_hash, **more}


def reject(by: str) -> dict[str, Any]:
    return {"name": "reject", "by": by}


# --- at the gate -------------------------------------------------------------------------------------------------


async def test_fifty_decisions_at_once_start_one_cutover(stage: Stage) -> None:
    race = await a_race(stage)
    seen = await race.evidence_hash()
    invalid = [approve(STRANGER, seen), approve(REQUESTER, seen), approve(THIRD_APPROVER, WRONG_HASH), reject(STRANGER)]
    valid = [approve(APPROVER, seen), approve(APPROVER.upper()), approve(OTHER_APPROVER, seen)]
    malformed = {"name": "approve", "by": "", "malformed": True, "as_signal": True}
    await race.run(numbered([*invalid * 7, *valid * 6, *[malformed] * 4]))
    assert race.oracle.opened
    await race.ends_as_judged()


async def test_one_person_is_no_quorum_of_two_however_often_they_approve(stage: Stage) -> None:
    race = await a_race(stage)
    spellings = [APPROVER, APPROVER.upper(), APPROVER.title()] * 10
    records = await race.run(numbered([approve(by) for by in (*spellings, REQUESTER, STRANGER)]))
    assert [record.accepted for record in records].count(True) == 1
    await race.ends_as_judged()
    await race.migration.decide("approve", OTHER_APPROVER)
    race.world.release_all()
    assert (await race.migration.ends()).status is Phase.COMPLETED
    assert race.world.acted("start_cutover") == ["start_cutover"]


@pytest.mark.parametrize("rejections", [1, 12])
async def test_of_approvals_and_rejections_that_cross_one_side_wins(stage: Stage, rejections: int) -> None:
    race = await a_race(stage, minimum=1)
    approvals = [approve(APPROVER), approve(OTHER_APPROVER)] * 6
    await race.run(numbered([*approvals[:6], *[reject(THIRD_APPROVER)] * rejections, *approvals[6:]]))
    await race.ends_as_judged()


async def test_decisions_after_the_gate_change_nothing(stage: Stage) -> None:
    race = await a_race(stage, minimum=1)
    await race.run(numbered([approve(APPROVER)]))
    await race.migration.is_reached("shut_down_sources")
    both = [*[approve(OTHER_APPROVER), reject(THIRD_APPROVER), approve(STRANGER)] * 10]
    late = [Sent(number=100 + n, as_signal=n % 2 == 1, **parts) for n, parts in enumerate(both)]
    records = await race.run(late)
    assert all(LATE in record.message for record in records)
    await race.ends_as_judged()


async def test_approvals_that_have_expired_do_not_make_a_quorum_with_fresh_ones(stage: Stage) -> None:
    race = await a_race(stage, minimum=3, expiresAfter="PT20S")
    await race.run(numbered([approve(APPROVER), approve(OTHER_APPROVER)]))
    given = (await race.migration.status()).approvals
    await until(lambda: datetime.now(UTC) > given[-1].at + timedelta(seconds=20), "they have expired")
    race.oracle.approved.clear()
    again = [Sent(number=100 + n, **approve(by)) for n, by in enumerate([APPROVER, THIRD_APPROVER] * 8)]
    records = await race.run(again)
    assert [record.accepted for record in records].count(True) == 2
    await race.ends_as_judged()


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_any_mix_of_decisions_comes_to_what_its_order_says(stage: Stage, seed: int) -> None:
    chance = random.Random(seed)
    race = await a_race(stage, minimum=chance.choice([1, 2, 3]))
    hashes = [None, await race.evidence_hash(), WRONG_HASH]
    people = [*APPROVERS, STRANGER, APPROVER.upper()]

    def any_decision() -> dict[str, Any]:
        signal = chance.random() < 0.5
        if chance.random() < 0.03:
            return {**reject(chance.choice(people)), "as_signal": signal}
        return approve(chance.choice(people), chance.choice(hashes), as_signal=signal)

    await race.run(numbered([any_decision() for _ in range(AT_ONCE)]))
    await race.ends_as_judged()


# --- signed ------------------------------------------------------------------------------------------------------


def token(status: MigrationStatus, by: str, *, key: bytes | None = None, kid: str | None = None, **parts: Any) -> str:
    """A signed approval; key, key id and parts are right unless they are given."""
    return sign(decision_on(status, by, **parts), key or KEYS[by], kid)


async def test_only_signatures_that_are_right_and_new_count_among_fifty(stage: Stage) -> None:
    async with set_up(stage.address, also=[approvals().verify_signature]) as signed_stage:
        race = await a_race(signed_stage, signed=True)
        seen = await race.migration.status()
        replayed, other = token(seen, APPROVER), token(seen, OTHER_APPROVER)
        right = [*[approve(APPROVER, jws=replayed)] * 8, *[approve(OTHER_APPROVER, jws=other)] * 4]
        again = [approve(APPROVER, jws=token(seen, APPROVER)) for _ in range(4)]
        wrong = wrong_signatures(seen)
        records = await race.run(numbered([*wrong * 3, *right, *again, *requesters(seen)]))
        assert len(records) == AT_ONCE
        assert race.oracle.opened
        used = (await race.migration.status()).used_signatures
        assert len(used) == len(set(used))
        await race.ends_as_judged()


def wrong_signatures(seen: MigrationStatus) -> list[dict[str, Any]]:
    """Each refused for a reason of its own, whoever comes first."""
    others, now = KEYS[OTHER_APPROVER], datetime.now(UTC).replace(microsecond=0)
    past: dict[str, Any] = {"issued_at": now - timedelta(hours=2), "expires_at": now - timedelta(hours=1)}
    tokens = [
        (token(seen, APPROVER, key=STRANGERS, kid=name_of(KEYS[APPROVER])), "the signature is wrong"),
        (token(seen, APPROVER, key=STRANGERS), "the key is unknown"),
        (token(seen, APPROVER, key=others, kid=name_of(others)), "its key is another person's"),
        (token(seen, APPROVER, **past), "has expired"),
        (token(seen, APPROVER, evidence_hash=WRONG_HASH), "evidence hash"),
        (token(seen, APPROVER, generation=2), "generation"),
        (token(seen, APPROVER, migration_id="mig-other"), "migrationId"),
        (token(seen, APPROVER, decision="reject"), "decision reject, not approve"),
        (token(seen, OTHER_APPROVER), "subject"),
        ("unsigned", "malformed"),
    ]
    return [approve(APPROVER, jws=jws, trouble=trouble) for jws, trouble in tokens]


def requesters(seen: MigrationStatus) -> list[dict[str, Any]]:
    """Well signed, and yet not theirs to give."""
    return [approve(REQUESTER, jws=token(seen, REQUESTER)) for _ in range(4)]


# --- while the gate is set up again ------------------------------------------------------------------------------


async def test_an_approval_given_while_new_evidence_is_gathered_does_not_count(stage: Stage) -> None:
    world = World()
    gathering = world.hold("observe_replication", call=2)
    migration = await stage.start_light(world)
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    old = (await migration.status()).evidence_hash
    await migration.decide("reject", APPROVER, to="ready")
    await gathering.is_reached()
    for given in ({"evidenceHash": old}, {}):
        assert "evidence" in await migration.refuses("approve", APPROVER, **given)
    gathering.release()
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    assert world.asked("start_cutover") == []


async def test_a_later_reject_to_ready_does_not_take_back_that_everything_is_undone(stage: Stage) -> None:
    world = World(old_ttl=3600)
    lowering = world.hold("change_records")
    migration = await stage.start_light(world, approval={"approvers": list(APPROVERS), "minimum": 1})
    await migration.approve()
    await lowering.is_reached()
    await migration.decide("reject", OTHER_APPROVER, to="start", comment="not now")
    for name in ("reject", "approve"):
        assert f"rejected by {OTHER_APPROVER}: not now" in await migration.refuses(name, THIRD_APPROVER)
    lowering.release()
    assert (await migration.ends()).status is Phase.REJECTED


async def test_a_test_that_fails_when_it_is_made_again_is_not_made_without_end(stage: Stage) -> None:
    world = World()
    world.fail("start_test", call=2, times=20)
    migration = await stage.start(world, test={"maxAge": "PT3S"}, rollback={"to": "ready"})
    result = await migration.ends()
    assert (result.status, result.served_by) == (Phase.ROLLED_BACK, Side.SOURCE)
    assert world.calls.count("start_test") == 2


async def test_replication_that_does_not_come_back_to_the_gate_is_not_waited_for_without_end(stage: Stage) -> None:
    world = World()
    world.fail("await_replication", call=2, times=20)
    migration = await stage.start_light(world, rollback={"to": "ready"})
    await migration.stands(Phase.AWAITING_APPROVAL, "approve")
    await migration.decide("reject", APPROVER, to="ready")
    result = await migration.ends()
    assert (result.status, result.served_by) == (Phase.ROLLED_BACK, Side.SOURCE)
    assert world.calls.count("await_replication") == 2
