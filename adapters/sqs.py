"""The request queue and its dead letters in Amazon SQS (API 2012-11-05)."""

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from adapters.aws import AwsSessions, aws_call
from migration.models import Model

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

REASONS = "reasons"
ERROR_TYPE = "errorType"
ORIGINAL_ID = "originalMessageId"
CORRELATION_ID = "correlationId"
TRACEPARENT = "traceparent"

_MOST_BYTES = 262_144
"""A message with its attributes: what every queue takes, whatever its own setting."""

_ROOM_FOR_REASONS = 32_768
_ROOM_FOR_THE_REST = 1_024
_LONGEST_TRACE = 257


class Message(Model):
    """A received message. `receipt` names this reception, `receive_count` says how many there were."""

    id: str
    receipt: str
    body: str
    attributes: Mapping[str, str] = {}
    receive_count: int = 1


def message_from(item: Mapping[str, Any]) -> Message:
    """Read a message as SQS gives it; attributes that are no text are left out."""
    texts = {name: value.get("StringValue") for name, value in item.get("MessageAttributes", {}).items()}
    return Message(
        id=item["MessageId"],
        receipt=item["ReceiptHandle"],
        body=item["Body"],
        attributes={name: value for name, value in texts.items() if value is not None},
        receive_count=int(item.get("Attributes", {}).get("ApproximateReceiveCount", 1)),
    )


class RequestQueue:
    """Messages that ask for migrations, and where those go that nobody can serve."""

    def __init__(
        self, sessions: AwsSessions, request_url: str, dead_letter_url: str | None, *, region: str | None = None
    ) -> None:
        """Nothing is called yet.

        Args:
            sessions: Where clients come from.
            request_url: The queue of requests.
            dead_letter_url: The queue of refused messages; None: there is none.
            region: None: the default one.
        """
        # A send has no token on a standard queue, so none is repeated blindly.
        self._client: SQSClient = sessions.client("sqs", region=region)
        self._acts: SQSClient = sessions.client("sqs", region=region, once=True)
        self._request_url = request_url
        self._dead_letter_url = dead_letter_url

    @property
    def has_dead_letters(self) -> bool:
        """Whether refused messages have somewhere to go."""
        return self._dead_letter_url is not None

    def hidden_for(self) -> timedelta:
        """How long a received message is hidden from others, by the queue's own setting."""
        name: Literal["VisibilityTimeout"] = "VisibilityTimeout"
        with aws_call("GetQueueAttributes"):
            reply = self._client.get_queue_attributes(QueueUrl=self._request_url, AttributeNames=[name])
        return timedelta(seconds=int(reply["Attributes"][name]))

    def receive(self, most: int = 10, wait_seconds: int = 20) -> Sequence[Message]:
        """Wait for messages, at most 20 s, and take at most 10: SQS's own limits."""
        with aws_call("ReceiveMessage"):
            reply = self._client.receive_message(
                QueueUrl=self._request_url,
                MaxNumberOfMessages=most,
                WaitTimeSeconds=wait_seconds,
                MessageSystemAttributeNames=["ApproximateReceiveCount"],
                MessageAttributeNames=["All"],
            )
        return [message_from(one) for one in reply.get("Messages", ())]

    def delete(self, message: Message) -> None:
        """Take a message off the queue; one that is gone already is no error."""
        with aws_call("DeleteMessage"):
            self._client.delete_message(QueueUrl=self._request_url, ReceiptHandle=message.receipt)

    def extend(self, message: Message, within: timedelta) -> None:
        """Keep a message hidden from others for so long from now."""
        with aws_call("ChangeMessageVisibility"):
            self._client.change_message_visibility(
                QueueUrl=self._request_url,
                ReceiptHandle=message.receipt,
                VisibilityTimeout=int(within.total_seconds()),
            )

    def send(self, body: str, attributes: Mapping[str, str] | None = None) -> str:
        """Put a message on the request queue; returns its id."""
        return self._send(self._request_url, body, attributes or {})

    def send_to_dead_letter(
        self,
        message: Message,
        reasons: Sequence[str],
        *,
        error_type: str = "ValidationError",
        correlation_id: str | None = None,
    ) -> None:
        """Put a refused message, with why, on the dead-letter queue; it stays on the request queue until deleted.

        Args:
            message: The message as received.
            reasons: Why, most important first; those that do not fit are counted.
            error_type: The class of the refusal.
            correlation_id: None: the one that the message's attributes carry, if any.

        Raises:
            ValueError: There is no dead-letter queue.
        """
        if self._dead_letter_url is None:
            raise ValueError("no dead-letter queue is configured")
        correlation = correlation_id or message.attributes.get(CORRELATION_ID)
        attributes = {ERROR_TYPE: error_type, ORIGINAL_ID: message.id} | (
            {CORRELATION_ID: correlation} if correlation else {}
        )
        if len(trace := message.attributes.get(TRACEPARENT, "")) in range(1, _LONGEST_TRACE):
            attributes[TRACEPARENT] = trace
        room = _MOST_BYTES - len(message.body.encode()) - _ROOM_FOR_THE_REST
        listed = _fitting(reasons, max(_ROOM_FOR_THE_REST, min(room, _ROOM_FOR_REASONS)))
        rest = _MOST_BYTES - len(listed) - _ROOM_FOR_THE_REST
        body = message.body.encode()[:rest].decode(errors="ignore")
        self._send(self._dead_letter_url, body, attributes | {REASONS: listed})

    def _send(self, url: str, body: str, attributes: Mapping[str, str]) -> str:
        texts: Any = {name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()}
        with aws_call("SendMessage"):
            return self._acts.send_message(QueueUrl=url, MessageBody=body, MessageAttributes=texts)["MessageId"]


def _fitting(reasons: Sequence[str], most_bytes: int) -> str:
    """Write reasons as a JSON array of ASCII; the last ones are counted, or the first is cut, where they do not fit."""
    kept: list[str] = []
    room = most_bytes - len(json.dumps([f"and {len(reasons)} more"]))
    for reason in reasons:
        room -= len(json.dumps(reason)) + len(", ")
        if room < 0:
            break
        kept.append(reason)
    if kept or not reasons:
        left = len(reasons) - len(kept)
        return json.dumps([*kept, *([f"and {left} more"] if left else [])])
    # One character takes up to 12 bytes as a JSON escape.
    return json.dumps([reasons[0][: most_bytes // 12 - 1]])
