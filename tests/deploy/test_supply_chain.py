import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.programs import ROOT, make_targets, recipe, run
from tools.vulnerabilities import Report, read_report, verdict

LOCK = tomllib.loads(ROOT.joinpath("uv.lock").read_text())
PROJECT = tomllib.loads(ROOT.joinpath("pyproject.toml").read_text())
HOOKS = yaml.safe_load(ROOT.joinpath(".pre-commit-config.yaml").read_text())
BASELINE = ROOT / ".secrets.baseline"


def test_everything_that_is_installed_is_locked_by_its_hash() -> None:
    unlocked = [
        (package["name"], source["url"])
        for package in LOCK["package"]
        for source in [*package.get("wheels", ()), *([package["sdist"]] if "sdist" in package else [])]
        if not re.fullmatch(r"sha256:[0-9a-f]{64}", source.get("hash", ""))
    ]
    assert unlocked == []
    assert [package["name"] for package in LOCK["package"] if "registry" not in package["source"]] == ["migrator"]


def test_no_release_comes_in_before_it_is_a_week_old() -> None:
    assert PROJECT["tool"]["uv"] == {"exclude-newer": "7 days"}
    assert LOCK["options"]["exclude-newer-span"] == "P7D"
    updates = yaml.safe_load(ROOT.joinpath(".github", "dependabot.yml").read_text())["updates"]
    assert {update["cooldown"]["default-days"] for update in updates} == {7}


# --- vulnerabilities ---------------------------------------------------------------------------------------------


def test_a_vulnerable_package_fails_everywhere_and_says_what_mends_it() -> None:
    found = {"id": "PYSEC-2026-1", "fix_versions": ["1.2.4"], "aliases": [], "description": "reads too much"}
    told = {"dependencies": [{"name": "one", "version": "1.2.3", "vulns": [found]}], "fixes": []}
    report = read_report(json.dumps(told))
    assert verdict(report, in_ci=False) == (["one 1.2.3: PYSEC-2026-1, mended in 1.2.4"], 1)


@pytest.mark.parametrize(("in_ci", "code"), [(True, 1), (False, 0)])
def test_a_service_that_answers_for_nothing_is_a_failure_in_ci_alone(in_ci: bool, code: int) -> None:
    told = {"dependencies": [{"name": "one", "skip_reason": "not found on PyPI"}], "fixes": []}
    lines, ended = verdict(read_report(json.dumps(told)), in_ci=in_ci)
    assert "nobody answered for 1 packages: one" in lines[0]
    assert ended == code


def test_packages_without_a_known_vulnerability_are_well() -> None:
    assert verdict(Report([], []), in_ci=True) == (["vulnerabilities: none known"], 0)


# --- licences, secrets, the bill ---------------------------------------------------------------------------------


def test_a_licence_that_nobody_agreed_to_is_refused() -> None:
    done = run("pip-licenses", "--allow-only", "MIT", "--packages", "boto3")
    assert done.returncode == 1
    assert "license Apache-2.0 not in allow-only licenses was found for package boto3" in done.stderr


@pytest.mark.parametrize(
    "planted",
    [
        'key = "AKIA' + "QXJ7T3LMNBV2ZK9P" + '"',
        "-----BEGIN RSA " + "PRIVATE KEY-----",
        'password = "' + "correct-horse-battery" + '"',
    ],
)
def test_a_secret_that_was_not_there_before_is_refused(tmp_path: Path, planted: str) -> None:
    file = tmp_path / "planted.py"
    file.write_text(f"{planted}\n")
    done = run("detect-secrets-hook", "--baseline", BASELINE, file)
    assert done.returncode == 1
    assert "Potential secrets about to be committed" in done.stdout


def test_the_bill_of_materials_is_of_what_the_image_carries() -> None:
    told = recipe("audit")
    assert "uv sync --quiet --locked --no-dev" in told
    assert "cyclonedx-py environment dist/environment/bin/python" in told
    assert "uv sync --locked --no-dev" in ROOT.joinpath("deploy", "docker", "Dockerfile").read_text()


# --- tools -------------------------------------------------------------------------------------------------------


def test_the_tools_that_judge_are_pinned() -> None:
    dev: list[str] = PROJECT["dependency-groups"]["dev"]
    judges = ("actionlint", "cyclonedx", "detect-secrets", "hadolint", "pip-", "pre-commit", "yamllint", "zizmor")
    assert [line for line in dev if line.startswith(judges) and "==" not in line] == []


def test_the_hooks_before_a_commit_are_commands_of_the_project() -> None:
    done = run("pre-commit", "validate-config", ".pre-commit-config.yaml")
    assert done.returncode == 0, done.stderr
    hooks: list[dict[str, Any]] = [hook for repo in HOOKS["repos"] for hook in repo["hooks"]]
    assert {repo["repo"] for repo in HOOKS["repos"]} == {"local"}
    for program, first, *_ in (hook["entry"].split() for hook in hooks):
        assert first in make_targets() if program == "make" else f"{program} {first}" in recipe("audit")
