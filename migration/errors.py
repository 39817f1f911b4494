"""Every failure says what happened, who acts, and whether a retry can help.

    MigrationError
    ├── ValidationError          the request itself is wrong; nothing was started
    ├── PrerequisiteError        a check before the first act failed; nothing was touched
    ├── SourcePreparationError   the source, its agent or its replication could not be prepared
    ├── MigrationExecutionError  MGN or EC2 refused or failed a launch, a job, a state change
    ├── VerificationError        the launched application is not healthy
    ├── CutoverError             the switch to the target, or the pivot, failed
    ├── RollbackError            an undo could not be done
    ├── CallbackError            a callback could not be delivered
    ├── Unavailable              a system did not answer, or asked for patience: always worth a retry
    ├── NotFound                 the named thing does not exist
    └── Conflict                 the thing is in another state than was expected

Adapters raise these, translated once from the vendor's error. Activities turn them into one
``ApplicationError`` whose ``type`` is the class name (`activities/errors.py`); Temporal matches
non-retryable types by that exact name.

Their words go everywhere: histories, status, callbacks, logs. So what has a secret's shape is taken out of them here,
where a vendor's words come in.
"""

from datetime import timedelta

from migration.redaction import redact_text


class MigrationError(Exception):
    """A failure of a migration, in words for the person who has to act.

    Attributes:
        retryable: Whether the same call may succeed later without anybody acting.
        action: What a person can do about it, or None when a retry is the answer.
    """

    retryable = False

    def __init__(self, message: str, *, action: str | None = None, retryable: bool | None = None) -> None:
        """Keep the words, who acts, and whether a retry may help (the class's own answer by default)."""
        super().__init__(redact_text(message))
        self.action = action if action is None else redact_text(action)
        if retryable is not None:
            self.retryable = retryable


class ValidationError(MigrationError):
    """The request or a decision is wrong."""


class PrerequisiteError(MigrationError):
    """Something that must be there before the first act is not."""


class SourcePreparationError(MigrationError):
    """The source machine, its agent or its replication could not be prepared."""


class MigrationExecutionError(MigrationError):
    """MGN or EC2 refused, or a launch failed."""


class VerificationError(MigrationError):
    """The launched application is not healthy."""


class CutoverError(MigrationError):
    """Traffic could not be switched, or the pivot failed."""


class RollbackError(MigrationError):
    """An undo could not be done."""


class CallbackError(MigrationError):
    """A callback could not be delivered."""


class Unavailable(MigrationError):  # noqa: N818  a state of the other system, not our mistake
    """A system did not answer, throttled, or was busy: the same call may succeed later.

    Attributes:
        retry_after: How long the system asked us to wait, or None.
    """

    retryable = True

    def __init__(self, message: str, *, retry_after: timedelta | None = None) -> None:
        """Keep the words and the wait that was asked for."""
        super().__init__(message)
        self.retry_after = retry_after


class NotFound(MigrationError):  # noqa: N818  an answer, which the caller may well expect
    """The named thing does not exist. Undo treats it as done."""


class Conflict(MigrationError):  # noqa: N818  an answer, not always an error
    """The thing is not in the state that was expected, and waiting will not change that."""
