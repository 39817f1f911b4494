"""The templates that newly registered servers take their configurations from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .actions import Action
from .volumes import VolumeDefaults


@dataclass
class ReplicationTemplate:
    """A replication configuration template; `values` are the members of the service model that are set."""

    id: str
    arn: str
    serial: int
    values: dict[str, Any]
    tags: dict[str, str]

    def describe(self) -> dict[str, Any]:
        own = {"replicationConfigurationTemplateID": self.id, "arn": self.arn, "tags": dict(self.tags)}
        return {**self.values, **own}


@dataclass
class LaunchTemplate:
    """A launch configuration template; `values` are the members of the service model that are set."""

    id: str
    arn: str
    serial: int
    ec2_launch_template_id: str
    values: dict[str, Any]
    tags: dict[str, str]
    actions: dict[str, Action] = field(default_factory=dict)

    def describe(self) -> dict[str, Any]:
        own = {
            "launchConfigurationTemplateID": self.id,
            "arn": self.arn,
            "ec2LaunchTemplateID": self.ec2_launch_template_id,
            "tags": dict(self.tags),
        }
        return {**self.values, **own}

    @property
    def volumes(self) -> VolumeDefaults:
        return VolumeDefaults(
            small_up_to=self.values.get("smallVolumeMaxSize", 0),
            small=_of_a_server(self.values.get("smallVolumeConf", {})),
            large=_of_a_server(self.values.get("largeVolumeConf", {})),
        )


def _of_a_server(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """A template's LaunchTemplateDiskConf as a server's SourceServerVolumeConfiguration."""
    goes = configuration.get("deleteOnTermination")
    return {**configuration} | ({} if goes is None else {"deleteOnTermination": "ENABLED" if goes else "DISABLED"})
