"""The systems a migration touches, as roles. Adapters implement them; activities hold them.

Every method may raise the errors of `migration.errors`: `Unavailable` (retry), `NotFound`, `Conflict`, or the
step's own error. Mutating methods are safe to repeat: they read, decide, act and read back.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from migration.marks import SERVER_TAG
from migration.models import Model
from migration.signatures import SignedDecision

# --- the source side -------------------------------------------------------------------------------------------


class PowerState(StrEnum):
    """A virtual machine's power, as the hypervisor says."""

    ON = "poweredOn"
    OFF = "poweredOff"
    SUSPENDED = "suspended"


class NetworkCard(Model):
    """A virtual network card: its device key, address on the wire, and whether its cable is in."""

    key: int
    mac: str
    connected: bool


class MachineDisk(Model):
    """A virtual disk and its capacity in bytes."""

    label: str
    size_bytes: int


class SourceMachine(Model):
    """What the hypervisor knows of one source machine."""

    vm: str
    id: str
    uuid: str
    power: PowerState
    guest_os: str | None = None
    tools_running: bool = False
    addresses: tuple[str, ...] = ()
    nics: tuple[NetworkCard, ...] = ()
    snapshots: tuple[str, ...] = ()
    disks: tuple[MachineDisk, ...] = ()


class SourceHypervisor(Protocol):
    """Power, network and snapshots of the source machines (vCenter)."""

    def find(self, vm: str) -> SourceMachine:
        """Read a machine by its name. Raises `NotFound`, or `Conflict` when two machines share the name."""

    def shut_down_guest(self, vm: str) -> None:
        """Ask the guest to shut down; returns at once. Nothing happens when it is off already."""

    def power_off(self, vm: str) -> None:
        """Cut the power. Nothing happens when it is off already."""

    def power_on(self, vm: str) -> None:
        """Switch the machine on. Nothing happens when it runs already."""

    def connect_nics(self, vm: str, macs: Sequence[str], *, connected: bool) -> None:
        """Plug the network cards with these MAC addresses in or out; cards already so are left alone."""

    def create_snapshot(self, vm: str, name: str, description: str) -> str:
        """Take a snapshot without memory, or find the one of that name; returns its id."""

    def remove_snapshot(self, vm: str, name: str) -> None:
        """Remove the snapshot of that name, if there is one, without its children."""

    def delete(self, vm: str, uuid: str) -> None:
        """Delete a machine that is off, and its disks. Nothing happens when it is gone already.

        Raises `Conflict` when the machine of that name has another uuid, or bears another name, or is not off.
        """


class ManagedInstance(Model):
    """A machine that Systems Manager can command."""

    id: str
    name: str
    online: bool
    platform: str | None = None


class CommandResult(Model):
    """The end of one remote command: its id, exit code, and what it wrote (truncated by the service)."""

    command_id: str
    exit_code: int
    output: str = ""
    error: str = ""


class RemoteCommands(Protocol):
    """Commands inside a machine (SSM Run Command)."""

    def find(self, *, instance_id: str | None, name: str) -> ManagedInstance:
        """Find a managed instance by its id or else by its computer name. Raises `NotFound`."""

    def run(self, instance_id: str, lines: Sequence[str], *, os: str, comment: str, within: timedelta) -> CommandResult:
        """Run shell (linux) or PowerShell (windows) lines and wait for their end, at most `within`."""


# --- AWS: replication and launch -------------------------------------------------------------------------------


class SourceServer(Model):
    """One MGN source server record. `lag` None means MGN cannot launch it."""

    source_server_id: str
    user_provided_id: str | None = None
    hostname: str | None = None
    archived: bool = False
    life_cycle: str
    replication_state: str
    lag: timedelta | None = None
    backlog_bytes: int = 0
    replicated_bytes: int = 0
    total_bytes: int = 0
    eta: datetime | None = None
    replication_error: str | None = None
    instance_id: str | None = None
    test_job_id: str | None = None
    cutover_job_id: str | None = None
    tags: Mapping[str, str] = {}

    @property
    def label(self) -> str:
        """The server's name in its request where the record is tagged with it, else the host's, else the id."""
        return self.tags.get(SERVER_TAG) or self.hostname or self.source_server_id


class JobServer(Model):
    """One participating server of an MGN job."""

    source_server_id: str
    launch_status: str
    instance_id: str | None = None


class LaunchJob(Model):
    """An MGN job. COMPLETED says that it ended, not that it succeeded: read each server's launch status."""

    job_id: str
    kind: str
    status: str
    servers: tuple[JobServer, ...] = ()
    tags: Mapping[str, str] = {}


class JobEvent(Model):
    """One line of an MGN job's log."""

    event: str
    source_server_id: str | None = None
    error: str | None = None


class ReplicationSettings(Model):
    """What MGN needs to know before it replicates; later changes force a full resync."""

    staging_subnet_id: str
    kms_key_id: str | None = None
    bandwidth_mbps: int | None = None
    staging_tags: Mapping[str, str] = {}


class LaunchTarget(Model):
    """How one server is to be launched. `private_ip`: None lets the subnet choose, `copy` takes the source's."""

    subnet_id: str
    security_group_ids: tuple[str, ...]
    instance_type: str | None = None
    instance_profile: str | None = None
    private_ip: str | None = None
    boot_mode: str = "useSource"
    os_byol: bool = False
    tenancy: str = "default"
    http_tokens: str = "required"
    volume_type: str = "gp3"
    name: str
    tags: Mapping[str, str] = {}


class ReplicationService(Protocol):
    """AWS Application Migration Service in one account and region (API 2020-02-26)."""

    def find(self, user_provided_ids: Sequence[str]) -> Mapping[str, SourceServer]:
        """The live (not archived, not disconnected) records by user-provided id; ids without one are left out."""

    def servers(self, source_server_ids: Sequence[str]) -> Mapping[str, SourceServer]:
        """The records by id. Raises `NotFound` naming those that are gone."""

    def count_active(self) -> int:
        """How many servers replicate in this account and region (quota L-9A599620)."""

    def is_initialised(self) -> bool:
        """Whether InitializeService was ever called here."""

    def configure_replication(self, source_server_id: str, settings: ReplicationSettings) -> None:
        """Set the replication configuration where it differs."""

    def start_replication(self, source_server_id: str) -> None:
        """Start replication of a stopped record."""

    def retry_replication(self, source_server_id: str) -> None:
        """Restart the initiation of a stalled record."""

    def tag(self, source_server_id: str, tags: Mapping[str, str]) -> None:
        """Set tags on the record where they differ."""

    def group(self, source_server_ids: Sequence[str], *, application: str, wave: str | None) -> None:
        """Put the servers into the MGN application of that name, and it into the wave; both made when missing."""

    def set_launch_target(self, source_server_id: str, target: LaunchTarget, *, description: str) -> None:
        """Write launch settings and a new default launch template version, where they differ, and read both back."""

    def start_test(self, source_server_ids: Sequence[str], tags: Mapping[str, str]) -> LaunchJob:
        """StartTest. Not idempotent: look for the mark first."""

    def start_cutover(self, source_server_ids: Sequence[str], tags: Mapping[str, str]) -> LaunchJob:
        """StartCutover. Not idempotent: look for the mark first."""

    def terminate_target_instances(self, source_server_ids: Sequence[str], tags: Mapping[str, str]) -> LaunchJob:
        """TerminateTargetInstances. Not idempotent: look for the mark first."""

    def jobs(self, *, since: datetime | None = None, job_ids: Sequence[str] = ()) -> Sequence[LaunchJob]:
        """Jobs by id, or all since a moment; newest first."""

    def job_log(self, job_id: str) -> Sequence[JobEvent]:
        """The job's log, oldest first."""

    def change_life_cycle_state(self, source_server_id: str, state: str) -> None:
        """ChangeServerLifeCycleState to READY_FOR_TEST or READY_FOR_CUTOVER, unless it is there already."""

    def finalize_cutover(self, source_server_id: str) -> None:
        """The pivot. Nothing happens when the record is CUTOVER already."""

    def disconnect(self, source_server_id: str) -> None:
        """DisconnectFromService, unless disconnected already."""

    def archive(self, source_server_id: str) -> None:
        """MarkAsArchived, unless archived already."""


class TargetInstance(Model):
    """One EC2 instance. `status_checks`: ok, impaired, initializing, insufficient-data or not-applicable."""

    instance_id: str
    state: str
    private_ip: str | None = None
    subnet_id: str | None = None
    status_checks: str = "not-applicable"
    tags: Mapping[str, str] = {}


class Subnet(Model):
    """An EC2 subnet, and how many addresses it has left."""

    subnet_id: str
    vpc_id: str
    zone: str
    free_addresses: int


class TargetCloud(Protocol):
    """EC2, KMS, IAM and STS in one target account and region."""

    def caller(self) -> str:
        """The account id that our credentials, after the assumed role, belong to."""

    def subnets(self, subnet_ids: Sequence[str]) -> Mapping[str, Subnet]:
        """The subnets that exist, by id."""

    def security_groups(self, group_ids: Sequence[str]) -> Mapping[str, str]:
        """The VPC of each security group that exists, by group id."""

    def offered_instance_types(self, zone: str, types: Sequence[str]) -> frozenset[str]:
        """Which of these instance types the zone offers."""

    def key_problem(self, key_id: str) -> str | None:
        """Why MGN could not use this KMS key, or None."""

    def profile_exists(self, name: str) -> bool:
        """Whether the instance profile exists."""

    def instances(self, instance_ids: Sequence[str]) -> Mapping[str, TargetInstance]:
        """The instances that are still known, terminated ones included, by id."""

    def protected(self, instance_ids: Sequence[str]) -> Mapping[str, bool]:
        """Whether each of these instances has termination protection; those that are gone are left out."""

    def stop(self, instance_ids: Sequence[str]) -> None:
        """Ask running instances to stop; those stopped or gone are left alone."""

    def protect(self, instance_id: str, *, on: bool) -> None:
        """Set termination protection. Nothing happens on an instance that is gone."""

    def tag(self, resource_ids: Sequence[str], tags: Mapping[str, str]) -> None:
        """Set tags."""

    def snapshot(self, instance_id: str, tags: Mapping[str, str]) -> tuple[str, ...]:
        """One crash-consistent snapshot set of all volumes, found again by its tags; returns snapshot ids."""

    def snapshots_completed(self, snapshot_ids: Sequence[str]) -> bool:
        """Whether all are completed."""


class Where(Model):
    """The unit that AWS quotas and API rates apply to, and the role to reach it through."""

    account_id: str
    region: str
    role_arn: str | None = None


# --- DNS and CMDB ----------------------------------------------------------------------------------------------


class RecordKey(Model):
    """Which record set: hosted zone by name (and id when the name is ambiguous), name, type."""

    zone: str
    zone_id: str | None = None
    role_arn: str | None = None
    name: str
    type: str
    set_identifier: str | None = None


class RecordSet(Model):
    """The values of a record set, sorted, and their time to live in seconds."""

    ttl: int
    values: tuple[str, ...]


class DomainNames(Protocol):
    """One DNS provider's records (Route 53)."""

    def read(self, key: RecordKey) -> RecordSet | None:
        """The record set as the provider has it, or None. Raises `NotFound` when the zone does not exist."""

    def change(self, key: RecordKey, *, before: RecordSet | None, after: RecordSet | None, mark: str) -> None:
        """Compare and set: make it `after` if it is `before`, do nothing if it is `after` already.

        Returns when the provider has it in sync. Raises `Conflict`, naming what is there, when it is neither.
        """

    def authoritative_answer(self, key: RecordKey) -> Mapping[str, tuple[str, ...]]:
        """What each authoritative server answers now, by server address; values sorted."""


class ConfigurationItem(Model):
    """A CMDB item: its id and the fields that we read or write."""

    id: str
    fields: Mapping[str, str]


class ConfigurationDatabase(Protocol):
    """The CMDB's items (ServiceNow's Table API)."""

    def read(self, item_id: str) -> ConfigurationItem:
        """Read the item's fields. Raises `NotFound`."""

    def update(self, item_id: str, fields: Mapping[str, str]) -> ConfigurationItem:
        """Set these fields where they differ, read them back, and return the item as it then is."""


# --- looks and messages ----------------------------------------------------------------------------------------


class HealthLook(Model):
    """One look at a health URL: the status, or in `error` why there was none."""

    status: int | None = None
    elapsed_ms: int = 0
    error: str | None = None


class HealthProbe(Protocol):
    """One short look at an application."""

    def look(self, url: str) -> HealthLook:
        """GET the URL once, within seconds, following no redirect."""


class Delivery(Model):
    """What became of one attempt: delivered, or gone (410: stop), or retry (after a wait when one was asked for)."""

    outcome: str
    status: int | None = None
    retry_after: timedelta | None = None
    error: str | None = None


class Webhook(Protocol):
    """Signed delivery of one message (Standard Webhooks 1.0)."""

    def refused_because(self, url: str) -> str | None:
        """Why this callback URL must not be called, or None."""

    def deliver(self, url: str, *, message_id: str, body: str, secret: str) -> Delivery:
        """Sign and POST the body once. Never raises for what the other side does."""


class SecretStore(Protocol):
    """Secrets by reference: `secretsmanager:NAME` or `env:NAME`."""

    def resolve(self, reference: str) -> str:
        """The secret's text. Raises `NotFound`."""


class DecisionSignatures(Protocol):
    """Signatures of people's decisions, against the public keys that are known."""

    def verify(self, token: str) -> SignedDecision:
        """The decision that was signed, if it counts now. Raises `SignatureRefused`."""


# --- our own state ---------------------------------------------------------------------------------------------


class Claim(Model):
    """A claim on a migration id: its generation, and the hash of the request that made it."""

    migration_id: str
    generation: int
    request_hash: str
    workflow_run: str
    status: str | None = None


class MigrationStore(Protocol):
    """Claims and the read model (DynamoDB)."""

    def claim(self, claim: Claim, server_keys: Sequence[str], *, again: bool) -> Claim:
        """Claim the migration id and each source server, in one conditional transaction.

        The same run claims again and gets its own claim back. Raises `Conflict`, saying who holds what.
        """

    def claim_of(self, migration_id: str) -> Claim | None:
        """The claim on this migration id as it stands, ended or not; None when there never was one."""

    def finish(self, migration_id: str, generation: int, status: str, server_keys: Sequence[str]) -> None:
        """Give the servers back and mark the claim as ended; it stays, so that no id is used twice by accident."""

    def save(self, migration_id: str, version: int, row: Mapping[str, str], *, expires_at: datetime | None) -> bool:
        """Write the row unless a newer version is there; returns whether the row is this version now."""

    def get(self, migration_id: str) -> Mapping[str, str] | None:
        """The row as last saved, or None."""


Hypervisors = Callable[[str], SourceHypervisor]
Commands = Callable[[Where], RemoteCommands]
Replication = Callable[[Where], ReplicationService]
Clouds = Callable[[Where], TargetCloud]
Databases = Callable[[str], ConfigurationDatabase]
