"""Whether a signed decision counts."""

from dataclasses import dataclass

from temporalio import activity

from activities.errors import translated
from migration.models import Model
from migration.ports import DecisionSignatures
from migration.signatures import SignatureRefused, SignedDecision


class VerifySignature(Model):
    """The `jws` that came with a decision."""

    token: str


@dataclass
class Approvals:
    """What people signed."""

    signatures: DecisionSignatures

    @activity.defn
    @translated(SignatureRefused)
    def verify_signature(self, request: VerifySignature) -> SignedDecision:
        """Read and verify; nothing outside this process is asked.

        What was signed is left to compare with the migration, and its `jti` to remember, until `expires_at`.
        """
        return self.signatures.verify(request.token)
