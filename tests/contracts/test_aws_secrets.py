"""Secrets by reference, against Secrets Manager and the environment."""

from collections.abc import Iterator

import pytest

from adapters.secrets import Secrets
from migration.errors import NotFound
from tests.contracts.aws_cloud import Cloud, local_aws


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with local_aws() as cloud:
        yield cloud


def test_a_secret_of_secrets_manager_is_read_by_its_name(cloud: Cloud) -> None:
    assert Secrets(cloud.sessions).resolve("secretsmanager:migrator/callback") == cloud.aws.seeded.callback_secret


def test_a_binary_secret_is_its_text(cloud: Cloud) -> None:
    cloud.sessions.client("secretsmanager").create_secret(Name="binary", SecretBinary=b"whsec_binary")
    assert Secrets(cloud.sessions).resolve("secretsmanager:binary") == "whsec_binary"


def test_a_secret_is_kept_for_five_minutes_and_then_read_again(cloud: Cloud) -> None:
    now = 0.0
    secrets = Secrets(cloud.sessions, clock=lambda: now)
    client = cloud.sessions.client("secretsmanager")
    client.create_secret(Name="rotated", SecretString="first")
    assert secrets.resolve("secretsmanager:rotated") == "first"
    client.put_secret_value(SecretId="rotated", SecretString="second")
    now = 299.0
    assert secrets.resolve("secretsmanager:rotated") == "first"
    now = 300.0
    assert secrets.resolve("secretsmanager:rotated") == "second"


def test_a_secret_of_the_environment_is_read_every_time(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = Secrets(cloud.sessions)
    monkeypatch.setenv("CALLBACK_SECRET", "whsec_one")
    assert secrets.resolve("env:CALLBACK_SECRET") == "whsec_one"
    monkeypatch.delenv("CALLBACK_SECRET")
    with pytest.raises(NotFound, match="CALLBACK_SECRET"):
        secrets.resolve("env:CALLBACK_SECRET")


@pytest.mark.parametrize("reference", ["secretsmanager:no-such", "secretsmanager:", "env:", "vault:x", "plain"])
def test_a_reference_to_nothing_is_not_found(cloud: Cloud, reference: str) -> None:
    with pytest.raises(NotFound):
        Secrets(cloud.sessions).resolve(reference)
