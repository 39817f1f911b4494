"""What is launched: by the default version of the server's launch template and by its launch configuration."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contracts.mgn_site import GIB, Site, moto_server, refused, running_site


@pytest.fixture(scope="module")
def url() -> str:
    return moto_server()


@pytest.fixture
def site(url: str) -> Iterator[Site]:
    with running_site(url) as one:
        yield one


def launched(site: Site, server_id: str) -> Any:
    job = site.launch("start_test", server_id)
    return site.instance(job["participatingServers"][0]["launchedEc2InstanceID"])


def failure(site: Site, server_id: str) -> str:
    job = site.launch("start_test", server_id)
    assert job["participatingServers"][0]["launchStatus"] == "FAILED"
    items = site.mgn.describe_job_log_items(jobID=job["jobID"])["items"]
    return str(next(item["eventData"]["rawError"] for item in items if item["event"] == "LAUNCH_FAILED"))


def tags(resource: Any) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in resource["Tags"]}


def nic(subnet: str, group: str, **more: Any) -> list[dict[str, Any]]:
    return [{"DeviceIndex": 0, "SubnetId": subnet, "Groups": [group], **more}]


def test_each_server_has_a_launch_template_of_its_own(site: Site) -> None:
    server_id = site.ready()
    template_id = site.mgn.get_launch_configuration(sourceServerID=server_id)["ec2LaunchTemplateID"]

    found = site.ec2.describe_launch_templates(LaunchTemplateIds=[template_id])["LaunchTemplates"][0]

    name = f"created-and-used-by-application-migration-service-{server_id}-150127-080000"
    assert found["LaunchTemplateName"] == name
    versions = site.ec2.describe_launch_template_versions(LaunchTemplateId=template_id)["LaunchTemplateVersions"]
    data = versions[0]["LaunchTemplateData"]
    assert data["NetworkInterfaces"][0]["AssociatePublicIpAddress"] is False
    assert data["BlockDeviceMappings"][0]["DeviceName"] == "/dev/sda"


def test_the_default_version_is_honoured_at_launch(site: Site) -> None:
    subnet, group = site.network()
    iam = site.client("iam")
    iam.create_instance_profile(InstanceProfileName="web")
    server_id = site.ready()
    site.launch_with(
        server_id,
        InstanceType="m5.xlarge",
        NetworkInterfaces=nic(subnet, group, PrivateIpAddress="10.20.1.77"),
        MetadataOptions={"HttpTokens": "required", "HttpPutResponseHopLimit": 2},
        IamInstanceProfile={"Name": "web"},
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "costCentre", "Value": "4711"}]}],
    )

    instance = launched(site, server_id)

    assert instance["InstanceType"] == "m5.xlarge"
    assert (instance["SubnetId"], instance["PrivateIpAddress"]) == (subnet, "10.20.1.77")
    assert [each["GroupId"] for each in instance["SecurityGroups"]] == [group]
    assert instance["MetadataOptions"]["HttpTokens"] == "required"
    assert instance["IamInstanceProfile"]["Arn"].endswith(":instance-profile/web")
    assert tags(instance)["costCentre"] == "4711"


def test_a_version_that_is_not_the_default_is_not_launched(site: Site) -> None:
    server_id = site.ready()
    site.launch_with(server_id, InstanceType="m5.large")
    template_id = site.mgn.get_launch_configuration(sourceServerID=server_id)["ec2LaunchTemplateID"]
    site.ec2.create_launch_template_version(
        LaunchTemplateId=template_id, LaunchTemplateData={"InstanceType": "r5.large"}
    )

    assert launched(site, server_id)["InstanceType"] == "m5.large"


def test_right_sizing_overrules_the_templates_type(site: Site) -> None:
    server_id = site.ready()
    site.launch_with(server_id, InstanceType="m5.xlarge")
    site.mgn.update_launch_configuration(sourceServerID=server_id, targetInstanceTypeRightSizingMethod="BASIC")
    recommended = site.server(server_id)["sourceProperties"]["recommendedInstanceType"]

    assert launched(site, server_id)["InstanceType"] == recommended


def test_an_instance_and_its_volumes_carry_the_services_tags(site: Site) -> None:
    server_id = site.ready(tags={"migration-id": "mig-1"})
    site.mgn.update_launch_configuration(sourceServerID=server_id, copyTags=True)

    instance = launched(site, server_id)

    expected = {
        "AWSApplicationMigrationServiceManaged": "mgn.amazonaws.com",
        "AWSApplicationMigrationServiceSourceServerID": server_id,
        "Name": "web-01",
        "migration-id": "mig-1",
    }
    assert expected.items() <= tags(instance).items()
    volume_id = instance["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
    volume = site.ec2.describe_volumes(VolumeIds=[volume_id])["Volumes"][0]
    assert expected.items() <= tags(volume).items()


def test_every_disk_gets_a_volume_of_its_size_and_the_templates_type(site: Site) -> None:
    server_id = site.ready(disks=[("/dev/sda", 8 * GIB), ("/dev/sdb", 10 * GIB + 1)])
    site.wait(3600)
    site.launch_with(
        server_id, BlockDeviceMappings=[{"DeviceName": "/dev/sdb", "Ebs": {"VolumeType": "io2", "Iops": 500}}]
    )

    instance = launched(site, server_id)

    devices = {each["DeviceName"]: each["Ebs"]["VolumeId"] for each in instance["BlockDeviceMappings"]}
    volumes = {
        volume["VolumeId"]: volume for volume in site.ec2.describe_volumes(VolumeIds=list(devices.values()))["Volumes"]
    }
    seen = {device: (volumes[one]["Size"], volumes[one]["VolumeType"]) for device, one in devices.items()}
    assert seen == {"/dev/sda": (8, "gp3"), "/dev/sdb": (11, "io2")}
    assert all(volume["Encrypted"] for volume in volumes.values())


def test_addresses_come_from_the_templates_subnet_and_are_not_given_twice(site: Site) -> None:
    subnet, group = site.network()
    addresses = set()
    for number in range(3):
        server_id = site.ready(f"web-{number}")
        site.launch_with(server_id, NetworkInterfaces=nic(subnet, group))
        addresses |= {launched(site, server_id)["PrivateIpAddress"], launched(site, server_id)["PrivateIpAddress"]}

    assert addresses == {f"10.20.1.{last}" for last in range(4, 10)}


def test_a_full_subnet_takes_back_what_terminated_instances_held(site: Site) -> None:
    subnet, group = site.network(subnet="10.20.1.0/29")
    server_id = site.ready()
    site.launch_with(server_id, NetworkInterfaces=nic(subnet, group))
    seen = [launched(site, server_id)["PrivateIpAddress"] for _ in range(4)]
    assert seen == ["10.20.1.4", "10.20.1.5", "10.20.1.6", "10.20.1.4"]


def test_the_sources_address_is_copied_when_asked(site: Site) -> None:
    subnet, group = site.network("10.1.0.0/16", "10.1.0.0/24")
    server_id = site.ready(ip="10.1.0.11")
    site.launch_with(server_id, NetworkInterfaces=nic(subnet, group))
    site.mgn.update_launch_configuration(sourceServerID=server_id, copyPrivateIp=True)

    assert launched(site, server_id)["PrivateIpAddress"] == "10.1.0.11"
    assert launched(site, server_id)["PrivateIpAddress"] == "10.1.0.11"


def test_a_stopped_disposition_leaves_the_instance_stopped(site: Site) -> None:
    server_id = site.ready()
    site.mgn.update_launch_configuration(sourceServerID=server_id, launchDisposition="STOPPED")

    assert launched(site, server_id)["State"]["Name"] == "stopped"
    assert site.server(server_id)["launchedInstance"]["firstBoot"] == "STOPPED"


def test_an_address_in_use_fails_the_launch_of_the_second(site: Site) -> None:
    subnet, group = site.network()
    first, second = site.ready("web-01"), site.ready("web-02")
    for server_id in (first, second):
        site.launch_with(server_id, NetworkInterfaces=nic(subnet, group, PrivateIpAddress="10.20.1.50"))
    launched(site, first)

    assert failure(site, second) == (
        "An error occurred (InvalidIPAddress.InUse) when calling the RunInstances operation: "
        "Address 10.20.1.50 is in use."
    )
    assert site.state(second) == "TESTING"


@pytest.mark.parametrize(
    ("template", "code"),
    [
        ({"NetworkInterfaces": [{"DeviceIndex": 0, "SubnetId": "subnet-00000000"}]}, "InvalidSubnetID.NotFound"),
        ({"NetworkInterfaces": [{"DeviceIndex": 0, "Groups": ["sg-00000000"]}]}, "InvalidGroup.NotFound"),
        ({"NetworkInterfaces": [{"DeviceIndex": 0, "PrivateIpAddress": "192.0.2.9"}]}, "InvalidParameterValue"),
        ({"IamInstanceProfile": {"Name": "nobody"}}, "NoSuchEntity"),
    ],
)
def test_what_the_template_names_wrongly_fails_the_launch(site: Site, template: Any, code: str) -> None:
    server_id = site.ready()
    site.launch_with(server_id, **template)
    assert f"({code})" in failure(site, server_id)


def test_a_security_group_of_another_network_fails_the_launch(site: Site) -> None:
    subnet, _ = site.network()
    _, other = site.network("10.30.0.0/16", "10.30.1.0/24")
    server_id = site.ready()
    site.launch_with(server_id, NetworkInterfaces=nic(subnet, other))
    assert "belong to different networks" in failure(site, server_id)


def test_a_template_that_was_deleted_fails_the_launch(site: Site) -> None:
    server_id = site.ready()
    template_id = site.mgn.get_launch_configuration(sourceServerID=server_id)["ec2LaunchTemplateID"]
    site.ec2.delete_launch_template(LaunchTemplateId=template_id)
    assert "InvalidLaunchTemplateId.NotFound" in failure(site, server_id)


def test_settings_change_only_what_is_given_and_not_during_a_job(site: Site) -> None:
    server_id = site.ready()
    before = site.mgn.get_launch_configuration(sourceServerID=server_id)

    after = site.mgn.update_launch_configuration(sourceServerID=server_id, licensing={"osByol": True})

    changed = {name for name in before if name != "ResponseMetadata" and before[name] != after[name]}
    assert changed == {"licensing"}
    site.mgn.start_test(sourceServerIDs=[server_id])
    error = refused(site.mgn.update_launch_configuration, sourceServerID=server_id, copyTags=True)
    assert error["Error"]["Code"] == "ConflictException"


def test_a_disconnected_server_has_no_launch_configuration_and_no_template(site: Site) -> None:
    server_id = site.ready()
    site.mgn.disconnect_from_service(sourceServerID=server_id)

    error = refused(site.mgn.get_launch_configuration, sourceServerID=server_id)

    assert error["Error"]["Code"] == "ResourceNotFoundException"
    assert site.ec2.describe_launch_templates()["LaunchTemplates"] == []
    assert json.dumps(site.mgn.get_replication_configuration(sourceServerID=server_id)["stagingAreaTags"]) == "{}"
