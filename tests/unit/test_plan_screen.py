"""How a plan looks on a terminal."""

import io

from rich.console import Console

from migration.findings import Finding, FindingCode
from migration.findings.catalogue import finding
from migration.plan import Plan, Touch
from migration.steps import Step
from starter.plan import screen

SWITCH = Touch(
    step=Step.SWITCH,
    system="route53",
    resource="billing.example.internal A",
    change="10.1.0.11 -> 10.2.0.50",
    undo="10.1.0.11, where still ours",
)
FINALIZE = Touch(step=Step.FINALIZE, system="MGN", resource="billing-web-01", change="the cutover is finalized")
FULL = finding(FindingCode.SUBNET_FULL, "subnet-1 has 0 free addresses", subject="subnet-1")
TOOLS = finding(FindingCode.TOOLS_NOT_RUNNING, "no guest tools run in web", subject="billing-web-01")


def shown(*findings: Finding) -> list[str]:
    plan = Plan(
        migration_id="mig-billing",
        request_hash="hash",
        steps=(Step.VALIDATE, Step.SWITCH),
        findings=findings,
        touches=(SWITCH, SWITCH, FINALIZE),
    )
    out = io.StringIO()
    Console(file=out, width=100).print(screen(plan))
    return [" ".join(line.split()) for line in out.getvalue().splitlines()]


def test_every_touch_has_its_line_with_what_a_rollback_does_and_its_step_once() -> None:
    lines = shown()
    assert lines[:2] == ["mig-billing: validate, switch", "no findings"]
    assert lines[2:7] == [
        "switch route53 billing.example.internal A: 10.1.0.11 -> 10.2.0.50",
        "a rollback: 10.1.0.11, where still ours",
        "route53 billing.example.internal A: 10.1.0.11 -> 10.2.0.50",
        "a rollback: 10.1.0.11, where still ours",
        "finalize MGN billing-web-01: the cutover is finalized",
    ]
    assert lines[-1] == "not blocked; 0 warning(s) to acknowledge; nothing was changed"


def test_findings_say_how_grave_they_are_and_what_to_do() -> None:
    lines = shown(FULL, TOOLS)
    assert lines[1:3] == [
        "critical SUBNET_FULL (subnet-1) subnet-1 has 0 free addresses",
        "Free addresses, or name a larger subnet.",
    ]
    assert lines[-1] == "blocked by SUBNET_FULL; nothing was changed"


def test_warnings_do_not_block() -> None:
    assert shown(TOOLS)[-1] == "not blocked; 1 warning(s) to acknowledge; nothing was changed"
