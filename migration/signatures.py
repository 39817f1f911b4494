"""A signed decision: what is signed, with whose key it counts, and why a signature is refused."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import StringConstraints

from migration.errors import MigrationError
from migration.models import Model

LONGEST_LIFE = timedelta(hours=24)
"""A signature that is good for longer is refused: it is a decision of now, not a standing order."""
LEEWAY = timedelta(seconds=60)
"""How far the signer's clock may be ahead of ours. A signature never counts from its expiry on."""


class Algorithm(StrEnum):
    """The signatures that count, by their JWS names; the kind of a key says which one, never a token."""

    EDDSA = "EdDSA"
    ES256 = "ES256"


Signed = Literal["approve", "reject", "approve-delete"]
"""What can be signed; `approve-delete` is the second approval, that of deleting the retired source."""
Subject = Annotated[str, StringConstraints(min_length=1, max_length=320)]
Once = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class SignedDecision(Model):
    """One decision of one person about one state of one migration, to be counted once.

    Attributes:
        subject: Who decides; the owner of the key.
        jti: The signature's own id: a second decision that carries it is a replay.
    """

    migration_id: str
    generation: int
    evidence_hash: str
    decision: Signed
    subject: Subject
    jti: Once
    issued_at: datetime
    expires_at: datetime


class PublicKey(Model):
    """A key whose signatures count as its owner's.

    Attributes:
        subject: The owner.
        key_id: What a signature names the key by: its RFC 7638 thumbprint.
        pem: The key as SubjectPublicKeyInfo: Ed25519, or an elliptic curve key on P-256.
    """

    subject: Subject
    key_id: str
    pem: str


class SignatureRefused(MigrationError):  # noqa: N818  an answer to a person
    """The signature does not count, and why."""
