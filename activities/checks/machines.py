"""The source machines: in the hypervisor, running, and under Systems Manager's command."""

from collections.abc import Iterator

from activities.checks.hooks import runs_hooks
from activities.checks.report import critical, warning
from migration.errors import Conflict, NotFound
from migration.findings import Finding, FindingCode
from migration.ports import PowerState, RemoteCommands, SourceHypervisor, SourceMachine
from migration.request import AgentInstall, MigrationRequest, Server


def find_machines(
    request: MigrationRequest, hypervisor: SourceHypervisor, found: dict[str, SourceMachine]
) -> Iterator[Finding]:
    """Look every machine up, and put those that exist into `found`, by server name."""
    for index, server in enumerate(request.servers):
        path = f"$.source.servers[{index}]"
        try:
            machine = hypervisor.find(server.vm or server.name)
        except (NotFound, Conflict) as missing:
            yield critical(
                FindingCode.MACHINE_MISSING,
                str(missing),
                action="Correct the machine's name, or make it unique.",
                subject=server.name,
                path=f"{path}.vm",
            )
            continue
        found[server.name] = machine
        yield from _state(server, machine, path)


def _state(server: Server, machine: SourceMachine, path: str) -> Iterator[Finding]:
    if machine.power is not PowerState.ON:
        yield critical(
            FindingCode.MACHINE_POWERED_OFF,
            f"{machine.vm} is {machine.power}, so it cannot replicate",
            action="Switch the machine on.",
            subject=server.name,
            path=f"{path}.vm",
        )
        return
    if not machine.tools_running:
        yield warning(
            FindingCode.TOOLS_NOT_RUNNING,
            f"no guest tools run in {machine.vm}: at the cutover its power is cut instead of a shutdown",
            action="Start the guest tools.",
            subject=server.name,
        )
    elif server.address not in machine.addresses:
        yield warning(
            FindingCode.ADDRESS_DIFFERS,
            f"{machine.vm} has {', '.join(machine.addresses) or 'no address'}, the request says {server.address}",
            action="Make sure that the request names the right machine.",
            subject=server.name,
            path=f"{path}.address",
        )
    if machine.snapshots:
        yield warning(
            FindingCode.MACHINE_HAS_SNAPSHOTS,
            f"{machine.vm} already has {len(machine.snapshots)} snapshots, which slow its disks down",
            action="Remove the snapshots that nobody needs.",
            subject=server.name,
        )


def find_managed_instances(
    request: MigrationRequest, commands: RemoteCommands, found: dict[str, str]
) -> Iterator[Finding]:
    """Look up every machine that Systems Manager is to command, and put its id into `found`."""
    for index, server in enumerate(request.servers):
        if server.agent_install is not AgentInstall.SSM and not runs_hooks(request, server.name):
            continue
        path = f"$.source.servers[{index}].ssmInstanceId"
        try:
            instance = commands.find(instance_id=server.ssm_instance_id, name=server.name)
        except (NotFound, Conflict) as missing:
            yield critical(
                FindingCode.MANAGED_INSTANCE_MISSING,
                str(missing),
                action="Activate the machine in Systems Manager, or install the agent beforehand.",
                subject=server.name,
                path=path,
            )
            continue
        found[server.name] = instance.id
        if not instance.online:
            yield critical(
                FindingCode.MANAGED_INSTANCE_OFFLINE,
                f"{instance.id} ({instance.name}) does not answer Systems Manager",
                action="Start the SSM agent on the machine, and let it reach Systems Manager.",
                subject=server.name,
                path=path,
            )
