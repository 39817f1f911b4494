from datetime import timedelta

import pytest

from activities.callbacks import Callbacks, DeliverCallback
from activities.state import ClaimMigration, FinishClaim, MigrationState, SaveState
from tests.fakes.environment import Attempts
from tests.fakes.messages import FakeSecrets, FakeWebhook
from tests.fakes.store import FakeStore

CLAIM = ClaimMigration(
    migration_id="mig-a", request_hash="hash", first_run_id="run-1", server_keys=("vc/web",), again=False
)
MESSAGE = DeliverCallback(url="https://hooks.example.com/", message_id="mig-a:1:1", body="{}")
BOUND = timedelta(minutes=2)


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def state(store: FakeStore) -> MigrationState:
    return MigrationState(store)


def test_a_claim_is_granted_once_and_the_same_run_gets_its_own_back(store: FakeStore, state: MigrationState) -> None:
    store.lose_reply("claim")
    environment = Attempts()
    environment.error(state.claim_migration, CLAIM)
    assert environment.attempt(state.claim_migration, CLAIM).generation == 1
    assert store.count("claim") == 1


def test_somebody_elses_claim_is_a_refusal_that_says_whose_it_is(state: MigrationState) -> None:
    Attempts().attempt(state.claim_migration, CLAIM)
    other = CLAIM.model_copy(update={"migration_id": "mig-b", "first_run_id": "run-2"})
    error = Attempts().error(state.claim_migration, other)
    assert (error.type, error.non_retryable) == ("PrerequisiteError", True)
    assert "vc/web by mig-a (generation 1)" in error.message


def test_a_deliberate_start_after_a_rollback_is_the_next_generation(state: MigrationState) -> None:
    Attempts().attempt(state.claim_migration, CLAIM)
    finish = FinishClaim(migration_id="mig-a", generation=1, status="ROLLED_BACK", server_keys=("vc/web",))
    for _ in range(2):
        Attempts().attempt(state.finish_claim, finish)
    again = CLAIM.model_copy(update={"first_run_id": "run-2", "again": True})
    assert Attempts().attempt(state.claim_migration, again).generation == 2


def test_a_late_row_never_moves_the_read_model_back(store: FakeStore, state: MigrationState) -> None:
    for version, phase in ((2, "TESTING"), (1, "PREPARING")):
        save = SaveState(migration_id="mig-a", version=version, row={"phase": phase})
        Attempts().attempt(state.save_state, save)
    assert store.get("mig-a") == {"phase": "TESTING"}


def callbacks(webhook: FakeWebhook, *, default: str | None = "env:DEFAULT") -> Callbacks:
    secrets = FakeSecrets({"env:DEFAULT": "default", "env:OWN": "own"})
    return Callbacks(webhook, secrets, default, BOUND)


@pytest.mark.parametrize(("reference", "secret"), [(None, "default"), ("env:OWN", "own")])
def test_a_callback_is_signed_with_the_requests_secret_or_else_with_the_default(
    reference: str | None, secret: str
) -> None:
    webhook = FakeWebhook()
    delivery = Attempts().attempt(callbacks(webhook).deliver_callback, MESSAGE.model_copy(update={"secret": reference}))
    assert delivery.outcome == "delivered"
    assert webhook.delivered == [(MESSAGE.url, "mig-a:1:1", "{}", secret)]


def test_an_attempt_that_stood_still_for_too_long_delivers_nothing() -> None:
    webhook = FakeWebhook()
    error = Attempts(age=BOUND).error(callbacks(webhook).deliver_callback, MESSAGE)
    assert (error.type, error.non_retryable) == ("Unavailable", False)
    assert not webhook.delivered


@pytest.mark.parametrize(
    ("reference", "default", "words"),
    [("env:NONE", None, "no secret env:NONE"), (None, None, "neither the request nor the settings")],
)
def test_what_a_person_may_put_right_is_a_reason_to_try_later_and_sends_nothing(
    reference: str | None, default: str | None, words: str
) -> None:
    webhook = FakeWebhook()
    delivery = Attempts().attempt(
        callbacks(webhook, default=default).deliver_callback, MESSAGE.model_copy(update={"secret": reference})
    )
    assert delivery.outcome == "retry"
    assert words in (delivery.error or "")
    assert not webhook.delivered
