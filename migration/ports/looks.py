"""Short looks at an application."""

from typing import Protocol

from migration.models import Model


class HealthLook(Model):
    """One look at a health URL: the status, or in `error` why there was none."""

    status: int | None = None
    elapsed_ms: int = 0
    error: str | None = None


class HealthProbe(Protocol):
    """One short look at an application."""

    def look(self, url: str) -> HealthLook:
        """GET the URL once, within seconds, following no redirect."""
