"""How a server is launched: MGN's launch configuration and the EC2 launch template, read back and launched from."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from adapters.mgn import Mgn
from adapters.mgn.launch import wanted_template
from migration.errors import NotFound, Unavailable
from migration.ports import LaunchTarget
from tests.contracts.aws_cloud import Cloud, local_aws

SYNCED = 60 * 60
LAUNCHED = 15 * 60
MARK = "mig-billing/1/test/1"
_machines = count(1)


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with local_aws() as cloud:
        yield cloud


@pytest.fixture
def service(cloud: Cloud) -> Mgn:
    return Mgn(cloud.sessions, cloud.where)


@pytest.fixture
def source_server_id(cloud: Cloud) -> str:
    disks = [("/dev/sda", 8 * 2**30), ("/dev/sdb", 2**30)]
    return cloud.register("billing-web-01", f"vcenter-1:{next(_machines)}", disks=disks)


@pytest.fixture
def target(cloud: Cloud) -> LaunchTarget:
    seeded = cloud.aws.seeded
    return LaunchTarget(
        name="billing-web-01",
        subnet_id=seeded.subnets["test"],
        security_group_ids=(seeded.security_groups["test"],),
        instance_type="m5.large",
        os_byol=True,
        boot_mode="uefi",
        tags={"costCentre": "4711"},
    )


def template_of(cloud: Cloud, source_server_id: str, version: str = "$Default") -> Any:
    configuration = configuration_of(cloud, source_server_id)
    return cloud.sessions.client("ec2", where=cloud.where).describe_launch_template_versions(
        LaunchTemplateId=configuration["ec2LaunchTemplateID"], Versions=[version]
    )["LaunchTemplateVersions"][0]


def configuration_of(cloud: Cloud, source_server_id: str) -> Any:
    client = cloud.sessions.client("mgn", where=cloud.where)
    return client.get_launch_configuration(sourceServerID=source_server_id)


def versions_made(cloud: Cloud, source_server_id: str) -> int:
    return len(
        cloud.calls("CreateLaunchTemplateVersion", configuration_of(cloud, source_server_id)["ec2LaunchTemplateID"])
    )


def test_the_launch_configuration_says_what_was_asked(
    cloud: Cloud, service: Mgn, source_server_id: str, target: LaunchTarget
) -> None:
    service.set_launch_target(source_server_id, target, description=MARK)
    written = configuration_of(cloud, source_server_id)
    assert written["targetInstanceTypeRightSizingMethod"] == "NONE"
    assert written["bootMode"] == "UEFI"
    assert written["licensing"] == {"osByol": True}
    assert (written["copyPrivateIp"], written["launchDisposition"]) == (False, "STARTED")


def test_the_default_version_says_what_was_asked_and_keeps_the_rest(
    cloud: Cloud, service: Mgn, source_server_id: str, target: LaunchTarget
) -> None:
    before = template_of(cloud, source_server_id)["LaunchTemplateData"]
    target = target.model_copy(update={"instance_profile": "web", "volume_type": "gp2", "tenancy": "dedicated"})
    service.set_launch_target(source_server_id, target, description=MARK)
    version = template_of(cloud, source_server_id)
    data = version["LaunchTemplateData"]
    (interface,) = data["NetworkInterfaces"]
    tags = {one["ResourceType"]: {tag["Key"]: tag["Value"] for tag in one["Tags"]} for one in data["TagSpecifications"]}
    assert version["VersionDescription"] == MARK
    assert interface["SubnetId"] == target.subnet_id
    assert interface["Groups"] == list(target.security_group_ids)
    assert interface["AssociatePublicIpAddress"] is False
    assert interface["DeleteOnTermination"] is True
    assert "PrivateIpAddress" not in interface
    assert data["InstanceType"] == "m5.large"
    assert data["IamInstanceProfile"] == {"Name": "web"}
    assert data["MetadataOptions"]["HttpTokens"] == "required"
    assert data["Placement"]["Tenancy"] == "dedicated"
    assert data["ImageId"] == before["ImageId"]
    assert [one["Ebs"]["VolumeType"] for one in data["BlockDeviceMappings"]] == ["gp2", "gp2"]
    assert [one["Ebs"]["VolumeSize"] for one in data["BlockDeviceMappings"]] == [8, 1]
    for kind in ("instance", "volume"):
        assert tags[kind].items() >= {"Name": "billing-web-01", "costCentre": "4711"}.items()
        assert tags[kind]["AWSApplicationMigrationServiceSourceServerID"] == source_server_id


def test_a_target_that_is_there_already_is_not_written_again(
    cloud: Cloud, service: Mgn, source_server_id: str, target: LaunchTarget
) -> None:
    for _ in range(2):
        service.set_launch_target(source_server_id, target, description=MARK)
    assert versions_made(cloud, source_server_id) == 1
    assert len(cloud.calls("UpdateLaunchConfiguration", source_server_id)) == 1


def test_test_and_production_follow_each_other_and_leave_nothing_behind(
    cloud: Cloud, service: Mgn, source_server_id: str, target: LaunchTarget
) -> None:
    production = target.model_copy(
        update={"subnet_id": cloud.aws.seeded.subnets["production"], "private_ip": "copy", "instance_profile": "web"}
    )
    service.set_launch_target(source_server_id, production, description=MARK)
    assert configuration_of(cloud, source_server_id)["copyPrivateIp"] is True
    service.set_launch_target(source_server_id, target, description=MARK)
    data = template_of(cloud, source_server_id)["LaunchTemplateData"]
    assert data["NetworkInterfaces"][0]["SubnetId"] == target.subnet_id
    assert "IamInstanceProfile" not in data
    assert configuration_of(cloud, source_server_id)["copyPrivateIp"] is False


def test_a_fixed_address_is_written_and_taken_out_again(
    cloud: Cloud, service: Mgn, source_server_id: str, target: LaunchTarget
) -> None:
    address = f"127.{cloud.world.network}.2.77"
    service.set_launch_target(source_server_id, target.model_copy(update={"private_ip": address}), description=MARK)
    data = template_of(cloud, source_server_id)["LaunchTemplateData"]
    assert data["NetworkInterfaces"][0]["PrivateIpAddress"] == address
    service.set_launch_target(source_server_id, target, description=MARK)
    data = template_of(cloud, source_server_id)["LaunchTemplateData"]
    assert "PrivateIpAddress" not in data["NetworkInterfaces"][0]


def test_without_an_instance_type_mgn_sizes_the_instance(
    cloud: Cloud, service: Mgn, source_server_id: str, target: LaunchTarget
) -> None:
    service.set_launch_target(source_server_id, target.model_copy(update={"instance_type": None}), description=MARK)
    assert configuration_of(cloud, source_server_id)["targetInstanceTypeRightSizingMethod"] == "BASIC"


@pytest.mark.parametrize("operation", ["CreateLaunchTemplateVersion", "ModifyLaunchTemplate"])
def test_a_lost_reply_makes_no_second_version(
    cloud: Cloud, service: Mgn, source_server_id: str, target: LaunchTarget, operation: str
) -> None:
    template = configuration_of(cloud, source_server_id)["ec2LaunchTemplateID"]
    cloud.lose_reply("ec2", operation, template)
    cloud.lose_reply("ec2", operation, template)
    with pytest.raises(Unavailable):
        service.set_launch_target(source_server_id, target, description=MARK)
    cloud.faults.clear()
    service.set_launch_target(source_server_id, target, description=MARK)
    assert versions_made(cloud, source_server_id) == 1
    assert template_of(cloud, source_server_id)["VersionNumber"] == 2


def test_a_disconnected_server_has_nothing_to_launch_from(
    service: Mgn, source_server_id: str, target: LaunchTarget
) -> None:
    service.disconnect(source_server_id)
    with pytest.raises(NotFound):
        service.set_launch_target(source_server_id, target, description=MARK)


def test_the_instance_is_as_the_target_says(
    cloud: Cloud, service: Mgn, source_server_id: str, target: LaunchTarget
) -> None:
    service.start_replication(source_server_id)
    cloud.wait(SYNCED)
    service.set_launch_target(source_server_id, target, description=MARK)
    service.start_test([source_server_id], {"migrator:mark": MARK})
    cloud.wait(LAUNCHED)
    instance_id = service.servers([source_server_id])[source_server_id].instance_id
    client = cloud.sessions.client("ec2", where=cloud.where)
    instance = client.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][0]
    tags = {tag["Key"]: tag["Value"] for tag in instance["Tags"]}
    assert (instance["SubnetId"], instance["InstanceType"]) == (target.subnet_id, "m5.large")
    assert [group["GroupId"] for group in instance["SecurityGroups"]] == list(target.security_group_ids)
    assert tags.items() >= {"Name": "billing-web-01", "costCentre": "4711"}.items()


def test_what_was_provisioned_for_another_volume_type_is_not_kept(target: LaunchTarget) -> None:
    volume = {"VolumeType": "io1", "Iops": 9000, "VolumeSize": 8}
    data = wanted_template({"BlockDeviceMappings": [{"DeviceName": "/dev/sda", "Ebs": volume}]}, target)
    assert data["BlockDeviceMappings"] == [{"DeviceName": "/dev/sda", "Ebs": {"VolumeType": "gp3", "VolumeSize": 8}}]
