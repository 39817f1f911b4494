"""One delivery of one callback."""

from dataclasses import dataclass
from datetime import timedelta

from temporalio import activity

from migration.models import Model
from migration.ports import Delivery, SecretStore, Webhook


class DeliverCallback(Model):
    """A message for a URL. `message_id` stays the same over retries, so that the receiver can tell repeats."""

    url: str
    secret: str | None = None
    message_id: str
    body: str


@dataclass
class Callbacks:
    """What is sent to the requester's endpoint."""

    webhook: Webhook
    secrets: SecretStore
    default_secret: str | None
    first_backoff: timedelta

    @activity.defn
    def deliver_callback(self, request: DeliverCallback) -> Delivery:
        """Try once. What the other side does is a result, never an error."""
        raise NotImplementedError
