"""The errors: drawn as they are, each with an answer to "who acts" and "does a retry help"."""

import inspect
import re
from datetime import timedelta

import pytest
from temporalio.api.failure.v1 import Failure
from temporalio.converter import DataConverter
from temporalio.exceptions import ApplicationError

from activities.errors import application_error
from migration import errors
from migration.errors import (
    CallbackError,
    Conflict,
    CutoverError,
    MigrationError,
    MigrationExecutionError,
    NotFound,
    PrerequisiteError,
    RollbackError,
    SourcePreparationError,
    Unavailable,
    ValidationError,
    VerificationError,
)
from starter.converter import DATA_CONVERTER

KINDS: tuple[type[MigrationError], ...] = (
    ValidationError,
    PrerequisiteError,
    SourcePreparationError,
    MigrationExecutionError,
    VerificationError,
    CutoverError,
    RollbackError,
    CallbackError,
    Unavailable,
    NotFound,
    Conflict,
)
SECRETS = "Authorization: Bearer abcdefgh12345678 for https://migrator:hunter2@vcenter.example.internal"
WITHOUT = "Authorization: [redacted] for https://[redacted]@vcenter.example.internal"


def test_the_tree_is_drawn_as_it_is() -> None:
    defined = {name for name, one in vars(errors).items() if inspect.isclass(one) and issubclass(one, MigrationError)}
    assert defined == {kind.__name__ for kind in KINDS} | {"MigrationError"}
    drawn = set(re.findall(r"[├└]── (\w+)", inspect.getdoc(errors) or ""))
    assert drawn == {kind.__name__ for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_only_a_system_that_did_not_answer_is_worth_a_retry_by_itself(kind: type[MigrationError]) -> None:
    assert kind("words").retryable is (kind is Unavailable)
    assert str(kind("words")) == "words"


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not Unavailable])
def test_an_error_says_what_a_person_can_do_and_may_say_that_a_retry_helps(kind: type[MigrationError]) -> None:
    error = kind("words", action="look", retryable=True)
    assert (error.action, error.retryable) == ("look", True)
    assert kind.retryable is False
    assert kind("words").action is None


def test_an_unavailable_system_may_ask_for_a_wait() -> None:
    assert Unavailable("busy", retry_after=timedelta(seconds=7)).retry_after == timedelta(seconds=7)
    assert Unavailable("busy").retry_after is None


@pytest.mark.parametrize("kind", KINDS)
def test_the_words_of_an_error_hold_no_secret(kind: type[MigrationError]) -> None:
    assert str(kind(SECRETS)) == WITHOUT
    assert str(application_error(kind(SECRETS), CutoverError).message) == WITHOUT


def test_nor_does_what_a_person_is_told_to_do() -> None:
    assert CutoverError("words", action=SECRETS).action == WITHOUT


def _failure(error: BaseException) -> Failure:
    failure = Failure()
    DATA_CONVERTER.failure_converter.to_failure(error, DATA_CONVERTER.payload_converter, failure)
    return failure


def _stumble() -> None:
    raise RuntimeError(f"a bug with {SECRETS}") from OSError(SECRETS)


def test_an_exception_that_nobody_expected_enters_no_history_with_a_secret() -> None:
    try:
        _stumble()
    except RuntimeError as error:
        failure = _failure(error)
    assert failure.message == f"a bug with {WITHOUT}"
    assert failure.cause.message == WITHOUT
    assert "hunter2" not in str(failure)
    assert "test_errors.py" in failure.stack_trace


def test_a_failure_is_else_what_temporal_makes_of_it() -> None:
    error = ApplicationError("words", {"action": "look"}, type="CutoverError", non_retryable=True)
    usual = Failure()
    DataConverter.default.failure_converter.to_failure(error, DATA_CONVERTER.payload_converter, usual)
    assert _failure(error) == usual
