"""AWS Systems Manager Run Command: commands inside machines, waited for.

SendCommand takes no token. A command is found again by its comment and its lines, so the comment has to be the mark
of the effect: one that is under way or has succeeded is adopted, never sent twice.
"""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from adapters.aws import AwsSessions, aws_call
from migration.errors import Conflict, MigrationError, NotFound, SourcePreparationError, Unavailable
from migration.ports import CommandLook, CommandResult, ManagedInstance, RemoteCommands, Where

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient

_DOCUMENTS = {"linux": "AWS-RunShellScript", "windows": "AWS-RunPowerShellScript"}
_PAGE = 50
_LONGEST_COMMENT = 100
_SHORTEST_DELIVERY = 30
"""Seconds; SendCommand takes no less."""

_FIRST_LOOK, _LONGEST_LOOK = 0.1, 5.0
_INVISIBLE = timedelta(seconds=30)
"""How long an invocation may be unknown to GetCommandInvocation after SendCommand has answered."""

_GOING_ON = frozenset({"Pending", "InProgress", "Delayed", "Cancelling"})
_ADOPTED = frozenset({"Pending", "InProgress", "Success"})
_ENDED = frozenset({"Success", "Failed"})
_NOT_DELIVERED = frozenset({"DeliveryTimedOut", "Delivery Timed Out", "Undeliverable", "Terminated"})


def ssm(sessions: AwsSessions) -> Callable[[Where], RemoteCommands]:
    """Give one `Ssm` for each account, region and role."""
    known: dict[Where, Ssm] = {}
    lock = threading.Lock()

    def commands(where: Where) -> Ssm:
        with lock:
            if where not in known:
                known[where] = Ssm(sessions, where)
            return known[where]

    return commands


class Ssm:
    """Systems Manager in one account and region, as `RemoteCommands`."""

    def __init__(self, sessions: AwsSessions, where: Where) -> None:
        """Nothing is called yet."""
        self._reads: SSMClient = sessions.client("ssm", where=where)
        self._acts: SSMClient = sessions.client("ssm", where=where, once=True)

    def find(self, *, instance_id: str | None, name: str) -> ManagedInstance:
        """Find a managed instance by its id, or else by its computer name in any case.

        Raises:
            NotFound: There is none.
            Conflict: Several have the name.
        """
        if instance_id is not None:
            found = list(self._known([{"Key": "InstanceIds", "Values": [instance_id]}]))
            looked_for = instance_id
        else:
            found = [one for one in self._known([]) if one.get("ComputerName", "").lower() == name.lower()]
            looked_for = f"with the computer name {name}"
        if not found:
            raise NotFound(f"Systems Manager has no managed instance {looked_for}")
        if len(found) > 1:
            ids = ", ".join(sorted(one["InstanceId"] for one in found))
            raise Conflict(f"several managed instances {looked_for}: {ids}", action="Name the one by its id.")
        return _managed_instance(found[0])

    def run(self, instance_id: str, lines: Sequence[str], *, os: str, comment: str, within: timedelta) -> CommandResult:
        """Run shell (linux) or PowerShell (windows) lines and wait for their end.

        Args:
            instance_id: The managed instance.
            lines: The script.
            os: `linux` or `windows`.
            comment: The mark of the effect: see the module.
            within: How long the lines may take; they are ended then.

        Returns:
            The exit code and the output, whether it succeeded or not.

        Raises:
            Unavailable: The machine could not be reached.
            SourcePreparationError: The command was ended, by time or by somebody.
        """
        comment = _short(comment)
        command_id = self._under_way(instance_id, lines, comment) or self._send(instance_id, lines, os, comment, within)
        ended = self._wait(command_id, instance_id, within)
        if ended["Status"] not in _ENDED:
            raise _not_ended(ended, instance_id)
        return CommandResult(
            command_id=command_id,
            exit_code=ended.get("ResponseCode", -1),
            output=ended.get("StandardOutputContent", ""),
            error=ended.get("StandardErrorContent", ""),
        )

    # --- documents, whose end somebody else waits for ----------------------------------------------------------

    def find_command(self, instance_id: str, comment: str) -> str | None:
        """The id of the latest command that was sent there with this comment, whatever has become of it."""
        with aws_call("ListCommands"):
            latest = self._reads.list_commands(InstanceId=instance_id, MaxResults=_PAGE)["Commands"]
        return next((one["CommandId"] for one in latest if one.get("Comment") == _short(comment)), None)

    def send(
        self,
        instance_id: str,
        document: str,
        parameters: Mapping[str, Sequence[str]],
        *,
        comment: str,
        within: timedelta,
    ) -> str:
        """Send a document and return the command's id, without waiting for its end.

        Args:
            instance_id: The managed instance.
            document: The document's name.
            parameters: Its parameters.
            comment: The mark of the effect: see the module.
            within: A machine that was not reached by then never gets the command.

        Raises:
            Unavailable: The machine takes no commands now.
            MigrationExecutionError: Systems Manager refuses the document or a parameter.
        """
        try:
            with aws_call("SendCommand"):
                reply = self._acts.send_command(
                    InstanceIds=[instance_id],
                    DocumentName=document,
                    Parameters={name: list(values) for name, values in parameters.items()},
                    Comment=_short(comment),
                    TimeoutSeconds=max(_SHORTEST_DELIVERY, int(within.total_seconds())),
                )
        except NotFound as missing:
            raise _not_taken(instance_id, missing) from missing
        return reply["Command"]["CommandId"]

    def look_at(self, command_id: str, instance_id: str) -> CommandLook:
        """What has become of a command so far; one that is not visible yet is pending."""
        seen = self._invocation(command_id, instance_id, patient=True)
        return CommandLook(
            status=seen.get("StatusDetails") or seen["Status"],
            ended=seen["Status"] not in _GOING_ON,
            succeeded=seen["Status"] == "Success",
            exit_code=seen.get("ResponseCode", -1),
            output=seen.get("StandardOutputContent", ""),
            error=seen.get("StandardErrorContent", ""),
        )

    def stop(self, command_id: str, instance_id: str) -> None:
        """Ask for a command to be ended; it may have ended already, or go on all the same."""
        self._cancel(command_id, instance_id)

    def _known(self, filters: Any) -> Iterator[Mapping[str, Any]]:
        pages = self._reads.get_paginator("describe_instance_information")
        with aws_call("DescribeInstanceInformation"):
            for page in pages.paginate(Filters=filters, PaginationConfig={"PageSize": _PAGE}):
                for one in page["InstanceInformationList"]:
                    yield {**one}

    def _under_way(self, instance_id: str, lines: Sequence[str], comment: str) -> str | None:
        with aws_call("ListCommands"):
            latest = self._reads.list_commands(InstanceId=instance_id, MaxResults=_PAGE)["Commands"]
        for command in latest:
            same = command.get("Comment") == comment and command.get("Parameters", {}).get("commands") == list(lines)
            if same and command.get("Status") in _ADOPTED:
                return command["CommandId"]
        return None

    def _send(self, instance_id: str, lines: Sequence[str], os: str, comment: str, within: timedelta) -> str:
        seconds = max(1, int(within.total_seconds()))
        try:
            with aws_call("SendCommand"):
                reply = self._acts.send_command(
                    InstanceIds=[instance_id],
                    DocumentName=_DOCUMENTS[os],
                    Parameters={"commands": list(lines), "executionTimeout": [str(seconds)]},
                    Comment=comment,
                    TimeoutSeconds=max(_SHORTEST_DELIVERY, seconds),
                )
        except NotFound as missing:
            raise _not_taken(instance_id, missing) from missing
        return reply["Command"]["CommandId"]

    def _wait(self, command_id: str, instance_id: str, within: timedelta) -> Mapping[str, Any]:
        began, pause = time.monotonic(), _FIRST_LOOK
        while True:
            waited = timedelta(seconds=time.monotonic() - began)
            invocation = self._invocation(command_id, instance_id, patient=waited < _INVISIBLE)
            if invocation["Status"] not in _GOING_ON:
                return invocation
            if waited > within:
                self._cancel(command_id, instance_id)
                raise SourcePreparationError(
                    f"the command {command_id} on {instance_id} did not end within {within}",
                    action="Look on the machine what holds it up, then retry the step.",
                )
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST_LOOK)

    def _invocation(self, command_id: str, instance_id: str, *, patient: bool) -> Mapping[str, Any]:
        try:
            with aws_call("GetCommandInvocation"):
                return {**self._reads.get_command_invocation(CommandId=command_id, InstanceId=instance_id)}
        except NotFound:
            if patient:
                return {"Status": "Pending"}
            raise

    def _cancel(self, command_id: str, instance_id: str) -> None:
        try:
            with aws_call("CancelCommand"):
                self._acts.cancel_command(CommandId=command_id, InstanceIds=[instance_id])
        except MigrationError:
            # The command's own execution timeout ends it all the same.
            return


def _not_taken(instance_id: str, refusal: NotFound) -> Unavailable:
    """InvalidInstanceId is the answer for an instance that is known, but not in contact, as well."""
    return Unavailable(f"{instance_id} takes no commands now: {refusal}")


def _managed_instance(item: Mapping[str, Any]) -> ManagedInstance:
    platform = item.get("PlatformType")
    return ManagedInstance(
        id=item["InstanceId"],
        name=item.get("ComputerName", ""),
        online=item.get("PingStatus") == "Online",
        platform=platform.lower() if platform else None,
    )


def _not_ended(invocation: Mapping[str, Any], instance_id: str) -> MigrationError:
    details = invocation.get("StatusDetails") or invocation["Status"]
    words = f"the command {invocation.get('CommandId')} on {instance_id} ended as {details}"
    if details in _NOT_DELIVERED:
        return Unavailable(f"{words}: the machine could not be reached")
    return SourcePreparationError(words, action="Look on the machine, and who ended the command; then retry the step.")


def _short(comment: str) -> str:
    """Fit a comment into the 100 characters that Systems Manager takes, still one of its kind."""
    if len(comment) <= _LONGEST_COMMENT:
        return comment
    digest = hashlib.sha256(comment.encode()).hexdigest()[:12]
    return f"{comment[: _LONGEST_COMMENT - len(digest) - 1]}~{digest}"
