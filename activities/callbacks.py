"""One delivery of one callback."""

from dataclasses import dataclass
from datetime import timedelta

from temporalio import activity

from activities.errors import translated
from activities.running import acting
from migration.errors import CallbackError, MigrationError
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
    act_bound: timedelta

    @activity.defn
    @translated(CallbackError)
    def deliver_callback(self, request: DeliverCallback) -> Delivery:
        """Try once. What the other side does is a result, never an error."""
        reference = request.secret or self.default_secret
        if reference is None:
            return _later("neither the request nor the settings name a secret to sign with")
        try:
            secret = self.secrets.resolve(reference)
        except MigrationError as error:
            return _later(f"the secret {reference} cannot be read: {error}")
        with acting(self.act_bound) as attempt:
            attempt.before_call()
            return self.webhook.deliver(request.url, message_id=request.message_id, body=request.body, secret=secret)


def _later(error: str) -> Delivery:
    """What a person may put right within the day that a message is tried."""
    return Delivery(outcome="retry", error=error)
