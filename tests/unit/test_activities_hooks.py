import json
from datetime import timedelta
from typing import Any

import pytest

from activities.hooks import ApplicationHooks, AwaitHook, RunHook
from activities.running import now
from migration.errors import Unavailable
from migration.marks import Mark
from migration.ports import CommandLook, Delivery, Where
from migration.request import Hook
from migration.steps import Step
from tests.fakes.environment import Attempts, stands_still_while
from tests.fakes.messages import FakeSecrets, FakeWebhook
from tests.fakes.mgn import FakeReplication
from tests.fakes.ssm import FakeCommands

MARK = Mark(migration_id="mig-a", generation=1, step=Step.CUTOVER, entry=1, part="hook-0", correlation_id="corr-1")
KEY = "mig-a/1/cutover/1/hook-0"
WHERE = Where(account_id="123456789012", region="eu-central-1")
URL = "https://hooks.example.com/stop"


class World:
    """The machine and the endpoint that hooks reach."""

    def __init__(self) -> None:
        self.commands = FakeCommands(FakeReplication())
        self.webhook = FakeWebhook()
        self.secrets = FakeSecrets({"env:HOOKS": "whsec_b25l", "env:OWN": "whsec_dHdv"})
        self.default_secret: str | None = "env:HOOKS"

    @property
    def hooks(self) -> ApplicationHooks:
        minutes = timedelta(minutes=2)
        return ApplicationHooks(
            lambda _: self.commands, self.webhook, self.secrets, self.default_secret, minutes, timedelta(seconds=5)
        )


@pytest.fixture
def world() -> World:
    return World()


def run(kind: str = "ssm", *, ago: timedelta = timedelta(0), **more: Any) -> RunHook:
    hook = Hook.model_validate_json(
        json.dumps(
            {
                "at": "beforeQuiesce",
                "on": "source",
                "server": "web-01",
                "type": kind,
                "ref": "Stop-Billing" if kind == "ssm" else URL,
                "parameters": {"service": ["billing"]},
                "within": "PT5M",
            }
        )
    )
    return RunHook(where=WHERE, mark=MARK, hook=hook, instance_id="mi-1", since=now() - ago, **more)


def waiting(request: RunHook) -> AwaitHook:
    return AwaitHook(**dict(request), command_id="c-1")


# --- commands ----------------------------------------------------------------------------------------------------


def test_a_document_is_sent_with_its_parameters_under_the_key(world: World) -> None:
    begun = Attempts().attempt(world.hooks.run_hook, run())
    assert begun.command_id == "c-1"
    assert world.commands.sent == {"c-1": ("mi-1", KEY, "Stop-Billing", {"service": ["billing"]})}


def test_a_hook_that_runs_twice_acts_once_and_so_does_one_whose_reply_was_lost(world: World) -> None:
    world.commands.lose_reply("send")
    environment = Attempts()
    environment.error(world.hooks.run_hook, run())
    assert environment.attempt(world.hooks.run_hook, run()).command_id == "c-1"
    assert Attempts().attempt(world.hooks.run_hook, run()).command_id == "c-1"
    assert world.commands.count("send") == 1


def test_an_attempt_that_stood_still_before_its_call_sees_what_another_has_sent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    stands_still_while(monkeypatch, lambda: Attempts().attempt(world.hooks.run_hook, run()))
    assert Attempts().attempt(world.hooks.run_hook, run()).command_id == "c-1"
    assert world.commands.count("send") == 1


def test_a_machine_that_takes_no_commands_is_tried_until_the_time_of_the_hook_is_over(world: World) -> None:
    world.commands.refuse("send", Unavailable("mi-1 takes no commands now"), times=2)
    assert not Attempts().error(world.hooks.run_hook, run()).non_retryable
    late = Attempts().error(world.hooks.run_hook, run(ago=timedelta(minutes=6)))
    assert late.non_retryable
    assert late.message.startswith(
        "the hook Stop-Billing (beforeQuiesce, source web-01) failed: not done within 0:05:00"
    )


def test_the_end_of_a_command_is_waited_for_by_looks(world: World) -> None:
    world.commands.command_looks = [
        CommandLook(status="InProgress", ended=False, succeeded=False),
        CommandLook(status="Success", ended=True, succeeded=True, exit_code=0, output="a secret"),
    ]
    environment, request = Attempts(), run()
    environment.attempt(world.hooks.run_hook, request)
    assert (
        "Stop-Billing runs on web-01: InProgress"
        in environment.not_yet(world.hooks.await_hook, waiting(request)).message
    )
    assert environment.attempt(world.hooks.await_hook, waiting(request)).said == "command c-1: Success, exit code 0"


def test_a_command_that_fails_says_how_it_ended(world: World) -> None:
    world.commands.command_looks = [
        CommandLook(status="Failed", ended=True, succeeded=False, exit_code=3, output="stopping", error="no such unit")
    ]
    environment, request = Attempts(), run()
    environment.attempt(world.hooks.run_hook, request)
    failed = environment.error(world.hooks.await_hook, waiting(request))
    assert failed.non_retryable
    assert failed.message.endswith("command c-1: Failed, exit code 3: no such unit")


def test_a_command_whose_time_is_over_is_told_to_stop_and_has_failed(world: World) -> None:
    world.commands.command_looks = [CommandLook(status="InProgress", ended=False, succeeded=False)]
    environment = Attempts()
    environment.attempt(world.hooks.run_hook, run())
    failed = environment.error(world.hooks.await_hook, waiting(run(ago=timedelta(minutes=6))))
    assert failed.non_retryable
    assert "was told to stop after 0:05:00" in failed.message
    assert world.commands.stopped == ["c-1"]


# --- webhooks ----------------------------------------------------------------------------------------------------


def test_a_webhook_is_signed_and_carries_the_key_and_all_that_its_receiver_needs(world: World) -> None:
    request = run("webhook")
    assert Attempts().attempt(world.hooks.run_hook, request).command_id is None
    ((url, message_id, body, secret),) = world.webhook.delivered
    assert (url, message_id, secret) == (URL, KEY, "whsec_b25l")
    assert json.loads(body) == {
        "type": "MigrationHook",
        "timestamp": request.since.isoformat(),
        "data": {
            "migrationId": "mig-a",
            "generation": 1,
            "correlationId": "corr-1",
            "step": "cutover",
            "at": "beforeQuiesce",
            "on": "source",
            "server": "web-01",
            "instanceId": "mi-1",
            "parameters": {"service": ["billing"]},
        },
    }


def test_every_attempt_of_a_webhook_sends_the_same_id_and_body(world: World) -> None:
    environment, request = Attempts(), run("webhook", secret="env:OWN")
    world.webhook.answer = Delivery(outcome="retry", status=503, error="HTTP 503", retry_after=timedelta(seconds=7))
    error = environment.error(world.hooks.run_hook, request)
    assert (error.non_retryable, error.next_retry_delay) == (False, timedelta(seconds=7))
    world.webhook.answer = Delivery(outcome="delivered", status=202)
    assert environment.attempt(world.hooks.run_hook, request).said == "HTTP 202"
    first, second = world.webhook.delivered
    assert first == second
    assert first[3] == "whsec_dHdv"


@pytest.mark.parametrize("status", [400, 401, 404, 410, 422])
def test_a_webhook_that_is_refused_has_failed(world: World, status: int) -> None:
    outcome = "gone" if status == 410 else "retry"
    world.webhook.answer = Delivery(outcome=outcome, status=status, error=f"HTTP {status}: no")
    assert Attempts().error(world.hooks.run_hook, run("webhook")).non_retryable


@pytest.mark.parametrize("status", [None, 302, 408, 429, 500, 503])
def test_a_webhook_without_an_answer_is_tried_until_its_time_is_over(world: World, status: int | None) -> None:
    world.webhook.answer = Delivery(outcome="retry", status=status, error="not now")
    assert not Attempts().error(world.hooks.run_hook, run("webhook")).non_retryable
    assert Attempts().error(world.hooks.run_hook, run("webhook", ago=timedelta(minutes=6))).non_retryable


def test_a_webhook_goes_nowhere_where_callbacks_may_not_go(world: World) -> None:
    world.webhook.refusal = "a private address"
    assert "not allowed: a private address" in Attempts().error(world.hooks.run_hook, run("webhook")).message
    assert world.webhook.delivered == []


def test_a_webhook_without_a_secret_to_sign_with_is_not_sent(world: World) -> None:
    world.default_secret = None
    assert "name a secret" in Attempts().error(world.hooks.run_hook, run("webhook")).message
    assert world.webhook.delivered == []
