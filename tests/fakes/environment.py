"""An activity's surroundings, as the server would make them."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.testing import ActivityEnvironment

from activities.running import NOT_YET, Attempt

Argument = TypeVar("Argument")
Result = TypeVar("Result")


class Attempts(ActivityEnvironment):
    """Runs attempts of one activity one after another: what one leaves in its heartbeat, the next one finds."""

    def __init__(self, *, age: timedelta = timedelta(0), heartbeat_timeout: timedelta | None = None) -> None:
        """Prepare the first attempt, started `age` ago."""
        super().__init__()
        self.beats: list[tuple[Any, ...]] = []
        self.on_heartbeat = lambda *details: self.beats.append(details)
        self.age = age
        started = datetime.now(UTC)
        self.info = replace(
            self.info, scheduled_time=started, started_time=started, heartbeat_timeout=heartbeat_timeout, attempt=0
        )

    def attempt(self, act: Callable[[Argument], Result], argument: Argument) -> Result:
        """Run the next attempt."""
        last = self.beats[-1] if self.beats else ()
        self.info = replace(
            self.info,
            attempt=self.info.attempt + 1,
            started_time=datetime.now(UTC) - self.age,
            heartbeat_details=list(last),
        )
        return self.run(act, argument)

    def error(self, act: Callable[[Argument], Any], argument: Argument) -> ApplicationError:
        """Run an attempt that must fail, and return how."""
        with pytest.raises(ApplicationError) as caught:
            self.attempt(act, argument)
        return caught.value

    def not_yet(self, act: Callable[[Argument], Any], argument: Argument) -> ApplicationError:
        """Run an attempt that must end in another look."""
        error = self.error(act, argument)
        assert error.type == NOT_YET, error
        assert error.category is ApplicationErrorCategory.BENIGN
        assert error.next_retry_delay
        assert not error.non_retryable
        return error


def stands_still_while(monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], object]) -> None:
    """Let the next attempt stand still at its first call, before it looks at its age, until this has been done."""
    before_call = Attempt.before_call

    def standing_still(attempt: Attempt) -> None:
        monkeypatch.undo()
        meanwhile()
        before_call(attempt)

    monkeypatch.setattr(Attempt, "before_call", standing_still)
