"""People with keys of their own, whose signatures count on the stage: one signs by Ed25519, the other by P-256."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from activities.approvals import Approvals
from adapters.signatures import JwsSignatures, sign
from adapters.signing_keys import approval_keys, new_private_key, public_pem, read_private_key, thumbprint
from migration.signatures import Algorithm, SignedDecision
from migration.status import MigrationStatus
from tests.workflows.migration_requests import APPROVER, OTHER_APPROVER, REQUESTER

KEYS = {
    APPROVER: new_private_key(Algorithm.EDDSA),
    OTHER_APPROVER: new_private_key(Algorithm.ES256),
    REQUESTER: new_private_key(Algorithm.EDDSA),
}
STRANGERS = new_private_key(Algorithm.EDDSA)
"""A key that no setting names."""


def approvals() -> Approvals:
    """The activity that knows the public halves."""
    public = {who: [public_pem(read_private_key(pem))] for who, pem in KEYS.items()}
    return Approvals(JwsSignatures(approval_keys(public)))


def name_of(pem: bytes) -> str:
    """What a signature names this key by."""
    return thumbprint(read_private_key(pem))


def decision_on(status: MigrationStatus, by: str = APPROVER, **parts: Any) -> SignedDecision:
    """An approval of the migration as it is now, to be signed by that person; `parts` replace what is right."""
    now = datetime.now(UTC).replace(microsecond=0)
    right = SignedDecision(
        migration_id=status.migration_id,
        generation=status.generation,
        evidence_hash=status.evidence_hash or "",
        decision="approve",
        subject=by,
        jti=uuid.uuid4().hex,
        issued_at=now,
        expires_at=now + timedelta(hours=1),
    )
    return right.model_copy(update=parts)


def signed(status: MigrationStatus, by: str = APPROVER, **parts: Any) -> str:
    """The same, signed with that person's key."""
    return sign(decision_on(status, by, **parts), KEYS[by])
