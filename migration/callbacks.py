"""What is said to and by the workflow of a migration's callbacks.

Apart from it, since the sandbox would make the models of a workflow's file anew for each run.
"""

from datetime import datetime

from pydantic import ConfigDict, Field

from migration.messages import Message
from migration.models import Model


class DeadLetter(Model):
    """A message that was given up, and why."""

    message: Message
    at: datetime
    error: str


class OpenCallbacks(Model):
    """Whom to call, and what an earlier run left to do."""

    migration_id: str
    url: str
    secret: str | None = None
    queue: tuple[Message, ...] = ()
    dead: tuple[DeadLetter, ...] = ()
    delivered: int = 0
    unreadable: int = 0
    ended: bool = False
    gone: str | None = None


class Trying(Model):
    """The message at the head of the queue, while it is tried again: how often so far, and what came of it."""

    message_id: str
    tries: int
    error: str
    again: datetime


class CallbackStatus(Model):
    """What the query `status` answers.

    Attributes:
        queued: Messages that wait for their turn, the one that is tried included.
        unreadable: Signals that carried no message; nothing could be done with them.
        gone: What the endpoint said with its 410; it is not called again before a replay.
    """

    queued: int
    delivered: int
    dead: tuple[DeadLetter, ...]
    trying: Trying | None = None
    unreadable: int = 0
    gone: str | None = None


class Replay(Model):
    """The dead letters to send again."""

    model_config = ConfigDict(extra="forbid")

    messages: tuple[str, ...] | None = Field(None, min_length=1, description="Their webhook-ids. Null: all of them.")


class Replayed(Model):
    """The webhook-ids of what was queued again, in the order in which it will be sent."""

    queued: tuple[str, ...]


def callbacks_id(migration_id: str, generation: int = 1) -> str:
    """The workflow id; the slash keeps it apart from every migration id.

    A later generation may have another endpoint, while the earlier one's dead letters are still kept.
    """
    return f"callbacks/{migration_id}" if generation == 1 else f"callbacks/{migration_id}/{generation}"
