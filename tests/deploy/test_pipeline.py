import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.programs import ROOT, make_targets, recipe, run

PATH = ROOT / ".github" / "workflows" / "deploy.yml"
TEXT = PATH.read_text()
JOBS: Mapping[str, Any] = yaml.safe_load(TEXT)["jobs"]
READS = {"contents": "read"}
TAKES_A_ROLE = {**READS, "id-token": "write"}


def steps(key: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The steps that have such a key, each with its job's name."""
    for name, job in JOBS.items():
        yield from ((name, step) for step in job["steps"] if key in step)


def scripts() -> Iterator[str]:
    yield from (step["run"] for _, step in steps("run"))


# --- commands ----------------------------------------------------------------------------------------------------


def test_what_the_pipeline_makes_are_targets_of_the_makefile() -> None:
    words = [
        word
        for script in scripts()
        for line in re.findall(r"^make (.*)$", script, re.MULTILINE)
        for word in line.split()
    ]
    named = {word for word in words if "=" not in word and word != '"$TARGET"'}
    named |= set(JOBS["validate"]["strategy"]["matrix"]["target"])
    assert named == {"check", "test", "audit", "validate-terraform", "image", "push", "plan", "deploy"}
    assert named <= make_targets()


def test_what_the_makefile_can_do_the_pipeline_does_not_do_itself() -> None:
    own = re.compile(r"\b(terraform|docker|aws|uv|pip|pytest|ruff|mypy|cyclonedx-py)\b")
    assert [script for script in scripts() if own.search(script)] == []


def test_the_makefile_knows_each_variable_that_the_pipeline_gives_it() -> None:
    given = {name for _, step in steps("run") if step["run"].startswith("make ") for name in step.get("env", {})} - {
        "TARGET",
        "REPOSITORY",
    }
    known = set(re.findall(r"^([A-Z_]+) \?=", ROOT.joinpath("Makefile").read_text(), re.MULTILINE))
    assert given | set(yaml.safe_load(TEXT)["env"]) | {"IMAGE"} <= known


def test_a_plan_is_of_one_environment_and_one_image() -> None:
    told = recipe("plan", "ENVIRONMENT=prod", "IMAGE=migrator@sha256:0", "BACKEND=bucket=b key=k region=r")
    assert "-var-file=env/prod.tfvars" in told
    assert "-var=image=migrator@sha256:0" in told
    assert "-backend-config=bucket=b -backend-config=key=k -backend-config=region=r" in told


def test_what_is_deployed_is_the_plan_that_was_seen() -> None:
    told = recipe("deploy")
    assert "apply -input=false" in told
    assert told.rstrip().endswith("dist/plan.tfplan")
    assert "-auto-approve" not in told
    for name in ("deploy-dev", "deploy-prod"):
        (download,) = [step for step in JOBS[name]["steps"] if "download-artifact" in step.get("uses", "")]
        assert download["with"] == {"name": "plan", "path": "dist"}


# --- who may do what ---------------------------------------------------------------------------------------------


def test_each_job_may_do_what_it_does_and_nothing_else() -> None:
    assert yaml.safe_load(TEXT)["permissions"] == {}
    assert {name: job["permissions"] for name, job in JOBS.items()} == {
        "validate": READS,
        "build": {**TAKES_A_ROLE, "attestations": "write"},
        "plan": TAKES_A_ROLE,
        "comment": {"pull-requests": "write"},
        "deploy-dev": TAKES_A_ROLE,
        "deploy-prod": TAKES_A_ROLE,
        "cleanup": {"actions": "write"},
        "notify": {},
    }


def test_aws_is_entered_by_a_role_and_there_is_no_secret_but_where_slack_listens() -> None:
    entered = {name: step["with"] for name, step in steps("uses") if "configure-aws-credentials" in step["uses"]}
    assert set(entered) == {"build", "plan", "deploy-dev", "deploy-prod"}
    assert {tuple(sorted(given)) for given in entered.values()} == {("aws-region", "role-to-assume")}
    assert all("environment" in JOBS[name] for name in entered)
    assert set(re.findall(r"secrets\.(\w+)", TEXT)) == {"SLACK_WEBHOOK_URL"}


def test_develop_goes_to_dev_and_main_to_prod_behind_their_environments() -> None:
    places = {name: (JOBS[f"deploy-{name}"]["environment"], JOBS[f"deploy-{name}"]["if"]) for name in ("dev", "prod")}
    assert {name: place for name, (place, _) in places.items()} == {"dev": "dev", "prod": "prod"}
    assert "github.ref == 'refs/heads/develop'" in places["dev"][1]
    assert "github.ref == 'refs/heads/main'" in places["prod"][1]
    for name, (_, condition) in places.items():
        assert JOBS[f"deploy-{name}"]["needs"] == ["build", "plan"]
        assert "needs.plan.result == 'success'" in condition
        assert "github.event_name == 'push'" in condition


def test_nothing_is_cut_off_while_it_deploys_and_nothing_runs_for_ever() -> None:
    for name in ("deploy-dev", "deploy-prod"):
        assert JOBS[name]["concurrency"] == {
            "group": name.replace("deploy-", "deploy-to-"),
            "cancel-in-progress": False,
        }
    assert yaml.safe_load(TEXT)["concurrency"]["cancel-in-progress"] == "${{ github.event_name == 'pull_request' }}"
    assert [name for name, job in JOBS.items() if not 0 < job["timeout-minutes"] <= 45] == []


def test_every_action_is_pinned_by_its_commit_with_its_version_beside_it() -> None:
    uses = re.findall(r"uses: (\S+)(.*)", TEXT)
    assert len(uses) == len(list(steps("uses")))
    for action, comment in uses:
        assert re.fullmatch(r"(actions|aws-actions|hashicorp)/[a-z-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), action
    pins = {action.partition("@")[0]: (action, comment) for action, comment in uses}
    assert set(pins.values()) == set(uses)


# --- linters -----------------------------------------------------------------------------------------------------


def planted(tmp_path: Path, old: str, new: str) -> Path:
    assert old in TEXT
    where = tmp_path / ".github" / "workflows"
    where.mkdir(parents=True)
    where.joinpath("deploy.yml").write_text(TEXT.replace(old, new, 1))
    return where / "deploy.yml"


ZIZMOR = ("--quiet", "--offline", "--pedantic", "--no-progress")


def test_make_check_lints_workflows_the_dockerfile_and_yaml() -> None:
    told = recipe("check")
    assert f"zizmor {' '.join(ZIZMOR)} .github" in told
    assert all(program in told for program in ("actionlint", "hadolint deploy/docker/Dockerfile", "yamllint --strict"))


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        ("needs: validate", "needs: nowhere", "needs job"),
        ("steps.push.outputs.image", "steps.pull.outputs.image", "pull"),
        ("ubuntu-24.04", "ubuntu-8.04", "ubuntu-8.04"),
    ],
)
def test_actionlint_refuses_a_workflow_that_cannot_run(tmp_path: Path, old: str, new: str, finding: str) -> None:
    done = run("actionlint", planted(tmp_path, old, new), cwd=tmp_path)
    assert done.returncode == 1
    assert finding in done.stdout


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        ("@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1", "@v7", "unpinned-uses"),
        ('make "$TARGET"', "make ${{ github.head_ref }}", "template-injection"),
        ("permissions: {}", "permissions: write-all", "excessive-permissions"),
        ("        with:\n          persist-credentials: false\n", "", "artipacked"),
    ],
)
def test_zizmor_refuses_a_workflow_that_lets_others_in(tmp_path: Path, old: str, new: str, finding: str) -> None:
    planted(tmp_path, old, new)
    done = run("zizmor", *ZIZMOR, ".github", cwd=tmp_path)
    assert done.returncode != 0
    assert finding in done.stdout
