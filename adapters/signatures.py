"""Signed decisions as JWS in compact form (RFC 7515), EdDSA or ES256, by the advice of RFC 8725.

The algorithm is the key's and never the token's choice, a key speaks for its owner alone, and a token says in its
header that it is a decision, so that nothing else that was signed with the key passes for one.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import jwt
from pydantic import ConfigDict, Field, StringConstraints

from adapters.signing_keys import algorithm_of, read_private_key, read_public_key, thumbprint
from migration.models import Model
from migration.parsing import RequestErrors, parse_model
from migration.signatures import (
    LEEWAY,
    LONGEST_LIFE,
    Algorithm,
    Once,
    PublicKey,
    SignatureRefused,
    Signed,
    SignedDecision,
    Subject,
)

TYPE = "migration-decision+jwt"
_COMPACT = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
_LONGEST = 8192
_LAST_SECOND = int(datetime.max.replace(tzinfo=UTC).timestamp())
_JWS = jwt.PyJWS(algorithms=list(Algorithm))

_Text = Annotated[str, StringConstraints(min_length=1, max_length=320)]
_Second = Annotated[int, Field(ge=0, lt=_LAST_SECOND)]


class _Claims(Model):
    """What is signed, by the names of RFC 7519. A claim that we do not know could change the meaning: none is taken."""

    model_config = ConfigDict(extra="forbid", strict=True, validate_by_name=False, validate_by_alias=True)

    migration_id: _Text
    generation: int
    evidence_hash: _Text
    decision: Signed
    sub: Subject
    jti: Once
    iat: _Second
    exp: _Second


def sign(
    decision: SignedDecision, private_key_pem: bytes, key_id: str | None = None, *, passphrase: bytes | None = None
) -> str:
    """Sign a decision; times are kept to the second. The key's thumbprint names it, or else `key_id`.

    Raises:
        ValidationError: The key cannot be read, or is of another kind.
    """
    key = read_private_key(private_key_pem, passphrase)
    claims = {
        "migrationId": decision.migration_id,
        "generation": decision.generation,
        "evidenceHash": decision.evidence_hash,
        "decision": decision.decision,
        "sub": decision.subject,
        "jti": decision.jti,
        "iat": int(decision.issued_at.timestamp()),
        "exp": int(decision.expires_at.timestamp()),
    }
    header = {"typ": TYPE, "kid": key_id or thumbprint(key)}
    return _JWS.encode(json.dumps(claims).encode(), key, algorithm_of(key), header)


def verify(token: str, keys: Sequence[PublicKey], now: datetime) -> SignedDecision:
    """The decision in a token, if it counts at this moment.

    Raises:
        SignatureRefused: It does not, in words for the one who signed.
    """
    key = _named(_header(token), keys)
    claims = _claims(_payload(token, key))
    decision = SignedDecision(
        migration_id=claims.migration_id,
        generation=claims.generation,
        evidence_hash=claims.evidence_hash,
        decision=claims.decision,
        subject=claims.sub,
        jti=claims.jti,
        issued_at=datetime.fromtimestamp(claims.iat, UTC),
        expires_at=datetime.fromtimestamp(claims.exp, UTC),
    )
    if decision.subject.casefold() != key.subject.casefold():
        raise SignatureRefused(f"the signature says {decision.subject}, and its key is another person's")
    _is_of_now(decision, now)
    return decision


def _header(token: str) -> dict[str, Any]:
    """What the token says of itself: nothing in it is trusted, only compared."""
    if len(token) > _LONGEST or _COMPACT.fullmatch(token) is None:
        raise SignatureRefused("the signature is malformed: it is not a JWS in compact form")
    try:
        header = _JWS.get_unverified_header(token)
    except jwt.PyJWTError as error:
        raise SignatureRefused(f"the signature is malformed: {error}") from None
    if header.get("typ") != TYPE:
        raise SignatureRefused(f"that is not a signed decision: the header's typ is not {TYPE}")
    return header


def _named(header: dict[str, Any], keys: Sequence[PublicKey]) -> PublicKey:
    named = header.get("kid")
    for key in keys:
        if key.key_id == named:
            return key
    raise SignatureRefused("the key is unknown: the settings name no public key with the signature's key id")


def _payload(token: str, key: PublicKey) -> bytes:
    half = read_public_key(key.pem)
    allowed = algorithm_of(half)
    try:
        payload: bytes = _JWS.decode(token, half, algorithms=[allowed])
    except jwt.InvalidAlgorithmError:
        raise SignatureRefused(f"the algorithm is not allowed: this key signs by {allowed}") from None
    except jwt.InvalidSignatureError:
        raise SignatureRefused("the signature is wrong: it was not made with that key over these claims") from None
    except jwt.PyJWTError as error:
        raise SignatureRefused(f"the signature is malformed: {error}") from None
    return payload


def _claims(payload: bytes) -> _Claims:
    try:
        return parse_model(payload, _Claims)
    except RequestErrors as errors:
        raise SignatureRefused(f"the claims are not a decision's: {'; '.join(map(str, errors.errors))}") from None


def _is_of_now(decision: SignedDecision, now: datetime) -> None:
    issued, expires = decision.issued_at, decision.expires_at
    if now >= expires:
        raise SignatureRefused(f"the signature has expired at {expires}: sign again")
    if issued > now + LEEWAY:
        raise SignatureRefused(f"the signature is not valid yet: it was made at {issued}, and here it is {now}")
    if not issued < expires <= issued + LONGEST_LIFE:
        longest = LONGEST_LIFE.total_seconds() / 3600
        raise SignatureRefused(f"the signature's lifetime is too long or none: at most {longest:.0f} h are allowed")


@dataclass(frozen=True)
class JwsSignatures:
    """The signatures of the people whose keys the settings name, as `DecisionSignatures`."""

    keys: tuple[PublicKey, ...]
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def verify(self, token: str) -> SignedDecision:
        """The decision that was signed. Raises `SignatureRefused`."""
        return verify(token, self.keys, self.clock())
