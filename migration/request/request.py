"""The request: what a person asks for when an application is to be migrated."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator
from pydantic import ValidationError as PydanticValidationError
from pydantic_core import InitErrorDetails

from migration.formats import (
    AppName,
    CallbackUrl,
    CorrelationId,
    Duration,
    MigrationId,
    Person,
    SecretReference,
    WaveId,
    broken_rule,
    mismatch,
)
from migration.json_text import value_at
from migration.request.base import Part
from migration.request.checks import HealthCheck, Hook
from migration.request.choices import Environment, SourceAfter, SourceSnapshot, Warnings
from migration.request.policy import Approval, CutoverWindow, OnFailure, Quiesce, Rollback, Soak, TestPlan
from migration.request.records import ChangeTicket, Cmdb, CmfLink, DnsRecord
from migration.request.rules import Breach, breaches
from migration.request.source import Server, Source
from migration.request.target import LaunchSettings, Network, ReplicationPlan, Target, launch_settings
from migration.steps import PREFIXES, STEPS, MigrationType, Step, implied_type, plan

_LASTS = ", ".join(prefix[-1] for prefix in PREFIXES[:-1]) + f" or {PREFIXES[-1][-1]}"

_CONDITIONS: dict[str, Any] = {
    "allOf": [
        {
            "if": {
                "properties": {"steps": {"contains": {"const": "approve"}}, "migrationType": {"const": "cutover"}},
                "anyOf": [{"required": ["steps"]}, {"required": ["migrationType"]}],
            },
            "then": {"required": ["approval"], "properties": {"approval": {"type": "object"}}},
        },
        {
            "if": {
                "properties": {
                    "environment": {"const": "prod"},
                    "steps": {"contains": {"const": "test"}},
                    "test": {"properties": {"mode": {"const": "launch"}}},
                },
                "required": ["environment"],
            },
            "then": {"properties": {"target": {"required": ["test"], "properties": {"test": {"type": "object"}}}}},
        },
    ]
}


@dataclass(frozen=True)
class _Patience:
    """How long an environment is watched and kept, where the request does not say."""

    soak: timedelta
    keep_target: timedelta
    grace: timedelta


_PATIENCE = {
    Environment.PROD: _Patience(timedelta(days=2), timedelta(days=14), timedelta(days=30)),
    Environment.STAGING: _Patience(timedelta(days=1), timedelta(days=7), timedelta(days=14)),
    Environment.TEST: _Patience(timedelta(hours=4), timedelta(days=3), timedelta(days=7)),
    Environment.DEV: _Patience(timedelta(hours=1), timedelta(days=3), timedelta(days=7)),
}


def _prefix(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    if steps not in PREFIXES:
        raise mismatch(f"the steps from validate on without a gap, ending at {_LASTS}")
    return steps


class MigrationRequest(Part):
    """One application to be migrated.

    Defaults that depend on the environment, and the migrationType that the steps imply, are filled in when the
    request is read: every attribute holds what applies.
    """

    model_config = ConfigDict(json_schema_extra=_CONDITIONS, title="Migration request")

    schema_version: Literal["1.0"] = Field(description="The version of this vocabulary.")
    migration_id: MigrationId = Field(description="The migration's id, which is its workflow id too.")
    app_name: AppName = Field(description="The application that moves.")
    environment: Environment
    wave_id: WaveId | None = Field(None, description="The wave the migration belongs to, if any.")
    requested_by: Person = Field(description="Who asks for the migration.")
    correlation_id: CorrelationId | None = Field(
        None, description="The id under which logs, events, callbacks and tags are found. Null: the migrationId."
    )
    migration_type: MigrationType = Field(
        MigrationType.TEST,
        description="`test` ends after the test step with the source untouched. "
        "Default: cutover when `steps` is given and includes the cutover, else test.",
    )
    steps: Annotated[tuple[Step, ...], AfterValidator(_prefix)] = Field(
        STEPS,
        description=f"The steps to go through: all of them in order, up to {_LASTS}.",
        json_schema_extra={"enum": [list(prefix) for prefix in PREFIXES]},
    )
    source: Source
    target: Target
    replication: ReplicationPlan = ReplicationPlan()
    test: TestPlan = TestPlan()
    health_checks: tuple[HealthCheck, ...] = Field((), description="What tells a healthy application.")
    hooks: tuple[Hook, ...] = Field((), description="The application's own steps.")
    quiesce: Quiesce = Quiesce()
    approval: Approval | None = Field(None, description="Required when steps and migrationType reach approve.")
    change: ChangeTicket | None = Field(None, description="Null: no change ticket is looked at.")
    cutover_window: CutoverWindow | None = Field(None, description="Null: the cutover may start at any time.")
    dns: tuple[DnsRecord, ...] = Field((), description="The DNS records that are switched.")
    cmdb: Cmdb = Cmdb()
    cmf: CmfLink | None = Field(None, description="Null: Cloud Migration Factory hears nothing.")
    soak: Soak = Soak()
    rollback: Rollback = Rollback()
    on_failure: OnFailure = OnFailure()
    warnings: Warnings = Field(
        Warnings.ACKNOWLEDGE, description="`acknowledge`: a person must acknowledge the warnings before the cutover."
    )
    source_snapshot: SourceSnapshot = Field(
        SourceSnapshot.AT_CUTOVER, description="Whether the powered-off source is snapshotted before the launch."
    )
    source_after: SourceAfter = Field(
        SourceAfter.POWER_OFF, description="What becomes of the source after the grace period."
    )
    grace: Duration = Field(
        timedelta(days=30),
        description="How long the source is kept afterwards. Default: P30D in prod, P14D in staging, P7D elsewhere.",
    )
    callback_url: CallbackUrl | None = Field(None, description="Where callbacks go. Null: there are none.")
    callback_secret: SecretReference | None = Field(
        None, description="The secret that signs callbacks. Null: the one of the settings."
    )

    @staticmethod
    def breaches(document: Any) -> list[Breach]:
        """Judge a document, as plain JSON, by the rules that span fields."""
        return breaches(document)

    @model_validator(mode="after")
    def _resolve_and_judge(self) -> Self:
        self._resolve_defaults()
        document = self.model_dump(mode="json")
        if broken := self.breaches(document):
            details = [
                InitErrorDetails(
                    type=broken_rule(breach.expected),
                    loc=breach.location,
                    input=value_at(document, str(breach.location[0])),
                )
                for breach in broken
            ]
            raise PydanticValidationError.from_exception_data("MigrationRequest", details)
        return self

    def _resolve_defaults(self) -> None:
        patience = _PATIENCE[self.environment]
        given = self.model_fields_set
        resolved: dict[str, Any] = {}
        if "migration_type" not in given:
            resolved["migration_type"] = implied_type(self.steps if "steps" in given else None)
        if "grace" not in given:
            resolved["grace"] = patience.grace
        if "for_" not in self.soak.model_fields_set:
            resolved["soak"] = self.soak.model_copy(update={"for_": patience.soak})
        if "keep_target" not in self.rollback.model_fields_set:
            resolved["rollback"] = self.rollback.model_copy(update={"keep_target": patience.keep_target})
        for name, value in resolved.items():
            object.__setattr__(self, name, value)  # frozen for everybody else: the request is still being made

    @property
    def planned_steps(self) -> tuple[Step, ...]:
        """The steps that this migration goes through, in their order."""
        return plan(self.steps, self.migration_type)

    @property
    def servers(self) -> tuple[Server, ...]:
        """The servers of the application."""
        return self.source.servers

    @property
    def source_keys(self) -> tuple[str, ...]:
        """How the source servers are claimed, in their order."""
        return tuple(f"{self.source.connection}/{server.vm}" for server in self.servers)

    @property
    def staging_subnet_id(self) -> str:
        """The subnet of the replication servers."""
        return self.replication.staging_subnet_id or self.target.subnet_id

    def server(self, name: str) -> Server:
        """Find a server by its name.

        Raises:
            KeyError: The request has no such server.
        """
        return {server.name: server for server in self.servers}[name]

    def launch_settings(self, server: str, network: Network = Network.PRODUCTION) -> LaunchSettings:
        """Say how a server, by its name, is launched into a network, with every default resolved."""
        return launch_settings(self.server(server), self.target, network)
