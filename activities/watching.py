"""What is watched while approvals wait: whether the replication that they were asked for is still the one there is."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from temporalio import activity

from activities.errors import translated
from activities.lags import LagsSeen
from activities.replicating import in_brief, is_ready
from activities.running import in_words, look_again, now, remembered
from migration.errors import SourcePreparationError
from migration.metrics import Watched
from migration.models import Model
from migration.ports import Replication, Where


class WatchReplication(Model):
    """Watch these records until one is replaced, or until one has been behind for longer than `patience`.

    `source_server_ids` are the records that were seen, in the order of the ids they were found by.
    """

    where: Where
    user_provided_ids: tuple[str, ...]
    source_server_ids: tuple[str, ...]
    max_lag: timedelta
    patience: timedelta


class ReplicationChanged(Model):
    """What has changed, in words; `replaced`: a machine has another record now, or none."""

    reason: str
    replaced: bool = False


class BehindSince(Model):
    """What travels from look to look: since when replication is behind, if it is."""

    since: datetime | None = None


@dataclass
class ReplicationWatch:
    """Looks at replication for as long as it stays as it was."""

    replication: Replication
    poll: timedelta
    lags: LagsSeen = field(default_factory=LagsSeen)

    @activity.defn
    @translated(SourcePreparationError)
    def watch_replication(self, request: WatchReplication) -> ReplicationChanged:
        """One look an attempt: no history however long it watches."""
        found = self.replication(request.where).find(request.user_provided_ids)
        self.lags.note(Watched.AT_THE_GATE, str(activity.info().workflow_id), list(found.values()))
        known = dict(zip(request.user_provided_ids, request.source_server_ids, strict=True))
        seen = {one: found[one].source_server_id if one in found else "no record" for one in known}
        if other := [f"{one} is {seen[one]} now, not {record}" for one, record in known.items() if seen[one] != record]:
            return ReplicationChanged(reason=f"replaced in MGN: {in_words(other)}", replaced=True)
        behind = [in_brief(record) for record in found.values() if not is_ready(record, request.max_lag)]
        since = (remembered(BehindSince).since or now()) if behind else None
        if since is not None and now() - since >= request.patience:
            return ReplicationChanged(reason=f"replication is behind since {since:%H:%M:%S %Z}: {in_words(behind)}")
        words = f"behind: {in_words(behind)}" if behind else "replication is as it was"
        return look_again(words, self.poll, remember=BehindSince(since=since))
