"""DNS: read, lower the TTL, switch, put back."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from temporalio import activity

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


@dataclass
class DomainNameSystem:
    """What is done to DNS records."""

    names: Callable[[str], DomainNames]
    act_bound: timedelta
    poll: timedelta

    @activity.defn(no_thread_cancel_exception=True)
    def change_records(self, request: ChangeRecords) -> None:
        """Compare and set each record, and wait until the authoritative servers answer with it.

        A record that is neither `before` nor `after` was changed by somebody else: CutoverError, not overwritten.
        """
        raise NotImplementedError

    @activity.defn(no_thread_cancel_exception=True)
    def restore_records(self, request: ChangeRecords) -> None:
        """Put `after` back where the record is still ours (`before`); leave what somebody else has changed since."""
        raise NotImplementedError
