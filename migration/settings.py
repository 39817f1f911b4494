"""Settings: read once, frozen, passed down. The only reader of the environment.

Order of precedence: environment variables `MIGRATOR_*` (nested with `__`), then the TOML file that
`MIGRATOR_SETTINGS` names, then the defaults below. The Temporal connection is not here: it comes from
`temporalio.envconfig`, so that the `temporal` CLI and migrator read the same profile.
"""

import os
from datetime import timedelta
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from migration.errors import PrerequisiteError
from migration.policies import ACT_BOUND

SETTINGS_FILE = "MIGRATOR_SETTINGS"


class Connection(BaseModel):
    """A system that requests name by a connection name, such as `vcenter-1`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(description="Where it answers, such as `https://vcenter.example.internal`")
    username: str = Field(default="", description="The account that we work with")
    password: SecretStr = Field(default=SecretStr(""), description="Its password; never shown")
    ca_file: Path | None = Field(
        default=None, description="Authorities that its certificate may be from, in PEM; None: the system's"
    )


class FactoryConnection(BaseModel):
    """A deployment of AWS Cloud Migration Factory, by the outputs of its CloudFormation stack."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    user_api: str = Field(
        description="UserAPI, such as `https://abc123.execute-api.eu-central-1.amazonaws.com`, without the stage"
    )
    login_api: str | None = Field(
        default=None,
        description="LoginAPI, to log in through it; None: through Cognito, as CMF's own scripts do since its WAF "
        "blocks the login of automation",
    )
    admin_api: str | None = Field(
        default=None,
        description="AdminAPI, where the values are read that a wave's status may have; None: they are not looked at",
    )
    user_pool_id: str = Field(description="UserPoolId")
    user_pool_client_id: str | None = Field(
        default=None, description="The user pool's client, which has no secret; for Cognito alone"
    )
    region: str | None = Field(default=None, description="Of the user pool; None: the one that its id begins with")
    vpc_endpoint_id: str | None = Field(
        default=None,
        description="Of the execute-api endpoint that a private deployment is reached by; None: it is public",
    )
    credential: str = Field(
        default="",
        description="Reference to the service account, as JSON with username and password; empty: the secret that "
        "CMF's stack makes",
    )
    ca_file: Path | None = Field(
        default=None, description="Authorities that its certificate may be from, in PEM; None: the system's"
    )

    @model_validator(mode="after")
    def _can_log_in(self) -> Self:
        if self.login_api is None and self.user_pool_client_id is None:
            raise ValueError("a factory needs login_api, or user_pool_client_id to log in through Cognito")
        return self

    @property
    def account(self) -> str:
        """The reference to the service account: the secret that CMF's stack makes, unless another is named."""
        return self.credential or f"secretsmanager:MFServiceAccount-{self.user_pool_id}"


class Polling(BaseModel):
    """How often waits look. Local clouds use seconds or less; AWS suggests one look every 15 to 30 s at most."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    replication: timedelta = Field(
        default=timedelta(seconds=60), description="At replication, while its lag is awaited or watched"
    )
    job: timedelta = Field(
        default=timedelta(seconds=20), description="At an MGN job, an instance's status checks, a snapshot"
    )
    health: timedelta = Field(
        default=timedelta(seconds=10), description="At the application's health in the test and after the cutover"
    )
    soak: timedelta = Field(default=timedelta(seconds=60), description="At health and DNS records in the soak")
    source: timedelta = Field(
        default=timedelta(seconds=5), description="At a source machine that is switched off or on"
    )
    dns: timedelta = Field(default=timedelta(seconds=5), description="At a change of Route 53, and at its name servers")
    hook: timedelta = Field(default=timedelta(seconds=5), description="At a hook's command")
    ticket: timedelta = Field(default=timedelta(seconds=60), description="At the change ticket")


class Settings(BaseSettings):
    """Everything a worker, an ingress or the CLI can be told."""

    model_config = SettingsConfigDict(
        env_prefix="MIGRATOR_", env_nested_delimiter="__", frozen=True, extra="ignore", env_ignore_empty=True
    )

    task_queue: str = Field(default="migrations", description="Temporal task queue of workers and clients")
    state_table: str = Field(default="migrator-state", description="DynamoDB table of claims and the read model")
    request_queue_url: str | None = Field(
        default=None, description="SQS queue that requests come from; None: no ingress, no `migrator submit`"
    )
    dead_letter_queue_url: str | None = Field(default=None, description="SQS queue that refused requests go to")
    ingress_consumers: int = Field(default=2, ge=1, le=100, description="How many batches one ingress works on at once")
    event_bus: str | None = Field(
        default=None, description="Name or ARN of the EventBridge bus; None: events stay in the migration's outbox"
    )
    state_region: str | None = Field(default=None, description="Region of table and queues; None: the AWS default")
    external_id: str | None = Field(
        default=None, description="What is said to STS when the role of a target account is assumed (ExternalId)"
    )

    vcenters: dict[str, Connection] = Field(default={}, description="vCenters, by the name that requests use")
    servicenows: dict[str, Connection] = Field(default={}, description="ServiceNow instances: CMDB and change tickets")
    factories: dict[str, FactoryConnection] = Field(default={}, description="Deployments of Cloud Migration Factory")
    dns_servers: tuple[str, ...] = Field(
        default=(), description="ADDRESS:PORT of the authoritative servers to ask; empty: the zone's own name servers"
    )

    callback_secret: str | None = Field(default=None, description="Reference to the default callback secret")
    callback_allow: tuple[str, ...] = Field(
        default=(),
        description="Host names and networks that callbacks may go to though their addresses are not public; "
        "plain http only to loopback addresses among them",
    )

    mgn_replicating_servers_quota: int = Field(
        default=150, ge=1, description="Servers that may replicate in an account and region (AWS quota L-9A599620)"
    )

    approval_keys: dict[str, tuple[str, ...]] = Field(
        default={}, description="Who signs approvals, with the person's public keys: PEM text, or files that hold it"
    )

    poll: Polling = Field(default=Polling(), description="How often waits look")
    act_bound: timedelta = Field(
        default=ACT_BOUND, le=ACT_BOUND, description="No attempt begins a mutating call later than this after its start"
    )
    allow_plaintext_temporal: bool = Field(
        default=False, description="Whether a Temporal server that is not on this machine may be reached without TLS"
    )
    activity_threads: int = Field(
        default=64, ge=1, description="How many activities a worker has under way at once, each in a thread of its own"
    )
    max_concurrent_workflow_tasks: int = Field(
        default=100, ge=2, description="How many workflows a worker advances at once; a task is milliseconds of CPU"
    )
    max_cached_workflows: int = Field(
        default=2000,
        ge=1,
        description="How many running workflows a worker keeps in memory; one that does not fit is replayed from its "
        "history with each task",
    )
    sticky_queue_schedule_to_start_timeout: timedelta = Field(
        default=timedelta(seconds=10),
        gt=timedelta(0),
        description="How long a workflow's task waits for the worker that has it in memory, before any other takes it",
    )
    graceful_shutdown_timeout: timedelta = Field(
        default=timedelta(seconds=30),
        ge=timedelta(0),
        description="How long a worker that is stopped lets its activities finish before it cancels them, and they are "
        "handed over. Whatever stops it (ECS, Kubernetes) has to wait longer before it kills",
    )
    log_level: str = Field(default="INFO", description="DEBUG, INFO, WARNING or ERROR")
    metrics_address: str | None = Field(
        default=None,
        description="ADDRESS:PORT at which a worker or an ingress serves Prometheus metrics, such as 0.0.0.0:9464; "
        "None: none are kept",
    )

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
        if path := settings_file():
            sources = (*sources, TomlConfigSettingsSource(settings_cls, path))
        return sources


def settings_file() -> Path | None:
    """The file that `MIGRATOR_SETTINGS` names, or None."""
    path = os.environ.get(SETTINGS_FILE)
    return Path(path) if path else None


def temporal_file() -> Path | None:
    """The file that `TEMPORAL_CONFIG_FILE` names, which the SDK passes over where it is not there; or None."""
    path = os.environ.get("TEMPORAL_CONFIG_FILE")
    return Path(path) if path else None


def environment_names() -> list[str]:
    """What variables `MIGRATOR_*` of the environment set, whether there are such settings or not."""
    prefix, delimiter = "migrator_", "__"
    names = (name.lower() for name in os.environ if name.lower().startswith(prefix) and name != SETTINGS_FILE)
    return [name.removeprefix(prefix).partition(delimiter)[0] for name in names]


def traces_are_wanted() -> bool:
    """Whether OpenTelemetry's own variables ask for traces: an exporter, or where to send them (docs/tracing.md).

    Raises:
        PrerequisiteError: They ask for another exporter than OTLP.
    """
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    exporter = os.environ.get("OTEL_TRACES_EXPORTER", "")
    if exporter not in {"", "none", "otlp"}:
        action = "Set OTEL_TRACES_EXPORTER to otlp, which a collector hands on in other ways, or to none."
        raise PrerequisiteError(f"traces leave by OTLP alone, not by {exporter}", action=action)
    addresses = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    return exporter == "otlp" or (exporter != "none" and any(os.environ.get(name) for name in addresses))


def environment_secret(name: str) -> str | None:
    """The value behind an `env:NAME` reference, or None."""
    return os.environ.get(name)
