"""The checks before the first act: they read everywhere and change nothing."""

from collections.abc import Callable
from dataclasses import dataclass

from temporalio import activity

from migration.findings import Finding
from migration.models import Model
from migration.ports import (
    Clouds,
    Commands,
    Databases,
    DomainNames,
    Hypervisors,
    RecordSet,
    Replication,
    Webhook,
)
from migration.request import MigrationRequest


class CheckPrerequisites(Model):
    """The request to check."""

    request: MigrationRequest


class SourceFacts(Model):
    """How a source machine was before anything was done to it: what a rollback has to restore."""

    server: str
    vm: str
    user_provided_id: str
    managed_instance_id: str | None = None
    powered_on: bool
    connected_macs: tuple[str, ...] = ()


class RecordedName(Model):
    """A DNS record as it was found; `before` None means that there was none. `index` is its place in the request."""

    index: int
    before: RecordSet | None = None


class Prerequisites(Model):
    """What was found, and the state of the world to come back to."""

    findings: tuple[Finding, ...]
    sources: tuple[SourceFacts, ...]
    names: tuple[RecordedName, ...]


@dataclass
class PrerequisiteChecks:
    """Every check of the validate step."""

    hypervisors: Hypervisors
    commands: Commands
    replication: Replication
    clouds: Clouds
    names: Callable[[str], DomainNames]
    databases: Databases
    webhook: Webhook

    @activity.defn
    def check_prerequisites(self, request: CheckPrerequisites) -> Prerequisites:
        """Look at AWS, the hypervisor, DNS, the CMDB and the callback address; all findings at once."""
        raise NotImplementedError
