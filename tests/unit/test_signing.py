"""`migrator keygen`, and `approve` and `reject` with `--key`, as a person at the terminal meets them."""

import json
import stat
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from adapters.signatures import verify
from adapters.signing_keys import approval_keys, needs_passphrase
from migration.errors import Unavailable
from migration.settings import Settings
from migration.signatures import SignatureRefused, SignedDecision
from migration.status import MigrationStatus, Phase
from starter import cli, terminal
from starter.client import Migrations
from starter.signing import GOOD_FOR, PASSPHRASE, Signer, open_key, signature

WHO = "approver-1@example.com"
EVIDENCE = "ab" * 32
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class OneMigration(Migrations):
    """A migration at its gate, which keeps what it is sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self.seen = MigrationStatus(
            migration_id="mig-shop",
            app_name="shop",
            environment="production",
            correlation_id="c-1",
            requested_by="requester-1@example.com",
            generation=3,
            phase=Phase.AWAITING_APPROVAL,
            evidence_hash=EVIDENCE,
            started=NOW,
            updated=NOW,
        )
        self.trouble: Unavailable | None = None

    async def status(self, migration_id: str) -> MigrationStatus:
        if self.trouble:
            raise self.trouble
        assert migration_id == self.seen.migration_id
        return self.seen

    async def decide(self, migration_id: str, name: str, payload: dict[str, Any]) -> dict[str, Any]:
        self.sent.append((name, payload))
        return {"accepted": True, "message": "taken", "phase": self.seen.phase}


@pytest.fixture
def migration(monkeypatch: pytest.MonkeyPatch) -> OneMigration:
    one = OneMigration()

    async def found() -> Migrations:
        return one

    monkeypatch.setattr(terminal, "migrations", found)
    monkeypatch.delenv(PASSPHRASE, raising=False)
    return one


def migrator(*arguments: str | Path, typed: str | None = None) -> Result:
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments], input=typed)


def keygen(out: Path, *more: str, who: str = WHO, typed: str | None = None) -> dict[str, str]:
    done = migrator("keygen", "--as", who, "--out", out, "--output", "json", *more, typed=typed)
    assert done.exit_code == 0, done.output
    answer: dict[str, str] = json.loads(done.stdout)
    return answer


def signed(token: str, settings: str) -> SignedDecision:
    return verify(token, approval_keys(tomllib.loads(settings)["approval_keys"]), datetime.now(UTC))


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return tmp_path / "approver.pem"


# --- keygen ----------------------------------------------------------------------------------------------------


def test_a_private_key_is_for_its_owners_eyes(key: Path) -> None:
    keygen(key)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert key.read_text().startswith("-----BEGIN PRIVATE KEY-----")


def test_a_key_is_never_overwritten(key: Path, tmp_path: Path) -> None:
    key.write_text("precious")
    link = tmp_path / "link.pem"
    link.symlink_to(tmp_path / "nowhere.pem")
    for there in (key, link):
        done = migrator("keygen", "--as", WHO, "--out", there)
        assert done.exit_code == terminal.BAD_INPUT
        assert "never overwritten" in done.stderr
    assert key.read_text() == "precious"
    assert not (tmp_path / "nowhere.pem").exists()


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    done = migrator("keygen", "--as", WHO, "--out", tmp_path / "missing" / "key.pem")
    assert done.exit_code == terminal.BAD_INPUT
    assert "No such file or directory" in done.stderr


def test_what_is_printed_holds_the_public_key_and_never_the_private_one(key: Path) -> None:
    done = migrator("keygen", "--as", WHO, "--out", key)
    assert "-----BEGIN PUBLIC KEY-----" in done.stdout
    assert "PRIVATE" not in done.output
    assert key.read_text().splitlines()[1] not in done.output


@pytest.mark.parametrize("who", [WHO, 'Åsa "the approver" \\ 1', "approver\U0001f511"])
def test_the_printed_lines_are_a_settings_file(
    who: str, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = keygen(key, who=who)
    settings = tmp_path / "settings.toml"
    settings.write_text(made["settings"])
    monkeypatch.setenv("MIGRATOR_SETTINGS", str(settings))
    (known,) = approval_keys(Settings().approval_keys)
    assert (known.subject, known.key_id, known.pem) == (who, made["keyId"], made["publicKey"])


@pytest.mark.parametrize("who", ["", " ", "two\nlines"])
def test_a_key_is_made_for_somebody(who: str, key: Path) -> None:
    assert migrator("keygen", "--as", who, "--out", key).exit_code == terminal.BAD_INPUT
    assert not key.exists()


def test_a_passphrase_is_asked_for_twice_and_locks_the_key(key: Path) -> None:
    done = migrator("keygen", "--as", WHO, "--out", key, "--passphrase", typed="sesame\nsesame\n")
    assert done.exit_code == 0
    assert "sesame" not in done.output
    assert needs_passphrase(key.read_bytes())


def test_the_environment_may_hold_the_passphrase(key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSPHRASE, "sesame")
    keygen(key, "--passphrase")
    assert needs_passphrase(key.read_bytes())
    assert open_key(WHO, key, pytest.fail).passphrase == b"sesame"


# --- deciding --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256"])
@pytest.mark.parametrize("name", ["approve", "reject"])
def test_a_decision_is_signed_for_the_migration_as_it_is_now(
    name: str, algorithm: str, key: Path, migration: OneMigration
) -> None:
    made = keygen(key, "--algorithm", algorithm)
    before = datetime.now(UTC).replace(microsecond=0)
    done = migrator(name, "mig-shop", "--as", WHO, "--key", key)
    assert done.exit_code == 0, done.output
    ((sent, payload),) = migration.sent
    decision = signed(payload["jws"], made["settings"])
    assert (sent, payload["approver"]) == (name, WHO)
    assert decision.model_dump(exclude={"jti", "issued_at", "expires_at"}) == {
        "migrationId": "mig-shop",
        "generation": 3,
        "evidenceHash": EVIDENCE,
        "decision": name,
        "subject": WHO,
    }
    assert before <= decision.issued_at <= datetime.now(UTC)
    assert decision.expires_at - decision.issued_at == GOOD_FOR == timedelta(minutes=10)


def test_every_signature_has_an_id_of_its_own(key: Path, migration: OneMigration) -> None:
    made = keygen(key)
    for _ in range(2):
        migrator("approve", "mig-shop", "--as", WHO, "--key", key)
    first, second = (signed(payload["jws"], made["settings"]).jti for _, payload in migration.sent)
    assert first != second


def test_the_evidence_that_was_looked_at_is_what_is_signed(key: Path, migration: OneMigration) -> None:
    keygen(key)
    done = migrator("approve", "mig-shop", "--as", WHO, "--key", key, "--evidence", EVIDENCE)
    assert done.exit_code == 0, done.output
    assert migration.sent[0][1]["evidenceHash"] == EVIDENCE


def test_other_evidence_than_was_looked_at_is_not_signed(key: Path, migration: OneMigration) -> None:
    keygen(key)
    done = migrator("approve", "mig-shop", "--as", WHO, "--key", key, "--evidence", "cd" * 32)
    assert done.exit_code == terminal.NOT_NOW
    assert EVIDENCE in done.stderr
    assert migration.sent == []


def test_nothing_is_signed_before_there_is_evidence(key: Path, migration: OneMigration) -> None:
    keygen(key)
    migration.seen = migration.seen.model_copy(update={"evidence_hash": None, "phase": Phase.TESTING})
    done = migrator("reject", "mig-shop", "--as", WHO, "--key", key)
    assert done.exit_code == terminal.NOT_NOW
    assert "no evidence yet; it is TESTING" in done.stderr
    assert migration.sent == []


def test_nothing_is_signed_when_the_migration_does_not_answer(key: Path, migration: OneMigration) -> None:
    keygen(key)
    migration.trouble = Unavailable("no worker answers")
    done = migrator("approve", "mig-shop", "--as", WHO, "--key", key)
    assert done.exit_code == terminal.FAILED
    assert migration.sent == []


def test_without_a_key_nothing_is_signed(migration: OneMigration) -> None:
    assert migrator("approve", "mig-shop", "--as", WHO).exit_code == 0
    assert migration.sent == [("approve", {"approver": WHO})]


async def test_the_approval_of_a_deletion_is_signed_as_such(key: Path, migration: OneMigration) -> None:
    made = keygen(key)
    signer = open_key(WHO, key, pytest.fail)
    token = await signature(migration, "mig-shop", signer, "approve", {"approver": WHO, "for": "delete"})
    assert signed(token, made["settings"]).decision == "approve-delete"


def test_a_decision_under_another_name_does_not_count(key: Path, migration: OneMigration) -> None:
    made = keygen(key)
    migrator("approve", "mig-shop", "--as", "approver-2@example.com", "--key", key)
    with pytest.raises(SignatureRefused, match="another person"):
        signed(migration.sent[0][1]["jws"], made["settings"])


def test_a_locked_key_asks_for_its_passphrase_apart_from_the_answer(key: Path, migration: OneMigration) -> None:
    made = keygen(key, "--passphrase", typed="sesame\nsesame\n")
    done = migrator("approve", "mig-shop", "--as", WHO, "--key", key, "--output", "json", typed="sesame\n")
    assert json.loads(done.stdout)["message"] == "taken"
    assert f"Passphrase of {key}" in done.stderr
    assert signed(migration.sent[0][1]["jws"], made["settings"]).subject == WHO


def test_a_wrong_passphrase_opens_nothing(key: Path, migration: OneMigration) -> None:
    keygen(key, "--passphrase", typed="sesame\nsesame\n")
    done = migrator("approve", "mig-shop", "--as", WHO, "--key", key, typed="barley\n")
    assert done.exit_code == terminal.BAD_INPUT
    assert "does not open" in done.stderr
    assert migration.sent == []


@pytest.mark.parametrize("content", [None, b"", b"no key", b"\xff"])
def test_a_file_without_a_key_is_bad_input(content: bytes | None, key: Path, migration: OneMigration) -> None:
    if content is not None:
        key.write_bytes(content)
    done = migrator("approve", "mig-shop", "--as", WHO, "--key", key)
    assert done.exit_code == terminal.BAD_INPUT
    assert "private key" in done.stderr or "No such file" in done.stderr
    assert migration.sent == []


def test_a_signer_shows_no_key_in_a_log(key: Path) -> None:
    keygen(key)
    assert "PRIVATE" not in repr(Signer(WHO, key.read_bytes(), b"sesame"))
    assert "sesame" not in repr(Signer(WHO, key.read_bytes(), b"sesame"))
