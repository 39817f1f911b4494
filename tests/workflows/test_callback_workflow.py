"""CallbackWorkflow: in order, again after a while, and what is given up stays to be seen."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowHandle
from temporalio.exceptions import ApplicationError

from migration import policies
from migration.messages import Message, MessageType
from migration.ports import Delivery
from tests.workflows.stage import Stage, until
from tests.workflows.worlds import World
from workflows.callbacks import CallbackStatus, CallbackWorkflow, OpenCallbacks, callbacks_id

GONE = Delivery(outcome="gone", status=410, error="410 Gone")


def later(after: timedelta | None = None) -> Delivery:
    return Delivery(outcome="retry", status=503, error="503 Service Unavailable", retry_after=after)


def a_message(number: int) -> Message:
    return Message(
        id=f"mig:1:{number}", type=MessageType.STATUS_CHANGED, timestamp=datetime.now(UTC), data={"status": "TESTING"}
    )


Callbacks = WorkflowHandle[CallbackWorkflow, None]


async def opened(stage: Stage, world: World, *messages: int) -> Callbacks:
    """A callback workflow that is to deliver these."""
    migration_id = f"mig-{uuid.uuid4().hex[:12]}"
    stage.world(migration_id, world)
    handle: Callbacks = await stage.client.start_workflow(
        CallbackWorkflow.run,
        OpenCallbacks(
            migration_id=migration_id,
            url="https://hooks.example.com/migrations",
            queue=tuple(a_message(number) for number in messages),
        ),
        id=callbacks_id(migration_id),
        task_queue=stage.task_queue,
    )
    return handle


async def status_of(handle: Callbacks, **expected: Any) -> CallbackStatus:
    """Wait until the workflow has counted so much."""

    async def counted() -> CallbackStatus | None:
        status: CallbackStatus = await handle.query(CallbackWorkflow.status)
        found = {"queued": status.queued, "delivered": status.delivered, "dead": len(status.dead)}
        return status if expected.items() <= found.items() else None

    status: CallbackStatus = await until(counted, f"the callbacks are {expected}")
    return status


async def is_over(handle: Callbacks) -> None:
    await asyncio.wait_for(handle.result(), 30)


def ids(world: World) -> list[str]:
    return [request.message_id for request in world.asked("deliver_callback")]


async def test_messages_are_delivered_in_order_however_often_one_is_tried(stage: Stage) -> None:
    world = World(deliveries=[later(timedelta(0)), later(timedelta(0))])
    handle = await opened(stage, world, 1, 2)
    await handle.signal(CallbackWorkflow.deliver, a_message(3))
    await status_of(handle, delivered=3, queued=0)
    assert ids(world) == ["mig:1:1", "mig:1:1", "mig:1:1", "mig:1:2", "mig:1:3"]
    await handle.signal(CallbackWorkflow.close)
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


async def test_an_endpoint_that_is_gone_is_not_called_again(stage: Stage) -> None:
    world = World(deliveries=[GONE])
    handle = await opened(stage, world, 1, 2)
    await handle.signal(CallbackWorkflow.deliver, a_message(3))
    status = await status_of(handle, queued=0, dead=3)
    assert ids(world) == ["mig:1:1"]
    assert [(letter.message.id, letter.error) for letter in status.dead] == [
        *(("mig:1:1", "410 Gone"), ("mig:1:2", "410 Gone"), ("mig:1:3", "410 Gone")),
    ]


async def test_a_message_that_is_handed_over_twice_is_queued_once(stage: Stage) -> None:
    world = World()
    first = world.hold("deliver_callback")
    handle = await opened(stage, world, 1)
    await first.is_reached()
    for number in (2, 2, 1):
        await handle.signal(CallbackWorkflow.deliver, a_message(number))
    first.release()
    await status_of(handle, delivered=2, queued=0)
    assert ids(world) == ["mig:1:1", "mig:1:2"]


async def test_it_ends_when_it_is_closed_and_all_is_delivered(stage: Stage) -> None:
    world = World()
    first = world.hold("deliver_callback")
    handle = await opened(stage, world, 1, 2)
    await first.is_reached()
    await handle.signal(CallbackWorkflow.close)
    first.release()
    await is_over(handle)
    assert len(world.delivered) == 2


async def test_a_close_before_any_message_ends_it(stage: Stage) -> None:
    handle = await opened(stage, World())
    await status_of(handle, queued=0)
    await handle.signal(CallbackWorkflow.close)
    await is_over(handle)


async def test_dead_letters_are_kept_after_the_close(stage: Stage) -> None:
    handle = await opened(stage, World(deliveries=[GONE]), 1)
    await status_of(handle, dead=1)
    await handle.signal(CallbackWorkflow.close)
    assert len((await status_of(handle, dead=1)).dead) == 1
    await handle.terminate()


async def test_dead_letters_are_forgotten_in_the_end(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policies, "CALLBACK_KEEP_DEAD_LETTERS", timedelta(seconds=1))
    handle = await opened(stage, World(deliveries=[GONE]), 1)
    await status_of(handle, dead=1)
    await handle.signal(CallbackWorkflow.close)
    await is_over(handle)


async def test_a_message_is_given_up_after_a_day(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policies, "CALLBACK_GIVE_UP_AFTER", timedelta(0))
    handle = await opened(stage, World(deliveries=[later()]), 1, 2)
    status = await status_of(handle, dead=1, delivered=1)
    assert [(letter.message.id, letter.error) for letter in status.dead] == [("mig:1:1", "503 Service Unavailable")]
    await handle.terminate()
