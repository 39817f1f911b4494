"""The dead-letter queue of requests, to look at and to send back (Amazon SQS, API 2012-11-05).

SQS reads nothing by id, and what was received is hidden for a while. So a look receives everything, as long as
something new comes, and shows it again at once.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from adapters.aws import AwsSessions, aws_call
from adapters.sqs import CORRELATION_ID, ERROR_TYPE, ORIGINAL_ID, REASONS, TRACEPARENT, Message, message_from
from migration.errors import MigrationError
from migration.models import Model

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

_BATCH = 10
_HIDDEN_SECONDS = 120
"""Long enough to page through thousands; what a look that was broken off has hidden is seen again after it."""

_WAIT_SECONDS = 1
"""A long poll, if a short one: it asks all of SQS's servers, and no answer means that there is nothing."""


class DeadLetter(Model):
    """A message that was refused, or that SQS itself took off the request queue.

    Attributes:
        message: As it lies in the dead-letter queue.
        id: The id that it had on the request queue, which logs and events name; its present one where none is known.
        sent: When it came to the dead-letter queue; of one that SQS itself has moved there, to the request queue.
        error_type: The class of the refusal; None: nobody refused it.
        reasons: Why it was refused, most important first.
    """

    message: Message
    id: str
    sent: datetime
    error_type: str | None = None
    reasons: tuple[str, ...] = ()

    def goes_by(self, message_id: str) -> bool:
        """Whether this is the letter of that message, by either of its ids."""
        return message_id in (self.id, self.message.id)


class DeadLetterQueue:
    """Refused messages."""

    def __init__(self, sessions: AwsSessions, url: str, request_url: str, *, region: str | None = None) -> None:
        """Nothing is called yet.

        Args:
            sessions: Where clients come from.
            url: The dead-letter queue.
            request_url: The queue of requests, to which letters are sent back.
            region: None: the default one.
        """
        self._client: SQSClient = sessions.client("sqs", region=region)
        # A send has no token on a standard queue, so none is repeated blindly.
        self._acts: SQSClient = sessions.client("sqs", region=region, once=True)
        self._url = url
        self._request_url = request_url
        self._sent_back: set[str] = set()

    @contextmanager
    def all(self) -> Iterator[Sequence[DeadLetter]]:
        """Every letter, oldest first, hidden from others inside; those that are left can be seen again after it."""
        letters: dict[str, DeadLetter] = {}
        try:
            while fresh := {one.message.id: one for one in self._receive() if one.message.id not in letters}:
                letters |= fresh
            yield sorted(letters.values(), key=lambda letter: letter.sent)
        finally:
            self._show_again([one for one in letters.values() if one.message.id not in self._sent_back])

    def send_back(self, letter: DeadLetter) -> str:
        """Put a letter on the request queue as it came, and take it off this one after that; returns its new id.

        A crash between the two leaves it on both, where it means the same as once.
        """
        kept = {name: letter.message.attributes.get(name) for name in (CORRELATION_ID, TRACEPARENT)}
        texts: Any = {name: {"DataType": "String", "StringValue": value} for name, value in kept.items() if value}
        with aws_call("SendMessage"):
            sent = self._acts.send_message(
                QueueUrl=self._request_url, MessageBody=letter.message.body, MessageAttributes=texts
            )
        with aws_call("DeleteMessage"):
            self._client.delete_message(QueueUrl=self._url, ReceiptHandle=letter.message.receipt)
        self._sent_back.add(letter.message.id)
        return sent["MessageId"]

    def _receive(self) -> list[DeadLetter]:
        with aws_call("ReceiveMessage"):
            reply = self._client.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=_BATCH,
                WaitTimeSeconds=_WAIT_SECONDS,
                VisibilityTimeout=_HIDDEN_SECONDS,
                MessageSystemAttributeNames=["SentTimestamp"],
                MessageAttributeNames=["All"],
            )
        return [_letter(item) for item in reply.get("Messages", ())]

    def _show_again(self, letters: Sequence[DeadLetter]) -> None:
        """What cannot be shown now is seen again when its time is up."""
        for start in range(0, len(letters), _BATCH):
            batch = letters[start : start + _BATCH]
            with suppress(MigrationError), aws_call("ChangeMessageVisibilityBatch"):
                self._client.change_message_visibility_batch(
                    QueueUrl=self._url,
                    Entries=[
                        {"Id": str(number), "ReceiptHandle": letter.message.receipt, "VisibilityTimeout": 0}
                        for number, letter in enumerate(batch)
                    ],
                )


def _letter(item: Mapping[str, Any]) -> DeadLetter:
    message = message_from(item)
    return DeadLetter(
        message=message,
        id=message.attributes.get(ORIGINAL_ID, message.id),
        sent=datetime.fromtimestamp(int(item["Attributes"]["SentTimestamp"]) / 1000, UTC),
        error_type=message.attributes.get(ERROR_TYPE),
        reasons=_reasons(message.attributes.get(REASONS)),
    )


def _reasons(text: str | None) -> tuple[str, ...]:
    """The reasons of a refusal; anything else that somebody wrote there is one reason."""
    try:
        reasons = json.loads(text or "[]")
    except ValueError:
        reasons = text
    return tuple(map(str, reasons)) if isinstance(reasons, list) else (str(reasons),)
