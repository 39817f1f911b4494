"""The local Route 53 is as strict about change batches as AWS documents them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from migration.ports import RecordKey, RecordSet
from tests.contracts.route53_site import NEW, OLD, ZONE, hosted_zone, key, local_route53, put, record_sets

if TYPE_CHECKING:
    from mypy_boto3_route53 import Route53Client


@pytest.fixture(scope="module")
def client() -> Iterator["Route53Client"]:
    with local_route53() as client:
        yield client


@pytest.fixture
def zone_id(client: "Route53Client") -> Iterator[str]:
    with hosted_zone(client) as made:
        yield made


def refused(client: "Route53Client", zone_id: str, action: str, wanted: RecordSet, name: str = "billing") -> str:
    with pytest.raises(ClientError) as caught:
        put(client, zone_id, key(name), wanted, action)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    return f"{caught.value.response['Error']['Code']}: {caught.value.response['Error']['Message']}"


def test_a_record_set_is_not_created_twice(client: "Route53Client", zone_id: str) -> None:
    put(client, zone_id, key(), OLD, "CREATE")
    for wanted in (OLD, NEW):
        assert "InvalidChangeBatch: [Tried to create" in refused(client, zone_id, "CREATE", wanted)
    assert len(record_sets(client, zone_id)) == 1


def test_a_record_set_is_deleted_only_as_it_is_now(client: "Route53Client", zone_id: str) -> None:
    assert "not found" in refused(client, zone_id, "DELETE", OLD)
    put(client, zone_id, key(), OLD)
    put(client, zone_id, key(), NEW)
    assert "do not match" in refused(client, zone_id, "DELETE", OLD)
    assert "do not match" in refused(client, zone_id, "DELETE", RecordSet(ttl=61, values=NEW.values))
    put(client, zone_id, key(), RecordSet(ttl=60, values=NEW.values[::-1]), "DELETE")
    assert record_sets(client, zone_id) == []


def test_a_batch_with_one_bad_change_changes_nothing(client: "Route53Client", zone_id: str) -> None:
    def creation(name: str, value: str) -> Any:
        record_set = {"Name": name, "Type": "A", "TTL": 60, "ResourceRecords": [{"Value": value}]}
        return {"Action": "CREATE", "ResourceRecordSet": record_set}

    batch: Any = {"Changes": [creation(f"one.{ZONE}", "127.1.1.1"), creation(f"two.{ZONE}", "127.1.1.256")]}
    with pytest.raises(ClientError, match="InvalidChangeBatch"):
        client.change_resource_record_sets(HostedZoneId=zone_id, ChangeBatch=batch)
    assert record_sets(client, zone_id) == []


def test_a_name_outside_the_zone_is_refused(client: "Route53Client", zone_id: str) -> None:
    elsewhere = RecordKey(zone=ZONE, name="billing.notexample.internal", type="A")
    with pytest.raises(ClientError, match="is not permitted in zone"):
        put(client, zone_id, elsewhere, OLD)
