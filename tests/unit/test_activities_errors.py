from dataclasses import dataclass
from datetime import timedelta

import pytest
from temporalio import activity
from temporalio.common import _type_hints_from_func
from temporalio.exceptions import ApplicationError

from activities.errors import application_error, translated
from activities.mgn import ApplicationMigration, JobStarted, Launch
from migration.errors import Conflict, CutoverError, MigrationError, NotFound, Unavailable, VerificationError


@dataclass
class Failing:
    error: Exception

    @activity.defn
    @translated(CutoverError)
    def fail(self, request: str) -> str:
        raise self.error


def failure(error: Exception) -> ApplicationError:
    with pytest.raises(ApplicationError) as caught:
        Failing(error).fail("x")
    return caught.value


def test_an_error_keeps_its_words_its_class_name_and_what_a_person_can_do() -> None:
    error = failure(VerificationError("not healthy", action="look at it"))
    assert (error.message, error.type, error.non_retryable) == ("not healthy", "VerificationError", True)
    assert error.details == ({"action": "look at it"},)


def test_an_unavailable_system_is_retried_after_the_wait_that_it_asked_for() -> None:
    error = failure(Unavailable("busy", retry_after=timedelta(seconds=7)))
    assert (error.type, error.non_retryable, error.next_retry_delay) == ("Unavailable", False, timedelta(seconds=7))


@pytest.mark.parametrize("error", [NotFound("gone"), Conflict("other", action="decide")])
def test_an_unexpected_answer_becomes_the_error_of_the_step_and_is_not_retried(error: MigrationError) -> None:
    translated_error = failure(error)
    assert (translated_error.type, translated_error.non_retryable) == ("CutoverError", True)
    assert translated_error.details == ({"action": error.action},)


def test_an_error_that_says_itself_that_a_retry_helps_is_retried() -> None:
    assert not application_error(CutoverError("soon", retryable=True), CutoverError).non_retryable


def test_a_bug_is_not_dressed_up_as_a_failure_of_the_migration() -> None:
    with pytest.raises(ZeroDivisionError):
        Failing(ZeroDivisionError()).fail("x")


def test_temporal_still_sees_the_activitys_name_and_types() -> None:
    assert _type_hints_from_func(ApplicationMigration.start_test) == ([Launch], JobStarted)
    definition = activity._Definition.must_from_callable(ApplicationMigration.start_test)
    assert (definition.name, definition.no_thread_cancel_exception) == ("start_test", True)
