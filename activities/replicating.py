"""When replication is far enough, and what to do when it stalls."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from activities.running import in_words, look_again, now, remembered
from migration.errors import SourcePreparationError
from migration.models import Model
from migration.ports import ReplicationService, SourceServer

CONTINUOUS = "CONTINUOUS"
STALLED = "STALLED"
LAUNCHABLE_STATES = frozenset({"READY_FOR_TEST", "TESTING", "READY_FOR_CUTOVER", "CUTTING_OVER"})
NOT_INSTALLED = frozenset({"PENDING_INSTALLATION", "DISCOVERED"})
OUT_OF_SERVICE = frozenset({"CUTOVER", "DISCONNECTED"})

_PATIENCE_AFTER_RETRY = 10
_PERCENT = 100


class ReplicationLooks(Model):
    """What travels from look to look: how many in a row were good, and when which stalled record was retried."""

    stable: int = 0
    retried: Mapping[str, datetime] = {}


class ReplicationGate(Model):
    """When replication is far enough: so many looks in a row with every lag within `max_lag`, before `until`."""

    max_lag: timedelta
    stable_observations: int
    until: datetime | None = None


def pass_gate(
    service: ReplicationService, records: Sequence[SourceServer], gate: ReplicationGate, poll: timedelta
) -> None:
    """Return when this look is the last one that the gate asks for; look again otherwise.

    Raises:
        SourcePreparationError: A record is out of service, stalled again after its retry, or patience is over.
    """
    looks = remembered(ReplicationLooks)
    _refuse_out_of_service(records)
    good = all(is_ready(record, gate.max_lag) for record in records)
    looks = ReplicationLooks(
        stable=looks.stable + 1 if good else 0,
        retried=_retry_stalled(service, records, looks.retried, poll * _PATIENCE_AFTER_RETRY),
    )
    if looks.stable >= gate.stable_observations:
        return
    words = f"{looks.stable} of {gate.stable_observations} good looks: {in_words([in_brief(r) for r in records])}"
    if gate.until is not None and now() >= gate.until:
        raise SourcePreparationError(
            f"replication was not far enough by {gate.until:%Y-%m-%d %H:%M %Z}: {words}",
            action="Find out in MGN what holds replication up, then retry the step.",
        )
    look_again(words, _next_look(gate, poll), remember=looks)


def is_registered(record: SourceServer | None) -> bool:
    """Say whether the machine's agent is known to MGN: an imported inventory record has none yet."""
    return record is not None and record.life_cycle not in NOT_INSTALLED


def is_ready(record: SourceServer, max_lag: timedelta) -> bool:
    """Say whether a record may be launched with all but the last `max_lag` of its writes; none of them: no backlog."""
    if record.lag is None or record.life_cycle not in LAUNCHABLE_STATES or record.replication_state != CONTINUOUS:
        return False
    return record.lag <= max_lag and (bool(max_lag) or not record.backlog_bytes)


def in_brief(record: SourceServer) -> str:
    """One record's replication in few words, for the Web UI's pending activity."""
    words = [record.label, record.life_cycle, record.replication_state]
    if record.replicated_bytes < record.total_bytes:
        words.append(f"{_PERCENT * record.replicated_bytes // record.total_bytes} %")
    words.append("not launchable" if record.lag is None else f"lag {record.lag}")
    return " ".join(words)


def _next_look(gate: ReplicationGate, poll: timedelta) -> timedelta:
    return poll if gate.until is None else min(poll, gate.until - now())


def _refuse_out_of_service(records: Sequence[SourceServer]) -> None:
    gone = [record for record in records if record.archived or record.life_cycle in OUT_OF_SERVICE]
    if gone:
        words = [f"{one.label} is {'archived' if one.archived else one.life_cycle}" for one in gone]
        raise SourcePreparationError(
            f"MGN no longer replicates: {in_words(words)}",
            action="Install the agent again: a record that was taken out of service does not come back.",
        )


def _retry_stalled(
    service: ReplicationService, records: Sequence[SourceServer], retried: Mapping[str, datetime], patience: timedelta
) -> Mapping[str, datetime]:
    """Retry each stalled record once; one that is stalled well after its retry is somebody's decision."""
    stalled = [record for record in records if record.replication_state == STALLED]
    again = [r for r in stalled if r.source_server_id in retried and now() > retried[r.source_server_id] + patience]
    if again:
        words = [f"{r.label} ({r.replication_error or 'MGN names no error'})" for r in again]
        raise SourcePreparationError(
            f"replication stalled again after its retry: {in_words(words)}",
            action="Remove the cause that MGN names, then retry the step.",
        )
    fresh = [record.source_server_id for record in stalled if record.source_server_id not in retried]
    for source_server_id in fresh:
        service.retry_replication(source_server_id)
    return dict(retried) | dict.fromkeys(fresh, now())
