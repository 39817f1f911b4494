"""What a decision at the terminal becomes for the migration, and the evidence that it is about."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from migration.decisions import DECISIONS
from migration.errors import Conflict
from migration.parsing import parse_model
from migration.status import MigrationStatus, Phase
from starter import cli, terminal
from starter.client import Migrations

ID, WHO = "mig-shop", "approver-1@example.com"
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


class OneMigration(Migrations):
    """A migration that keeps what it is sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self.refusal: str | None = None
        self.evidence: dict[str, Any] | None = None

    async def status(self, migration_id: str) -> MigrationStatus:
        return MigrationStatus(
            migration_id=migration_id,
            app_name="shop",
            environment="production",
            correlation_id="c-1",
            requested_by="requester@example.com",
            phase=Phase.AWAITING_APPROVAL,
            evidence=self.evidence,
            evidence_hash="ab" * 32 if self.evidence else None,
            started=NOW,
            updated=NOW,
        )

    async def pending(self, migration_id: str) -> list[str]:
        return [f"{migration_id} waits"]

    async def decide(self, migration_id: str, name: str, payload: dict[str, Any]) -> dict[str, Any]:
        assert migration_id == ID
        if self.refusal:
            raise Conflict(self.refusal)
        self.sent.append((name, payload))
        return {"accepted": True, "message": "taken", "phase": "SOAKING"}


@pytest.fixture
def migration(monkeypatch: pytest.MonkeyPatch) -> OneMigration:
    one = OneMigration()

    async def found() -> Migrations:
        return one

    monkeypatch.setattr(terminal, "migrations", found)
    return one


def migrator(*words: str) -> Result:
    return CliRunner().invoke(cli.app, words)


COMMANDS: list[tuple[list[str], str, dict[str, Any]]] = [
    (["approve", "--evidence", "ab"], "approve", {"approver": WHO, "evidenceHash": "ab"}),
    (["approve", "--for", "delete"], "approve", {"approver": WHO, "for": "delete"}),
    (["approve", "--for", "cutover"], "approve", {"approver": WHO}),
    (["reject", "--to", "start"], "reject", {"approver": WHO, "to": "start"}),
    (["rollback", "--comment", "slow"], "rollback", {"by": WHO, "comment": "slow"}),
    (["abandon", "--reason", "budget"], "abandon", {"by": WHO, "reason": "budget"}),
    (["retry", "--step", "test"], "retry", {"by": WHO, "step": "test"}),
    (["retry", "--undo", "restoreNames"], "retry", {"by": WHO, "undo": "restoreNames"}),
    (["skip", "--step", "test", "--reason", "seen"], "skip", {"by": WHO, "step": "test", "reason": "seen"}),
    (["acknowledge", "--code", "SUBNET_FULL"], "acknowledge", {"by": WHO, "codes": ["SUBNET_FULL"]}),
    (["commit"], "commit", {"by": WHO}),
    (["pause"], "pause", {"by": WHO}),
    (["resume", "--comment", "go"], "resume", {"by": WHO, "comment": "go"}),
    (["keep-source"], "keepSource", {"by": WHO}),
    (
        ["reschedule", "--not-before", "2026-11-24T18:00:00Z", "--not-after", "2026-11-24T22:00:00Z"],
        "reschedule",
        {"by": WHO, "notBefore": "2026-11-24T18:00:00Z", "notAfter": "2026-11-24T22:00:00Z"},
    ),
]


@pytest.mark.parametrize(("words", "name", "payload"), COMMANDS, ids=" ".join)
def test_a_command_becomes_the_decision_of_its_name(
    migration: OneMigration, words: list[str], name: Any, payload: dict[str, Any]
) -> None:
    command, *options = words
    done = migrator(command, ID, "--as", WHO, *options)
    assert (done.exit_code, done.stdout) == (0, f"{ID}: taken\n")
    assert migration.sent == [(name, payload)]
    assert parse_model(json.dumps(payload), DECISIONS[name]).by == WHO


def test_every_decision_has_a_command() -> None:
    assert {name for _, name, _ in COMMANDS} == set(DECISIONS)


@pytest.mark.parametrize(
    ("options", "change"),
    [
        (["--instance-type", "m5.large"], {"instanceType": "m5.large"}),
        (["--change", "server=web-01,instanceType=m5.large"], {"server": "web-01", "instanceType": "m5.large"}),
        (
            ["--server", "web-01", "--subnet", "subnet-0a1b2c3d"],
            {"server": "web-01", "subnetId": "subnet-0a1b2c3d"},
        ),
        (["--max-lag", "PT5M"], {"maxLag": "PT5M"}),
        (
            ["--health-url", "http://{privateIp}/ready?a=1,2", "--expect-status", "204"],
            {"healthCheck": {"url": "http://{privateIp}/ready?a=1,2", "expectStatus": 204}},
        ),
        (["--change", "healthCheck.expectStatus=204"], {"healthCheck": {"expectStatus": 204}}),
        (["--change", "healthCheck.port=5433"], {"healthCheck": {"port": 5433}}),
        (["--change", "server=db-01", "--change", "maxLag=PT1M"], {"server": "db-01", "maxLag": "PT1M"}),
        (["--change", "maxLag=PT1M", "--max-lag", "PT5M"], {"maxLag": "PT5M"}),
    ],
)
def test_a_step_is_tried_again_with_another_setting(
    migration: OneMigration, options: list[str], change: dict[str, Any]
) -> None:
    assert migrator("retry", ID, "--as", WHO, *options).exit_code == 0
    assert migration.sent == [("retry", {"by": WHO, "change": change})]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--change", "instanceType"], "'instanceType' is not"),
        (["--change", "instanceType=large"], "$.instanceType"),
        (["--change", "colour=red"], "$.colour"),
        (["--server", "web-01"], "at least one of"),
        (["--change", "healthCheck=x"], "$.healthCheck"),
        (["--change", "healthCheck=x,healthCheck.url=y"], "healthCheck and healthCheck.url"),
    ],
)
def test_a_setting_that_cannot_be_changed_so_is_told_before_anything_is_sent(
    migration: OneMigration, options: list[str], said: str
) -> None:
    done = migrator("retry", ID, "--as", WHO, *options)
    assert done.exit_code == terminal.BAD_INPUT
    assert said in done.stderr
    assert migration.sent == []


def test_a_refused_decision_is_told_in_the_migrations_words(migration: OneMigration) -> None:
    migration.refusal = "nothing to resume: the migration is not paused"
    done = migrator("resume", ID, "--as", WHO)
    assert (done.exit_code, done.stderr) == (terminal.NOT_NOW, f"{migration.refusal}\n")


def test_the_evidence_is_printed_with_its_hash(migration: OneMigration) -> None:
    migration.evidence = {"migrationId": ID, "servers": []}
    done = migrator("status", ID, "--evidence")
    printed, _, last = done.stdout.rstrip().rpartition("\n")
    assert (json.loads(printed), last) == (migration.evidence, f"evidence hash: {'ab' * 32}")
    as_json = json.loads(migrator("status", ID, "--evidence", "-o", "json").stdout)
    assert as_json == {"evidence": migration.evidence, "evidenceHash": "ab" * 32}


def test_without_evidence_there_is_none_to_print(migration: OneMigration) -> None:
    done = migrator("status", ID, "--evidence")
    assert (done.exit_code, migration.sent) == (terminal.NOT_NOW, [])
    assert "has no evidence yet" in done.stderr


def test_status_for_programs_is_the_whole_status(migration: OneMigration) -> None:
    shown = json.loads(migrator("status", ID, "-o", "json").stdout)
    assert (shown["migrationId"], shown["phase"]) == (ID, "AWAITING_APPROVAL")
    assert MigrationStatus.model_validate(shown).app_name == "shop"


def test_status_for_people_is_one_screen(migration: OneMigration) -> None:
    shown = migrator("status", ID).stdout
    assert f"{ID} · AWAITING_APPROVAL" in shown
    assert f"waits for {ID} waits" in shown
