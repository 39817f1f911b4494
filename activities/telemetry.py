"""Every log line of an activity says which migration, step and attempt it belongs to."""

from time import monotonic
from typing import Any

import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from migration.marks import Mark

logger = structlog.get_logger("activity")


class LogContext(Interceptor):
    """Binds the context for the time of one attempt, and logs its beginning and its end."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002  the SDK's signature
        """Wrap every activity."""
        return _Bound(super().intercept_activity(next))


class _Bound(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002  the SDK's signature
        info = activity.info()
        argument = input.args[0] if input.args else None
        mark = getattr(argument, "mark", None)
        context: dict[str, Any] = {
            "migration_id": info.workflow_id,
            "run_id": info.workflow_run_id,
            "activity": info.activity_type,
            "attempt": info.attempt,
        }
        if isinstance(mark, Mark):
            context |= {"correlation_id": mark.correlation_id, "step": str(mark.step), "mark": str(mark)}
        with structlog.contextvars.bound_contextvars(**context):
            logger.info("activity started")
            began = monotonic()
            try:
                result = await super().execute_activity(input)
            except BaseException as error:
                said = {"outcome": type(error).__name__, "error": _kind(error), "reason": str(error)[:500]}
                logger.info("activity ended", **said, seconds=_since(began))
                raise
            logger.info("activity ended", outcome="done", seconds=_since(began))
            return result


def _kind(error: BaseException) -> str:
    """What the error is called in `migration/errors.py`; `NotYet` for a wait that looks again."""
    return (isinstance(error, ApplicationError) and error.type) or type(error).__name__


def _since(began: float) -> float:
    return round(monotonic() - began, 3)
