from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from localcloud.control import ControlServer
from localcloud.faults import FaultPlan, Rule
from localcloud.ledger import Ledger


@pytest.fixture
def plan() -> FaultPlan:
    return FaultPlan()


@pytest.fixture
def faults_url(plan: FaultPlan) -> Iterator[str]:
    server = ControlServer(Ledger(), plan)
    server.start()
    yield server.faults_url
    server.stop()


def taken(plan: FaultPlan, calls: int, *targets: str) -> list[bool]:
    return [plan.take(service="mgn", operation="StartTest", targets=targets) is not None for _ in range(calls)]


def test_a_rule_hits_as_many_calls_as_it_says_and_then_is_gone(plan: FaultPlan) -> None:
    plan.add(Rule("mgn", "StartTest", "refuse", times=2))
    assert taken(plan, 4) == [True, True, False, False]
    assert plan.rules() == {}


def test_a_rule_lets_the_first_calls_pass(plan: FaultPlan) -> None:
    plan.add(Rule("mgn", "StartTest", "replyLost", times=1, after=2))
    assert taken(plan, 4) == [False, False, True, False]


def test_a_rule_without_a_count_acts_for_good(plan: FaultPlan) -> None:
    rule_id = plan.add(Rule("mgn", "StartTest", "refuse"))
    assert all(taken(plan, 5))
    assert plan.remove(rule_id)
    assert not any(taken(plan, 1))


def test_a_rule_with_a_target_leaves_other_calls_alone(plan: FaultPlan) -> None:
    plan.add(Rule("mgn", "StartTest", "refuse", target="shop-web-01"))
    assert taken(plan, 1, "billing-web-01") == [False]
    assert taken(plan, 1, "billing-web-01", "shop-web-01") == [True]
    assert plan.take(service="mgn", operation="StartCutover", targets=["shop-web-01"]) is None


def test_a_spent_first_rule_hands_over_to_the_next(plan: FaultPlan) -> None:
    plan.add(Rule("mgn", "StartTest", "refuse", times=1, code="First"))
    plan.add(Rule("mgn", "StartTest", "refuse", times=1, code="Second"))
    rules = [plan.take(service="mgn", operation="StartTest", targets=()) for _ in range(3)]
    assert [rule and rule.code for rule in rules] == ["First", "Second", None]


def test_rules_are_planned_shown_and_taken_back_over_http(plan: FaultPlan, faults_url: str) -> None:
    first = {"service": "mgn", "operation": "StartTest", "action": "refuse", "times": 3, "status": 409}
    second = {"service": "ec2", "operation": "StopInstances", "action": "replyLost"}
    assert httpx.post(faults_url, json=first).json() == {"ids": ["fault-1"]}
    assert httpx.post(faults_url, json=[second, second]).json() == {"ids": ["fault-2", "fault-3"]}
    assert taken(plan, 1) == [True]
    shown = httpx.get(faults_url).json()
    assert [(rule["id"], rule["times"], rule["status"]) for rule in shown] == [
        ("fault-1", 2, 409),
        ("fault-2", None, None),
        ("fault-3", None, None),
    ]
    assert httpx.delete(f"{faults_url}/fault-2").status_code == 204
    assert httpx.delete(f"{faults_url}/fault-2").status_code == 404
    assert httpx.delete(faults_url).status_code == 204
    assert httpx.get(faults_url).json() == []


@pytest.mark.parametrize(
    "document",
    [
        [1],
        {"service": "mgn", "operation": "StartTest"},
        {"service": "mgn", "operation": "StartTest", "action": "explode"},
        {"service": "mgn", "operation": "StartTest", "action": "refuse", "times": 0},
        {"service": "mgn", "operation": "StartTest", "action": "refuse", "status": "503"},
        {"service": "mgn", "operation": "", "action": "refuse"},
        {"service": "mgn", "operation": "StartTest", "action": "refuse", "colour": "blue"},
    ],
)
def test_a_bad_rule_is_refused_with_its_reason(faults_url: str, document: Any) -> None:
    reply = httpx.post(faults_url, json=document)
    assert reply.status_code == 400
    assert reply.json()["error"]
    assert httpx.get(faults_url).json() == []
