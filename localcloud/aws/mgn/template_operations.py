"""The operations on templates, and on the actions of templates and of servers."""

from collections.abc import Mapping
from typing import Any, TypeVar

from . import settings as configured
from .actions import Action
from .configuration_operations import check_encryption
from .exceptions import ResourceNotFoundException
from .paging import page
from .store import (
    LAUNCH_TEMPLATE,
    REPLICATION_TEMPLATE,
    SERVER,
    Store,
    found,
    refuse,
    refuse_archived,
    within_quota,
)
from .templates import LaunchTemplate, ReplicationTemplate
from .volumes import check_volume

AnyTemplate = TypeVar("AnyTemplate", LaunchTemplate, ReplicationTemplate)

_MOST_LISTED, _MOST_ACTIONS_LISTED = 200, 100
_ACTIONS_OF_A_SERVER, _ACTIONS_OF_A_TEMPLATE = "L-0E532B45", "L-322CA331"
_REPLICATION_ID, _LAUNCH_ID = "replicationConfigurationTemplateID", "launchConfigurationTemplateID"
_ACTION = "Action"


class TemplateOperations(Store):
    """Replication and launch configuration templates, and post-launch actions."""

    def create_replication_configuration_template(self, asked: dict[str, Any]) -> dict[str, Any]:
        values = _values(asked)
        check_encryption(values)
        arn = self.new_arn("replication-configuration-template", "rct")
        made = ReplicationTemplate(_id(arn), arn, self.next_serial(), values, asked.get("tags", {}))
        self.replication_templates[made.id] = made
        return made.describe()

    def update_replication_configuration_template(self, asked: dict[str, Any]) -> dict[str, Any]:
        template = found(REPLICATION_TEMPLATE, self.replication_templates, asked[_REPLICATION_ID])
        values = template.values | _values(asked)
        check_encryption(values)
        template.values = values
        return template.describe()

    def delete_replication_configuration_template(self, template_id: str) -> None:
        del self.replication_templates[found(REPLICATION_TEMPLATE, self.replication_templates, template_id).id]

    def describe_replication_configuration_templates(self, asked: dict[str, Any]) -> dict[str, Any]:
        ids = asked.get("replicationConfigurationTemplateIDs", [])
        known = _chosen(REPLICATION_TEMPLATE, self.replication_templates, ids)
        items, more = page("DescribeReplicationConfigurationTemplates", known, lambda each: each.serial, asked)
        return {"items": [each.describe() for each in items], **more}

    def create_launch_configuration_template(self, asked: dict[str, Any]) -> dict[str, Any]:
        _check_volumes(asked)
        arn = self.new_arn("launch-configuration-template", "lct")
        made = LaunchTemplate(
            id=_id(arn),
            arn=arn,
            serial=self.next_serial(),
            ec2_launch_template_id=self.ec2.create_common_template(_id(arn), self.now()),
            values=_values(asked),
            tags=asked.get("tags", {}),
        )
        self.launch_templates[made.id] = made
        return made.describe()

    def update_launch_configuration_template(self, asked: dict[str, Any]) -> dict[str, Any]:
        template = self._launch_template_of(asked)
        _check_volumes(asked)
        template.values |= _values(asked)
        return template.describe()

    def delete_launch_configuration_template(self, template_id: str) -> None:
        template = found(LAUNCH_TEMPLATE, self.launch_templates, template_id)
        self.ec2.delete_template(template.ec2_launch_template_id)
        del self.launch_templates[template_id]

    def describe_launch_configuration_templates(self, asked: dict[str, Any]) -> dict[str, Any]:
        known = _chosen(LAUNCH_TEMPLATE, self.launch_templates, asked.get("launchConfigurationTemplateIDs", []))
        name = "DescribeLaunchConfigurationTemplates"
        items, more = page(name, known, lambda each: each.serial, asked, most=_MOST_LISTED)
        return {"items": [each.describe() for each in items], **more}

    def put_source_server_action(self, asked: dict[str, Any]) -> dict[str, Any]:
        server = self.server(asked["sourceServerID"])
        refuse_archived(server)
        if server.disconnected:
            refuse("The source server is disconnected", {server.id: "is disconnected"})
        quota, what = configured.settings().quotas.actions_of_a_server, "Actions per source server"
        return self._put(server.actions, asked, (SERVER, server.id), quota, (_ACTIONS_OF_A_SERVER, what))

    def remove_source_server_action(self, asked: dict[str, Any]) -> None:
        actions = self.server(asked["sourceServerID"]).actions
        found(_ACTION, actions, asked["actionID"])
        del actions[asked["actionID"]]

    def list_source_server_actions(self, asked: dict[str, Any]) -> dict[str, Any]:
        server = self.server(asked["sourceServerID"])
        return _listed(f"ListSourceServerActions {server.id}", server.actions, asked)

    def put_template_action(self, asked: dict[str, Any]) -> dict[str, Any]:
        template = self._launch_template_of(asked)
        quota, what = configured.settings().quotas.actions_of_a_template, "Actions per template"
        owner = (LAUNCH_TEMPLATE, template.id)
        return self._put(template.actions, asked, owner, quota, (_ACTIONS_OF_A_TEMPLATE, what))

    def remove_template_action(self, asked: dict[str, Any]) -> None:
        actions = self._launch_template_of(asked).actions
        found(_ACTION, actions, asked["actionID"])
        del actions[asked["actionID"]]

    def list_template_actions(self, asked: dict[str, Any]) -> dict[str, Any]:
        template = self._launch_template_of(asked)
        return _listed(f"ListTemplateActions {template.id}", template.actions, asked)

    def _launch_template_of(self, asked: Mapping[str, Any]) -> LaunchTemplate:
        return found(LAUNCH_TEMPLATE, self.launch_templates, asked[_LAUNCH_ID])

    def _put(
        self,
        actions: dict[str, Action],
        asked: Mapping[str, Any],
        owner: tuple[str, str],
        quota: int,
        named: tuple[str, str],
    ) -> dict[str, Any]:
        """Add an action, or replace the one of that id in its place; `named` is the quota's code and name."""
        before = actions.get(asked["actionID"])
        if before is None:
            code, what = named
            within_quota(resource=owner, wanted=len(actions) + 1, quota=quota, code=code, what=what)
        action = Action.put(before.serial if before else self.next_serial(), asked)
        actions[asked["actionID"]] = action
        return dict(action.document)


def _listed(operation: str, actions: Mapping[str, Action], asked: Mapping[str, Any]) -> dict[str, Any]:
    ids = asked.get("filters", {}).get("actionIDs")
    known = [each for action_id, each in actions.items() if not ids or action_id in ids]
    items, more = page(operation, known, lambda each: each.serial, asked, most=_MOST_ACTIONS_LISTED)
    return {"items": [dict(each.document) for each in items], **more}


def _chosen(kind: str, templates: Mapping[str, AnyTemplate], ids: list[str]) -> list[AnyTemplate]:
    """The templates of those ids, or all; the operations model that an id is not found."""
    unknown = next((each for each in ids if each not in templates), None)
    if unknown:
        raise ResourceNotFoundException(kind, unknown)
    return [each for template_id, each in templates.items() if not ids or template_id in ids]


def _values(asked: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in asked.items() if name not in {_REPLICATION_ID, _LAUNCH_ID, "arn", "tags"}}


def _check_volumes(asked: Mapping[str, Any]) -> None:
    for member in ("smallVolumeConf", "largeVolumeConf"):
        check_volume(member, asked.get(member, {}))


def _id(arn: str) -> str:
    return arn.rpartition("/")[2]
