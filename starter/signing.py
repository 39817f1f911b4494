"""The signer's side: a key of one's own, and a decision signed with it for the state that a migration is in now."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

from pydantic import TypeAdapter
from pydantic import ValidationError as PydanticValidationError

from adapters.signatures import sign
from adapters.signing_keys import needs_passphrase, new_private_key, public_pem, read_private_key, thumbprint
from migration.errors import Conflict, ValidationError
from migration.formats import Person
from migration.settings import environment_secret
from migration.signatures import Algorithm, Signed, SignedDecision
from starter.client import Migrations

PASSPHRASE = "MIGRATOR_KEY_PASSPHRASE"  # noqa: S105  the name of the variable
GOOD_FOR = timedelta(minutes=10)
"""How long a signature holds: it is sent at once, and a worker may be slow to take it."""

Ask = Callable[[str], str]
_PERSON: TypeAdapter[str] = TypeAdapter(Person)


@dataclass(frozen=True)
class NewKey:
    """A key that was made: where its private half is, and what its public half is for others."""

    file: Path
    key_id: str
    public_key: str
    settings: str


@dataclass(frozen=True)
class Signer:
    """Somebody with a key."""

    who: str
    pem: bytes = field(repr=False)
    passphrase: bytes | None = field(default=None, repr=False)

    def sign(self, migration_id: str, generation: int, evidence_hash: str, decision: Signed) -> str:
        """Sign it now, to count once within `GOOD_FOR`. Raises `ValidationError` for a key that cannot sign."""
        now = datetime.now(UTC)
        signed = SignedDecision(
            migration_id=migration_id,
            generation=generation,
            evidence_hash=evidence_hash,
            decision=decision,
            subject=self.who,
            jti=str(uuid4()),
            issued_at=now,
            expires_at=now + GOOD_FOR,
        )
        return sign(signed, self.pem, passphrase=self.passphrase)


def make_key(who: str, out: Path, algorithm: Algorithm, passphrase: str | None) -> NewKey:
    """Make a key for a person; the file of its private half is the owner's alone to read.

    Raises:
        ValidationError: The file exists, or cannot be written, or that is no person's name.
    """
    try:
        _PERSON.validate_python(who)
    except PydanticValidationError:
        raise ValidationError(f"{who!r} is no name that a decision can carry") from None
    pem = new_private_key(algorithm, _bytes(passphrase))
    _write_new(out, pem)
    half = read_private_key(pem, _bytes(passphrase))
    public = public_pem(half)
    return NewKey(file=out, key_id=thumbprint(half), public_key=public, settings=_settings_lines(who, public))


def open_key(who: str, file: Path, ask: Ask) -> Signer:
    """A signer with the key in a file; `ask` is asked for a passphrase that the environment does not hold.

    Raises:
        ValidationError: The file cannot be read, or holds no key that can sign.
    """
    try:
        pem = file.read_bytes()
    except OSError as error:
        raise ValidationError(f"cannot read {file}: {error.strerror}") from None
    passphrase = (environment_secret(PASSPHRASE) or ask(f"Passphrase of {file}")) if needs_passphrase(pem) else None
    signer = Signer(who, pem, _bytes(passphrase))
    read_private_key(signer.pem, signer.passphrase)
    return signer


async def signature(
    migrations: Migrations, migration_id: str, signer: Signer, name: str, payload: Mapping[str, str]
) -> str:
    """A signature for a decision about a migration as it is now.

    Args:
        migrations: Where the migration is asked for its generation and its evidence.
        migration_id: The migration.
        signer: Who decides.
        name: The decision's name, `approve` or `reject`.
        payload: What is sent with it. Its `evidenceHash` is the evidence that the signer has looked at; without one
            it is whatever there is now.

    Raises:
        Conflict: There is no evidence yet, or it is not the one that was looked at. Nothing was signed.
        NotFound: There is no such migration.
        Unavailable: No worker answers.
    """
    status = await migrations.status(migration_id)
    if status.evidence_hash is None:
        raise Conflict(f"nothing was signed: {migration_id} has no evidence yet; it is {status.phase}")
    if payload.get("evidenceHash", status.evidence_hash) != status.evidence_hash:
        raise Conflict(f"nothing was signed: the evidence of {migration_id} has the hash {status.evidence_hash} now")
    return signer.sign(migration_id, status.generation, status.evidence_hash, _meant(name, payload))


def _meant(name: str, payload: Mapping[str, str]) -> Signed:
    """What is signed: an approval may be that of the deletion."""
    if name == "reject":
        return "reject"
    return "approve-delete" if payload.get("for") == "delete" else "approve"


def _write_new(file: Path, content: bytes) -> None:
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(content)
    except FileExistsError:
        raise ValidationError(f"{file} exists, and a key is never overwritten") from None
    except OSError as error:
        raise ValidationError(f"cannot write {file}: {error.strerror}") from None


def _settings_lines(who: str, public: str) -> str:
    """Lines of TOML, whose basic strings take what JSON's do."""
    name, pem = (json.dumps(text, ensure_ascii=False) for text in (who, public))
    return f"[approval_keys]\n{name} = [{pem}]\n"


def _bytes(passphrase: str | None) -> bytes | None:
    return passphrase.encode() if passphrase else None
