"""What carries our marks is found again in AWS and in the state table, and nothing else is."""

from collections.abc import Iterator
from typing import Any

import pytest

from adapters.claims import HeldId, HeldServer, all_claims
from adapters.dynamodb import DynamoMigrations
from adapters.dynamodb_table import ensure_table
from adapters.inventory import Kind, Marked, MarkedResources
from migration.marks import MARK_TAG, MIGRATION_TAG
from migration.ports import Claim, Where
from tests.contracts.aws_cloud import ACCOUNT, REGION, Cloud, local_aws

TABLE = "migrator-state"
PLACE = f"{ACCOUNT}/{REGION}"
OURS = {MIGRATION_TAG: "mig-billing", MARK_TAG: "mig-billing/1/cutover/1"}


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with local_aws() as cloud:
        ensure_table(cloud.sessions, TABLE)
        yield cloud


@pytest.fixture
def ec2(cloud: Cloud) -> Any:
    return cloud.sessions.client("ec2", where=cloud.where)


def launched(ec2: Any, tags: dict[str, str]) -> str:
    specification = [{"ResourceType": "instance", "Tags": as_aws(tags)}] if tags else []
    reply = ec2.run_instances(ImageId="ami-12345678", MinCount=1, MaxCount=1, TagSpecifications=specification)
    return str(reply["Instances"][0]["InstanceId"])


def as_aws(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def found(cloud: Cloud, where: Where | None = None) -> dict[str, Marked]:
    return {one.id: one for one in MarkedResources(cloud.sessions, where or cloud.where).find()}


def test_an_instance_is_found_by_its_tag_until_it_is_terminated(cloud: Cloud, ec2: Any) -> None:
    ours, foreign = launched(ec2, OURS), launched(ec2, {})
    assert found(cloud)[ours] == Marked(
        kind=Kind.INSTANCE, id=ours, migration_id="mig-billing", state="running", place=PLACE, tags=OURS
    )
    assert foreign not in found(cloud)
    ec2.stop_instances(InstanceIds=[ours])
    assert found(cloud)[ours].state == "stopped"
    ec2.terminate_instances(InstanceIds=[ours])
    assert ours not in found(cloud)


def test_a_snapshot_is_found_by_its_tag(cloud: Cloud, ec2: Any) -> None:
    volume = ec2.create_volume(AvailabilityZone=f"{REGION}a", Size=1)["VolumeId"]
    tagged = [{"ResourceType": "snapshot", "Tags": as_aws(OURS)}]
    ours = ec2.create_snapshot(VolumeId=volume, TagSpecifications=tagged)["SnapshotId"]
    foreign = ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
    assert (found(cloud)[ours].kind, found(cloud)[ours].migration_id) == (Kind.VOLUME_SNAPSHOT, "mig-billing")
    assert foreign not in found(cloud)


def test_a_region_where_mgn_was_never_initialised_has_nothing_of_ours(cloud: Cloud) -> None:
    assert found(cloud, Where(account_id=ACCOUNT, region="eu-west-1")) == {}


def test_every_claim_is_read_and_no_row(cloud: Cloud) -> None:
    store = DynamoMigrations(cloud.sessions, TABLE)
    for name in ("mig-live", "mig-ended"):
        asked = Claim(migration_id=name, generation=0, request_hash="hash", workflow_run=f"run-of-{name}")
        store.claim(asked, [f"vcenter-1/{name}"], again=False)
        store.save(name, 1, {"status": "TESTING", "document": "{}"}, expires_at=None)
    store.finish("mig-ended", 1, "REJECTED", ["vcenter-1/mig-ended"])
    claims = all_claims(cloud.sessions, TABLE)
    assert claims.ids == {
        "mig-live": HeldId(migration_id="mig-live", generation=1, workflow_run="run-of-mig-live"),
        "mig-ended": HeldId(
            migration_id="mig-ended", generation=1, workflow_run="run-of-mig-ended", ended_as="REJECTED"
        ),
    }
    assert claims.servers == (HeldServer(key="vcenter-1/mig-live", migration_id="mig-live", generation=1),)
