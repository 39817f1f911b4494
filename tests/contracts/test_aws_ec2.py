"""The target account against EC2, KMS, IAM and STS."""

from collections.abc import Iterator
from typing import Any

import pytest

from adapters.ec2 import INSTANCE_TAG, Ec2, ec2
from migration.errors import NotFound, Unavailable
from tests.contracts.aws_cloud import ACCOUNT, REGION, Cloud, local_aws

MARK = {"migrator:mark": "mig-billing/1/cutover/1", "migrator:migration-id": "mig-billing"}
MISSING = "i-0123456789abcdef0"


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with local_aws() as cloud:
        yield cloud


@pytest.fixture
def target(cloud: Cloud) -> Ec2:
    return Ec2(cloud.sessions, cloud.where)


@pytest.fixture
def client(cloud: Cloud) -> Any:
    return cloud.sessions.client("ec2", where=cloud.where)


@pytest.fixture
def instance_id(cloud: Cloud, client: Any) -> str:
    seeded = cloud.aws.seeded
    made = client.run_instances(
        ImageId="ami-12c6146b",
        MinCount=1,
        MaxCount=1,
        SubnetId=seeded.subnets["production"],
        SecurityGroupIds=[seeded.security_groups["production"]],
    )
    return str(made["Instances"][0]["InstanceId"])


def test_one_adapter_serves_one_account_and_region(cloud: Cloud) -> None:
    clouds = ec2(cloud.sessions)
    assert clouds(cloud.where) is clouds(cloud.where)


def test_the_caller_is_the_account_of_our_credentials(target: Ec2) -> None:
    assert target.caller() == ACCOUNT


def test_only_networks_that_exist_are_told(target: Ec2, cloud: Cloud) -> None:
    seeded = cloud.aws.seeded
    subnet_id, group_id = seeded.subnets["production"], seeded.security_groups["production"]
    found = target.subnets([subnet_id, "subnet-0123456789abcdef0"])
    assert found.keys() == {subnet_id}
    assert found[subnet_id].vpc_id == seeded.vpc_id
    assert found[subnet_id].zone == f"{REGION}a"
    assert 0 < found[subnet_id].free_addresses <= 251
    assert target.security_groups([group_id, "sg-0123456789abcdef0"]) == {group_id: seeded.vpc_id}


def test_a_zone_offers_some_instance_types(target: Ec2) -> None:
    offered = target.offered_instance_types(f"{REGION}a", ["m5.large", "no.such"])
    assert offered == {"m5.large"}


def test_a_key_must_be_there_enabled_and_symmetric(target: Ec2, cloud: Cloud) -> None:
    kms = cloud.sessions.client("kms", where=cloud.where)
    assert target.key_problem(cloud.aws.seeded.kms_key_arn) is None
    assert "there is no KMS key" in (target.key_problem("01234567-0123-0123-0123-0123456789ab") or "")
    disabled = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.disable_key(KeyId=disabled)
    assert "Disabled" in (target.key_problem(disabled) or "")
    signing = kms.create_key(KeyUsage="SIGN_VERIFY", KeySpec="RSA_2048")["KeyMetadata"]["KeyId"]
    assert "symmetric" in (target.key_problem(signing) or "")


def test_a_key_that_cannot_be_asked_for_now_is_no_finding(target: Ec2, cloud: Cloud) -> None:
    for _ in range(2):
        cloud.refuse("kms", "DescribeKey", 503, "ServiceUnavailable")
    with pytest.raises(Unavailable):
        target.key_problem(cloud.aws.seeded.kms_key_arn)


def test_an_instance_profile_is_looked_for_by_name_or_arn(target: Ec2, cloud: Cloud) -> None:
    iam = cloud.sessions.client("iam", where=cloud.where)
    arn = iam.create_instance_profile(InstanceProfileName="web")["InstanceProfile"]["Arn"]
    assert target.profile_exists("web")
    assert target.profile_exists(arn)
    assert not target.profile_exists("no-such")


def test_an_instance_is_told_with_its_checks_and_one_that_never_was_is_left_out(
    target: Ec2, cloud: Cloud, instance_id: str
) -> None:
    target.tag([instance_id], {"costCentre": "4711"})
    found = target.instances([instance_id, MISSING])
    assert found.keys() == {instance_id}
    instance = found[instance_id]
    assert (instance.state, instance.status_checks) == ("running", "ok")
    assert instance.subnet_id == cloud.aws.seeded.subnets["production"]
    assert instance.private_ip is not None
    assert instance.tags["costCentre"] == "4711"


def test_a_terminated_instance_is_told_as_such(target: Ec2, client: Any, instance_id: str) -> None:
    client.terminate_instances(InstanceIds=[instance_id])
    assert target.instances([instance_id])[instance_id].state == "terminated"


def test_only_what_runs_is_stopped_and_only_once(target: Ec2, cloud: Cloud, client: Any, instance_id: str) -> None:
    target.stop([instance_id, MISSING])
    target.stop([instance_id])
    stopped = target.instances([instance_id])[instance_id]
    assert (stopped.state, stopped.status_checks) == ("stopped", "not-applicable")
    assert len(cloud.calls("StopInstances", instance_id)) == 1
    client.terminate_instances(InstanceIds=[instance_id])
    target.stop([instance_id])
    assert len(cloud.calls("StopInstances", instance_id)) == 1


def test_termination_protection_goes_on_and_off_and_asks_nothing_of_the_dead(
    target: Ec2, cloud: Cloud, client: Any, instance_id: str
) -> None:
    target.protect(instance_id, on=True)
    target.protect(instance_id, on=True)
    assert target.protected([instance_id, MISSING]) == {instance_id: True}
    assert len(cloud.calls("ModifyInstanceAttribute", instance_id)) == 1
    target.protect(instance_id, on=False)
    assert target.protected([instance_id]) == {instance_id: False}
    client.terminate_instances(InstanceIds=[instance_id])
    assert target.protected([instance_id]) == {}
    target.protect(instance_id, on=True)
    target.protect(MISSING, on=True)
    assert len(cloud.calls("ModifyInstanceAttribute", instance_id)) == 2


def test_a_snapshot_set_has_every_volume_and_is_taken_once(
    target: Ec2, cloud: Cloud, client: Any, instance_id: str
) -> None:
    volume = client.create_volume(Size=1, AvailabilityZone=f"{REGION}a")["VolumeId"]
    client.attach_volume(VolumeId=volume, InstanceId=instance_id, Device="/dev/sdb")
    cloud.lose_reply("ec2", "CreateSnapshots", instance_id)
    with pytest.raises(Unavailable):
        target.snapshot(instance_id, MARK)
    taken = target.snapshot(instance_id, MARK)
    assert len(taken) == 2
    assert target.snapshot(instance_id, MARK) == taken
    assert len(cloud.calls("CreateSnapshots", instance_id)) == 1
    assert target.snapshots_completed(taken)
    described = client.describe_snapshots(SnapshotIds=list(taken))["Snapshots"]
    assert {tag["Key"]: tag["Value"] for tag in described[0]["Tags"]} == {**MARK, INSTANCE_TAG: instance_id}


def test_two_instances_of_one_mark_have_a_set_each(target: Ec2, client: Any, cloud: Cloud, instance_id: str) -> None:
    subnet_id = cloud.aws.seeded.subnets["production"]
    made = client.run_instances(ImageId="ami-12c6146b", MinCount=1, MaxCount=1, SubnetId=subnet_id)
    other = made["Instances"][0]["InstanceId"]
    assert not set(target.snapshot(instance_id, MARK)) & set(target.snapshot(other, MARK))


def test_a_snapshot_that_is_gone_is_not_found(target: Ec2) -> None:
    with pytest.raises(NotFound, match="snap-0123456789abcdef0"):
        target.snapshots_completed(["snap-0123456789abcdef0"])
