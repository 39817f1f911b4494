"""The activity that verifies a signature, and the keys that the settings give it."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.approvals import Approvals, VerifySignature
from adapters.signatures import JwsSignatures, sign
from adapters.signing_keys import approval_keys, new_private_key, public_pem, read_private_key
from migration.errors import ValidationError
from migration.settings import Settings
from migration.signatures import Algorithm, SignedDecision

WHO = "approver-1@example.com"
OTHER = "approver-2@example.com"
NOW = datetime.now(UTC).replace(microsecond=0)
DECISION = SignedDecision(
    migration_id="mig-shop",
    generation=1,
    evidence_hash="ab" * 32,
    decision="reject",
    subject=WHO,
    jti="5f0c",
    issued_at=NOW,
    expires_at=NOW + timedelta(minutes=10),
)
FIRST, SECOND = (new_private_key(algorithm) for algorithm in Algorithm)


def public(pem: bytes) -> str:
    return public_pem(read_private_key(pem))


def approvals() -> Approvals:
    return Approvals(JwsSignatures(approval_keys({WHO: [public(FIRST), public(SECOND)]})))


# --- the activity ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pem", [FIRST, SECOND])
def test_a_good_signature_is_the_decision_that_was_signed(pem: bytes) -> None:
    request = VerifySignature(token=sign(DECISION, pem))
    assert ActivityEnvironment().run(approvals().verify_signature, request) == DECISION


@pytest.mark.parametrize(
    ("token", "words"),
    [
        ("nonsense", "malformed"),
        (sign(DECISION, new_private_key(Algorithm.EDDSA)), "unknown"),
        (sign(DECISION.model_copy(update={"expires_at": NOW}), FIRST), "expired"),
        (sign(DECISION, FIRST)[:-4] + "AAAA", "signature is wrong"),
        (sign(DECISION.model_copy(update={"evidence_hash": ""}), FIRST), "evidenceHash"),
    ],
)
def test_a_refused_signature_is_told_in_words_and_not_tried_again(token: str, words: str) -> None:
    with pytest.raises(ApplicationError, match=words) as refused:
        ActivityEnvironment().run(approvals().verify_signature, VerifySignature(token=token))
    assert refused.value.type == "SignatureRefused"
    assert refused.value.non_retryable
    assert refused.value.__cause__ is None, "nothing behind it hides its words"


def test_without_any_key_nothing_counts() -> None:
    with pytest.raises(ApplicationError, match="key is unknown"):
        Approvals(JwsSignatures(approval_keys({}))).verify_signature(VerifySignature(token=sign(DECISION, FIRST)))


# --- the setting -----------------------------------------------------------------------------------------------


def test_keys_are_pem_text_or_files_several_for_a_person(tmp_path: Path) -> None:
    file = tmp_path / "second.pem"
    file.write_text(public(SECOND))
    keys = approval_keys({WHO: [public(FIRST), str(file)]})
    assert [(key.subject, key.pem) for key in keys] == [(WHO, public(FIRST)), (WHO, public(SECOND))]


def test_keys_come_from_the_settings_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, settings = tmp_path / "key.pem", tmp_path / "settings.toml"
    file.write_text(public(FIRST))
    settings.write_text(f'[approval_keys]\n"{WHO}" = ["{file}"]\n')
    monkeypatch.setenv("MIGRATOR_SETTINGS", str(settings))
    assert [key.pem for key in approval_keys(Settings().approval_keys)] == [public(FIRST)]


def test_keys_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIGRATOR_APPROVAL_KEYS", json.dumps({WHO: [public(FIRST)]}))
    assert [key.subject for key in approval_keys(Settings().approval_keys)] == [WHO]


def test_a_private_key_among_the_public_ones_is_refused_and_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_bytes(FIRST)
    for entry in (str(file), FIRST.decode(), public(FIRST) + FIRST.decode()):
        with pytest.raises(
            ValidationError, match=rf"approval_keys, entry 2 of '{WHO}': it is a private key"
        ) as refused:
            approval_keys({WHO: [public(SECOND), entry]})
        assert FIRST.decode().splitlines()[1] not in str(refused.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read: No such file"),
        (b"", "0 PEM blocks"),
        (b"\xff\xfe", "no PEM text"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "no public key"),
        ((public(FIRST) + public(SECOND)).encode(), "2 PEM blocks"),
    ],
)
def test_what_cannot_be_used_is_refused_by_the_settings_name(tmp_path: Path, content: bytes | None, words: str) -> None:
    file = tmp_path / "key.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ValidationError, match=f"the setting approval_keys.*{words}"):
        approval_keys({WHO: [str(file)]})


def test_a_directory_is_no_key(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"approval_keys.*Is a directory"):
        approval_keys({WHO: [str(tmp_path)]})


def test_two_people_never_share_a_key() -> None:
    with pytest.raises(ValidationError, match="the same key"):
        approval_keys({WHO: [public(FIRST)], OTHER: [public(FIRST)]})
    assert len(approval_keys({WHO: [public(FIRST)], WHO.upper(): [public(FIRST)]})) == 1


def test_a_key_has_an_owner() -> None:
    with pytest.raises(ValidationError, match="needs an owner"):
        approval_keys({" ": [public(FIRST)]})
