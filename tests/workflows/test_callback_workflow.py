"""CallbackWorkflow: in order, again after a while, and what is given up stays to be seen and sent again."""

import asyncio
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowFailureError, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from migration import policies
from migration.messages import Message, MessageType
from migration.ports import Delivery
from tests.workflows.stage import Stage, as_json, replayer, until
from tests.workflows.worlds import World
from workflows.callbacks import (
    CallbackStatus,
    CallbackWorkflow,
    DeadLetter,
    OpenCallbacks,
    Replayed,
    callbacks_id,
)

GONE = Delivery(outcome="gone", status=410, error="410 Gone")


def later(after: timedelta | None = None) -> Delivery:
    return Delivery(outcome="retry", status=503, error="503 Service Unavailable", retry_after=after)


def named(number: int) -> str:
    return f"mig:1:{number}"


def a_message(number: int) -> Message:
    return Message(
        id=named(number), type=MessageType.STATUS_CHANGED, timestamp=datetime.now(UTC), data={"status": "TESTING"}
    )


def a_dead_letter(number: int, age: timedelta = timedelta(0)) -> DeadLetter:
    return DeadLetter(message=a_message(number), at=datetime.now(UTC) - age, error="503 Service Unavailable")


Callbacks = WorkflowHandle[Any, Any]


async def opened(stage: Stage, world: World, *messages: int, dead: Sequence[DeadLetter] = (), **more: Any) -> Callbacks:
    """A callback workflow that is to deliver these."""
    migration_id = f"mig-{uuid.uuid4().hex[:12]}"
    stage.world(migration_id, world)
    handle: Callbacks = await stage.client.start_workflow(
        "CallbackWorkflow",
        OpenCallbacks(
            migration_id=migration_id,
            url="https://hooks.example.com/migrations",
            queue=tuple(a_message(number) for number in messages),
            dead=tuple(dead),
            **more,
        ),
        id=callbacks_id(migration_id),
        task_queue=stage.task_queue,
    )
    return handle


async def status_of(handle: Callbacks, **expected: Any) -> CallbackStatus:
    """Wait until the workflow has counted so much."""

    async def counted() -> CallbackStatus | None:
        status: CallbackStatus = await handle.query(CallbackWorkflow.status)
        found = {
            "queued": status.queued,
            "delivered": status.delivered,
            "dead": len(status.dead),
            "unreadable": status.unreadable,
        }
        return status if expected.items() <= found.items() else None

    status: CallbackStatus = await until(counted, f"the callbacks are {expected}")
    return status


async def replayed(handle: Callbacks, *given: Any) -> list[str]:
    """Send dead letters again; gives the webhook-ids that were queued."""
    answer = await handle.execute_update("replay", args=list(given), result_type=Replayed)
    return list(answer.queued)


async def is_over(handle: Callbacks) -> None:
    await asyncio.wait_for(handle.result(), 30)


async def replays(stage: Stage, handle: Callbacks) -> int:
    """Replay the histories of all runs; gives how many there were."""
    run_id, runs = handle.first_execution_run_id, 0
    while run_id:
        history = await stage.client.get_workflow_handle(handle.id, run_id=run_id).fetch_history()
        await replayer([CallbackWorkflow]).replay_workflow(history)
        run_id, runs = (
            history.events[-1].workflow_execution_continued_as_new_event_attributes.new_execution_run_id,
            (runs + 1),
        )
    return runs


def ids(world: World) -> list[str]:
    return [request.message_id for request in world.asked("deliver_callback")]


def arrived(world: World) -> list[str]:
    """In their order; an attempt that a busy machine missed is made again, and a receiver knows repeats by their id."""
    return list(dict.fromkeys(request.message_id for request in world.delivered))


# --- in order, again after a while -------------------------------------------------------------------------------


async def test_messages_are_delivered_in_order_however_often_one_is_tried(stage: Stage) -> None:
    world = World(deliveries=[later(), later()])
    handle = await opened(stage, world, 1, 2)
    await handle.signal("deliver", a_message(3))
    await status_of(handle, delivered=3, queued=0)
    assert ids(world) == ["mig:1:1", "mig:1:1", "mig:1:1", "mig:1:2", "mig:1:3"]
    await handle.signal("close")
    await is_over(handle)


async def test_an_attempt_that_fails_is_made_again(stage: Stage) -> None:
    world = World()
    world.fail("deliver_callback", ApplicationError("the worker is out of memory", type="CallbackError"))
    handle = await opened(stage, world, 1)
    await status_of(handle, delivered=1)
    assert ids(world) == ["mig:1:1", "mig:1:1"]


async def test_a_receiver_says_when_to_come_back(stage: Stage) -> None:
    world = World(deliveries=[later(timedelta(seconds=3))])
    handle = await opened(stage, world, 1)
    await status_of(handle, delivered=1)
    first, second = (world.moment("deliver_callback", call=call) for call in (1, 2))
    assert second - first >= timedelta(seconds=3)


async def test_a_receiver_that_asks_for_no_wait_is_not_called_without_a_pause(stage: Stage) -> None:
    world = World(deliveries=[later(timedelta(0))])
    handle = await opened(stage, world, 1)
    await status_of(handle, delivered=1)
    first, second = (world.moment("deliver_callback", call=call) for call in (1, 2))
    assert second - first >= policies.CALLBACK_FIRST_BACKOFF / 2


async def test_a_receiver_that_asks_for_years_is_called_within_the_hour(stage: Stage) -> None:
    world = World(deliveries=[later(timedelta(days=400))])
    handle = await opened(stage, world, 1)

    async def is_waited_for() -> CallbackStatus | None:
        status: CallbackStatus = await handle.query(CallbackWorkflow.status)
        return status if status.trying else None

    trying = (await until(is_waited_for, "the first try has failed")).trying
    assert (trying.message_id, trying.tries, trying.error) == ("mig:1:1", 1, "503 Service Unavailable")
    assert timedelta(minutes=59) < trying.again - datetime.now(UTC) <= timedelta(hours=1)
    await handle.terminate()


async def test_an_endpoint_that_is_gone_is_not_called_again(stage: Stage) -> None:
    world = World(deliveries=[GONE])
    handle = await opened(stage, world, 1, 2)
    await handle.signal("deliver", a_message(3))
    status = await status_of(handle, queued=0, dead=3)
    assert ids(world) == ["mig:1:1"]
    assert status.gone == "410 Gone"
    assert [(letter.message.id, letter.error) for letter in status.dead] == [
        *(("mig:1:1", "410 Gone"), ("mig:1:2", "410 Gone"), ("mig:1:3", "410 Gone")),
    ]


async def test_a_message_that_is_handed_over_twice_is_queued_once(stage: Stage) -> None:
    world = World()
    first = world.hold("deliver_callback")
    handle = await opened(stage, world, 1)
    await first.is_reached()
    for number in (2, 2, 1):
        await handle.signal("deliver", a_message(number))
    first.release()
    await status_of(handle, delivered=2, queued=0)
    assert ids(world) == ["mig:1:1", "mig:1:2"]


# --- its end -----------------------------------------------------------------------------------------------------


async def test_it_ends_when_it_is_closed_and_all_is_delivered(stage: Stage) -> None:
    world = World()
    first = world.hold("deliver_callback")
    handle = await opened(stage, world, 1, 2)
    await first.is_reached()
    await handle.signal("close")
    first.release()
    await is_over(handle)
    assert len(world.delivered) == 2


async def test_a_close_before_any_message_ends_it(stage: Stage) -> None:
    handle = await opened(stage, World())
    await status_of(handle, queued=0)
    await handle.signal("close")
    await is_over(handle)


async def test_whoever_has_one_message_alone_starts_it_with_a_signal(stage: Stage) -> None:
    world = stage.world("refused", World())
    message = a_message(int(uuid.uuid4()))
    handle: Callbacks = await stage.client.start_workflow(
        "CallbackWorkflow",
        OpenCallbacks(migration_id="", url="https://hooks.example.com/migrations"),
        id=callbacks_id(f"refused/{message.id}"),
        task_queue=stage.task_queue,
        start_signal="deliver",
        start_signal_args=[message],
    )
    await handle.signal("close")
    await is_over(handle)
    assert arrived(world).count(message.id) == 1  # other refusals arrive in the same world


async def test_dead_letters_are_kept_after_the_close(stage: Stage) -> None:
    handle = await opened(stage, World(deliveries=[GONE]), 1)
    await status_of(handle, dead=1)
    await handle.signal("close")
    assert len((await status_of(handle, dead=1)).dead) == 1
    await handle.terminate()


async def test_it_ends_when_its_last_dead_letter_is_forgotten(stage: Stage) -> None:
    almost = policies.CALLBACK_KEEP_DEAD_LETTERS - timedelta(seconds=2)
    handle = await opened(stage, World(), dead=[a_dead_letter(1, almost), a_dead_letter(2, almost)])
    await handle.signal("close")
    await is_over(handle)
    await replays(stage, handle)


async def test_dead_letters_are_forgotten_while_the_migration_goes_on(stage: Stage) -> None:
    handle = await opened(
        stage, World(), dead=[a_dead_letter(1, policies.CALLBACK_KEEP_DEAD_LETTERS), a_dead_letter(2)]
    )
    assert [letter.message.id for letter in (await status_of(handle, dead=1)).dead] == ["mig:1:2"]
    await handle.terminate()


# --- sent again --------------------------------------------------------------------------------------------------


async def test_dead_letters_are_sent_again_in_their_order_behind_what_is_queued(stage: Stage) -> None:
    world = World()
    first = world.hold("deliver_callback")
    handle = await opened(stage, world, 4, 5, dead=[a_dead_letter(number) for number in (1, 2, 3)])
    await first.is_reached()
    assert await replayed(handle, {}) == ["mig:1:1", "mig:1:2", "mig:1:3"]
    first.release()
    await status_of(handle, queued=0, dead=0)
    assert arrived(world) == [named(number) for number in (4, 5, 1, 2, 3)]
    await replays(stage, handle)


async def test_some_dead_letters_are_sent_again_and_the_others_stay(stage: Stage) -> None:
    world = World()
    handle = await opened(stage, world, dead=[a_dead_letter(number) for number in (1, 2, 3)])
    assert await replayed(handle, {"messages": ["mig:1:3", "mig:1:1"]}) == ["mig:1:1", "mig:1:3"]
    status = await status_of(handle, delivered=2, queued=0)
    assert arrived(world) == ["mig:1:1", "mig:1:3"]
    assert [letter.message.id for letter in status.dead] == ["mig:1:2"]
    await handle.terminate()


async def test_an_endpoint_that_was_gone_is_called_again_after_a_replay(stage: Stage) -> None:
    world = World(deliveries=[GONE])
    handle = await opened(stage, world, 1, 2)
    await status_of(handle, dead=2)
    await handle.signal("close")
    assert await replayed(handle) == ["mig:1:1", "mig:1:2"]
    await is_over(handle)
    assert arrived(world) == ["mig:1:1", "mig:1:2"]
    assert (await status_of(handle, delivered=2)).gone is None


async def test_a_replay_that_fails_is_a_dead_letter_again(stage: Stage) -> None:
    handle = await opened(stage, World(deliveries=[GONE, GONE]), 1)
    await status_of(handle, dead=1)
    assert await replayed(handle) == ["mig:1:1"]
    await status_of(handle, dead=1, queued=0)
    await handle.terminate()


async def test_a_replay_calls_at_once_what_waits_for_its_next_try(stage: Stage) -> None:
    world = World(deliveries=[later(timedelta(hours=1))])
    handle = await opened(stage, world, 1)
    await until(lambda: len(ids(world)) == 1, "the first try")
    assert await replayed(handle) == []
    await status_of(handle, delivered=1)
    await replays(stage, handle)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([{"messages": ["mig:1:1", "mig:1:7"]}], "there is no dead letter mig:1:7"),
        ([{"messages": "mig:1:1"}], "$.messages: expected"),
        ([{"messages": []}], "$.messages: expected"),
        ([{"message": ["mig:1:1"]}], "$.message: expected"),
        (["mig:1:1"], "$: expected an object"),
        ([as_json("{")], "$: expected"),
        ([{}, {}], "$: expected"),
    ],
)
async def test_a_replay_that_cannot_be_meant_is_refused_in_words(stage: Stage, given: list[Any], words: str) -> None:
    handle = await opened(stage, World(), dead=[a_dead_letter(1)])
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await replayed(handle, *given)
    assert words in str(refused.value.cause)
    await status_of(handle, dead=1, queued=0)
    await handle.terminate()


# --- what comes in -----------------------------------------------------------------------------------------------


async def test_signals_that_carry_no_message_are_counted_and_hold_nothing(stage: Stage) -> None:
    world = World()
    handle = await opened(stage, world)
    for given in ([], [a_message(1), a_message(2)], ["mig:1:1"], [as_json("{")], [as_json(b"\xff")], [{"id": "x"}]):
        await handle.signal("deliver", args=given)
    await handle.signal("deliver", a_message(3))
    await status_of(handle, delivered=1, unreadable=6)
    assert arrived(world) == ["mig:1:3"]
    await handle.signal("close", args=["now", "please"])
    await is_over(handle)


@pytest.mark.parametrize("given", [[], [{}], ["mig-a"], [as_json("{")], [{"migrationId": "mig-a"}, 2]])
async def test_a_start_that_names_no_endpoint_fails(stage: Stage, given: list[Any]) -> None:
    handle: Callbacks = await stage.client.start_workflow(
        "CallbackWorkflow", args=given, id=callbacks_id(str(uuid.uuid4())), task_queue=stage.task_queue
    )
    with pytest.raises(WorkflowFailureError) as failed:
        await is_over(handle)
    assert isinstance(failed.value.cause, ApplicationError)
    assert failed.value.cause.type == "ValidationError"


# --- with policies of their own: last, since the other tests of this file are over by then ---------------------------


async def test_a_message_is_given_up_after_a_day(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policies, "CALLBACK_GIVE_UP_AFTER", timedelta(0))
    handle = await opened(stage, World(deliveries=[later()]), 1, 2)
    status = await status_of(handle, dead=1, delivered=1)
    assert [(letter.message.id, letter.error) for letter in status.dead] == [("mig:1:1", "503 Service Unavailable")]
    await handle.terminate()


async def test_a_run_that_continues_as_new_loses_nothing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policies, "CALLBACK_LONGEST_HISTORY", 30)
    world = World(deliveries=[*(Delivery(outcome="delivered", status=204) for _ in range(20)), GONE])
    handle = await opened(stage, world, dead=[a_dead_letter(900)], unreadable=1)
    await asyncio.gather(*(handle.signal("deliver", a_message(number)) for number in range(1, 41)))
    status = await status_of(handle, queued=0, delivered=20, dead=21, unreadable=1)
    await handle.signal("close")
    assert len(await replayed(handle)) == 21
    await is_over(handle)
    kept = [letter.message.id for letter in status.dead]
    assert arrived(world)[20:] == kept
    assert sorted([*arrived(world)[:20], *kept]) == sorted(named(number) for number in (*range(1, 41), 900))
    assert await replays(stage, handle) > 2
