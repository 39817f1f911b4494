"""Health by HTTP: one short look at a URL."""

from dataclasses import dataclass
from datetime import timedelta

from adapters.exchange import Call, NoAnswer, exchange
from migration.ports import HealthLook


@dataclass(frozen=True)
class HttpHealth:
    """Looks at health URLs; certificates are verified, redirects are an answer like any other."""

    within: timedelta = timedelta(seconds=5)

    def look(self, url: str) -> HealthLook:
        """GET the URL once. Never raises for what the application does."""
        call = Call("GET", url, within=self.within, read_bytes=0, headers={"User-Agent": "migrator"})
        try:
            answer = exchange(call)
        except NoAnswer as error:
            return HealthLook(elapsed_ms=error.elapsed_ms, error=str(error))
        return HealthLook(status=answer.status, elapsed_ms=answer.elapsed_ms)
