"""Callbacks as Standard Webhooks 1.0: signed over id, timestamp and body, so that a receiver can trust and dedupe."""

import base64
import binascii
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import standardwebhooks

from adapters.callback_guard import CallbackGuard, Refused, Unresolved
from adapters.exchange import Call, Exchange, NoAnswer, exchange, retry_after
from migration.ports import Delivery
from migration.redaction import redact_text

_READ_BYTES = 64 * 1024
_SECRET_PREFIX = "whsec_"  # noqa: S105  what every secret begins with, by the standard
_GONE = 410
_SHOWN_CHARACTERS = 200


@dataclass(frozen=True)
class StandardWebhooks:
    """Delivers signed messages to where the guard lets them go; `within` bounds a delivery, name lookup included."""

    guard: CallbackGuard
    within: timedelta = timedelta(seconds=10)

    def refused_because(self, url: str) -> str | None:
        """Why this callback URL must not be called as it stands now, or None, also where its host is not known yet."""
        try:
            self.guard.addresses(url, self.within)
        except Refused as refusal:
            return str(refusal)
        except Unresolved:
            return None
        return None

    def deliver(self, url: str, *, message_id: str, body: str, secret: str) -> Delivery:
        """Sign and POST the body once. Never raises for what the other side does.

        The outcome is `delivered`; `gone` (410, by the standard: never again); or `retry`, after `retry_after` when the
        receiver asked for a wait. A refused URL or an unusable secret is a `retry` too, with nothing sent: a person
        may put it right.

        Args:
            url: Where to.
            message_id: The same for every attempt at one message.
            body: The message.
            secret: One `whsec_...`, or several between blanks: there is a signature for each.
        """
        keys = _keys_of(secret)
        if keys is None:
            return Delivery(outcome="retry", error="the callback secret is not whsec_ followed by base64")
        began = time.monotonic()
        try:
            addresses = self.guard.addresses(url, self.within)
            call = Call(
                "POST",
                url,
                within=self.within,
                read_bytes=_READ_BYTES,
                headers=_signed_headers(keys, message_id, body),
                content=body.encode(),
                addresses=addresses,
            )
            return _outcome(exchange(call, began=began))
        except Refused as refusal:
            return Delivery(outcome="retry", error=f"the callback URL is not allowed: {refusal}")
        except (Unresolved, NoAnswer) as error:
            return Delivery(outcome="retry", error=str(error))


def _keys_of(secret: str) -> list[bytes] | None:
    """The keys of a secret's text, in order; None when there is none, or one that is wrong."""
    keys = [_key_of(one) for one in secret.split()]
    return [key for key in keys if key] if keys and all(keys) else None


def _key_of(secret: str) -> bytes | None:
    """The key in a secret. The library decodes anything, dropping what is not base64: a typo would sign wrongly."""
    encoded = secret.removeprefix(_SECRET_PREFIX)
    if encoded == secret:
        return None
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True) or None
    except (binascii.Error, ValueError):
        return None


def _signed_headers(keys: Sequence[bytes], message_id: str, body: str) -> dict[str, str]:
    now = datetime.now(UTC)
    signatures = (standardwebhooks.Webhook(key).sign(message_id, now, body) for key in keys)
    return {
        "Content-Type": "application/json",
        "User-Agent": "migrator",
        "Accept-Encoding": "identity",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


def _outcome(answer: Exchange) -> Delivery:
    if 200 <= answer.status < 300:  # noqa: PLR2004  HTTP's success range
        return Delivery(outcome="delivered", status=answer.status)
    words = f"HTTP {answer.status}"
    if 300 <= answer.status < 400:  # noqa: PLR2004  HTTP's redirection range
        words += ", and redirects are not followed"
    elif said := _printable(answer.body):
        words += f": {redact_text(said)}"
    if answer.status == _GONE:
        return Delivery(outcome="gone", status=answer.status, error=words)
    return Delivery(outcome="retry", status=answer.status, retry_after=retry_after(answer.headers), error=words)


def _printable(body: bytes) -> str:
    """The beginning of an answer on one line, without what would steer a terminal."""
    text = "".join(each if each.isprintable() else " " for each in body.decode(errors="replace")[:_SHOWN_CHARACTERS])
    return " ".join(text.split())
