"""Signed decisions: what counts, and every way in which a signature does not."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from hmac import digest
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.signatures import TYPE, JwsSignatures, sign, verify
from adapters.signing_keys import (
    algorithm_of,
    new_private_key,
    public_pem,
    read_private_key,
    read_public_key,
    thumbprint,
)
from migration.errors import ValidationError
from migration.signatures import LEEWAY, LONGEST_LIFE, Algorithm, PublicKey, SignatureRefused, SignedDecision

WHO = "approver-1@example.com"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DECISION = SignedDecision(
    migration_id="mig-shop",
    generation=2,
    evidence_hash="ab" * 32,
    decision="approve",
    subject=WHO,
    jti="5f0c",
    issued_at=NOW,
    expires_at=NOW + timedelta(minutes=10),
)
PRIVATE = {algorithm: new_private_key(algorithm) for algorithm in Algorithm}
both = pytest.mark.parametrize("algorithm", list(Algorithm))


def public_key(pem: bytes, subject: str = WHO) -> PublicKey:
    half = read_private_key(pem)
    return PublicKey(subject=subject, key_id=thumbprint(half), pem=public_pem(half))


KEYS = tuple(map(public_key, PRIVATE.values()))
TOKENS = {algorithm: sign(DECISION, PRIVATE[algorithm]) for algorithm in Algorithm}
CLAIMS: dict[str, Any] = {
    "migrationId": "mig-shop",
    "generation": 2,
    "evidenceHash": "ab" * 32,
    "decision": "approve",
    "sub": WHO,
    "jti": "5f0c",
    "iat": int(NOW.timestamp()),
    "exp": int(NOW.timestamp()) + 600,
}


def base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def made_by_hand(payload: bytes, algorithm: Algorithm = Algorithm.EDDSA, **header: Any) -> str:
    """A rightly signed token over any payload, under any header."""
    half = read_private_key(PRIVATE[algorithm])
    said = {"typ": TYPE, "kid": thumbprint(half), **header}
    return jwt.PyJWS().encode(payload, half, algorithm.value, said)


def refusal(token: str, keys: tuple[PublicKey, ...] = KEYS, now: datetime = NOW) -> str:
    with pytest.raises(SignatureRefused) as refused:
        verify(token, keys, now)
    return str(refused.value)


# --- what counts -----------------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("decision", ["approve", "reject", "approve-delete"])
def test_a_signed_decision_comes_back_as_it_was_signed(algorithm: Algorithm, decision: Any) -> None:
    meant = DECISION.model_copy(update={"decision": decision})
    token = sign(meant, PRIVATE[algorithm])
    assert verify(token, KEYS, NOW) == meant
    assert jwt.get_unverified_header(token)["alg"] == algorithm


def test_the_claims_bear_the_names_of_the_standard_and_the_request() -> None:
    payload = sign(DECISION, PRIVATE[Algorithm.ES256]).split(".")[1]
    assert json.loads(urlsafe_b64decode(payload + "==")) == CLAIMS


def test_one_person_may_have_several_keys_while_they_are_rotated() -> None:
    signed = [sign(DECISION, PRIVATE[algorithm]) for algorithm in Algorithm]
    assert [verify(token, KEYS, NOW).subject for token in signed] == [WHO, WHO]


def test_the_owner_of_a_key_is_the_same_person_in_any_case_of_letters() -> None:
    keys = (public_key(PRIVATE[Algorithm.EDDSA], WHO.upper()),)
    assert verify(sign(DECISION, PRIVATE[Algorithm.EDDSA]), keys, NOW).subject == WHO


def test_the_port_judges_by_its_own_clock() -> None:
    token = sign(DECISION, PRIVATE[Algorithm.EDDSA])
    assert JwsSignatures(KEYS, lambda: NOW).verify(token) == DECISION
    with pytest.raises(SignatureRefused, match="expired"):
        JwsSignatures(KEYS).verify(token)


# --- keys ------------------------------------------------------------------------------------------------------


def test_a_key_that_nobody_configured_is_unknown() -> None:
    assert "key is unknown" in refusal(sign(DECISION, new_private_key(Algorithm.EDDSA)))
    assert "key is unknown" in refusal(sign(DECISION, PRIVATE[Algorithm.EDDSA], "another-key"))
    assert "key is unknown" in refusal(sign(DECISION, PRIVATE[Algorithm.EDDSA]), keys=())


def test_a_known_key_id_over_another_persons_signature_is_a_wrong_signature() -> None:
    stolen_name = KEYS[0].key_id
    assert "signature is wrong" in refusal(sign(DECISION, new_private_key(Algorithm.EDDSA), stolen_name))


@both
def test_nobody_signs_for_another_person(algorithm: Algorithm) -> None:
    keys = (public_key(PRIVATE[algorithm], "approver-2@example.com"),)
    assert "another person" in refusal(sign(DECISION, PRIVATE[algorithm]), keys)


def test_a_key_brought_along_in_the_header_is_not_looked_at() -> None:
    own = ed25519.Ed25519PrivateKey.generate()
    jwk = json.loads(jwt.algorithms.OKPAlgorithm.to_jwk(own.public_key()))
    payload = json.dumps(CLAIMS).encode()
    for kid in (KEYS[0].key_id, thumbprint(own)):
        token = jwt.PyJWS().encode(payload, own, "EdDSA", {"typ": TYPE, "kid": kid, "jwk": jwk})
        assert "signature is wrong" in (said := refusal(token)) or "key is unknown" in said


# --- algorithms ------------------------------------------------------------------------------------------------


@both
def test_the_public_key_as_a_shared_secret_signs_nothing(algorithm: Algorithm) -> None:
    key = public_key(PRIVATE[algorithm])
    header = {"alg": "HS256", "typ": TYPE, "kid": key.key_id}
    signed = ".".join(base64url(json.dumps(part).encode()) for part in (header, CLAIMS))
    token = f"{signed}.{base64url(digest(key.pem.encode(), signed.encode(), sha256))}"
    assert "algorithm is not allowed" in refusal(token)


@pytest.mark.parametrize("none", ["none", "None", "NONE", "", None])
@pytest.mark.parametrize("signature", ["", "AAAA"])
def test_a_token_without_a_signature_is_refused(none: Any, signature: str) -> None:
    header = {"alg": none, "typ": TYPE, "kid": KEYS[0].key_id}
    signed = ".".join(base64url(json.dumps(part).encode()) for part in (header, CLAIMS))
    said = refusal(f"{signed}.{signature}")
    assert ("algorithm is not allowed" if signature else "malformed") in said


@both
def test_a_key_signs_by_its_own_algorithm_alone(algorithm: Algorithm) -> None:
    other = next(each for each in Algorithm if each is not algorithm)
    said = refusal(sign(DECISION, PRIVATE[algorithm], public_key(PRIVATE[other]).key_id))
    assert f"algorithm is not allowed: this key signs by {other}" in said


@pytest.mark.parametrize("curve", [ec.SECP384R1(), ec.SECP256K1(), ec.SECP521R1()])
def test_another_curve_is_another_kind_of_key(curve: ec.EllipticCurve) -> None:
    half = ec.generate_private_key(curve)
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    pem = half.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(ValidationError, match="P-256"):
        read_public_key(half.public_key().public_bytes(serialization.Encoding.PEM, form).decode())
    with pytest.raises(ValidationError, match="P-256"):
        sign(DECISION, pem)


def test_rsa_is_another_kind_of_key() -> None:
    half = rsa.generate_private_key(65537, 2048)
    pem = half.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(ValidationError, match="Ed25519"):
        sign(DECISION, pem)


# --- form ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "a.b",
        "a.b.c",
        "a.b.c.d",
        "not a token",
        "\ud800.a.b",
        "é.é.é",
        f"{base64url(b'[]')}.e30.AAAA",
        f"{base64url(b'{')}.e30.AAAA",
        "a" * 9000 + ".b.c",
    ],
)
def test_what_is_no_compact_jws_is_malformed(token: str) -> None:
    assert "malformed" in refusal(token)


@pytest.mark.parametrize("change", ["{}=", "{}\n", " {}", "{}.", "{}é"])
def test_nothing_is_added_to_a_token(change: str) -> None:
    assert "malformed" in refusal(change.format(sign(DECISION, PRIVATE[Algorithm.EDDSA])))


@pytest.mark.parametrize("typ", ["JWT", "at+jwt", None])
def test_another_kind_of_token_of_the_same_key_is_no_decision(typ: str | None) -> None:
    assert "not a signed decision" in refusal(made_by_hand(json.dumps(CLAIMS).encode(), typ=typ))


def test_a_token_is_never_longer_than_a_decision_needs() -> None:
    payload = json.dumps(CLAIMS).encode()
    assert verify(made_by_hand(payload, note="x" * 1000), KEYS, NOW) == DECISION
    assert "malformed" in refusal(made_by_hand(payload, note="x" * 9000))


def test_a_header_that_demands_what_is_not_understood_is_refused() -> None:
    assert "malformed" in refusal(made_by_hand(json.dumps(CLAIMS).encode(), crit=["exp"], exp=1))


@both
@settings(deadline=None)
@given(data=st.data())
def test_no_byte_of_a_token_can_be_changed(algorithm: Algorithm, data: st.DataObject) -> None:
    token = TOKENS[algorithm].encode()
    at = data.draw(st.integers(0, len(token) - 1), "at")
    byte = data.draw(st.integers(0, 255).filter(lambda byte: byte != token[at]), "byte")
    changed = token[:at] + bytes([byte]) + token[at + 1 :]
    with pytest.raises(SignatureRefused):
        verify(changed.decode("latin-1"), KEYS, NOW)


@both
def test_every_last_character_of_a_part_counts(algorithm: Algorithm) -> None:
    parts = TOKENS[algorithm].split(".")
    for i, part in enumerate(parts):
        for last in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_":
            if last != part[-1]:
                assert refusal(".".join([*parts[:i], part[:-1] + last, *parts[i + 1 :]]))


# --- claims ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", list(CLAIMS))
def test_a_missing_claim_is_named(missing: str) -> None:
    claims = {name: value for name, value in CLAIMS.items() if name != missing}
    said = refusal(made_by_hand(json.dumps(claims).encode()))
    assert f"$.{missing}: expected a value, which is required, found nothing" in said


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        ("decision", "commit"),
        ("decision", None),
        ("generation", "2"),
        ("generation", True),
        ("generation", 2.5),
        ("migrationId", ["mig-shop"]),
        ("evidenceHash", ""),
        ("evidenceHash", None),
        ("sub", ""),
        ("jti", ""),
        ("jti", "x" * 201),
        ("iat", -1),
        ("exp", 10**30),
        ("exp", 253402300800),
        ("exp", "soon"),
        ("aud", "another-service"),
        ("nbf", 4102444800),
        ("migration_id", "mig-shop"),
    ],
)
def test_a_claim_that_is_not_a_decisions_is_refused_by_its_name(claim: str, value: Any) -> None:
    said = refusal(made_by_hand(json.dumps({**CLAIMS, claim: value}).encode()))
    assert "the claims are not a decision's" in said
    assert f"$.{claim}: " in said


@pytest.mark.parametrize("payload", [b"", b"null", b"[]", b"\xff", b'{"a":', b"[" * 5000])
def test_a_payload_that_is_no_object_is_refused(payload: bytes) -> None:
    assert refusal(made_by_hand(payload))


def test_a_claim_given_twice_is_refused() -> None:
    twice = json.dumps(CLAIMS)[:-1] + ', "decision": "reject"}'
    assert "$.decision" in refusal(made_by_hand(twice.encode()))


# --- time ------------------------------------------------------------------------------------------------------


def test_a_signature_counts_until_the_second_of_its_expiry() -> None:
    token = TOKENS[Algorithm.EDDSA]
    assert verify(token, KEYS, DECISION.expires_at - timedelta(microseconds=1)) == DECISION
    assert "expired" in refusal(token, now=DECISION.expires_at)


def test_a_signers_clock_may_be_ahead_by_the_leeway_and_no_more() -> None:
    token = TOKENS[Algorithm.EDDSA]
    assert verify(token, KEYS, NOW - LEEWAY) == DECISION
    assert "not valid yet" in refusal(token, now=NOW - LEEWAY - timedelta(microseconds=1))


@pytest.mark.parametrize(
    ("life", "counts"),
    [
        (LONGEST_LIFE, True),
        (LONGEST_LIFE + timedelta(seconds=1), False),
        (timedelta(days=36500), False),
        (timedelta(seconds=1), True),
    ],
)
def test_a_signature_lives_for_a_day_at_most(life: timedelta, counts: bool) -> None:
    token = sign(DECISION.model_copy(update={"expires_at": NOW + life}), PRIVATE[Algorithm.EDDSA])
    if counts:
        assert verify(token, KEYS, NOW).expires_at == NOW + life
    else:
        assert "lifetime" in refusal(token)


def test_a_signature_that_expires_before_it_was_made_never_counts() -> None:
    backwards = {"issued_at": NOW + timedelta(seconds=50), "expires_at": NOW + timedelta(seconds=40)}
    assert "lifetime" in refusal(sign(DECISION.model_copy(update=backwards), PRIVATE[Algorithm.EDDSA]))


# --- key files -------------------------------------------------------------------------------------------------


def test_a_key_is_named_by_its_thumbprint_as_the_standard_has_it() -> None:
    # The key and the thumbprint of RFC 8037, appendix A.3.
    x = urlsafe_b64decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo=")
    half = ed25519.Ed25519PublicKey.from_public_bytes(x)
    assert thumbprint(half) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_the_coordinates_of_a_thumbprint_keep_their_leading_zeros() -> None:
    half = next(key for key in map(ec.derive_private_key, range(1, 2000), [ec.SECP256R1()] * 2000) if _short(key))
    jwk = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(half.public_key()))
    required = {name: jwk[name] for name in ("crv", "kty", "x", "y")}
    text = json.dumps(required, sort_keys=True, separators=(",", ":"))
    assert thumbprint(half) == base64url(sha256(text.encode()).digest())


def _short(key: ec.EllipticCurvePrivateKey) -> bool:
    return key.public_key().public_numbers().x.bit_length() <= 248


@both
def test_a_passphrase_locks_a_key(algorithm: Algorithm) -> None:
    pem = new_private_key(algorithm, b"open sesame")
    half = read_private_key(pem, b"open sesame")
    keys = (PublicKey(subject=WHO, key_id=thumbprint(half), pem=public_pem(half)),)
    assert verify(sign(DECISION, pem, passphrase=b"open sesame"), keys, NOW) == DECISION
    with pytest.raises(ValidationError, match="needs its passphrase"):
        sign(DECISION, pem)
    with pytest.raises(ValidationError, match="does not open"):
        sign(DECISION, pem, passphrase=b"open barley")


def test_a_passphrase_that_is_not_needed_is_not_used() -> None:
    assert sign(DECISION, PRIVATE[Algorithm.EDDSA], passphrase=b"open sesame")


@pytest.mark.parametrize("pem", [b"", b"nothing", PRIVATE[Algorithm.EDDSA][:60]], ids=["empty", "no key", "half a key"])
def test_what_is_no_private_key_signs_nothing(pem: bytes) -> None:
    with pytest.raises(ValidationError, match="no private key"):
        sign(DECISION, pem)


@both
def test_a_public_half_tells_its_algorithm(algorithm: Algorithm) -> None:
    assert algorithm_of(read_public_key(public_key(PRIVATE[algorithm]).pem)) is algorithm
