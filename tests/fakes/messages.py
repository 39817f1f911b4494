"""Health answers, callbacks and secrets in memory."""

from collections.abc import Mapping

from migration.errors import NotFound
from migration.ports import Delivery, HealthLook, HttpLook


class FakeProbe:
    """Answers by URL or `tcp ADDRESS:PORT`; a list is used up, its last answer stays."""

    def __init__(self, answers: Mapping[str, list[HealthLook]] | None = None) -> None:
        """Without an answer a place refuses the connection."""
        self.answers = {url: list(looks) for url, looks in (answers or {}).items()}
        self.looks: list[HttpLook] = []

    def get(self, look: HttpLook) -> HealthLook:
        self.looks.append(look)
        return self._next(look.url)

    def connect(self, address: str, port: int) -> HealthLook:
        return self._next(f"tcp {address}:{port}")

    def _next(self, place: str) -> HealthLook:
        waiting = self.answers.get(place, [])
        if not waiting:
            return HealthLook(error="connection refused")
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]


class FakeWebhook:
    """Takes every message, or answers as it is told."""

    def __init__(self, refusal: str | None = None, answer: Delivery | None = None) -> None:
        """Deliver everything by default."""
        self.refusal = refusal
        self.answer = answer or Delivery(outcome="delivered", status=204)
        self.delivered: list[tuple[str, str, str, str]] = []

    def refused_because(self, url: str) -> str | None:
        return self.refusal

    def deliver(self, url: str, *, message_id: str, body: str, secret: str) -> Delivery:
        self.delivered.append((url, message_id, body, secret))
        return self.answer


class FakeSecrets:
    """Secrets by reference."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        """Start with these."""
        self.secrets = secrets

    def resolve(self, reference: str) -> str:
        if reference not in self.secrets:
            raise NotFound(f"no secret {reference}")
        return self.secrets[reference]
