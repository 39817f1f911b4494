"""Post-launch actions: what MGN says of those that have begun, and which ones are still to come.

A participating server of a job has a `postLaunchActionsStatus` when actions are activated for that launch. It lists
those that have begun; the others are in the launch configuration and among the server's actions (API 2020-02-26).
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from adapters.aws import aws_call
from migration.ports import PostLaunchAction

if TYPE_CHECKING:
    from mypy_boto3_mgn import MgnClient

_PENDING = "PENDING"


def actions_of(client: "MgnClient", participant: Mapping[str, Any]) -> Iterator[PostLaunchAction]:
    """The actions of one participating server of a job, in the order in which they run."""
    status = participant.get("postLaunchActionsStatus")
    if status is None:
        return
    source_server_id, begun = participant["sourceServerID"], set()
    for one in status.get("postLaunchActionsLaunchStatusList", ()):
        document = one.get("ssmDocument", {})
        begun.add(document.get("actionName", ""))
        yield PostLaunchAction(
            source_server_id=source_server_id,
            name=document.get("actionName", ""),
            must_succeed=document.get("mustSucceedForCutover", False),
            status=one.get("executionStatus", _PENDING),
            failure=one.get("failureReason"),
        )
    for action in _configured(client, source_server_id):
        if action["actionName"] not in begun:
            yield PostLaunchAction(
                source_server_id=source_server_id,
                name=action["actionName"],
                must_succeed=action.get("mustSucceedForCutover", False),
                status=_PENDING,
            )


def _configured(client: "MgnClient", source_server_id: str) -> Iterator[Mapping[str, Any]]:
    with aws_call("GetLaunchConfiguration"):
        configuration = client.get_launch_configuration(sourceServerID=source_server_id)
    for document in configuration.get("postLaunchActions", {}).get("ssmDocuments", ()):
        yield {**document}
    with aws_call("ListSourceServerActions"):
        for page in client.get_paginator("list_source_server_actions").paginate(sourceServerID=source_server_id):
            for action in page["items"]:
                if action.get("active", True):
                    yield {**action}
