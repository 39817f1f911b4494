"""The systems a migration touches, as roles. Adapters implement them; activities hold them.

Every method may raise the errors of `migration.errors`: `Unavailable` (retry), `NotFound`, `Conflict`, or the
step's own error. Mutating methods are safe to repeat: they read, decide, act and read back.
"""

from migration.ports.events import BusEvent, EventBus
from migration.ports.looks import HealthLook, HealthProbe
from migration.ports.messages import Delivery, SecretStore, Webhook
from migration.ports.people import DecisionSignatures
from migration.ports.records import (
    ConfigurationDatabase,
    ConfigurationItem,
    Databases,
    DomainNames,
    RecordKey,
    RecordSet,
)
from migration.ports.replication import (
    JobEvent,
    JobServer,
    LaunchJob,
    LaunchTarget,
    Replication,
    ReplicationService,
    ReplicationSettings,
    SourceServer,
)
from migration.ports.source import (
    CommandLook,
    CommandResult,
    Commands,
    Hypervisors,
    MachineDisk,
    ManagedInstance,
    NetworkCard,
    PowerState,
    RemoteCommands,
    SourceHypervisor,
    SourceMachine,
)
from migration.ports.store import Claim, MigrationStore
from migration.ports.target import Clouds, Subnet, TargetCloud, TargetInstance, Where
from migration.ports.tickets import Ticket, TicketSystem, TicketSystems

__all__ = [
    "BusEvent",
    "Claim",
    "Clouds",
    "CommandLook",
    "CommandResult",
    "Commands",
    "ConfigurationDatabase",
    "ConfigurationItem",
    "Databases",
    "DecisionSignatures",
    "Delivery",
    "DomainNames",
    "EventBus",
    "HealthLook",
    "HealthProbe",
    "Hypervisors",
    "JobEvent",
    "JobServer",
    "LaunchJob",
    "LaunchTarget",
    "MachineDisk",
    "ManagedInstance",
    "MigrationStore",
    "NetworkCard",
    "PowerState",
    "RecordKey",
    "RecordSet",
    "RemoteCommands",
    "Replication",
    "ReplicationService",
    "ReplicationSettings",
    "SecretStore",
    "SourceHypervisor",
    "SourceMachine",
    "SourceServer",
    "Subnet",
    "TargetCloud",
    "TargetInstance",
    "Ticket",
    "TicketSystem",
    "TicketSystems",
    "Webhook",
    "Where",
]
