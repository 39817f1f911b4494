"""How a server is launched: MGN's launch configuration, and the default version of its EC2 launch template.

MGN launches the template's default version. A new version is always written whole: what a `SourceVersion` fills in
differs from one implementation to another. BASIC right-sizing overwrites the template's instance type at every launch.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from adapters.aws import aws_call
from migration.errors import NotFound, Unavailable
from migration.ports import LaunchTarget

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_mgn import MgnClient

COPY = "copy"
_BOOT_MODES = {"useSource": "USE_SOURCE", "legacyBios": "LEGACY_BIOS", "uefi": "UEFI"}
_TAGGED = ("instance", "volume")
_LONGEST_DESCRIPTION = 255
_INTERFACE_OWNS = ("SecurityGroups", "SecurityGroupIds")
_ADDRESSES = ("PrivateIpAddress", "PrivateIpAddresses", "SecondaryPrivateIpAddressCount")


class LaunchSettings:
    """The launch settings of source servers in one account and region."""

    def __init__(self, reads: "MgnClient", ec2: "EC2Client", ec2_acts: "EC2Client") -> None:
        """Take MGN's client, and EC2's for looks and for calls that must not repeat themselves."""
        self._mgn = reads
        self._ec2 = ec2
        self._ec2_acts = ec2_acts

    def write(self, source_server_id: str, target: LaunchTarget, description: str) -> None:
        """Write both where they differ, and read both back.

        Raises:
            NotFound: The server, or its launch template: a disconnected server has none.
            Unavailable: What was written is not there yet.
        """
        configuration = self._read(source_server_id)
        wanted = wanted_configuration(target)
        if _differs(configuration, wanted):
            with aws_call("UpdateLaunchConfiguration"):
                self._mgn.update_launch_configuration(sourceServerID=source_server_id, **wanted)
            if _differs(self._read(source_server_id), wanted):
                raise Unavailable(f"the launch configuration of {source_server_id} does not show what was written yet")
        template = configuration.get("ec2LaunchTemplateID")
        if not template:
            raise NotFound(f"{source_server_id} has no EC2 launch template")
        self._write_template(template, target, description)

    def _read(self, source_server_id: str) -> Mapping[str, Any]:
        with aws_call("GetLaunchConfiguration"):
            return dict(self._mgn.get_launch_configuration(sourceServerID=source_server_id))

    def _write_template(self, template: str, target: LaunchTarget, description: str) -> None:
        current = self._version(template, "$Default")
        wanted = wanted_template(current["LaunchTemplateData"], target)
        if _alike(current["LaunchTemplateData"], wanted):
            return
        latest = self._version(template, "$Latest")
        # The latest version is what we want when only the reply, or only the last call, got lost.
        number = latest["VersionNumber"] if _alike(latest["LaunchTemplateData"], wanted) else None
        if number is None:
            number = self._create_version(template, wanted, description)
        with aws_call("ModifyLaunchTemplate"):
            self._ec2.modify_launch_template(LaunchTemplateId=template, DefaultVersion=str(number))
        if not _alike(self._version(template, "$Default")["LaunchTemplateData"], wanted):
            raise Unavailable(f"the default version of launch template {template} is not what was written yet")

    def _version(self, template: str, version: str) -> Mapping[str, Any]:
        with aws_call("DescribeLaunchTemplateVersions"):
            found = self._ec2.describe_launch_template_versions(LaunchTemplateId=template, Versions=[version])
        if not found["LaunchTemplateVersions"]:
            raise NotFound(f"launch template {template} has no version {version}")
        one: dict[str, Any] = dict(found["LaunchTemplateVersions"][0])
        return one | {"LaunchTemplateData": _writable(one["LaunchTemplateData"], self._data_shape())}

    def _create_version(self, template: str, data: Any, description: str) -> int:
        with aws_call("CreateLaunchTemplateVersion"):
            created = self._ec2_acts.create_launch_template_version(
                LaunchTemplateId=template,
                VersionDescription=description[:_LONGEST_DESCRIPTION],
                LaunchTemplateData=data,
            )
        return created["LaunchTemplateVersion"]["VersionNumber"]

    def _data_shape(self) -> Any:
        operation = self._ec2.meta.service_model.operation_model("CreateLaunchTemplateVersion")
        return operation.input_shape.members["LaunchTemplateData"]  # type: ignore[union-attr]  # it has an input


def wanted_configuration(target: LaunchTarget) -> dict[str, Any]:
    """MGN's side of a launch target."""
    return {
        "launchDisposition": "STARTED",
        "targetInstanceTypeRightSizingMethod": "NONE" if target.instance_type else "BASIC",
        "copyPrivateIp": target.private_ip == COPY,
        "licensing": {"osByol": target.os_byol},
        "bootMode": _BOOT_MODES[target.boot_mode],
    }


def wanted_template(current: Mapping[str, Any], target: LaunchTarget) -> dict[str, Any]:
    """EC2's side of a launch target: the whole data of a version, from what the template says now."""
    data = {name: value for name, value in current.items() if name not in _INTERFACE_OWNS}
    data.pop("IamInstanceProfile", None)
    if target.instance_type:
        data["InstanceType"] = target.instance_type
    if target.instance_profile:
        data["IamInstanceProfile"] = _profile(target.instance_profile)
    data["NetworkInterfaces"] = [_interface(next(iter(current.get("NetworkInterfaces", ())), {}), target)]
    data["MetadataOptions"] = current.get("MetadataOptions", {}) | {"HttpTokens": target.http_tokens}
    data["Placement"] = current.get("Placement", {}) | {"Tenancy": target.tenancy}
    if devices := current.get("BlockDeviceMappings"):
        data["BlockDeviceMappings"] = [_device(device, target.volume_type) for device in devices]
    data["TagSpecifications"] = _tagged(current.get("TagSpecifications", ()), target)
    return data


def _profile(name: str) -> dict[str, str]:
    return {"Arn": name} if name.startswith("arn:") else {"Name": name}


def _interface(current: Mapping[str, Any], target: LaunchTarget) -> dict[str, Any]:
    kept = {name: value for name, value in current.items() if name not in _ADDRESSES}
    fixed = target.private_ip if target.private_ip != COPY else None
    return {
        **kept,
        "DeviceIndex": 0,
        "SubnetId": target.subnet_id,
        "Groups": list(target.security_group_ids),
        "AssociatePublicIpAddress": False,
        **({"PrivateIpAddress": fixed} if fixed else {}),
    }


def _device(device: Mapping[str, Any], volume_type: str) -> dict[str, Any]:
    volume = device.get("Ebs")
    if not volume or volume.get("VolumeType") == volume_type:
        return dict(device)
    # What was provisioned for one type may be refused, or dear, for another.
    kept = {name: value for name, value in volume.items() if name not in {"Iops", "Throughput"}}
    return {**device, "Ebs": kept | {"VolumeType": volume_type}}


def _tagged(current: Iterable[Mapping[str, Any]], target: LaunchTarget) -> list[dict[str, Any]]:
    before = {one["ResourceType"]: {tag["Key"]: tag["Value"] for tag in one.get("Tags", ())} for one in current}
    for kind in _TAGGED:
        before[kind] = before.get(kind, {}) | {"Name": target.name} | dict(target.tags)
    return [
        {"ResourceType": kind, "Tags": [{"Key": key, "Value": value} for key, value in sorted(tags.items())]}
        for kind, tags in sorted(before.items())
    ]


def _writable(value: Any, shape: Any) -> Any:
    """Leave out what a template's description has and its creation does not take."""
    if shape.type_name == "structure":
        return {name: _writable(one, shape.members[name]) for name, one in value.items() if name in shape.members}
    if shape.type_name == "list":
        return [_writable(one, shape.member) for one in value]
    return value


def _differs(current: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return any(current.get(name) != value for name, value in wanted.items())


def _alike(one: Any, other: Any) -> bool:
    """Compare two template data, in which the order of tags, groups and devices means nothing."""
    return bool(_sorted(one) == _sorted(other))


def _sorted(value: Any) -> Any:
    if isinstance(value, Mapping):
        return sorted((name, _sorted(one)) for name, one in value.items())
    if isinstance(value, list | tuple):
        return sorted((_sorted(one) for one in value), key=repr)
    return value
