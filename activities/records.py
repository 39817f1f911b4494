"""MGN's source server records: their lifecycle changed, finalized, taken out of service."""

from collections.abc import Sequence
from datetime import timedelta

from activities import jobs
from activities.replicating import OUT_OF_SERVICE, in_brief
from activities.running import Attempt, in_words, remembered
from migration.errors import CutoverError, Unavailable
from migration.models import Model
from migration.ports import ReplicationService, SourceServer

_CHANGE_FROM = {
    "READY_FOR_TEST": ("TESTING", "READY_FOR_CUTOVER"),
    "READY_FOR_CUTOVER": ("READY_FOR_TEST", "TESTING", "CUTTING_OVER"),
}


class Removal(Model):
    """The records that are being taken out of service."""

    source_server_ids: tuple[str, ...] = ()


def read(service: ReplicationService, source_server_ids: Sequence[str]) -> list[SourceServer]:
    """Read the records in the order that is asked. Raises `NotFound` naming those that are gone."""
    found = service.servers(source_server_ids)
    return [found[one] for one in source_server_ids]


def change_states(
    service: ReplicationService, attempt: Attempt, source_server_ids: Sequence[str], state: str, poll: timedelta
) -> None:
    """Bring the records that are not there yet to this lifecycle state, and read it back.

    Raises:
        MigrationExecutionError: MGN does not allow the change, and waiting does not help.
        Unavailable: A job is running, or MGN cannot launch a record yet: after a power-on, say.
    """
    elsewhere = _not_in(service, source_server_ids, state)
    if not elsewhere:
        return
    _refuse_change(elsewhere, state, poll)
    jobs.wait_out_jobs(jobs.jobs_of(service, elsewhere), [one.source_server_id for one in elsewhere], poll)
    for record in elsewhere:
        attempt.before_call()
        service.change_life_cycle_state(record.source_server_id, state)
    _read_back(service, source_server_ids, state)


def _refuse_change(records: Sequence[SourceServer], state: str, poll: timedelta) -> None:
    """Refuse what waiting does not change, wait for what it does: MGN wants a launchable record (lag not null)."""
    jobs.refuse_states(
        [one for one in records if one.archived or one.life_cycle in OUT_OF_SERVICE], _CHANGE_FROM[state]
    )
    unseen = [in_brief(record) for record in records if record.lag is None]
    if unseen:
        raise Unavailable(f"MGN cannot launch these yet: {in_words(unseen)}", retry_after=poll)
    jobs.refuse_states(records, _CHANGE_FROM[state])


def finalize(service: ReplicationService, attempt: Attempt, source_server_ids: Sequence[str]) -> None:
    """Finalize the records that are not CUTOVER yet, none of them unless all can be, and read it back.

    Raises:
        CutoverError: A record is in a state that cannot be finalized.
    """
    before = _not_in(service, source_server_ids, "CUTOVER")
    wrong = [in_brief(record) for record in before if record.life_cycle != "CUTTING_OVER"]
    if wrong:
        raise CutoverError(
            f"only a record that is CUTTING_OVER can be finalized: {in_words(wrong)}",
            action="Look in MGN who changed the record, then retry.",
        )
    for record in before:
        attempt.before_call()
        service.finalize_cutover(record.source_server_id)
    _read_back(service, source_server_ids, "CUTOVER")


def take_out_of_service(
    service: ReplicationService, attempt: Attempt, source_server_ids: Sequence[str], poll: timedelta
) -> None:
    """Disconnect and archive records, those included that an earlier attempt found.

    A disconnected record is not found by its machine any more, but has still to be archived.
    """
    ids = tuple(dict.fromkeys([*remembered(Removal).source_server_ids, *source_server_ids]))
    attempt.remember(Removal(source_server_ids=ids))
    records = jobs.present(service, ids)
    jobs.wait_out_jobs(jobs.jobs_of(service, records), ids, poll)
    for record in records:
        if record.life_cycle not in OUT_OF_SERVICE:
            attempt.before_call()
            service.disconnect(record.source_server_id)
    archive(service, attempt, ids)


def archive(service: ReplicationService, attempt: Attempt, source_server_ids: Sequence[str]) -> None:
    """Archive the records that still exist and are not archived."""
    for record in jobs.present(service, source_server_ids):
        if not record.archived:
            attempt.before_call()
            service.archive(record.source_server_id)


def _not_in(service: ReplicationService, source_server_ids: Sequence[str], state: str) -> list[SourceServer]:
    return [record for record in read(service, source_server_ids) if record.life_cycle != state]


def _read_back(service: ReplicationService, source_server_ids: Sequence[str], state: str) -> None:
    if left := _not_in(service, source_server_ids, state):
        raise Unavailable(f"not {state} yet: {in_words([in_brief(record) for record in left])}")
