"""The source machines: agent, power, network cards, snapshots."""

from dataclasses import dataclass
from datetime import timedelta

from temporalio import activity

from activities.prerequisites import SourceFacts
from migration.marks import Mark
from migration.models import Model
from migration.ports import Commands, Hypervisors, Where


class AgentTarget(Model):
    """One machine that is to get the MGN agent."""

    server: str
    managed_instance_id: str
    os: str
    user_provided_id: str


class InstallAgents(Model):
    """Install the agent on these machines, registered to this account and region, not replicating yet."""

    where: Where
    mark: Mark
    targets: tuple[AgentTarget, ...]


class SourceMachines(Model):
    """These machines of one connection, with the state they had before."""

    connection: str
    sources: tuple[SourceFacts, ...]


class ShutDownSources(SourceMachines):
    """Guest shutdown; power off what still runs after `within`; then unplug the network cards if asked."""

    within: timedelta
    disconnect_nics: bool


class SnapshotSources(SourceMachines):
    """Take, find or remove the snapshot that carries the mark."""

    mark: Mark


@dataclass
class Sources:
    """What is done to source machines."""

    hypervisors: Hypervisors
    commands: Commands
    act_bound: timedelta
    poll: timedelta

    @activity.defn(no_thread_cancel_exception=True)
    def install_agents(self, request: InstallAgents) -> None:
        """Run the installer where MGN does not know the machine yet."""
        raise NotImplementedError

    @activity.defn(no_thread_cancel_exception=True)
    def shut_down_sources(self, request: ShutDownSources) -> None:
        """Fence the source: off, and off the network; returns when the hypervisor says so."""
        raise NotImplementedError

    @activity.defn(no_thread_cancel_exception=True)
    def snapshot_sources(self, request: SnapshotSources) -> None:
        """Snapshot each (powered off) machine under the mark's name, once."""
        raise NotImplementedError

    @activity.defn(no_thread_cancel_exception=True)
    def restore_sources(self, request: SourceMachines) -> None:
        """Network cards and power as they were before; nothing else."""
        raise NotImplementedError

    @activity.defn(no_thread_cancel_exception=True)
    def remove_source_snapshots(self, request: SnapshotSources) -> None:
        """Remove the snapshots under the mark's name; those that are gone are no error."""
        raise NotImplementedError

    @activity.defn(no_thread_cancel_exception=True)
    def retire_sources(self, request: SourceMachines) -> None:
        """Make sure that the machines are off and off the network, for good."""
        raise NotImplementedError
