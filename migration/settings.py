"""Settings: read once, frozen, passed down. The only reader of the environment.

Order of precedence: environment variables `MIGRATOR_*` (nested with `__`), then the TOML file that
`MIGRATOR_SETTINGS` names, then the defaults below. The Temporal connection is not here: it comes from
`temporalio.envconfig`, so that the `temporal` CLI and migrator read the same profile.
"""

import os
from datetime import timedelta
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from migration.policies import ACT_BOUND

SETTINGS_FILE = "MIGRATOR_SETTINGS"


class Connection(BaseModel):
    """A system that requests name by a connection name, such as `vcenter-1`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str
    username: str = ""
    password: SecretStr = SecretStr("")
    ca_file: Path | None = None


class Polling(BaseModel):
    """How often waits look. Local clouds use seconds or less; AWS suggests one look every 15 to 30 s at most."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    replication: timedelta = timedelta(seconds=60)
    job: timedelta = timedelta(seconds=20)
    health: timedelta = timedelta(seconds=10)
    soak: timedelta = timedelta(seconds=60)
    source: timedelta = timedelta(seconds=5)
    dns: timedelta = timedelta(seconds=5)
    hook: timedelta = timedelta(seconds=5)
    ticket: timedelta = timedelta(seconds=60)


class Settings(BaseSettings):
    """Everything a worker, an ingress or the CLI can be told."""

    model_config = SettingsConfigDict(
        env_prefix="MIGRATOR_", env_nested_delimiter="__", frozen=True, extra="ignore", env_ignore_empty=True
    )

    task_queue: str = "migrations"
    state_table: str = "migrator-state"
    request_queue_url: str | None = None
    dead_letter_queue_url: str | None = None
    event_bus: str | None = Field(
        default=None, description="Name or ARN of the EventBridge bus; None: events stay in the migration's outbox"
    )
    state_region: str | None = Field(default=None, description="Region of table and queues; None: the AWS default")

    vcenters: dict[str, Connection] = {}
    servicenows: dict[str, Connection] = {}
    dns_servers: tuple[str, ...] = Field(
        default=(), description="ADDRESS:PORT of the authoritative servers to ask; empty: the zone's own name servers"
    )

    callback_secret: str | None = Field(default=None, description="Reference to the default callback secret")
    allow_loopback_callbacks: bool = Field(default=False, description="http to loopback: for the local cloud only")

    mgn_replicating_servers_quota: int = Field(
        default=150, ge=1, description="Servers that may replicate in an account and region (AWS quota L-9A599620)"
    )

    approval_keys: dict[str, tuple[str, ...]] = Field(
        default={}, description="Who signs approvals, with the person's public keys: PEM text, or files that hold it"
    )

    poll: Polling = Polling()
    act_bound: timedelta = Field(
        default=ACT_BOUND, le=ACT_BOUND, description="No attempt begins a mutating call later than this after its start"
    )
    activity_threads: int = 64
    log_level: str = "INFO"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  the signature is pydantic-settings'
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  see above
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment before file; the file is the one that `MIGRATOR_SETTINGS` names."""
        sources: tuple[PydanticBaseSettingsSource, ...] = (init_settings, env_settings)
        if path := os.environ.get(SETTINGS_FILE):
            sources = (*sources, TomlConfigSettingsSource(settings_cls, Path(path)))
        return sources


def environment_secret(name: str) -> str | None:
    """The value behind an `env:NAME` reference, or None."""
    return os.environ.get(name)
