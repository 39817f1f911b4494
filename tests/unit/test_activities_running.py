import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from temporalio import activity
from temporalio.exceptions import ApplicationError, CancelledError

from activities.running import acting, look_again, remembered, side_by_side
from migration.errors import CutoverError, MigrationError, Unavailable
from migration.models import Model
from tests.fakes.environment import Attempts

BOUND = timedelta(minutes=2)


class Counter(Model):
    looks: int = 0


def test_an_acting_activity_heartbeats_from_a_thread_beside_it() -> None:
    beat = threading.Event()
    environment = Attempts(heartbeat_timeout=timedelta(milliseconds=30))
    environment.on_heartbeat = lambda *_: beat.set()

    def act(_: None) -> bool:
        with acting(BOUND):
            return beat.wait(5)

    assert environment.attempt(act, None)
    assert not [thread for thread in threading.enumerate() if thread.name == "heartbeat"]


def test_heartbeats_keep_what_an_earlier_attempt_left() -> None:
    beat = threading.Event()
    environment = Attempts(heartbeat_timeout=timedelta(milliseconds=30))
    environment.beats.append(({"looks": 3},))

    def listen(*details: object) -> None:
        environment.beats.append(details)
        beat.set()

    environment.on_heartbeat = listen

    def act(_: None) -> bool:
        with acting(BOUND):
            return beat.wait(5)

    assert environment.attempt(act, None)
    assert environment.beats[-1] == ({"looks": 3},)


def test_a_heartbeat_that_fails_does_not_stop_the_act() -> None:
    beat = threading.Event()
    environment = Attempts(heartbeat_timeout=timedelta(milliseconds=30))

    def fail(*_: object) -> None:
        beat.set()
        raise RuntimeError("no connection")

    environment.on_heartbeat = fail

    def act(_: None) -> bool:
        with acting(BOUND):
            return beat.wait(5)

    assert environment.attempt(act, None)


def test_no_call_is_begun_once_the_activity_is_cancelled() -> None:
    environment = Attempts()

    def act(_: None) -> None:
        with acting(BOUND) as attempt:
            attempt.before_call()
            environment.cancel()
            attempt.before_call()

    with pytest.raises(CancelledError):
        environment.attempt(activity.defn(no_thread_cancel_exception=True)(act), None)


def test_no_call_is_begun_later_than_the_bound_after_the_attempts_start() -> None:
    def act(_: None) -> None:
        with acting(BOUND) as attempt:
            attempt.before_call()

    Attempts(age=timedelta(minutes=1)).attempt(act, None)
    with pytest.raises(Unavailable):
        Attempts(age=timedelta(minutes=2)).attempt(act, None)


def test_a_wait_within_an_attempt_ends_with_the_cancellation() -> None:
    environment = Attempts()

    def act(_: None) -> None:
        with acting(BOUND) as attempt:
            environment.cancel()
            attempt.pause(timedelta(minutes=1))

    with pytest.raises(CancelledError):
        environment.attempt(activity.defn(no_thread_cancel_exception=True)(act), None)


def test_a_wait_within_an_attempt_is_left_to_another_worker_when_this_one_stops() -> None:
    environment = Attempts()
    environment.worker_shutdown()

    def act(_: None) -> None:
        with acting(BOUND) as attempt:
            attempt.pause(timedelta(milliseconds=1))

    with pytest.raises(Unavailable):
        environment.attempt(act, None)


def test_a_wait_past_the_bound_is_left_to_the_next_attempt() -> None:
    def act(_: None) -> None:
        with acting(BOUND) as attempt:
            attempt.until(lambda: "still warm", timedelta(seconds=1))

    error = Attempts(age=timedelta(seconds=119.5)).not_yet(act, None)
    assert error.message == "still warm"


def test_a_counter_travels_from_look_to_look() -> None:
    environment = Attempts()

    def act(_: None) -> int:
        looks = remembered(Counter).looks + 1
        if looks < 3:
            look_again("not yet", timedelta(seconds=9), remember=Counter(looks=looks))
        return looks

    assert environment.not_yet(act, None).next_retry_delay == timedelta(seconds=9)
    environment.not_yet(act, None)
    assert environment.attempt(act, None) == 3


def test_a_look_never_follows_at_once() -> None:
    def act(_: None) -> None:
        look_again("not yet", timedelta(seconds=-5))

    delay = Attempts().not_yet(act, None).next_retry_delay
    assert delay is not None
    assert delay > timedelta(0)


def test_work_side_by_side_knows_the_activity_and_returns_in_order() -> None:
    environment = Attempts()
    environment.info = replace(environment.info, activity_id="a-1")

    def act(_: None) -> list[str]:
        return side_by_side(lambda item: f"{item} {activity.info().activity_id}", ["x", "y", "z"], most=2)

    assert environment.attempt(act, None) == ["x a-1", "y a-1", "z a-1"]


def test_of_several_failures_the_one_that_no_retry_helps_is_told() -> None:
    errors: list[MigrationError] = [Unavailable("busy"), CutoverError("wrong"), Unavailable("busy")]

    def fail(error: MigrationError) -> None:
        raise error

    with pytest.raises(CutoverError):
        side_by_side(fail, errors, most=3)
    with pytest.raises(Unavailable):
        side_by_side(fail, errors[:1], most=3)


def test_a_look_again_is_an_application_error_for_temporal() -> None:
    with pytest.raises(ApplicationError):
        Attempts().attempt(lambda _: look_again("x", timedelta(seconds=1)), None)
