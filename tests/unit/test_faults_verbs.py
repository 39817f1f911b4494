"""What each verb of the fault plan does to a call, and what the lasting ones do to time."""

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from localcloud.aws.calls import Call
from localcloud.aws.middleware import refusal
from localcloud.faults import FaultPlan, Rule, outages, wait_for_hang_up
from localcloud.http_server import HttpServer, Reply, Request
from localcloud.serving import without


class Shop:
    """A stand-in that counts its effects and lets the plan act on each call."""

    def __init__(self, plan: FaultPlan) -> None:
        self.plan = plan
        self.sold = 0
        self.server = HttpServer(self._answer, name="shop", host="127.0.0.1", port=0)

    def buy(self, within: float = 5.0) -> int:
        return httpx.post(self.server.url, timeout=within, trust_env=False).status_code

    def _answer(self, request: Request) -> Reply:
        rule = self.plan.take(service="shop", operation="buy", targets=())
        return self.plan.meet(rule, self._sell, refusal=lambda rule: Reply(rule.http_status), silence=Reply.silence)

    def _sell(self) -> Reply:
        self.sold += 1
        return Reply(200)


@pytest.fixture
def plan() -> FaultPlan:
    return FaultPlan()


@pytest.fixture
def shop(plan: FaultPlan) -> Iterator[Shop]:
    shop = Shop(plan)
    shop.server.start()
    yield shop
    shop.server.stop()


def fault(action: Any, **options: Any) -> Rule:
    return Rule("shop", "buy", action, times=1, **options)


@pytest.mark.parametrize(
    ("rule", "status", "sold"),
    [
        (fault("refuse"), 503, 0),
        (fault("refuse", status=500), 500, 0),
        (fault("refuse", when="after"), 503, 1),
        (fault("throttle"), 429, 0),
        (fault("wrongState"), 409, 0),
        (fault("delay", seconds=0.01), 200, 1),
        (fault("delay", seconds=0.01, when="after"), 200, 1),
    ],
)
def test_a_verb_that_answers_has_its_effect_or_not_as_it_says(
    plan: FaultPlan, shop: Shop, rule: Rule, status: int, sold: int
) -> None:
    plan.add(rule)
    assert (shop.buy(), shop.sold) == (status, sold)
    assert (shop.buy(), shop.sold) == (200, sold + 1)


@pytest.mark.parametrize(
    ("rule", "sold"),
    [
        (fault("replyLost"), 1),
        (fault("replyLost", when="before"), 0),
        (fault("hang", seconds=0.01), 0),
        (fault("hang", seconds=0.01, when="after"), 1),
        (fault("kill"), 0),
        (fault("kill", when="after"), 1),
    ],
)
def test_a_verb_without_an_answer_closes_the_connection(plan: FaultPlan, shop: Shop, rule: Rule, sold: int) -> None:
    plan.add(rule)
    with pytest.raises(httpx.RemoteProtocolError):
        shop.buy()
    assert shop.sold == sold
    assert shop.buy() == 200


def test_a_hanging_call_is_given_up_by_its_caller_and_then_holds_nothing(plan: FaultPlan, shop: Shop) -> None:
    plan.add(fault("hang"))
    with pytest.raises(httpx.ReadTimeout):
        shop.buy(within=0.05)
    deadline = time.monotonic() + 5
    while any(
        thread.name.startswith("Thread-") and "process_request" in thread.name for thread in threading.enumerate()
    ):
        assert time.monotonic() < deadline, "the hanging call still holds its thread"
        time.sleep(0.01)


@pytest.mark.parametrize(("when", "sold"), [("before", 0), ("after", 1)])
def test_the_caller_is_dead_before_anything_else_happens(plan: FaultPlan, shop: Shop, when: Any, sold: int) -> None:
    seen: list[tuple[Rule, int]] = []
    plan.killer = lambda rule: seen.append((rule, shop.sold))
    plan.add(fault("kill", when=when))
    with pytest.raises(httpx.RemoteProtocolError):
        shop.buy()
    assert [(rule.action, effects) for rule, effects in seen] == [("kill", sold)]


def test_the_nth_call_alone_can_be_met(plan: FaultPlan, shop: Shop) -> None:
    plan.add(fault("refuse", after=2))
    assert [shop.buy() for _ in range(4)] == [200, 200, 503, 200]


@pytest.mark.parametrize(
    ("service", "status", "code", "retry_after"),
    [
        ("mgn", 429, "ThrottlingException", "7"),
        ("ec2", 503, "RequestLimitExceeded", None),
        ("route53", 400, "Throttling", None),
        ("dynamodb", 400, "ProvisionedThroughputExceededException", None),
        ("ssm", 400, "ThrottlingException", None),
    ],
)
def test_each_aws_service_throttles_in_its_own_words(
    service: str, status: int, code: str, retry_after: str | None
) -> None:
    call = Call(service, "Anything", "ec2" if service == "ec2" else "rest-json", "AKIATEST")
    answered = refusal(call, Rule(service, "Anything", "throttle", seconds=7))
    assert answered.status == f"{status} Refused"
    assert code.encode() in answered.body
    assert dict(answered.headers).get("Retry-After") == retry_after


@pytest.mark.parametrize(
    ("service", "status", "code"),
    [
        ("mgn", 409, "ConflictException"),
        ("ec2", 400, "IncorrectInstanceState"),
        ("dynamodb", 400, "ConditionalCheckFailedException"),
    ],
)
def test_each_aws_service_names_a_wrong_state_in_its_own_words(service: str, status: int, code: str) -> None:
    answered = refusal(Call(service, "Anything", "json", "AKIATEST"), Rule(service, "Anything", "wrongState"))
    assert (answered.status, code.encode() in answered.body) == (f"{status} Refused", True)


# --- lasting verbs -----------------------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


def unseen(plan: FaultPlan, clock: Clock, *targets: str) -> list[tuple[float, float]]:
    return outages(plan.spells(service="mgn", operation="replication", targets=targets), clock())


def test_a_stalled_replication_lasts_until_the_rule_is_taken_back() -> None:
    clock = Clock()
    plan = FaultPlan(now=clock)
    rule_id = plan.add(Rule("mgn", "replication", "replicationStalled", target="shop-web-01"))
    clock.time = 110
    assert unseen(plan, clock, "shop-web-01") == [(100, 110)]
    assert unseen(plan, clock, "wiki-web-01") == []
    plan.remove(rule_id)
    clock.time = 120
    assert unseen(plan, clock, "shop-web-01") == [(100, 110)]


def test_a_stalled_replication_lasts_as_long_as_it_says() -> None:
    clock = Clock()
    plan = FaultPlan(now=clock)
    plan.add(Rule("mgn", "replication", "replicationStalled", seconds=5))
    clock.time = 103
    assert unseen(plan, clock) == [(100, 103)]
    clock.time = 110
    assert unseen(plan, clock) == [(100, 105)]


def test_a_flapping_lag_comes_and_goes_as_often_as_it_says() -> None:
    clock = Clock()
    plan = FaultPlan(now=clock)
    plan.add(Rule("mgn", "replication", "lagFlaps", seconds=2, times=2))
    clock.time = 105
    assert unseen(plan, clock) == [(100, 102), (104, 105)]
    clock.time = 150
    assert unseen(plan, clock) == [(100, 102), (104, 106)]


def test_a_lasting_rule_meets_no_call() -> None:
    plan = FaultPlan()
    plan.add(Rule("mgn", "replication", "replicationStalled"))
    assert plan.take(service="mgn", operation="replication", targets=()) is None
    plan.clear()
    assert plan.rules() == {}


def test_outages_come_on_top_of_what_was_off_anyway() -> None:
    assert without([], [(10, 20)]) == [(10, False), (20, True)]
    assert without([(0, True)], [(10, 20)]) == [(0, True), (10, False), (20, True)]
    assert without([(0, True), (15, False)], [(10, 20)]) == [(0, True), (10, False)]
    assert without([(0, True), (5, False), (12, True)], [(10, 20)]) == [(0, True), (5, False), (20, True)]


# --- bad rules -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [{"when": "during"}, {"seconds": 0}, {"seconds": -1}, {"seconds": "1"}, {"seconds": True}, {"seconds": 1e9}],
)
def test_a_rule_that_could_never_act_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Rule.from_json({"service": "mgn", "operation": "StartTest", "action": "hang", **options})


def test_a_pipe_that_is_closed_counts_as_hung_up() -> None:
    here, there = socket.socketpair()
    began = time.monotonic()
    there.close()
    wait_for_hang_up(here, 30)
    here.close()
    assert time.monotonic() - began < 5
