"""DNS: read, lower the TTL, switch, put back."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address

from temporalio import activity

from activities.errors import translated
from activities.running import Attempt, acting, in_a_row, in_words, look_again, now
from migration.errors import Conflict, CutoverError, NotFound, RollbackError, VerificationError
from migration.marks import Mark
from migration.models import Model
from migration.ports import DomainNames, RecordKey, RecordSet


class RecordChange(Model):
    """A record as it must be found, and as it is to become; None is absence."""

    provider: str
    key: RecordKey
    before: RecordSet | None = None
    after: RecordSet | None = None


class ChangeRecords(Model):
    """Change these records under this mark."""

    mark: Mark
    changes: tuple[RecordChange, ...]


class WatchRecords(Model):
    """Watch until `until` that these records say what they became; wrong means `failures` looks in a row."""

    changes: tuple[RecordChange, ...]
    until: datetime
    failures: int


class RecordsWatched(Model):
    """How a watch ended: with nothing wrong at its end, or with what the zone's servers answer instead."""

    wrong: str | None = None


@dataclass
class DomainNameSystem:
    """What is done to DNS records."""

    names: Callable[[str], DomainNames]
    act_bound: timedelta
    poll: timedelta
    soak_poll: timedelta

    @activity.defn(no_thread_cancel_exception=True)
    @translated(CutoverError)
    def change_records(self, request: ChangeRecords) -> None:
        """Compare and set each record, and wait until the authoritative servers answer with it.

        A record that is neither `before` nor `after` was changed by somebody else: CutoverError, not overwritten.
        """
        with acting(self.act_bound) as attempt:
            for change in request.changes:
                _set(self.names(change.provider), attempt, change, request.mark)
            attempt.until(lambda: self._awaited(request.changes), self.poll)

    @activity.defn(no_thread_cancel_exception=True)
    @translated(RollbackError)
    def restore_records(self, request: ChangeRecords) -> None:
        """Put `after` back where the record is still ours (`before`); leave what somebody else has changed since."""
        with acting(self.act_bound) as attempt:
            restored = [change for change in request.changes if self._restore(attempt, change, request.mark)]
            attempt.until(lambda: self._awaited(restored), self.poll)

    @activity.defn
    @translated(VerificationError)
    def watch_records(self, request: WatchRecords) -> RecordsWatched:
        """One look an attempt; records that are wrong at the end of the time are watched on until that is sure."""
        behind = [words for change in request.changes if (words := self._behind(change))]
        looks = in_a_row(bool(behind))
        if looks.count >= request.failures:
            return RecordsWatched(wrong=in_words(behind))
        if behind or now() < request.until:
            words = (
                f"not as they were switched: {in_words(behind)}" if behind else "the records are as they were switched"
            )
            look_again(words, min(self.soak_poll, max(request.until - now(), self.poll)), remember=looks)
        return RecordsWatched()

    def _restore(self, attempt: Attempt, change: RecordChange, mark: Mark) -> bool:
        """Put one record back; says whether it is now as it was. A zone that is gone has nothing to put back."""
        names = self.names(change.provider)
        try:
            _set(names, attempt, change, mark)
        except NotFound as gone:
            activity.logger.warning("a record is left as it is: %s", gone)
            return False
        except Conflict as conflict:
            if _is_ours(names, change):
                raise
            activity.logger.warning("a record is left as it is: %s", conflict)
            return False
        return True

    def _awaited(self, changes: Iterable[RecordChange]) -> str | None:
        """Name the records that an authoritative server does not answer with yet."""
        behind = [words for change in changes if (words := self._behind(change))]
        return f"the zone's servers do not answer with the change yet: {in_words(behind)}" if behind else None

    def _behind(self, change: RecordChange) -> str | None:
        expected = _plain(change.after.values if change.after else ())
        answers = self.names(change.provider).authoritative_answer(change.key)
        if not answers:
            return f"{change.key.name}: no server was asked"
        late = [
            f"{one} says {', '.join(found) or 'nothing'}" for one, found in answers.items() if _plain(found) != expected
        ]
        return f"{change.key.name}: {in_words(late)}" if late else None


def _set(names: DomainNames, attempt: Attempt, change: RecordChange, mark: Mark) -> None:
    attempt.before_call()
    names.change(change.key, before=change.before, after=change.after, mark=str(mark))


def _plain(values: Sequence[str]) -> list[str]:
    """DNS knows neither case nor a missing last dot, and one IPv6 address has many spellings."""
    return sorted(_plain_value(value) for value in values)


def _plain_value(value: str) -> str:
    try:
        return str(ip_address(value))
    except ValueError:
        return value.rstrip(".").casefold()


def _is_ours(names: DomainNames, change: RecordChange) -> bool:
    """Whether the record still says what we wrote; one that can no longer be read as a record set does not."""
    try:
        return names.read(change.key) == change.before
    except Conflict:
        return False
