"""What leaves for other people's systems, and the secrets that sign it."""

from datetime import timedelta
from typing import Protocol

from migration.models import Model


class Delivery(Model):
    """What became of one attempt: delivered, or gone (410: stop), or retry (after a wait when one was asked for)."""

    outcome: str
    status: int | None = None
    retry_after: timedelta | None = None
    error: str | None = None


class Webhook(Protocol):
    """Signed delivery of one message (Standard Webhooks 1.0)."""

    def refused_because(self, url: str) -> str | None:
        """Why this callback URL must not be called, or None. Its host is looked up, and may be unknown yet."""

    def deliver(self, url: str, *, message_id: str, body: str, secret: str) -> Delivery:
        """Sign and POST the body once, where it may be called. Never raises for what the other side does.

        `secret` may hold several between blanks, while one replaces another: the message is signed with each.
        """


class SecretStore(Protocol):
    """Secrets by reference: `secretsmanager:NAME` or `env:NAME`."""

    def resolve(self, reference: str) -> str:
        """The secret's text. Raises `NotFound`."""
