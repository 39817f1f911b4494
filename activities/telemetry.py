"""Every log line of an activity says which migration, step and attempt it belongs to, and so does AWS's own record."""

from time import monotonic
from typing import Any

import structlog
from temporalio import activity
from temporalio.converter import PayloadConverter
from temporalio.exceptions import ApplicationError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from migration.correlation import CORRELATION_HEADER
from migration.marks import Mark
from migration.on_behalf import on_behalf_of

logger = structlog.get_logger("activity")


class LogContext(Interceptor):
    """Binds the context of one attempt, and logs its beginning and its end."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002  the SDK's signature
        """Wrap every activity."""
        return _Bound(super().intercept_activity(next))


class _Bound(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002  the SDK's signature
        # Never unbound: the context is that of the attempt alone, and the SDK's own line about its failure comes after.
        structlog.contextvars.bind_contextvars(**_context(input))
        logger.info("activity started")
        began = monotonic()
        try:
            with on_behalf_of(activity.info().workflow_id):
                result = await super().execute_activity(input)
        except BaseException as error:
            said = {"outcome": type(error).__name__, "error": _kind(error), "reason": str(error)[:500]}
            logger.info("activity ended", **said, seconds=_since(began))
            raise
        logger.info("activity ended", outcome="done", seconds=_since(began))
        return result


def _context(input: ExecuteActivityInput) -> dict[str, Any]:  # noqa: A002  the SDK's name for it
    info = activity.info()
    mark = getattr(input.args[0] if input.args else None, "mark", None)
    context: dict[str, Any] = {
        "migration_id": info.workflow_id,
        "correlation_id": info.workflow_id,
        "run_id": info.workflow_run_id,
        "activity": info.activity_type,
        "attempt": info.attempt,
    }
    if isinstance(mark, Mark):
        of_it = {"step": str(mark.step), "entry": mark.entry, "mark": str(mark)}
        context |= {"correlation_id": mark.correlation_id, **of_it}
    if CORRELATION_HEADER in input.headers:
        context["correlation_id"] = PayloadConverter.default.from_payload(input.headers[CORRELATION_HEADER], str)
    return context


def _kind(error: BaseException) -> str:
    """What the error is called in `migration/errors.py`; `NotYet` for a wait that looks again."""
    return (isinstance(error, ApplicationError) and error.type) or type(error).__name__


def _since(began: float) -> float:
    return round(monotonic() - began, 3)
