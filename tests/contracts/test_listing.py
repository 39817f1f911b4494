"""`migrator list` and `migrator get`: what is asked of the read model, and how its answer looks."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from adapters.dynamodb import DynamoMigrations
from adapters.dynamodb_table import ensure_table
from migration.status import ENDED, Awaiting, MigrationStatus, Phase
from starter import cli
from tests.contracts.aws_cloud import Cloud, local_aws

TABLE = "migrator-state"
NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    """A read model with migrations in it, and the environment that leads the CLI there, and to no Temporal."""
    with local_aws() as cloud:
        ensure_table(cloud.sessions, TABLE)
        store = DynamoMigrations(cloud.sessions, TABLE)
        rows = (
            ("mig-billing", "billing", "wave-07", Phase.AWAITING_APPROVAL, "approve: approver-1@example.com"),
            ("mig-wiki", "wiki", "wave-07", Phase.COMPLETED, ""),
            ("mig-shop", "shop", "wave-08", Phase.SOAKING, ""),
        )
        for age, (migration_id, app_name, wave_id, phase, awaiting) in enumerate(rows):
            updated = NOW - timedelta(hours=age + 1)
            status = MigrationStatus(
                migration_id=migration_id,
                app_name=app_name,
                environment="prod",
                wave_id=wave_id,
                correlation_id="corr-1",
                requested_by="requester@example.com",
                phase=phase,
                awaiting=Awaiting(what="approve", message="1 approval") if awaiting else None,
                started=updated,
                updated=updated,
            )
            row = {
                "migrationId": migration_id,
                "appName": app_name,
                "waveId": wave_id,
                "environment": "prod",
                "status": phase,
                "servedBy": "source",
                "awaiting": awaiting,
                "updatedAt": updated.isoformat(),
                "document": status.model_dump_json(),
            }
            store.save(migration_id, 1, row, expires_at=None)
        yield cloud


def ran(*words: str) -> Result:
    return CliRunner().invoke(cli.app, list(words))


def listed(*words: str) -> list[str]:
    """The ids that `migrator list` with these options gives a program."""
    result = ran("list", *words, "--output", "json")
    assert result.exit_code == 0, result.output
    return [row["migrationId"] for row in json.loads(result.stdout)["migrations"]]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", ["mig-billing", "mig-shop", "mig-wiki"]),
        ("--wave wave-07", ["mig-billing", "mig-wiki"]),
        ("--wave wave-07 --status running", ["mig-billing"]),
        ("--status running", ["mig-billing", "mig-shop"]),
        ("--status ended", ["mig-wiki"]),
        ("--status ended --status soaking", ["mig-shop", "mig-wiki"]),
        ("--phase SOAKING --phase COMPLETED", ["mig-shop", "mig-wiki"]),
        ("--phase SOAKING --status running", ["mig-shop"]),
        ("--app wiki", ["mig-wiki"]),
        ("--app wiki --status running", []),
        ("--app shop --wave wave-07", []),
    ],
)
def test_a_list_is_narrowed_by_each_option(cloud: Cloud, options: str, expected: list[str]) -> None:
    assert listed(*options.split()) == expected


def test_a_list_says_where_each_stands_who_serves_and_who_is_awaited(cloud: Cloud) -> None:
    text = " ".join(ran("list", "--wave", "wave-07").stdout.split())
    for word in ("mig-billing", "billing", "wave-07", "prod", "source", "AWAITING_APPROVAL", "COMPLETED", "1 h"):
        assert word in text
    assert "approver-1@ex" in text


def test_pages_follow_each_other_by_what_the_one_before_says(cloud: Cloud) -> None:
    first = json.loads(ran("list", "--limit", "2", "-o", "json").stdout)
    assert listed("--limit", "2", "--page", first["next"]) == ["mig-wiki"]
    assert f"--page {first['next']}" in " ".join(ran("list", "--limit", "2").stdout.split())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--status", "sleeping"), "--status: sleeping is none of running, ended, VALIDATING"),
        (("--phase", "running"), "--phase: running is none of VALIDATING"),
        (("--status", "ended", "--phase", "SOAKING"), "no phase is both"),
        (("--page", "xyz"), "no page of this list"),
    ],
)
def test_what_cannot_be_meant_is_bad_input(cloud: Cloud, options: tuple[str, ...], words: str) -> None:
    result = ran("list", *options)
    assert (result.exit_code, words in result.output) == (2, True), result.output


def test_an_empty_list_says_so(cloud: Cloud) -> None:
    assert ran("list", "--wave", "wave-99").stdout == "the read model has no such migration\n"


def test_get_shows_the_stored_status_and_its_age(cloud: Cloud) -> None:
    result = ran("get", "mig-billing")
    assert result.exit_code == 0
    assert "from the read model, 1 h" in result.stderr
    assert "AWAITING_APPROVAL" in result.stdout


def test_get_gives_programs_the_whole_status(cloud: Cloud) -> None:
    document: dict[str, Any] = json.loads(ran("get", "mig-shop", "-o", "json").stdout)
    assert (document["phase"], document["appName"]) == ("SOAKING", "shop")
    assert document["readModel"]["ageSeconds"] > timedelta(hours=3).total_seconds() - 1


def test_get_of_an_unknown_migration_is_not_found(cloud: Cloud) -> None:
    result = ran("get", "mig-unknown")
    assert (result.exit_code, "the read model has no mig-unknown" in result.output) == (3, True)


def test_a_store_out_of_reach_is_a_failure_in_words(monkeypatch: pytest.MonkeyPatch, cloud: Cloud) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    result = ran("list")
    assert (result.exit_code, "AWS did not answer" in result.output) == (1, True)


def test_running_and_ended_are_all_there_is(cloud: Cloud) -> None:
    assert len(ENDED) + len({phase for phase in Phase if not phase.ended}) == len(Phase)
