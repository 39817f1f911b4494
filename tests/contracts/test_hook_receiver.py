"""The webhook of a hook against the receiver: signed, under one id, and carried out once."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest

from activities.hooks import ApplicationHooks, RunHook
from adapters.callback_guard import CallbackGuard
from adapters.webhook import StandardWebhooks
from localcloud.faults import FaultPlan, Rule
from localcloud.ledger import Ledger
from localcloud.receiver import HOOKS, CallbackReceiver
from migration.marks import Mark
from migration.ports import Where
from migration.request import Hook
from migration.steps import Step
from tests.fakes.environment import Attempts
from tests.fakes.messages import FakeSecrets
from tests.fakes.mgn import FakeReplication
from tests.fakes.ssm import FakeCommands

SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
MARK = Mark(migration_id="mig-a", generation=1, step=Step.SWITCH, entry=1, part="hook-1", correlation_id="mig-a")


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def faults() -> FaultPlan:
    return FaultPlan()


@pytest.fixture
def receiver(ledger: Ledger, faults: FaultPlan) -> Iterator[CallbackReceiver]:
    receiver = CallbackReceiver(ledger, faults, secret=SECRET)
    receiver.start()
    yield receiver
    receiver.stop()


def run(url: str) -> RunHook:
    hook = {"at": "beforeSwitch", "on": "target", "server": "web-01", "type": "webhook", "ref": url}
    where = Where(account_id="123456789012", region="eu-central-1")
    return RunHook(where=where, mark=MARK, hook=Hook.model_validate_json(json.dumps(hook)), since=datetime.now(UTC))


@pytest.mark.parametrize("action", ["refuse", "replyLost"])
def test_a_webhook_that_is_sent_again_has_its_id_and_body_and_is_carried_out_once(
    receiver: CallbackReceiver, ledger: Ledger, faults: FaultPlan, action: Literal["refuse", "replyLost"]
) -> None:
    hooks = ApplicationHooks(
        lambda _: FakeCommands(FakeReplication()),
        StandardWebhooks(CallbackGuard.allowing(["127.0.0.0/8"])),
        FakeSecrets({"env:HOOKS": SECRET}),
        "env:HOOKS",
        timedelta(minutes=2),
        timedelta(seconds=1),
    )
    faults.add(Rule("hook", "run", action, times=1, target="mig-a"))
    environment, request = Attempts(), run(f"{receiver.url}{HOOKS}")
    assert not environment.error(hooks.run_hook, request).non_retryable
    assert environment.attempt(hooks.run_hook, request).said == "HTTP 204"
    first, second = receiver.deliveries("mig-a")
    assert first.webhook_id == second.webhook_id == str(MARK)
    assert first.body == second.body
    assert first.verified
    assert second.verified
    (entry,) = ledger.entries(service="hook")
    assert entry.targets == ("mig-a",)
