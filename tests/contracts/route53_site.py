"""The local Route 53 behind moto's server, spoken to with boto3, and zones made and emptied."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from moto.server import ThreadedMotoServer

from localcloud.route53 import be_strict_about_change_batches
from migration.ports import RecordKey, RecordSet

if TYPE_CHECKING:
    from mypy_boto3_route53 import Route53Client

ACCOUNT = "210987654321"  # not the one that a local cloud in the same process would use
ZONE = "example.internal"
OLD = RecordSet(ttl=60, values=("127.1.100.11",))
NEW = RecordSet(ttl=60, values=("127.1.1.10", "127.1.1.9"))
THEIRS = RecordSet(ttl=300, values=("127.9.9.9",))


@contextmanager
def local_route53() -> Iterator["Route53Client"]:
    """Run moto's server, strict about change batches, and give a client of it in an account of its own."""
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    be_strict_about_change_batches()
    host, port = server.get_host_and_port()
    client = boto3.client(
        "route53",
        endpoint_url=f"http://{host}:{port}",
        region_name="eu-central-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        config=Config(retries={"total_max_attempts": 1}),
    )
    client.meta.events.register("before-call.route53.*", as_account)
    yield client
    client.close()
    server.stop()


def as_account(params: dict[str, Any], **_: object) -> None:
    params["headers"]["x-moto-account-id"] = ACCOUNT


@contextmanager
def hosted_zone(client: "Route53Client") -> Iterator[str]:
    """Make the zone, give its id, and leave the account empty."""
    made = make_zone(client, ZONE)
    yield made
    for zone in client.list_hosted_zones()["HostedZones"]:
        empty(client, zone["Id"])
        client.delete_hosted_zone(Id=zone["Id"])


def make_zone(client: "Route53Client", name: str, *, private: bool = False) -> str:
    reply = client.create_hosted_zone(
        Name=name,
        CallerReference=f"{name}-{private}-{threading.get_ident()}",
        HostedZoneConfig={"PrivateZone": private, "Comment": ""},
    )
    return reply["HostedZone"]["Id"].rpartition("/")[2]


def record_sets(client: "Route53Client", zone_id: str) -> list[Any]:
    found = client.list_resource_record_sets(HostedZoneId=zone_id)["ResourceRecordSets"]
    return [each for each in found if each["Type"] not in ("NS", "SOA")]


def empty(client: "Route53Client", zone_id: str) -> None:
    changes: list[Any] = [{"Action": "DELETE", "ResourceRecordSet": each} for each in record_sets(client, zone_id)]
    if changes:
        client.change_resource_record_sets(HostedZoneId=zone_id, ChangeBatch={"Changes": changes})


def put(
    client: "Route53Client", zone_id: str, key: RecordKey, wanted: RecordSet, action: str = "UPSERT", **more: Any
) -> None:
    record_set = {
        "Name": key.name,
        "Type": key.type,
        "TTL": wanted.ttl,
        "ResourceRecords": [{"Value": value} for value in wanted.values],
        **more,
    }
    change: Any = {"Action": action, "ResourceRecordSet": record_set}
    client.change_resource_record_sets(HostedZoneId=zone_id, ChangeBatch={"Changes": [change]})


def key(name: str = "billing", record_type: str = "A", **more: Any) -> RecordKey:
    return RecordKey(zone=ZONE, name=f"{name}.{ZONE}", type=record_type, **more)
