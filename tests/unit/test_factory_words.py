"""What Cloud Migration Factory is told of a server and of a wave."""

from datetime import UTC, datetime
from typing import Any

import pytest

from migration.factory_words import ServerWords, is_blocked, server_words, wave_status
from migration.ports import FactoryServer
from migration.status import Awaiting, Failure, MigrationStatus, Phase, ServerProgress, StepProgress, StepState
from migration.steps import STEPS, Step

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RECORD = {"source_server_id": "s-1"}
TESTED = {**RECORD, "test_instance_id": "i-test"}
LAUNCHED = {**TESTED, "instance_id": "i-1", "replication_state": "CONTINUOUS"}


def status(at: Step, state: StepState = StepState.RUNNING, **more: Any) -> MigrationStatus:
    """A migration that has come to this step, the earlier ones done."""
    before = STEPS[: STEPS.index(at)]
    steps = [
        StepProgress(step=step, state=StepState.DONE if step in before else state if step is at else StepState.PENDING)
        for step in STEPS
    ]
    return MigrationStatus(
        migration_id="mig-billing",
        app_name="billing",
        environment="test",
        correlation_id="mig-billing",
        requested_by="requester@example.com",
        started=NOW,
        updated=NOW,
        generation=1,
        steps=steps,
        **more,
    )


def said(at: Step, state: StepState = StepState.RUNNING, server: Any = None, **more: Any) -> tuple[str | None, ...]:
    """The words of one server: migration, replication, instance."""
    words = server_words(status(at, state, **more), ServerProgress(name="web", **(server or {})), ("web",))
    return words.migration_status, words.replication_status, words.target_instance_id


CHECKED, INSTALLED = "Pre-requisites check : Passed", "Agent Install - Success"
SYNCING = "Initial sync, ETA not available"
TEST, CUTOVER, PASSED = "Test instance launched", "Cutover instance launched", "2/2 status checks : Passed"
GONE, ARCHIVED = "Disconnected - Please reinstall agent", "Archived - Please reinstall agent"
SYNCED = {**TESTED, "replication_state": "CONTINUOUS"}
SEEN = {**LAUNCHED, "address": "10.2.0.1"}


@pytest.mark.parametrize(
    ("at", "state", "server", "words"),
    [
        (Step.VALIDATE, StepState.RUNNING, {}, (None, None, None)),
        (Step.VALIDATE, StepState.DONE, {}, (CHECKED, None, None)),
        (Step.PREPARE, StepState.RUNNING, {}, (CHECKED, None, None)),
        (Step.PREPARE, StepState.RUNNING, RECORD, (INSTALLED, None, None)),
        (Step.REPLICATE, StepState.RUNNING, RECORD, (INSTALLED, SYNCING, None)),
        (Step.TEST, StepState.RUNNING, TESTED, (TEST, SYNCING, "i-test")),
        (Step.APPROVE, StepState.RUNNING, SYNCED, (TEST, "Healthy", "")),
        (Step.CUTOVER, StepState.RUNNING, LAUNCHED, (CUTOVER, "Healthy", "i-1")),
        (Step.VERIFY, StepState.RUNNING, LAUNCHED, (CUTOVER, "Healthy", "i-1")),
        (Step.VERIFY, StepState.FAILED, LAUNCHED, ("2/2 status checks : Failed", "Healthy", "i-1")),
        (Step.VERIFY, StepState.FAILED, SEEN, (PASSED, "Healthy", "i-1")),
        (Step.SOAK, StepState.RUNNING, SEEN, (PASSED, "Healthy", "i-1")),
        (Step.DECOMMISSION, StepState.RUNNING, SEEN, (PASSED, GONE, "i-1")),
        (Step.DECOMMISSION, StepState.DONE, SEEN, (PASSED, ARCHIVED, "i-1")),
    ],
)
def test_a_server_says_the_last_thing_that_became_of_it(
    at: Step, state: StepState, server: dict[str, Any], words: tuple[str | None, ...]
) -> None:
    assert said(at, state, server) == words


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("CONTINUOUS", "Healthy"),
        ("INITIAL_SYNC", "Initial sync, ETA not available"),
        ("RESCAN", "Rescanning, ETA not available"),
        ("STALLED", "Stalled"),
        ("BACKLOG", "Backlog"),
        ("PAUSED", "Paused"),
        ("CREATING_SNAPSHOT", "Creating snapshot"),
        ("DISCONNECTED", "Disconnected - Please reinstall agent"),
    ],
)
def test_replication_is_told_as_cmfs_own_script_tells_it(state: str, words: str) -> None:
    assert said(Step.APPROVE, server={**RECORD, "replication_state": state})[1] == words


def test_failed_checks_and_installations_say_why_in_one_short_line() -> None:
    failure = Failure(type="PrerequisiteError", message="no subnet\nof that id " + "x" * 300)
    words, replication, _ = said(Step.VALIDATE, StepState.FAILED, failure=failure)
    assert words is not None
    assert words.startswith("Pre-requisites checks : Failed - no subnet of that id")
    assert len(words) == 200
    assert replication is None
    failed = said(Step.PREPARE, StepState.FAILED, failure=Failure(type="SourcePreparationError", message="no sudo"))
    assert failed[0] == "Agent Install - Failed - no sudo"


@pytest.mark.parametrize("phase", [Phase.ROLLED_BACK, Phase.REJECTED, Phase.CANCELLED])
def test_an_undone_migration_leaves_no_instance_and_no_replication(phase: Phase) -> None:
    words = said(Step.VERIFY, StepState.UNDONE, {**TESTED, "replication_state": "CONTINUOUS"}, phase=phase)
    assert words == ("Rolled back", "Replication info not Available", "")


def test_back_at_the_gate_a_server_is_as_it_was_after_its_test() -> None:
    back = {**TESTED, "replication_state": "RESCAN"}
    assert said(Step.CUTOVER, StepState.UNDONE, back)[::2] == ("Test instance launched", "")


def test_what_cmf_has_already_is_no_change_and_what_is_unknown_is_left() -> None:
    server = FactoryServer(server_id="1", app_id="1", name="web", migration_status="Test instance launched")
    assert ServerWords(names=("web",), migration_status="Test instance launched").changes(server) == {}
    words = ServerWords(names=("web",), migration_status="Rolled back", target_instance_id="")
    assert words.changes(server) == {"migration_status": "Rolled back"}


# --- the wave ----------------------------------------------------------------------------------------------------


def in_cmf(words: ServerWords, strategy: str = "Rehost") -> FactoryServer:
    server = FactoryServer(server_id="1", app_id="1", name="web", strategy=strategy)
    return server.model_copy(update=words.changes(server))


def server_at(at: Step, state: StepState, **more: Any) -> FactoryServer:
    words = server_words(status(at, state, **more), ServerProgress(name="web", **LAUNCHED), ("web",))
    return in_cmf(words)


MOVED = server_at(Step.DECOMMISSION, StepState.DONE)
FINALIZED = server_at(Step.FINALIZE, StepState.DONE)
SOAKING = server_at(Step.SOAK, StepState.RUNNING)
BACK = server_at(Step.VERIFY, StepState.UNDONE, phase=Phase.ROLLED_BACK)
REFUSED = in_cmf(ServerWords(names=("web",), migration_status="Pre-requisites checks : Failed - no subnet"))
NEW = in_cmf(ServerWords(names=("web",)))
RETAINED = in_cmf(ServerWords(names=("web",)), strategy="Retain")


@pytest.mark.parametrize(
    ("servers", "blocked", "words"),
    [
        ([MOVED, FINALIZED], False, "Completed"),
        ([MOVED, RETAINED], False, "Completed"),
        ([MOVED, SOAKING], False, "In progress"),
        ([MOVED, NEW], False, "In progress"),
        ([], False, "In progress"),
        ([RETAINED], False, "In progress"),
        ([MOVED, BACK], False, "Blocked"),
        ([NEW, REFUSED], False, "Blocked"),
        ([SOAKING], True, "Blocked"),
    ],
)
def test_a_wave_is_completed_by_all_blocked_by_one_and_otherwise_in_progress(
    servers: list[FactoryServer], blocked: bool, words: str
) -> None:
    assert wave_status(servers, blocked=blocked) == words


def test_a_migration_that_waits_for_a_person_after_a_failure_blocks_its_wave() -> None:
    asks = Awaiting(what="failure", message="verify failed")
    assert is_blocked(status(Step.VERIFY, awaiting=asks))
    assert is_blocked(status(Step.VERIFY, phase=Phase.ROLLBACK_INCOMPLETE))
    assert not is_blocked(status(Step.APPROVE, awaiting=Awaiting(what="approve", message="approve")))
