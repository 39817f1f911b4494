"""Systems Manager for the machines in the data centre and those launched from them: moto's backend, taught more.

moto lacks DescribeInstanceInformation and ListCommandInvocations, and runs a command on every instance of the
account. Here a command runs on the machines it names, at once: the agent's installer registers the machine with
MGN, a look at what it needs is answered, anything else succeeds in silence. Limits are those of the SSM API reference.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult
from moto.ssm.models import Command, SimpleSystemManagerBackend
from moto.ssm.responses import SimpleSystemManagerResponse

from localcloud.aws import looks
from localcloud.aws.installer import Installation, InstallerOptionsError, find_installation
from localcloud.world import SourceMachine, World

SHELL, POWERSHELL = "AWS-RunShellScript", "AWS-RunPowerShellScript"
_PLUGINS = {SHELL: "aws:runShellScript", POWERSHELL: "aws:runPowerShellScript"}
_MAX_INSTANCES = 50
_PAGE = 10
_MAX_PAGE = 50


class SsmError(ServiceException):  # type: ignore[misc]  # moto is untyped here
    """Any error of the SSM API, by its code."""


@dataclass(frozen=True)
class Outcome:
    """How a command ended on one machine."""

    status: str
    details: str
    code: int
    output: str = ""
    error: str = ""


@dataclass(frozen=True)
class Fleet:
    """The managed machines, and what Systems Manager needs of the rest of the local cloud.

    Attributes:
        managed: All managed machines by managed instance id, and whether each is in contact.
        register: Registers the machine's agent with MGN and returns the source server's id; raises
            `ServiceException` as MGN would.
        answers: What a machine answers to a look, by its name, where that is not what it should be.
    """

    world: World
    managed: Callable[[], Mapping[str, tuple[SourceMachine, bool]]]
    register: Callable[[SourceMachine, Installation], str]
    answers: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def machines(self, account_id: str, region: str) -> Mapping[str, SourceMachine]:
        """The machines that this account manages in this region, by managed instance id."""
        if (account_id, region) != (self.world.account_id, self.world.region):
            return {}
        return {managed_id: machine for managed_id, (machine, _) in self.managed().items()}

    def online(self, machine: SourceMachine) -> bool:
        """Whether the machine is in contact."""
        known = self.managed().get(machine.managed_instance_id)
        return known is not None and known[1]

    def run(self, machine: SourceMachine, document: str, lines: Sequence[str]) -> Outcome:
        """Run a script on one machine; one that is off never gets it."""
        if not self.online(machine):
            return Outcome("TimedOut", "DeliveryTimedOut", -1)
        if looks.is_look(lines):
            return Outcome("Success", "Success", 0, looks.answer(self.answers.get(machine.name, {})))
        try:
            installation = find_installation(lines, windows=document == POWERSHELL)
            output = self._install(machine, installation) if installation else ""
        except (InstallerOptionsError, ServiceException) as error:
            return Outcome("Failed", "Failed", 1, _FAILED, f"Error details: {error}\n")
        return Outcome("Success", "Success", 0, output)

    def _install(self, machine: SourceMachine, installation: Installation) -> str:
        source_server_id = self.register(machine, installation)
        return _INSTALLED.format(
            device=disks(machine)[0][0],
            gib=disks(machine)[0][1] // 2**30,
            source_server_id=source_server_id,
        )


_FAILED = "The installation of the AWS Replication Agent has started.\nInstallation failed.\n"
_INSTALLED = """\
The installation of the AWS Replication Agent has started.
Identifying volumes for replication.
Identified volume for replication: {device} of size {gib} GiB
All volumes for replication were successfully identified.
Downloading the AWS Replication Agent onto the source server...
Finished.
Installing the AWS Replication Agent onto the source server...
Finished.
Syncing the source server with the Application Migration Service Console...
Finished.
The following is the source server ID: {source_server_id}.
The AWS Replication Agent was successfully installed.
"""


def disks(machine: SourceMachine) -> list[tuple[str, int]]:
    """The disks that the agent finds: device and bytes."""
    return [("c:0" if machine.os == "windows" else "/dev/sda", 8 * 2**30)]


def install(fleet: Fleet) -> None:
    """Teach moto's Systems Manager this fleet, in place of any earlier one."""

    def send_command(self: Any, **request: Any) -> Any:
        machines = _chosen(fleet.machines(self.account_id, self.region_name), request)
        document, lines = _script(request, machines.values())
        # moto would add every instance of the account to these
        alone = request | {"instance_ids": [], "targets": []}
        command = Command(account_id=self.account_id, backend_region=self.region_name, **alone)
        command.instance_ids, command.targets = list(machines), request["targets"] or []
        command.target_count = command.completed_count = len(machines)
        command.invocations = []
        for instance_id, machine in machines.items():
            outcome = fleet.run(machine, document, lines)
            command.invocations.append(_invocation(command, instance_id, _PLUGINS[document], outcome))
        command.error_count = sum(invocation["Status"] != "Success" for invocation in command.invocations)
        command.status = command.status_details = "Failed" if command.error_count else "Success"
        self._commands.append(command)
        return command

    def describe_instance_information(self: Any) -> Any:
        machines = fleet.machines(self.current_account, self.region).values()
        rows = [_information(machine, online=fleet.online(machine)) for machine in machines]
        page, token = _page(_filtered(rows, _filters(self)), self)
        return ActionResult({"InstanceInformationList": page} | token)

    SimpleSystemManagerBackend.send_command = send_command
    SimpleSystemManagerResponse.describe_instance_information = describe_instance_information
    SimpleSystemManagerResponse.list_command_invocations = _list_command_invocations


def _chosen(machines: Mapping[str, SourceMachine], request: Mapping[str, Any]) -> Mapping[str, SourceMachine]:
    ids = list(request["instance_ids"] or [])
    for target in request["targets"] or []:
        if target["Key"] != "InstanceIds":
            raise SsmError("InvalidParameters", f"Targets by {target['Key']} select nothing here")
        ids += target["Values"]
    if len(ids) != len(set(ids)):
        raise SsmError("DuplicateInstanceId", "The same instance is given twice")
    if len(ids) > _MAX_INSTANCES:
        raise SsmError("ValidationException", f"{len(ids)} instances given, at most {_MAX_INSTANCES} are allowed")
    if not ids or not machines.keys() >= set(ids):
        unknown = ", ".join(sorted(set(ids) - machines.keys()))
        raise SsmError("InvalidInstanceId", f"Instances [[{unknown}]] not in a valid state for account")
    return {instance_id: machines[instance_id] for instance_id in ids}


def _script(request: Mapping[str, Any], machines: Any) -> tuple[str, Sequence[str]]:
    document, lines = request["document_name"], request["parameters"].get("commands")
    if document not in _PLUGINS:
        raise SsmError("InvalidDocument", f"Document with name {document} does not exist.")
    if not lines:
        raise SsmError("InvalidParameters", f"Document {document} needs the parameter commands")
    if document == SHELL and any(machine.os == "windows" for machine in machines):
        raise SsmError("UnsupportedPlatformType", f"{document} does not run on Windows")
    return document, lines


def _invocation(command: Any, instance_id: str, plugin: str, outcome: Outcome) -> dict[str, Any]:
    return command.invocation_response(instance_id, plugin) | {  # type: ignore[no-any-return]  # moto is untyped here
        "Status": outcome.status,
        "StatusDetails": outcome.details,
        "ResponseCode": outcome.code,
        "StandardOutputContent": outcome.output,
        "StandardErrorContent": outcome.error,
        "ExecutionElapsedTime": "PT0.1S",
        "ExecutionEndDateTime": command.requested_date_time.isoformat(),
    }


def _list_command_invocations(self: Any) -> Any:
    commands = self.ssm_backend.list_commands(self._get_param("CommandId"), self._get_param("InstanceId"))
    instance_id, details = self._get_param("InstanceId"), self._get_param("Details")
    rows = [
        _listed(command, invocation, details=bool(details))
        for command in commands
        for invocation in command.invocations
        if instance_id in (None, invocation["InstanceId"])
    ]
    page, token = _page(rows, self)
    return ActionResult({"CommandInvocations": page} | token)


def _listed(command: Any, invocation: Mapping[str, Any], *, details: bool) -> dict[str, Any]:
    names = ("CommandId", "InstanceId", "Comment", "DocumentName", "Status", "StatusDetails")
    row = {name: invocation[name] for name in names} | {"RequestedDateTime": command.requested_date_time}
    plugin = {
        "Name": invocation["PluginName"],
        "Status": invocation["Status"],
        "ResponseCode": invocation["ResponseCode"],
        "Output": invocation["StandardOutputContent"] + invocation["StandardErrorContent"],
    }
    return row | {"CommandPlugins": [plugin] if details else []}


def _information(machine: SourceMachine, *, online: bool) -> dict[str, Any]:
    windows = machine.os == "windows"
    return {
        "InstanceId": machine.managed_instance_id,
        "PingStatus": "Online" if online else "ConnectionLost",
        "LastPingDateTime": datetime.now(UTC),
        "AgentVersion": "3.3.2299.0",
        "PlatformType": "Windows" if windows else "Linux",
        "PlatformName": "Microsoft Windows Server 2022 Datacenter" if windows else "Ubuntu",
        "PlatformVersion": "10.0.20348" if windows else "22.04",
        "ResourceType": "ManagedInstance" if machine.managed_instance_id.startswith("mi-") else "EC2Instance",
        "Name": machine.name,
        "ComputerName": machine.name,
        "IPAddress": machine.address,
    }


_FILTERED = {
    "InstanceIds": "InstanceId",
    "ResourceType": "ResourceType",
    "PingStatus": "PingStatus",
    "PlatformTypes": "PlatformType",
}


def _filters(response: Any) -> list[tuple[str, list[str]]]:
    new = [(item["Key"], item["Values"]) for item in response._get_param("Filters") or []]  # noqa: SLF001  moto's way
    old = response._get_param("InstanceInformationFilterList") or []  # noqa: SLF001  moto's way
    return new + [(item["key"], item["valueSet"]) for item in old]


def _filtered(rows: list[dict[str, Any]], filters: list[tuple[str, list[str]]]) -> list[dict[str, Any]]:
    if unknown := [key for key, _ in filters if key not in _FILTERED]:
        raise SsmError("InvalidFilterKey", f"no filter {unknown[0]} here")
    return [row for row in rows if all(row[_FILTERED[key]] in values for key, values in filters)]


def _page(rows: list[dict[str, Any]], response: Any) -> tuple[list[dict[str, Any]], dict[str, str]]:
    size = response._get_param("MaxResults") or _PAGE  # noqa: SLF001  moto's way
    token = response._get_param("NextToken") or "0"  # noqa: SLF001  moto's way
    if not 1 <= size <= _MAX_PAGE:
        raise SsmError("ValidationException", f"MaxResults must be at most {_MAX_PAGE}")
    if not token.isdecimal() or int(token) > len(rows):
        raise SsmError("InvalidNextToken", "The specified token isn't valid.")
    start = int(token)
    later = {"NextToken": str(start + size)} if start + size < len(rows) else {}
    return rows[start : start + size], later
