"""A refusal goes out three ways, each of which takes it twice as once."""

import json
import uuid
from collections.abc import Sequence

import pytest

from adapters.sqs import Message, RequestQueue
from migration.errors import PrerequisiteError, Unavailable
from migration.ports import BusEvent
from starter.incoming import Incoming
from starter.refusals import TRIES_OF_THE_BUS, Refusals, refusal_callbacks_id
from tests.workflows.stage import Stage
from tests.workflows.worlds import World

ENDPOINT = {"callbackUrl": "https://hooks.example.com/migrations", "callbackSecret": "env:CALLBACK_SECRET"}
REASONS = ["$.appName: expected a value, which is required, found nothing"]


class Bus:
    """A bus that takes events, or not."""

    def __init__(self, *troubles: Exception | str) -> None:
        self.troubles = list(troubles)
        self.taken: list[BusEvent] = []

    def put(self, events: Sequence[BusEvent]) -> Sequence[str | None]:
        trouble = self.troubles.pop(0) if self.troubles else None
        if isinstance(trouble, Exception):
            raise trouble
        if trouble is None:
            self.taken += events
        return [trouble] * len(events)


class DeadLetters(RequestQueue):
    """Remembers what was refused."""

    def __init__(self) -> None:
        self.letters: list[tuple[str, Sequence[str], str, str | None]] = []

    def send_to_dead_letter(
        self,
        message: Message,
        reasons: Sequence[str],
        *,
        error_type: str = "ValidationError",
        correlation_id: str | None = None,
    ) -> None:
        self.letters.append((message.id, reasons, error_type, correlation_id))


def incoming(said: dict[str, str], receive_count: int = 1) -> Incoming:
    body = json.dumps({"migrationId": "mig-refused", **said})
    return Incoming(Message(id=str(uuid.uuid4()), receipt="r-1", body=body, receive_count=receive_count))


async def test_a_refusal_told_twice_is_one_event_one_callback_and_ends(stage: Stage) -> None:
    world = stage.world("refused", World())
    bus, queue = Bus(), DeadLetters()
    refusals = Refusals(queue, bus, stage.client, stage.task_queue)
    message = incoming(ENDPOINT)
    for _ in range(2):
        await refusals.refuse(message, REASONS, "ValidationError")
        await stage.client.get_workflow_handle(refusal_callbacks_id(message.message.id)).result()
    (called,) = [one for one in world.asked("deliver_callback") if one.message_id.startswith(message.message.id)]
    assert (called.url, called.secret) == tuple(ENDPOINT.values())
    assert {event.id for event in bus.taken} == {called.message_id} == {f"{message.message.id}:refused"}
    for told in (json.loads(called.body), json.loads(bus.taken[0].detail)):
        assert (told["id"], told["type"]) == (called.message_id, "MigrationRequestRefused")
        assert told["data"] == {
            "migrationId": "mig-refused",
            "correlationId": "mig-refused",
            "messageId": message.message.id,
            "errorType": "ValidationError",
            "reasons": REASONS,
        }
    assert queue.letters[0] == (message.message.id, REASONS, "ValidationError", "mig-refused")


@pytest.mark.parametrize("trouble", [Unavailable("no answer"), PrerequisiteError("no such bus"), "InternalFailure"])
async def test_a_bus_that_takes_nothing_is_waited_for_before_the_dead_letter(
    trouble: Exception | str, stage: Stage
) -> None:
    bus, queue = Bus(trouble), DeadLetters()
    refusals = Refusals(queue, bus, stage.client, stage.task_queue)
    message = incoming({})
    with pytest.raises(Unavailable, match="event bus"):
        await refusals.refuse(message, REASONS, "ValidationError")
    assert queue.letters == []
    await refusals.refuse(message, REASONS, "ValidationError")
    assert (len(bus.taken), len(queue.letters)) == (1, 1)


async def test_a_bus_that_is_away_for_long_does_not_hold_the_dead_letter(stage: Stage) -> None:
    queue = DeadLetters()
    refusals = Refusals(queue, Bus(Unavailable("no answer")), stage.client, stage.task_queue)
    await refusals.refuse(incoming({}, TRIES_OF_THE_BUS), REASONS, "Conflict")
    assert [letter[2] for letter in queue.letters] == ["Conflict"]


@pytest.mark.parametrize(
    "said", [{}, {"callbackUrl": "http://hooks.example.com/x"}, {"callbackUrl": "https://user:x@hooks.example.com/"}]
)
async def test_nobody_is_called_where_no_valid_url_can_be_read(said: dict[str, str], stage: Stage) -> None:
    queue = DeadLetters()
    message = incoming(said)
    assert message.callback_url is None
    await Refusals(queue, None, stage.client, stage.task_queue).refuse(message, REASONS, "ValidationError")
    assert len(queue.letters) == 1


def test_a_secret_that_is_no_reference_is_not_handed_on() -> None:
    assert incoming(ENDPOINT | {"callbackSecret": "hunter2"}).callback_secret is None
