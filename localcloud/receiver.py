"""The callback receiver: verifies Standard Webhooks signatures and keeps what was delivered.

POST any path                      a delivery: 204 when its signature is right, else 401
POST /hooks                        the same for the webhook of a hook, which acts once for each webhook-id
GET  /deliveries?migrationId=ID    what was delivered, in order; the filter is optional
"""

import json
import threading
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

from localcloud.faults import FaultPlan, Rule
from localcloud.http_server import HttpServer, Reply, Request
from localcloud.ledger import Ledger

HOOKS = "/hooks"


@dataclass(frozen=True)
class Delivered:
    """One attempt as it arrived.

    Attributes:
        seq: Its place among all attempts, from 1.
        time: When it arrived, RFC 3339 in UTC.
        status: The HTTP status that it got.
        accepted: Whether it counts as delivered here; a lost reply is accepted all the same.
        verified: Whether signature and timestamp are right; `reason` says why not.
        duplicate: An accepted message with this webhook-id was there before.
    """

    seq: int
    time: str
    path: str
    headers: dict[str, str]
    body: str
    webhook_id: str
    migration_id: str
    type: str
    status: int
    accepted: bool
    verified: bool
    reason: str | None
    duplicate: bool

    def to_json(self) -> dict[str, Any]:
        """The attempt as JSON types, in camelCase."""
        document = asdict(self)
        document["webhookId"] = document.pop("webhook_id")
        document["migrationId"] = document.pop("migration_id")
        return document


class CallbackReceiver:
    """Receives callbacks signed with a secret (`whsec_...`), or with one of several between blanks."""

    def __init__(
        self, ledger: Ledger, faults: FaultPlan, *, secret: str, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        """The ledger gets every accepted delivery; the fault plan (service `callback`, `deliver`) may act on each."""
        self._ledger = ledger
        self._faults = faults
        self._webhooks = [Webhook(one) for one in secret.split()]
        self._deliveries: list[Delivered] = []
        self._seen: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._server = HttpServer(self._answer, name="receiver", host=host, port=port)

    def start(self) -> None:
        """Listen."""
        self._server.start()

    def stop(self) -> None:
        """Stop listening; what was delivered stays."""
        self._server.stop()

    @property
    def url(self) -> str:
        """The base address; callbacks may go to any path below it."""
        return self._server.url

    def deliveries(self, migration_id: str | None = None) -> list[Delivered]:
        """What arrived, in order."""
        with self._lock:
            return [each for each in self._deliveries if migration_id in (None, each.migration_id)]

    def _answer(self, request: Request) -> Reply:
        if request.method == "POST":
            return self._receive(request)
        if (request.method, request.path) == ("GET", "/deliveries"):
            return self._show(dict(request.query))
        return Reply.json(405, {"error": f"{request.method} {request.path} is not served here"})

    def _show(self, query: dict[str, str]) -> Reply:
        if unknown := sorted(set(query) - {"migrationId"}):
            return Reply.json(400, {"error": f"unknown filters: {', '.join(unknown)}"})
        found = self.deliveries(query.get("migrationId"))
        counts = {
            "accepted": sum(each.accepted for each in found),
            "unverified": sum(not each.verified for each in found),
            "duplicates": sum(each.duplicate for each in found),
        }
        return Reply.json(200, {"deliveries": [each.to_json() for each in found], **counts})

    def _receive(self, request: Request) -> Reply:
        reason = self._problem_with(request)
        targets = [name for name in (*_about(request), request.headers.get("webhook-id")) if name]
        service, operation = _meant(request.path)
        rule = self._faults.take(service=service, operation=operation, targets=targets)

        def refusal(rule: Rule) -> Reply:
            if not rule.after_effect:
                self._keep(request, rule.http_status, reason)
            return _refused(
                rule.http_status, rule.message or rule.code or "refused by the fault plan", rule.retry_after
            )

        return self._faults.meet(rule, lambda: self._judge(request, reason), refusal=refusal, silence=Reply.silence)

    def _judge(self, request: Request, reason: str | None) -> Reply:
        status = 401 if reason else 204
        self._keep(request, status, reason)
        return _refused(status, reason) if reason else Reply(status)

    def _keep(self, request: Request, status: int, reason: str | None) -> None:
        migration_id, kind = _about(request)
        webhook_id = str(request.headers.get("webhook-id") or "")
        accepted = status == 204  # noqa: PLR2004  HTTP's number
        with self._lock:
            delivered = Delivered(
                seq=len(self._deliveries) + 1,
                time=datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
                path=request.path,
                headers={name.lower(): value for name, value in request.headers.items()},
                body=request.body.decode(errors="replace"),
                webhook_id=webhook_id,
                migration_id=migration_id,
                type=kind,
                status=status,
                accepted=accepted,
                verified=reason is None,
                reason=reason,
                duplicate=accepted and self._seen[webhook_id] > 0,
            )
            self._deliveries.append(delivered)
            if accepted:
                self._seen[webhook_id] += 1
                self._record(delivered)

    def _record(self, delivered: Delivered) -> None:
        service, operation = _meant(delivered.path)
        if delivered.path == HOOKS and delivered.duplicate:
            return
        self._ledger.record(
            service=service,
            operation=operation,
            targets=[delivered.migration_id],
            detail={
                "webhook-id": delivered.webhook_id,
                "type": delivered.type,
                "path": delivered.path,
                "duplicate": delivered.duplicate,
            },
        )

    def _problem_with(self, request: Request) -> str | None:
        """Why no secret fits, in the words for the last one; None when one fits."""
        reason: str | None = "no secret"
        for webhook in self._webhooks:
            if (reason := _mismatch(webhook, request)) is None:
                break
        return reason


def _mismatch(webhook: Webhook, request: Request) -> str | None:
    try:
        webhook.verify(request.body, dict(request.headers.items()), json_parse=False)
    except WebhookVerificationError as error:
        return str(error)
    except ValueError as error:  # headers or body that are not even text of the right form
        return f"unreadable signature: {error}"
    return None


def _meant(path: str) -> tuple[str, str]:
    """The service and operation of a call, for ledger and fault plan."""
    return ("hook", "run") if path == HOOKS else ("callback", "deliver")


def _about(request: Request) -> tuple[str, str]:
    """The migration's id and the message's type, as the body says."""
    try:
        message = json.loads(request.body)
        return str(message["data"]["migrationId"]), str(message["type"])
    except (ValueError, LookupError, TypeError):
        return "", ""


def _refused(status: int, words: str, retry_after: int = 1) -> Reply:
    headers = {"Retry-After": str(retry_after)} if status == 429 else {}  # noqa: PLR2004  HTTP's number
    return Reply.json(status, {"error": words}, headers)
