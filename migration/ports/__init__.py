"""The systems a migration touches, as roles. Adapters implement them; activities hold them.

Every method may raise the errors of `migration.errors`: `Unavailable` (retry), `NotFound`, `Conflict`, or the
step's own error. Mutating methods are safe to repeat: they read, decide, act and read back.
"""

from migration.ports.calls import CallMade, CallObserver
from migration.ports.events import BusEvent, EventBus
from migration.ports.factory import (
    Factories,
    FactoryApplication,
    FactoryServer,
    FactoryWave,
    MigrationFactory,
)
from migration.ports.looks import HealthLook, HealthProbe, HttpLook
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
    PostLaunchAction,
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
from migration.ports.store import Claim, MigrationStore, RowPage, RowsWanted
from migration.ports.target import Clouds, Subnet, TargetCloud, TargetInstance, Where
from migration.ports.tickets import Ticket, TicketSystem, TicketSystems

__all__ = [
    "BusEvent",
    "CallMade",
    "CallObserver",
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
    "Factories",
    "FactoryApplication",
    "FactoryServer",
    "FactoryWave",
    "HealthLook",
    "HealthProbe",
    "HttpLook",
    "Hypervisors",
    "JobEvent",
    "JobServer",
    "LaunchJob",
    "LaunchTarget",
    "MachineDisk",
    "ManagedInstance",
    "MigrationFactory",
    "MigrationStore",
    "NetworkCard",
    "PostLaunchAction",
    "PowerState",
    "RecordKey",
    "RecordSet",
    "RemoteCommands",
    "Replication",
    "ReplicationService",
    "ReplicationSettings",
    "RowPage",
    "RowsWanted",
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
