"""People's decisions."""

from typing import Protocol

from migration.signatures import SignedDecision


class DecisionSignatures(Protocol):
    """Signatures of people's decisions, against the public keys that are known."""

    def verify(self, token: str) -> SignedDecision:
        """The decision that was signed, if it counts now. Raises `SignatureRefused`."""
