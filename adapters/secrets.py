"""Secrets by reference: AWS Secrets Manager, or this process's environment."""

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from adapters.aws import AwsSessions, aws_call
from migration.errors import NotFound
from migration.settings import environment_secret

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

_KEPT_SECONDS = 300.0
"""How soon a rotated secret is noticed."""


class Secrets:
    """`secretsmanager:NAME` (a name or an ARN) and `env:NAME`, as `SecretStore`."""

    def __init__(
        self, sessions: AwsSessions, *, region: str | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Nothing is called yet."""
        self._sessions = sessions
        self._region = region
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[float, str]] = {}

    def resolve(self, reference: str) -> str:
        """The secret's text. Raises `NotFound`, which names the reference and never the secret."""
        kind, _, name = reference.partition(":")
        if kind == "env" and name:
            secret = environment_secret(name)
            if secret is None:
                raise NotFound(f"the environment has no {name}", action=f"Set {name} where the worker runs.")
            return secret
        if kind == "secretsmanager" and name:
            return self._cached(name)
        raise NotFound(f"{reference!r} is no reference to a secret: write secretsmanager:NAME or env:NAME")

    def _cached(self, name: str) -> str:
        now = self._clock()
        with self._lock:
            kept = self._kept.get(name)
        if kept and now < kept[0] + _KEPT_SECONDS:
            return kept[1]
        secret = self._read(name)
        with self._lock:
            self._kept[name] = (now, secret)
        return secret

    def _read(self, name: str) -> str:
        client: SecretsManagerClient = self._sessions.client("secretsmanager", region=self._region)
        with aws_call("GetSecretValue"):
            value = client.get_secret_value(SecretId=name)
        return value["SecretString"] if "SecretString" in value else value["SecretBinary"].decode()
