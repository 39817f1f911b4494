"""The one place where the errors of `migration.errors` become Temporal's."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from temporalio import activity
from temporalio.exceptions import ApplicationError

from migration.errors import Conflict, MigrationError, NotFound, Unavailable

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def translated(failure: type[MigrationError]) -> Callable[[Callable[Parameters, Result]], Callable[Parameters, Result]]:
    """Let an activity fail with one `ApplicationError` whose type is the error's class name.

    Args:
        failure: What a `NotFound` or `Conflict` becomes that the activity did not expect: the error of its step.
    """

    def decorate(act: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        @functools.wraps(act)
        def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
            try:
                return act(*args, **kwargs)
            except MigrationError as error:
                activity.logger.debug("%s", error, exc_info=error)
                # Its chain, with every frame of a vendor's library, would not fit into what Temporal keeps.
                raise application_error(error, failure) from None

        return run

    return decorate


def application_error(error: MigrationError, failure: type[MigrationError]) -> ApplicationError:
    """Translate one error: its words, its class name, whether to retry and when, and what a person can do."""
    attempt = {"attempt": activity.info().attempt} if activity.in_activity() else {}
    kind = failure if isinstance(error, NotFound | Conflict) else type(error)
    return ApplicationError(
        str(error),
        {"action": error.action, **attempt},
        type=kind.__name__,
        non_retryable=not error.retryable,
        next_retry_delay=error.retry_after if isinstance(error, Unavailable) else None,
    )
