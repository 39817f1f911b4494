"""The source machines: agent, power, network cards, snapshots."""

from dataclasses import dataclass
from datetime import timedelta

from temporalio import activity

from activities.agent import (
    INSTALL_WITHIN,
    INSTALLED_AT_ONCE,
    installer_lines,
    refuse_failed_installation,
)
from activities.errors import translated
from activities.machines import RETIRE_WITHIN, Machines, find_if_any, snapshot_name
from activities.prerequisites import SourceFacts
from activities.replicating import is_registered
from activities.running import acting, side_by_side
from migration.errors import CutoverError, MigrationExecutionError, RollbackError, SourcePreparationError
from migration.marks import Mark, user_provided_id
from migration.models import Model
from migration.ports import Commands, Hypervisors, PowerState, Replication, Where


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
    """Guest shutdown; power off what still runs after `within`; then unplug the network cards if asked.

    `ask_guests` False: hooks have stopped the application, and the power is cut at once.
    """

    within: timedelta
    disconnect_nics: bool
    ask_guests: bool = True


class SnapshotSources(SourceMachines):
    """Take, find or remove the snapshot that carries the mark."""

    mark: Mark


@dataclass
class Sources:
    """What is done to source machines."""

    hypervisors: Hypervisors
    commands: Commands
    replication: Replication
    act_bound: timedelta
    poll: timedelta

    @activity.defn(no_thread_cancel_exception=True)
    @translated(SourcePreparationError)
    def install_agents(self, request: InstallAgents) -> None:
        """Run the installer where MGN does not know the machine yet."""
        known = self.replication(request.where).find([target.user_provided_id for target in request.targets])
        missing = [target for target in request.targets if not is_registered(known.get(target.user_provided_id))]
        commands = self.commands(request.where)
        with acting(self.act_bound) as attempt:

            def install(target: AgentTarget) -> None:
                attempt.before_call()
                lines = installer_lines(target.os, request.where.region, target.user_provided_id)
                result = commands.run(
                    target.managed_instance_id, lines, os=target.os, comment=str(request.mark), within=INSTALL_WITHIN
                )
                refuse_failed_installation(target.server, result)

            side_by_side(install, missing, most=INSTALLED_AT_ONCE)

    @activity.defn(no_thread_cancel_exception=True)
    @translated(CutoverError)
    def shut_down_sources(self, request: ShutDownSources) -> None:
        """Fence the source: off, and off the network; returns when the hypervisor says so."""
        hypervisor = self.hypervisors(request.connection)
        with acting(self.act_bound) as attempt:
            machines = Machines(hypervisor, attempt, [source.vm for source in request.sources], self.poll)
            machines.switch_off(request.within, ask=request.ask_guests)
            if request.disconnect_nics:
                machines.unplug()

    @activity.defn(no_thread_cancel_exception=True)
    @translated(CutoverError)
    def snapshot_sources(self, request: SnapshotSources) -> None:
        """Snapshot each (powered off) machine under the mark's name, once."""
        hypervisor, name = self.hypervisors(request.connection), snapshot_name(request.mark)
        with acting(self.act_bound) as attempt:
            for source in request.sources:
                machine = hypervisor.find(source.vm)
                if name in machine.snapshots:
                    continue
                if machine.power is not PowerState.OFF:
                    raise CutoverError(f"{source.vm} is {machine.power}, and is snapshotted only when powered off")
                attempt.before_call()
                hypervisor.create_snapshot(source.vm, name, f"Taken before the cutover of {request.mark.migration_id}")

    @activity.defn(no_thread_cancel_exception=True)
    @translated(RollbackError)
    def restore_sources(self, request: SourceMachines) -> None:
        """Network cards and power as they were before; nothing else."""
        hypervisor = self.hypervisors(request.connection)
        with acting(self.act_bound) as attempt:
            for source in request.sources:
                Machines(hypervisor, attempt, [source.vm], self.poll).plug(source.connected_macs)
            on = [source.vm for source in request.sources if source.powered_on]
            Machines(hypervisor, attempt, on, self.poll).switch_on()

    @activity.defn(no_thread_cancel_exception=True)
    @translated(RollbackError)
    def remove_source_snapshots(self, request: SnapshotSources) -> None:
        """Remove the snapshots under the mark's name; those that are gone are no error."""
        hypervisor, name = self.hypervisors(request.connection), snapshot_name(request.mark)
        with acting(self.act_bound) as attempt:
            for source in request.sources:
                machine = find_if_any(hypervisor, source.vm)
                if machine is not None and name in machine.snapshots:
                    attempt.before_call()
                    hypervisor.remove_snapshot(source.vm, name)

    @activity.defn(no_thread_cancel_exception=True)
    @translated(MigrationExecutionError)
    def retire_sources(self, request: SourceMachines) -> None:
        """Make sure that the machines are off and off the network, for good."""
        hypervisor = self.hypervisors(request.connection)
        there = [source.vm for source in request.sources if find_if_any(hypervisor, source.vm) is not None]
        with acting(self.act_bound) as attempt:
            machines = Machines(hypervisor, attempt, there, self.poll)
            machines.switch_off(RETIRE_WITHIN)
            machines.unplug()

    @activity.defn(no_thread_cancel_exception=True)
    @translated(MigrationExecutionError)
    def delete_sources(self, request: SourceMachines) -> None:
        """Delete the machines with their disks, those of our connection and uuid alone; those that are gone are done.

        A machine that runs is not switched off: somebody has put it to use again, and is asked.
        """
        hypervisor = self.hypervisors(request.connection)
        with acting(self.act_bound) as attempt:
            for source in request.sources:
                attempt.before_call()
                hypervisor.delete(source.vm, _machine_uuid(request.connection, source))


def _machine_uuid(connection: str, source: SourceFacts) -> str:
    return source.user_provided_id.removeprefix(user_provided_id(connection, ""))
