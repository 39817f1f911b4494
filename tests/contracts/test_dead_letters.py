"""Dead letters against SQS: seen without being taken, and sent back without being lost."""

import json
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from typer.testing import CliRunner

from adapters import dead_letters
from adapters.dead_letters import DeadLetterQueue
from adapters.sqs import Message, RequestQueue
from migration.errors import Unavailable
from starter.cli import app
from tests.contracts.aws_cloud import Cloud, local_aws

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
_numbers = count(1)


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with local_aws() as cloud:
        yield cloud


class Desk:
    """Two queues, refused messages, and the CLI that looks at them."""

    def __init__(self, cloud: Cloud, environment: pytest.MonkeyPatch) -> None:
        client, number = cloud.sessions.client("sqs"), next(_numbers)
        self.requests, self.letters = (
            client.create_queue(QueueName=f"{kind}-{number}")["QueueUrl"] for kind in ("asked", "dead")
        )
        environment.setenv("MIGRATOR_REQUEST_QUEUE_URL", self.requests)
        environment.setenv("MIGRATOR_DEAD_LETTER_QUEUE_URL", self.letters)
        self.queue = RequestQueue(cloud.sessions, self.requests, self.letters)
        self.client = client
        environment.setattr(dead_letters, "_WAIT_SECONDS", 0)  # moto has one server, and answers at once
        self.dead_letters = DeadLetterQueue(cloud.sessions, self.letters, self.requests)

    def refuse(self, number: int, body: str | None = None) -> str:
        body = body or json.dumps({"migrationId": f"mig-bad-{number}"})
        sent = {"traceparent": TRACEPARENT}
        message = Message(id=f"message-{number}", receipt="r", body=body, attributes=sent)
        self.queue.send_to_dead_letter(
            message, [f"$.a: first {number}", "$.b: second"], correlation_id=f"corr-{number}"
        )
        return message.id

    def run(self, *words: str) -> Any:
        return CliRunner().invoke(app, ["dlq", *words], catch_exceptions=False)

    def listed(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.run("list", "-o", "json").output)["deadLetters"]
        return found

    def back(self) -> list[Message]:
        return list(self.queue.receive(wait_seconds=0))


@pytest.fixture
def desk(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(cloud, monkeypatch)


def test_the_list_says_of_each_letter_what_whose_and_why(desk: Desk) -> None:
    desk.refuse(1)
    desk.refuse(2, "no JSON")
    for _ in range(2):  # a look takes nothing away, and hides nothing
        assert [
            (letter["messageId"], letter["migrationId"], letter["errorType"], letter["reason"])
            for letter in desk.listed()
        ] == [
            ("message-1", "mig-bad-1", "ValidationError", "$.a: first 1"),
            ("message-2", None, "ValidationError", "$.a: first 2"),
        ]
    words = desk.run("list").output
    assert "mig-bad-1" in words
    assert "$.a: first 1" in words


def test_all_pages_are_read(desk: Desk) -> None:
    sent = {desk.refuse(number) for number in range(23)}
    assert {letter["messageId"] for letter in desk.listed()} == sent


def test_no_dead_letters_are_no_error(desk: Desk) -> None:
    ran = desk.run("list")
    assert (ran.exit_code, ran.output) == (0, "no dead letters\n")
    assert json.loads(desk.run("redrive", "--all", "-o", "json").output) == {"redriven": []}


def test_show_prints_everything_by_either_id(desk: Desk) -> None:
    desk.refuse(1)
    desk.refuse(2, 'a body\nwith \u009b31m and "quotes"')
    (whole,) = json.loads(desk.run("show", "message-2", "-o", "json").output)["deadLetters"]
    assert whole["reasons"] == ["$.a: first 2", "$.b: second"]
    assert whole["body"] == 'a body\nwith \u009b31m and "quotes"'
    assert (whole["correlationId"], whole["traceparent"]) == ("corr-2", TRACEPARENT)
    words = desk.run("show", whole["deadLetterId"]).output
    assert 'a body\nwith \\u009b31m and "quotes"' in words
    assert "$.b: second" in words


def test_an_unknown_id_is_exit_code_3_and_sends_nothing_back(desk: Desk) -> None:
    desk.refuse(1)
    for words in (("show", "message-9"), ("redrive", "message-1", "message-9")):
        ran = desk.run(*words)
        assert (ran.exit_code, "message-9" in ran.output) == (3, True)
    assert desk.back() == []
    assert len(desk.listed()) == 1


@pytest.mark.parametrize("words", [(), ("message-1", "--all")])
def test_a_redrive_wants_ids_or_all(desk: Desk, words: tuple[str, ...]) -> None:
    assert desk.run("redrive", *words).exit_code == 2


def test_a_redrive_sends_back_the_message_as_it_came(desk: Desk) -> None:
    desk.refuse(1)
    desk.refuse(2)
    (sent,) = json.loads(desk.run("redrive", "message-2", "-o", "json").output)["redriven"]
    (message,) = desk.back()
    assert (sent["messageId"], sent["sentAs"]) == ("message-2", message.id)
    assert json.loads(message.body) == {"migrationId": "mig-bad-2"}
    assert message.attributes == {"correlationId": "corr-2", "traceparent": TRACEPARENT}
    assert [letter["messageId"] for letter in desk.listed()] == ["message-1"]


def test_a_redrive_of_all_leaves_none(desk: Desk) -> None:
    for number in range(3):
        desk.refuse(number)
    assert desk.run("redrive", "--all").exit_code == 0
    assert len(desk.back()) == 3
    assert desk.listed() == []


def test_a_letter_is_deleted_only_when_it_is_back(desk: Desk, cloud: Cloud) -> None:
    desk.refuse(1)
    cloud.refuse("sqs", "SendMessage", 503, "ServiceUnavailable")
    assert desk.run("redrive", "--all").exit_code == 1
    assert [letter["messageId"] for letter in desk.listed()] == ["message-1"]
    cloud.lose_reply("sqs", "SendMessage")
    assert desk.run("redrive", "--all").exit_code == 1
    assert len(desk.back()) == len(desk.listed()) == 1  # on both queues, which means the same as once


def test_a_look_that_fails_shows_again_what_it_has_hidden(desk: Desk, cloud: Cloud) -> None:
    desk.refuse(1)

    def fail() -> None:
        with desk.dead_letters.all() as letters:
            assert len(letters) == 1
            raise Unavailable("the terminal is gone")

    with pytest.raises(Unavailable):
        fail()
    assert len(desk.listed()) == 1


def test_a_message_that_sqs_itself_has_moved_is_a_letter_too(desk: Desk) -> None:
    desk.client.send_message(QueueUrl=desk.letters, MessageBody="{}")
    (letter,) = desk.listed()
    assert (letter["errorType"], letter["reason"]) == (None, None)
    assert "received too often" in desk.run("list").output
    assert "received too often" in desk.run("show", letter["messageId"]).output
