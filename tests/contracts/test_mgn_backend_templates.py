"""MGN's templates: what newly registered servers begin with; and what later disks become."""

from collections.abc import Iterator
from typing import Any

import pytest

from localcloud.aws.mgn import Quotas
from tests.contracts.mgn_cases import ACTION, REPLICATION_TEMPLATE
from tests.contracts.mgn_site import GIB, SYNCED, Site, moto_server, refused, running_site


@pytest.fixture(scope="module")
def url() -> str:
    return moto_server()


@pytest.fixture
def site(url: str) -> Iterator[Site]:
    with running_site(url) as one:
        yield one


def template_data(site: Site, server_id: str) -> Any:
    template_id = site.mgn.get_launch_configuration(sourceServerID=server_id)["ec2LaunchTemplateID"]
    found = site.ec2.describe_launch_template_versions(LaunchTemplateId=template_id, Versions=["$Default"])
    return found["LaunchTemplateVersions"][0]["LaunchTemplateData"]


def mappings(site: Site, server_id: str) -> dict[str, Any]:
    return {each["DeviceName"]: each["Ebs"] for each in template_data(site, server_id)["BlockDeviceMappings"]}


def test_a_server_begins_with_the_replication_template(site: Site) -> None:
    site.mgn.create_replication_configuration_template(
        **REPLICATION_TEMPLATE | {"replicationServerInstanceType": "m5.large", "bandwidthThrottling": 50}
    )

    chosen = site.mgn.get_replication_configuration(sourceServerID=site.register())

    assert (chosen["replicationServerInstanceType"], chosen["bandwidthThrottling"]) == ("m5.large", 50)
    assert chosen["stagingAreaSubnetId"] == REPLICATION_TEMPLATE["stagingAreaSubnetId"]
    assert [disk["isBootDisk"] for disk in chosen["replicatedDisks"]] == [True]


def test_a_server_begins_with_the_launch_template(site: Site) -> None:
    site.mgn.create_launch_configuration_template(
        launchDisposition="STOPPED",
        targetInstanceTypeRightSizingMethod="NONE",
        copyTags=True,
        bootMode="UEFI",
        associatePublicIpAddress=True,
        postLaunchActions={"deployment": "CUTOVER_ONLY"},
        smallVolumeMaxSize=10,
        smallVolumeConf={"volumeType": "gp2", "deleteOnTermination": False},
        largeVolumeConf={"volumeType": "io2", "iops": 500},
    )

    server_id = site.register(disks=[("/dev/sda", 10 * GIB), ("/dev/sdb", 11 * GIB)])

    chosen = site.mgn.get_launch_configuration(sourceServerID=server_id)
    assert (chosen["launchDisposition"], chosen["bootMode"], chosen["copyTags"]) == ("STOPPED", "UEFI", True)
    assert chosen["postLaunchActions"] == {"deployment": "CUTOVER_ONLY"}
    assert mappings(site, server_id) == {
        "/dev/sda": {"VolumeType": "gp2", "VolumeSize": 10, "DeleteOnTermination": False},
        "/dev/sdb": {"VolumeType": "io2", "Iops": 500, "VolumeSize": 11, "DeleteOnTermination": True},
    }
    assert template_data(site, server_id)["NetworkInterfaces"][0]["AssociatePublicIpAddress"] is True
    defaults = site.mgn.get_launch_configuration_defaults(sourceServerID=server_id)
    assert (defaults["smallVolumeMaxSize"], defaults["smallVolumeConfiguration"]) == (
        10,
        {"volumeType": "gp2", "deleteOnTermination": "DISABLED"},
    )


def test_a_template_changes_nothing_for_servers_that_are_there(site: Site) -> None:
    server_id = site.register()
    before = site.mgn.get_launch_configuration(sourceServerID=server_id)
    created = site.mgn.create_launch_configuration_template(copyTags=True)

    after = site.mgn.get_launch_configuration(sourceServerID=server_id)

    assert before["copyTags"] is after["copyTags"] is False
    found = site.ec2.describe_launch_templates(LaunchTemplateIds=[created["ec2LaunchTemplateID"]])["LaunchTemplates"]
    assert len(found) == 1
    site.mgn.delete_launch_configuration_template(
        launchConfigurationTemplateID=created["launchConfigurationTemplateID"]
    )
    assert len(site.ec2.describe_launch_templates()["LaunchTemplates"]) == 1


@pytest.mark.parametrize(
    ("kind", "first", "change"),
    [
        ("replication", REPLICATION_TEMPLATE, {"bandwidthThrottling": 9}),
        ("launch", {"copyTags": True}, {"bootMode": "UEFI"}),
    ],
)
def test_a_template_is_made_changed_tagged_and_deleted(
    site: Site, kind: str, first: dict[str, Any], change: dict[str, Any]
) -> None:
    name, member = f"{kind}_configuration_template", f"{kind}ConfigurationTemplateID"
    made = getattr(site.mgn, f"create_{name}")(**first, tags={"a": "b"})
    template_id = made[member]
    assert made["arn"].endswith(f":{kind}-configuration-template/{template_id}")

    changed = getattr(site.mgn, f"update_{name}")(**{member: template_id}, **change)
    site.mgn.tag_resource(resourceArn=made["arn"], tags={"c": "d"})

    listed = getattr(site.mgn, f"describe_{name}s")(**{member + "s": [template_id]})["items"]
    assert len(listed) == 1
    for field, value in (first | change).items():
        assert changed[field] == listed[0][field] == value
    assert listed[0]["tags"] == {"a": "b", "c": "d"}
    getattr(site.mgn, f"delete_{name}")(**{member: template_id})
    assert getattr(site.mgn, f"describe_{name}s")()["items"] == []


def test_custom_encryption_needs_a_key_and_default_encryption_drops_it(site: Site) -> None:
    key = f"arn:aws:kms:eu-central-1:{site.account}:key/1"
    create, update = (
        site.mgn.create_replication_configuration_template,
        site.mgn.update_replication_configuration_template,
    )
    made = create(**REPLICATION_TEMPLATE | {"ebsEncryption": "CUSTOM", "ebsEncryptionKeyArn": key})
    assert made["ebsEncryptionKeyArn"] == key
    template = {"replicationConfigurationTemplateID": made["replicationConfigurationTemplateID"]}
    assert "ebsEncryptionKeyArn" not in update(**template, ebsEncryption="DEFAULT")
    error = refused(update, **template, ebsEncryption="CUSTOM")
    assert [field["name"] for field in error["fieldList"]] == ["ebsEncryptionKeyArn"]


def test_a_servers_defaults_are_replaced_whole_and_cleared_by_an_empty_one(site: Site) -> None:
    server_id = site.register()
    update = site.mgn.update_launch_configuration_defaults
    update(sourceServerID=server_id, largeVolumeConfiguration={"volumeType": "gp3", "iops": 4000})
    kept = update(sourceServerID=server_id, smallVolumeMaxSize=5)
    assert kept["largeVolumeConfiguration"] == {"volumeType": "gp3", "iops": 4000}
    assert "smallVolumeConfiguration" not in kept
    replaced = update(sourceServerID=server_id, largeVolumeConfiguration={"throughput": 125})
    assert replaced["largeVolumeConfiguration"] == {"throughput": 125}
    cleared = update(sourceServerID=server_id, largeVolumeConfiguration={})
    assert "largeVolumeConfiguration" not in cleared
    error = refused(update, sourceServerID=server_id, largeVolumeConfiguration={"volumeType": "io2", "throughput": 125})
    assert [field["name"] for field in error["fieldList"]] == ["largeVolumeConfiguration.throughput"]


def test_a_disk_that_the_agent_finds_later_is_added_by_the_servers_defaults_and_copied(site: Site) -> None:
    server_id = site.ready()
    site.launch_with(server_id, BlockDeviceMappings=[{"DeviceName": "/dev/sda", "Ebs": {"VolumeType": "io1"}}])
    site.mgn.update_launch_configuration_defaults(
        sourceServerID=server_id, largeVolumeConfiguration={"volumeType": "st1"}
    )

    assert site.register(disks=[("/dev/sda", 8 * GIB), ("/dev/sdb", 2 * GIB)]) == server_id

    kinds = {device: ebs["VolumeType"] for device, ebs in mappings(site, server_id).items()}
    assert kinds == {"/dev/sda": "io1", "/dev/sdb": "st1"}
    assert "lagDuration" not in site.replication(server_id)
    disks = site.mgn.get_replication_configuration(sourceServerID=server_id)["replicatedDisks"]
    assert [(disk["deviceName"], disk["isBootDisk"]) for disk in disks] == [("/dev/sda", True), ("/dev/sdb", False)]
    site.wait(SYNCED + 2 * 75)
    assert [disk["deviceName"] for disk in site.replication(server_id)["replicatedDisks"]] == ["/dev/sda", "/dev/sdb"]
    assert site.replication(server_id)["lagDuration"] == "P0D"
    assert site.register(disks=[("/dev/sda", 8 * GIB)]) == server_id
    assert site.replication(server_id)["lagDuration"] == "P0D"


def test_a_templates_actions_come_with_a_server_of_their_operating_system(site: Site) -> None:
    template = {
        "launchConfigurationTemplateID": site.mgn.create_launch_configuration_template()[
            "launchConfigurationTemplateID"
        ]
    }
    for action_id, system in (("a1", "linux"), ("a2", "windows"), ("a3", None)):
        given = ACTION | {"actionID": action_id} | ({"operatingSystem": system} if system else {})
        site.mgn.put_template_action(**template, **given)
    assert len(site.mgn.list_template_actions(**template)["items"]) == 3

    linux, windows = site.register("web-01"), site.register("web-02", os="Microsoft Windows Server 2022")

    def actions(server_id: str) -> list[str]:
        return [each["actionID"] for each in site.mgn.list_source_server_actions(sourceServerID=server_id)["items"]]

    assert (actions(linux), actions(windows)) == (["a1", "a3"], ["a2", "a3"])
    site.mgn.remove_source_server_action(sourceServerID=linux, actionID="a3")
    site.mgn.remove_template_action(**template, actionID="a1")
    assert actions(linux) == ["a1"]
    assert [each["actionID"] for each in site.mgn.list_template_actions(**template)["items"]] == ["a2", "a3"]


def test_an_action_is_replaced_by_its_id_and_found_by_it(site: Site) -> None:
    server_id = site.register()
    put, listed = site.mgn.put_source_server_action, site.mgn.list_source_server_actions
    made = put(sourceServerID=server_id, **ACTION)
    assert (made["active"], made["mustSucceedForCutover"], made["order"]) == (True, False, 1001)
    put(sourceServerID=server_id, **ACTION | {"actionID": "a2"})
    put(sourceServerID=server_id, **ACTION, active=False, mustSucceedForCutover=True)

    items = listed(sourceServerID=server_id)["items"]

    assert [(each["actionID"], each["active"]) for each in items] == [("a1", False), ("a2", True)]
    found = listed(sourceServerID=server_id, filters={"actionIDs": ["a2", "none"]})["items"]
    assert [each["actionID"] for each in found] == ["a2"]


def test_actions_stay_within_their_quotas(site: Site) -> None:
    server_id = site.register()
    template_id = site.mgn.create_launch_configuration_template()["launchConfigurationTemplateID"]
    quotas = Quotas(actions_of_a_server=1, actions_of_a_template=1)
    for owner, put, code in (
        ({"sourceServerID": server_id}, site.mgn.put_source_server_action, "L-0E532B45"),
        ({"launchConfigurationTemplateID": template_id}, site.mgn.put_template_action, "L-322CA331"),
    ):
        site.configure(quotas=quotas, over_quota="always402")
        put(**owner, **ACTION)
        put(**owner, **ACTION)
        error = refused(put, **owner, **ACTION | {"actionID": "a2"})
        assert (error["Error"]["Code"], error["quotaCode"]) == ("ServiceQuotaExceededException", code)
        site.configure(quotas=quotas)
        assert refused(put, **owner, **ACTION | {"actionID": "a2"})["Error"]["Code"] == "ConflictException"
