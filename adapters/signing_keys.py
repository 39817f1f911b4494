"""The keys that decisions are signed with: Ed25519 (RFC 8037) and P-256, as PEM."""

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from migration.canonical import canonical_json
from migration.errors import ValidationError
from migration.signatures import Algorithm, PublicKey

PrivateHalf = Ed25519PrivateKey | EllipticCurvePrivateKey
PublicHalf = Ed25519PublicKey | EllipticCurvePublicKey

_BEGIN = "-----BEGIN "
_PRIVATE = "PRIVATE KEY-----"
_COORDINATE_BYTES = 32
_KINDS = "Ed25519, or elliptic curve on P-256"


# --- private halves --------------------------------------------------------------------------------------------


def new_private_key(algorithm: Algorithm, passphrase: bytes | None = None) -> bytes:
    """Make a key for that kind of signature: PKCS 8 as PEM, encrypted when there is a passphrase."""
    made: PrivateHalf = (
        Ed25519PrivateKey.generate() if algorithm is Algorithm.EDDSA else generate_private_key(SECP256R1())
    )
    lock = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    return made.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock)


def needs_passphrase(pem: bytes) -> bool:
    """Whether a private key is encrypted."""
    try:
        serialization.load_pem_private_key(pem, None)
    except TypeError:
        return True
    except (ValueError, UnsupportedAlgorithm):
        return False
    return False


def read_private_key(pem: bytes, passphrase: bytes | None = None) -> PrivateHalf:
    """The private key in a PEM text; a passphrase that it does not need is not used.

    Raises:
        ValidationError: It holds no key that decisions can be signed with, or the passphrase does not open it.
    """
    locked = needs_passphrase(pem)
    if locked and not passphrase:
        raise ValidationError("the private key is encrypted: it needs its passphrase")
    try:
        found = serialization.load_pem_private_key(pem, passphrase if locked else None)
    except (ValueError, UnsupportedAlgorithm):
        trouble = "the passphrase does not open the private key" if locked else "that is no private key as PEM"
        raise ValidationError(trouble) from None
    if isinstance(found, Ed25519PrivateKey) or (isinstance(found, EllipticCurvePrivateKey) and _on_p256(found)):
        return found
    raise ValidationError(f"decisions are signed with another kind of key: {_KINDS}")


def public_pem(half: PrivateHalf | PublicHalf) -> str:
    """The public half as PEM (SubjectPublicKeyInfo)."""
    public = half if isinstance(half, PublicHalf) else half.public_key()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return public.public_bytes(serialization.Encoding.PEM, form).decode()


# --- public halves ---------------------------------------------------------------------------------------------


def read_public_key(pem: str) -> PublicHalf:
    """The public key in a PEM text, which holds one and nothing else.

    Raises:
        ValidationError: It is not one public key of a kind that decisions are signed with. The words show no key.
    """
    if _PRIVATE in pem:
        raise ValidationError("it is a private key: put the public half there, and make its owner a new key")
    if pem.count(_BEGIN) != 1:
        raise ValidationError(f"it holds {pem.count(_BEGIN)} PEM blocks, and should hold one public key")
    try:
        found = serialization.load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise ValidationError("it is no public key as PEM (SubjectPublicKeyInfo)") from None
    if isinstance(found, Ed25519PublicKey) or (isinstance(found, EllipticCurvePublicKey) and _on_p256(found)):
        return found
    raise ValidationError(f"it is another kind of key than decisions are signed with: {_KINDS}")


def algorithm_of(half: PrivateHalf | PublicHalf) -> Algorithm:
    """The one algorithm that a key of this kind signs by."""
    return Algorithm.EDDSA if isinstance(half, Ed25519PrivateKey | Ed25519PublicKey) else Algorithm.ES256


def thumbprint(half: PrivateHalf | PublicHalf) -> str:
    """The key's own name: its SHA-256 JWK thumbprint (RFC 7638; RFC 8037 for Ed25519)."""
    public = half if isinstance(half, PublicHalf) else half.public_key()
    if isinstance(public, Ed25519PublicKey):
        jwk = {"kty": "OKP", "crv": "Ed25519", "x": _base64url(public.public_bytes_raw())}
    else:
        point = public.public_numbers()
        x, y = (_base64url(part.to_bytes(_COORDINATE_BYTES, "big")) for part in (point.x, point.y))
        jwk = {"kty": "EC", "crv": "P-256", "x": x, "y": y}
    return _base64url(hashlib.sha256(canonical_json(jwk).encode()).digest())


# --- the setting -----------------------------------------------------------------------------------------------


def approval_keys(configured: Mapping[str, Sequence[str]]) -> tuple[PublicKey, ...]:
    """Every key that the setting `approval_keys` names: PEM text as it stands, anything else is a file's path.

    Raises:
        ValidationError: One cannot be read, is not a public key, or is given to two people.
    """
    keys: dict[str, PublicKey] = {}
    for subject, entries in configured.items():
        for number, entry in enumerate(entries, 1):
            try:
                key = _public_key(subject, entry)
            except ValidationError as error:
                raise ValidationError(f"the setting approval_keys, entry {number} of {subject!r}: {error}") from None
            other = keys.setdefault(key.key_id, key).subject
            if other.casefold() != key.subject.casefold():
                raise ValidationError(f"the setting approval_keys gives {other!r} and {subject!r} the same key")
    return tuple(keys.values())


def _public_key(subject: str, entry: str) -> PublicKey:
    if not subject.strip():
        raise ValidationError("a key needs an owner")
    half = read_public_key(entry if _BEGIN in entry else _file(entry))
    return PublicKey(subject=subject.strip(), key_id=thumbprint(half), pem=public_pem(half))


def _file(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii")
    except UnicodeDecodeError:
        raise ValidationError(f"the file {path} is no PEM text") from None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "no path"
        raise ValidationError(f"the file {path} cannot be read: {why}") from None


def _on_p256(half: EllipticCurvePrivateKey | EllipticCurvePublicKey) -> bool:
    return isinstance(half.curve, SECP256R1)


def _base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
