"""What the log says of an activity's attempt: how it ended, of what kind its error was, how long it took."""

import json
from contextlib import nullcontext
from io import StringIO
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput

from activities.telemetry import LogContext


class _Ends(ActivityInboundInterceptor):
    """An activity that ends in one way."""

    def __init__(self, error: BaseException | None = None) -> None:
        self._error = error

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002  the SDK's signature
        if self._error:
            raise self._error


async def ended(stream: StringIO, error: BaseException | None = None) -> dict[str, Any]:
    """The line about the end of an attempt that ends so."""
    attempt = LogContext().intercept_activity(_Ends(error))
    given = ExecuteActivityInput(fn=print, args=[], executor=None, headers={})
    with pytest.raises(type(error)) if error else nullcontext():
        await ActivityEnvironment().run(attempt.execute_activity, given)
    lines: list[dict[str, Any]] = [json.loads(text) for text in stream.getvalue().splitlines()]
    started, line = lines
    assert (started["event"], line["event"]) == ("activity started", "activity ended")
    return line


async def test_the_end_of_an_attempt_says_how_long_it_took(stream: StringIO) -> None:
    line = await ended(stream)
    assert line["outcome"] == "done"
    assert 0 <= line["seconds"] < 10
    assert "error" not in line


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ApplicationError("no such subnet", type="PrerequisiteError"), "PrerequisiteError"),
        (ApplicationError("it broke"), "ApplicationError"),
        (ValueError("a bug"), "ValueError"),
    ],
)
async def test_the_end_of_a_failed_attempt_names_the_kind_of_error(
    stream: StringIO, error: Exception, kind: str
) -> None:
    line = await ended(stream, error)
    assert (line["outcome"], line["error"]) == (type(error).__name__, kind)
    assert str(error) in line["reason"]
    assert line["seconds"] >= 0
