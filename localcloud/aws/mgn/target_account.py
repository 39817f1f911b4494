"""The account that servers are launched into, in moto: launch templates, instances and addresses, SSM's names."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any

from moto.core.exceptions import ServiceException
from moto.ec2.models import ec2_backends
from moto.ec2.utils import filter_iam_instance_profiles
from moto.ssm.models import ssm_backends
from werkzeug.exceptions import HTTPException

from .formats import new_id
from .replication import GIB
from .servers import MANAGED_TAG, RECOMMENDED_INSTANCE_TYPE, SERVER_TAG, Machine, SourceServer
from .volumes import VolumeDefaults

_RESERVED_AT_THE_START = 4
"""Addresses at the start of every subnet that AWS keeps: https://docs.aws.amazon.com/vpc/latest/userguide/subnet-sizing.html"""


class Ec2RefusalError(Exception):
    """EC2 would not; the text is the raw error for the job's log."""

    def __init__(self, operation: str, code: str, message: str) -> None:
        super().__init__(f"An error occurred ({code}) when calling the {operation} operation: {message}")


class TargetAccount:
    """One account's EC2 in one region."""

    def __init__(self, account_id: str, region: str) -> None:
        self.account_id, self.region = account_id, region
        self._last_given: dict[str, int] = {}

    @property
    def _ec2(self) -> Any:
        return ec2_backends[self.account_id][self.region]

    def has_subnet(self, subnet_id: str) -> bool:
        return any(subnet_id in subnets for subnets in self._ec2.subnets.values())

    def default_subnet(self) -> str | None:
        """The default subnet of the first zone, where everything goes that names none."""
        by_zone = sorted(self._ec2.get_default_subnets().items())
        return str(by_zone[0][1].id) if by_zone else None

    def create_template(
        self, server_id: str, machine: Machine, at: float, volumes: VolumeDefaults, *, public_address: bool = False
    ) -> str:
        """Create the server's launch template, as the service does at registration, and return its id."""
        managed = _own_tags(server_id, machine)
        listed = [{"Key": key, "Value": value} for key, value in managed.items()]
        data = {
            "ImageId": new_id("ami"),
            "InstanceType": RECOMMENDED_INSTANCE_TYPE,
            "NetworkInterfaces": [
                {"DeviceIndex": 0, "AssociatePublicIpAddress": public_address, "DeleteOnTermination": True},
            ],
            "BlockDeviceMappings": [volumes.mapping(device, _gib(size)) for device, size in machine.disks],
            "TagSpecifications": [{"ResourceType": kind, "Tags": listed} for kind in ("instance", "volume")],
        }
        return self._create_template(server_id, data, at, {SERVER_TAG: server_id})

    def create_common_template(self, template_id: str, at: float) -> str:
        """Create the launch template of a launch configuration template, and return its id."""
        nics = [{"DeviceIndex": 0, "AssociatePublicIpAddress": False, "DeleteOnTermination": True}]
        return self._create_template(template_id, {"NetworkInterfaces": nics}, at, {})

    def _create_template(self, owner: str, data: dict[str, Any], at: float, tags: dict[str, str]) -> str:
        made = datetime.fromtimestamp(at, UTC).strftime("%d%m%y-%H%M%S")
        name = f"created-and-used-by-application-migration-service-{owner}-{made}"
        all_tags = {"launch-template": {MANAGED_TAG: "mgn.amazonaws.com"} | tags}
        return str(self._ec2.create_launch_template(name, "", data, all_tags).id)

    def add_disks(self, template_id: str, disks: Iterable[tuple[str, int]], volumes: VolumeDefaults) -> None:
        """Give a launch template a new default version that has these disks too; one that is gone stays gone."""
        template = self._ec2.launch_templates.get(template_id)
        if template is None:
            return
        data = template.default_version().data
        added = [volumes.mapping(device, _gib(size)) for device, size in disks]
        more = {"BlockDeviceMappings": [*(data.get("BlockDeviceMappings") or []), *added]}
        template.default_version_number = template.create_version({**data, **more}, "disks added").number

    def document_type(self, document: str) -> str:
        """Whether a document of Systems Manager is an AUTOMATION or a COMMAND; of those it does not know, a COMMAND."""
        try:
            described = ssm_backends[self.account_id][self.region].describe_document(document, None, None)
        except (ServiceException, HTTPException):
            return "COMMAND"
        return "AUTOMATION" if described.get("DocumentType") == "Automation" else "COMMAND"

    def has_parameter(self, name: str) -> bool:
        """Whether Systems Manager's Parameter Store has a parameter."""
        return ssm_backends[self.account_id][self.region].get_parameter(name) is not None

    def delete_template(self, template_id: str) -> None:
        """Delete a launch template; one that is gone already is no error."""
        if template_id in self._ec2.launch_templates:
            self._ec2.delete_launch_template(None, template_id)

    def instance_state(self, instance_id: str) -> str | None:
        """The state of an instance, such as `running`; None when there is none of that id."""
        instance = self._ec2.get_instance_by_id(instance_id)
        return None if instance is None else str(instance.state)

    def terminate(self, instance_id: str) -> None:
        """Terminate an instance; one that is terminated already is no error.

        Raises:
            Ec2RefusalError: It is protected, or unknown.
        """
        if self.instance_state(instance_id) == "terminated":
            return
        try:
            self._ec2.terminate_instances([instance_id])
        except ServiceException as error:
            raise Ec2RefusalError("TerminateInstances", error.code, error.message) from error

    def launch(self, server: SourceServer) -> str:
        """Launch a server by the default version of its launch template and its launch configuration.

        Returns:
            The id of the new instance.

        Raises:
            Ec2RefusalError: EC2 refuses what the template asks for.
        """
        try:
            return self._run(server)
        except ServiceException as error:
            raise Ec2RefusalError("RunInstances", error.code, error.message) from error
        except HTTPException as error:
            code = getattr(error, "error_type", "InternalError")
            raise Ec2RefusalError("RunInstances", code, getattr(error, "message", str(error))) from error

    def _run(self, server: SourceServer) -> str:
        version = self._ec2.get_launch_template(server.launch_template_id).default_version()
        data, chosen = version.data, server.launch_configuration
        nic = _primary(data.get("NetworkInterfaces") or [])
        subnet = self._subnet(nic.get("SubnetId"))
        profile = self._profile(data.get("IamInstanceProfile") or {})
        right_sized = chosen["targetInstanceTypeRightSizingMethod"] == "BASIC"
        wanted_ip = _fixed_address(nic) or (server.machine.ip if chosen["copyPrivateIp"] else None)
        groups = self._groups(nic.get("Groups") or data.get("SecurityGroupIds") or [], subnet)
        address = self._address(subnet, wanted_ip)
        tags = _tags(server, data, version)
        volumes = self._volumes(server, data, subnet.availability_zone, tags["volume"])
        instance = self._ec2.run_instances(
            data.get("ImageId") or new_id("ami"),
            1,
            version.user_data,
            [],
            instance_type=(None if right_sized else data.get("InstanceType")) or RECOMMENDED_INSTANCE_TYPE,
            is_instance_type_default=False,
            region_name=self.region,
            subnet_id=subnet.id,
            security_group_ids=groups,
            private_ip=address,
            key_name=data.get("KeyName"),
            nics=[],
            associate_public_ip=bool(nic.get("AssociatePublicIpAddress", False)),
            metadata_options=data.get("MetadataOptions") or {},
            block_device_mappings=[],
            tags={"instance": tags["instance"]},
        ).instances[0]
        for device, (volume_id, with_instance) in volumes.items():
            self._ec2.attach_volume(volume_id, instance.id, device, with_instance)
        instance.root_device_name = server.machine.disks[0][0]
        instance.placement.tenancy = (data.get("Placement") or {}).get("Tenancy") or "default"
        instance.platform = "windows" if server.machine.platform == "windows" else None
        if profile:
            self._ec2.associate_iam_instance_profile(instance.id, iam_instance_profile_arn=profile)
        if chosen["launchDisposition"] == "STOPPED":
            self._ec2.stop_instances([instance.id])
        return str(instance.id)

    def _volumes(
        self, server: SourceServer, data: Mapping[str, Any], zone: str, tags: Mapping[str, str]
    ) -> dict[str, tuple[str, bool]]:
        """A volume for each disk, at least as large: device to (id, whether it is deleted with the instance).

        moto's own block device mappings know nothing of a volume's speed, which some types demand.
        """
        asked = {each.get("DeviceName"): each.get("Ebs") or {} for each in data.get("BlockDeviceMappings") or []}
        made: dict[str, tuple[str, bool]] = {}
        try:
            for device, size in server.machine.disks:
                ebs = asked.get(device, {})
                volume = self._ec2.create_volume(
                    size=max(_gib(size), int(ebs.get("VolumeSize") or 0)),
                    zone_name=zone,
                    encrypted=True,
                    kms_key_id=server.replication_configuration.get("ebsEncryptionKeyArn"),
                    volume_type=ebs.get("VolumeType") or "gp3",
                    iops=ebs.get("Iops"),
                    throughput=ebs.get("Throughput"),
                )
                volume.add_tags(dict(tags))
                made[device] = (volume.id, ebs.get("DeleteOnTermination", True) is not False)
        except ServiceException:
            for volume_id, _ in made.values():
                self._ec2.delete_volume(volume_id)
            raise
        return made

    def _subnet(self, subnet_id: str | None) -> Any:
        chosen = subnet_id or self.default_subnet()
        if chosen is None:
            raise Ec2RefusalError("RunInstances", "VPCIdNotSpecified", "No default VPC for this user")
        return self._ec2.get_subnet(chosen)

    def _groups(self, group_ids: list[str], subnet: Any) -> list[str]:
        for group_id in group_ids:
            group = self._ec2.get_security_group_from_id(group_id)
            if group is None:
                message = f"The security group '{group_id}' does not exist"
                raise Ec2RefusalError("RunInstances", "InvalidGroup.NotFound", message)
            if group.vpc_id != subnet.vpc_id:
                message = f"Security group {group_id} and subnet {subnet.id} belong to different networks."
                raise Ec2RefusalError("RunInstances", "InvalidParameter", message)
        return group_ids or [self._ec2.get_default_security_group(subnet.vpc_id).id]

    def _profile(self, named: Mapping[str, str]) -> str | None:
        if not named:
            return None
        partition = ec2_backends[self.account_id][self.region].partition
        found = filter_iam_instance_profiles(self.account_id, partition, named.get("Arn"), named.get("Name"))
        return str(found.arn)

    def _address(self, subnet: Any, wanted: str | None) -> str:
        if wanted is not None:
            return self._claimed(subnet, wanted)
        first, size = int(subnet.cidr.network_address), subnet.cidr.num_addresses
        usable = range(first + _RESERVED_AT_THE_START, first + size - 1)
        start = self._last_given.get(subnet.id, usable.start - 1) + 1 - usable.start
        for step in range(len(usable)):
            # An address is not given again before its turn: a record that still names it must not reach another server.
            candidate = usable[(start + step) % len(usable)]
            if self._free(subnet, str(ip_address(candidate))):
                self._last_given[subnet.id] = candidate
                return str(ip_address(candidate))
        message = f"There are not enough free addresses in subnet '{subnet.id}' to satisfy the requested number."
        raise Ec2RefusalError("RunInstances", "InsufficientFreeAddressesInSubnet", message)

    def _claimed(self, subnet: Any, wanted: str) -> str:
        offset = int(ip_address(wanted)) - int(subnet.cidr.network_address)
        if not 0 <= offset < subnet.cidr.num_addresses:
            message = f"Address {wanted} does not fall within the subnet's address range"
            raise Ec2RefusalError("RunInstances", "InvalidParameterValue", message)
        if offset < _RESERVED_AT_THE_START or offset == subnet.cidr.num_addresses - 1:
            message = f"Address {wanted} is in subnet's reserved address range"
            raise Ec2RefusalError("RunInstances", "InvalidParameterValue", message)
        if not self._free(subnet, wanted):
            raise Ec2RefusalError("RunInstances", "InvalidIPAddress.InUse", f"Address {wanted} is in use.")
        return wanted

    def _free(self, subnet: Any, address: str) -> bool:
        """Whether an address can be given; one that a terminated instance still holds in moto is taken back."""
        holder = subnet._subnet_ips.get(address)  # noqa: SLF001  moto has no question for it, and answers 500
        if holder is not None and getattr(holder, "state", None) == "terminated":
            subnet.del_subnet_ip(address)
            holder = None
        return holder is None and not any(
            each.private_ip_address == address
            and each.subnet.id == subnet.id
            and (each.instance is None or each.instance.state != "terminated")
            for each in list(self._ec2.enis.values())
        )


def _primary(nics: list[dict[str, Any]]) -> dict[str, Any]:
    return next((nic for nic in nics if int(nic.get("DeviceIndex", 0)) == 0), {})


def _fixed_address(nic: Mapping[str, Any]) -> str | None:
    listed = [each["PrivateIpAddress"] for each in nic.get("PrivateIpAddresses") or [] if each.get("Primary")]
    return nic.get("PrivateIpAddress") or next(iter(listed), None)


def _gib(size: int) -> int:
    return max(1, -(-size // GIB))


def _own_tags(server_id: str, machine: Machine) -> dict[str, str]:
    return {MANAGED_TAG: "mgn.amazonaws.com", SERVER_TAG: server_id, "Name": machine.hostname}


def _tags(server: SourceServer, data: Mapping[str, Any], version: Any) -> dict[str, dict[str, str]]:
    """Tags of the instance and of its volumes: copied ones, the service's, the template's, each over the one before."""
    common = (server.tags if server.launch_configuration["copyTags"] else {}) | _own_tags(server.id, server.machine)
    tags = {"instance": dict(common), "volume": dict(common)}
    for specification in data.get("TagSpecifications") or []:
        if specification["ResourceType"] in tags:
            tags[specification["ResourceType"]] |= {tag["Key"]: tag["Value"] for tag in specification["Tags"]}
    fixed = {MANAGED_TAG: "mgn.amazonaws.com", SERVER_TAG: server.id}
    tags["instance"] |= fixed | {
        "aws:ec2launchtemplate:id": version.template.id,
        "aws:ec2launchtemplate:version": str(version.number),
    }
    tags["volume"] |= fixed
    return tags
