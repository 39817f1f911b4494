"""Callbacks as Standard Webhooks 1.0: signed over id, timestamp and body, so that a receiver can trust and dedupe."""

import base64
import binascii
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from urllib.parse import urlsplit

import standardwebhooks

from adapters.exchange import Call, Exchange, NoAnswer, exchange, retry_after
from migration.ports import Delivery
from migration.redaction import redact_text

_WITHIN = timedelta(seconds=10)
_READ_BYTES = 64 * 1024
_SECRET_PREFIX = "whsec_"  # noqa: S105  what every secret begins with, by the standard
_GONE = 410
_SHOWN_CHARACTERS = 200


@dataclass(frozen=True)
class StandardWebhooks:
    """Delivers signed messages over https, and over plain http to loopback only where that is allowed."""

    allow_loopback_http: bool = False

    def refused_because(self, url: str) -> str | None:
        """Why this callback URL must not be called, or None. What may be called at all is decided here alone."""
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError as error:
            return f"not a URL: {error}"
        if not host:
            return "no host in the URL"
        if parts.username is not None or parts.password is not None:
            return "user info in the URL: the signature is the credential"
        if parts.scheme == "https" or (parts.scheme == "http" and self.allow_loopback_http and _is_loopback(host)):
            return None
        return f"{parts.scheme or 'no scheme'} to {host}: callbacks go over https"

    def deliver(self, url: str, *, message_id: str, body: str, secret: str) -> Delivery:
        """Sign and POST the body once. Never raises for what the other side does.

        The outcome is `delivered`; `gone` (410, by the standard: never again); or `retry`, after `retry_after` when the
        receiver asked for a wait. A refused URL or an unusable secret is a `retry` too, with nothing sent: a person
        may put it right.
        """
        if refusal := self.refused_because(url):
            return Delivery(outcome="retry", error=refusal)
        key = _key_of(secret)
        if key is None:
            return Delivery(outcome="retry", error="the callback secret is not whsec_ followed by base64")
        headers = _signed_headers(key, message_id, body)
        call = Call("POST", url, within=_WITHIN, read_bytes=_READ_BYTES, headers=headers, content=body.encode())
        try:
            return _outcome(exchange(call))
        except NoAnswer as error:
            return Delivery(outcome="retry", error=str(error))


def _key_of(secret: str) -> bytes | None:
    """The key in a secret. The library decodes anything, dropping what is not base64: a typo would sign wrongly."""
    encoded = secret.removeprefix(_SECRET_PREFIX)
    if encoded == secret:
        return None
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True) or None
    except (binascii.Error, ValueError):
        return None


def _signed_headers(key: bytes, message_id: str, body: str) -> dict[str, str]:
    now = datetime.now(UTC)
    return {
        "Content-Type": "application/json",
        "User-Agent": "migrator",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": standardwebhooks.Webhook(key).sign(message_id, now, body),
    }


def _outcome(answer: Exchange) -> Delivery:
    if 200 <= answer.status < 300:  # noqa: PLR2004  HTTP's success range
        return Delivery(outcome="delivered", status=answer.status)
    words = f"HTTP {answer.status}"
    if 300 <= answer.status < 400:  # noqa: PLR2004  HTTP's redirection range
        words += ", and redirects are not followed"
    elif said := answer.body.decode(errors="replace")[:_SHOWN_CHARACTERS].strip():
        words += f": {redact_text(said)}"
    if answer.status == _GONE:
        return Delivery(outcome="gone", status=answer.status, error=words)
    return Delivery(outcome="retry", status=answer.status, retry_after=retry_after(answer.headers), error=words)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
