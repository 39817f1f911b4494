"""The runbook is whole: its commands for a real cloud are such as the programs take, its alerts and links are there."""

import re
import subprocess
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import awscli.clidriver
import pytest
import typer

from localcloud.temporal import find_temporal
from starter.cli import app
from tests.deploy.promql import alerts
from tests.pages import ROOT, Command, commands

RUNBOOK = ROOT / "docs" / "RUNBOOK.md"
PLACE = {
    "INSTALLATION": "migrator-prod",
    "BUS_ARN": "arn:aws:events:eu-central-1:123456789012:event-bus/migrator-prod",
    "ARCHIVE_ARN": "arn:aws:events:eu-central-1:123456789012:archive/migrator-prod",
}
ALERTS = [alert["alert"] for alert in alerts()]

_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_ALARM = re.compile(r"^ {6}([a-z-]+) = \{$|-(runs|errors)\"", re.MULTILINE)


def elsewhere(program: str) -> list[Command]:
    return [command for command in commands(RUNBOOK, "elsewhere") if command.text.startswith(f"{program} ")]


def test_every_command_is_one_of_a_known_program() -> None:
    known = {"migrator", "temporal", "aws", "grep"}
    assert {command.words({})[0] for command in commands(RUNBOOK, "bash")} == known
    assert {command.words({})[0] for command in commands(RUNBOOK, "elsewhere")} <= known - {"grep"}


@pytest.mark.parametrize("command", elsewhere("aws"), ids=lambda command: f"line {command.line}")
def test_the_aws_cli_takes_what_is_for_a_real_cloud(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    tmp_path.joinpath("key.txt").write_text("a key")
    for name, value in {"AWS_DEFAULT_REGION": "eu-central-1", "AWS_CONFIG_FILE": "none"}.items():
        monkeypatch.setenv(name, value)
    driver = awscli.clidriver.create_clidriver()
    asked: list[str] = []

    def answer(model: Any, **_: Any) -> tuple[Any, dict[str, Any]]:
        asked.append(model.name)
        return SimpleNamespace(status_code=200), {}

    driver.session.register("before-call", answer)
    assert driver.main(command.words(PLACE)[1:]) == 0, capfd.readouterr().err
    assert len(asked) == 1


def test_the_temporal_cli_knows_the_options_of_what_is_for_a_newer_server() -> None:
    temporal = find_temporal(lambda _: None)
    for command in elsewhere("temporal"):
        asked = [str(temporal), *command.words({})[1:], "--help"]
        assert subprocess.run(asked, capture_output=True, check=False, stdin=subprocess.DEVNULL).returncode == 0


def test_every_migrator_command_between_the_lines_is_one() -> None:
    spans = [span for span in _SPAN.findall(RUNBOOK.read_text()) if span.startswith("migrator ")]
    assert len(spans) > 20
    for span in spans:
        words = Command(span, 0).words({})[1:]
        _taken(words if len(words) > 1 else [*words, "--help"])


def _taken(words: list[str]) -> None:
    """Have the CLI read these words; it carries nothing out. Raises what it finds wrong with them."""
    command: Any = typer.main.get_command(app)
    context = command.make_context("migrator", words)
    with suppress(typer.Exit):
        while hasattr(command, "resolve_command"):
            name, command, words = command.resolve_command(context, [*context._protected_args, *context.args])
            context = command.make_context(name, words, parent=context)


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_has_its_section_with_what_to_do(alert: str) -> None:
    _, _, after = RUNBOOK.read_text().partition(f"\n### {alert}\n")
    section = re.split(r"\n##", after)[0]
    assert re.search(r"SEV[1-4]", section)
    assert re.search(r"```|#logs|\]\(#", section)


def test_every_alarm_of_terraform_is_named() -> None:
    module = ROOT.joinpath("deploy/terraform/modules/observability/main.tf").read_text()
    found = {plain or f"worker-{ending}" for plain, ending in _ALARM.findall(module)}
    assert {"dead-letters", "requests-wait", "table-errors", "events-lost", "worker-runs", "worker-errors"} <= found
    assert found <= set(_SPAN.findall(RUNBOOK.read_text()))


def test_every_link_leads_somewhere() -> None:
    text = RUNBOOK.read_text()
    anchors = {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in _HEADING.findall(text)}
    for link in _LINK.findall(text):
        path, _, anchor = link.partition("#")
        if path:
            assert (RUNBOOK.parent / path).exists(), link
        else:
            assert anchor in anchors, link
