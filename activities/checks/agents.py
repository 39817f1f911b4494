"""What the MGN agent needs inside each machine: one command a machine, which looks and changes nothing."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_network

from activities.checks.hooks import runs_hooks
from activities.checks.looks import answers, look_lines
from activities.running import side_by_side
from migration.errors import Conflict, NotFound, SourcePreparationError
from migration.findings import Finding, FindingCode
from migration.findings.catalogue import ROOT_FREE_MB, TEMPORARY_FREE_MB, finding
from migration.ports import CommandResult, RemoteCommands, TargetCloud
from migration.request import AgentInstall, MigrationRequest, Server

LOOK_WITHIN = timedelta(seconds=60)
LOOKS_AT_ONCE = 20
_FIRST_OF_SUBNET = 4


@dataclass(frozen=True)
class AgentLook:
    """How the machines are looked at.

    Attributes:
        mark: What the command is found again by, when its reply is lost.
        managed: Managed instance ids, by server.
        installed: Servers that need no installation any more: MGN knows their agents.
    """

    mark: str
    managed: Mapping[str, str]
    installed: frozenset[str] = frozenset()


def find_managed_instances(
    request: MigrationRequest, commands: RemoteCommands, found: dict[str, str]
) -> Iterator[Finding]:
    """Look up every machine that Systems Manager is to command, and put those online into `found`."""
    for index, server in enumerate(request.servers):
        if server.agent_install is not AgentInstall.SSM and not runs_hooks(request, server.name):
            continue
        path = f"$.source.servers[{index}].ssmInstanceId"
        try:
            instance = commands.find(instance_id=server.ssm_instance_id, name=server.name)
        except (NotFound, Conflict) as missing:
            yield finding(FindingCode.MANAGED_INSTANCE_MISSING, str(missing), subject=server.name, path=path)
            continue
        if instance.online:
            found[server.name] = instance.id
        else:
            message = f"{instance.id} ({instance.name}) does not answer Systems Manager"
            yield finding(FindingCode.MANAGED_INSTANCE_OFFLINE, message, subject=server.name, path=path)


def check_agents(
    request: MigrationRequest, commands: RemoteCommands, cloud: TargetCloud, look: AgentLook
) -> Iterator[Finding]:
    """Look into every machine that the agent is to be installed on.

    Raises:
        Unavailable: A machine could not be reached: the look is made again.
    """
    unseen = look.managed.keys() - look.installed
    servers = [one for one in request.servers if one.name in unseen and one.agent_install is AgentInstall.SSM]
    if not servers:
        return
    staging = _staging_address(request, cloud)

    def looked(server: Server) -> CommandResult | SourcePreparationError:
        lines = look_lines(server.os, request.target.region, staging)
        try:
            return commands.run(look.managed[server.name], lines, os=server.os, comment=look.mark, within=LOOK_WITHIN)
        except SourcePreparationError as ended:
            return ended

    for server, result in zip(servers, side_by_side(looked, servers, most=LOOKS_AT_ONCE), strict=True):
        if isinstance(result, SourcePreparationError):
            yield finding(FindingCode.AGENT_NOT_LOOKED_AT, f"{server.name}: {result}", subject=server.name)
            continue
        answered = answers(result.output)
        if answered is None:
            message = f"{server.name}: the look (command {result.command_id}) ended with exit code {result.exit_code}"
            yield finding(FindingCode.AGENT_NOT_LOOKED_AT, message, subject=server.name)
            continue
        yield from _judged(server.name, answered)


def _staging_address(request: MigrationRequest, cloud: TargetCloud) -> str | None:
    """The first address of the staging subnet that AWS does not keep for itself, whoever has it now."""
    subnet = cloud.subnets([request.staging_subnet_id]).get(request.staging_subnet_id)
    return str(ip_network(subnet.cidr)[_FIRST_OF_SUBNET]) if subnet else None


def _judged(server: str, answered: Mapping[str, str]) -> Iterator[Finding]:
    if answered["root"] != "yes":
        message = f"commands on {server} run without root and sudo"
        yield finding(FindingCode.AGENT_WITHOUT_ROOT, message, subject=server)
    if low := list(_low(answered)):
        yield finding(FindingCode.AGENT_SPACE_LOW, f"{server} has only {' and '.join(low)}", subject=server)
    if untold := [name for name in ("mgn", "s3") if answered[name] == "unknown"]:
        message = f"{server} has no means to show whether it reaches {_hosts(untold)}"
        yield finding(FindingCode.AGENT_NOT_LOOKED_AT, message, subject=server)
    if closed := [name for name in ("mgn", "s3") if answered[name] not in ("open", "unknown")]:
        message = f"{server} does not reach {_hosts(closed)} on TCP port 443"
        yield finding(FindingCode.AGENT_ENDPOINT_UNREACHABLE, message, subject=server)
    if answered["staging"] == "unreachable":
        message = f"{server} has no way to the staging subnet"
        yield finding(FindingCode.AGENT_STAGING_UNREACHABLE, message, subject=server)
    if answered["dhcp"] != "yes":
        message = f"{server} has no DHCP client that is known here"
        yield finding(FindingCode.AGENT_DHCP_MISSING, message, subject=server)


def _low(answered: Mapping[str, str]) -> Iterator[str]:
    for name, what, needed in (
        ("free_root", "on its system disk", ROOT_FREE_MB),
        ("free_tmp", "for temporary files", TEMPORARY_FREE_MB),
    ):
        if int(answered[name]) < needed:
            yield f"{answered[name]} MiB free {what} ({needed} are needed)"


def _hosts(names: Sequence[str]) -> str:
    words = {"mgn": "MGN's endpoint", "s3": "the bucket of MGN's agent"}
    return " and ".join(words[name] for name in names)
