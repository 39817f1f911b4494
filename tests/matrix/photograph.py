"""A photograph of everything that a migration may touch, read from the systems themselves."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from localcloud.aws.seed import STATE_TABLE
from localcloud.documents import VCENTER
from localcloud.report import Systems
from migration.marks import MIGRATION_TAG, user_provided_id
from migration.ports import PowerState
from tests.sweep.cases import Names

_OF_SERVICENOW = "sys_"
"""How the columns begin that ServiceNow writes by itself."""

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Photograph:
    """The systems at one moment.

    Attributes:
        names: The zone's record of the application: values and time to live; and what the DNS server answers.
        machines: Power, plugged network cards and snapshots of each source machine.
        items: The fields of each CMDB item.
        records: State and replication of each machine's MGN record that is in service.
        instances: The state of each EC2 instance that carries the migration's tag and is not terminated.
        snapshots: The EBS snapshots that carry it.
        claims: Who holds each server.
    """

    names: Values
    machines: Values
    items: Values
    records: Values
    instances: Values
    snapshots: frozenset[str]
    claims: Values

    @property
    def powered(self) -> set[PowerState]:
        """The power states of the source machines."""
        return {machine["power"] for machine in self.machines.values()}


def photograph(systems: Systems, names: Names) -> Photograph:
    """Read everything."""
    vms = systems.vms(names.application)
    with closing(systems.hypervisor()) as hypervisor:
        machines = {vm["name"]: hypervisor.find(vm["name"]) for vm in vms}
    ids = {user_provided_id(VCENTER, machine.uuid): name for name, machine in machines.items()}
    return Photograph(
        names=_names(systems, names),
        machines={
            name: {
                "power": machine.power,
                "plugged": tuple(sorted(card.mac for card in machine.nics if card.connected)),
                "snapshots": machine.snapshots,
            }
            for name, machine in machines.items()
        },
        items={vm["name"]: _item(systems, vm["cmdb_id"]) for vm in vms},
        records=_records(systems, ids),
        instances=_instances(systems, names),
        snapshots=_snapshots(systems, names),
        claims={vm["name"]: claimed(systems, f"server#{VCENTER}/{vm['name']}") for vm in vms},
    )


def compare(before: Photograph, after: Photograph, parts: tuple[str, ...]) -> Iterator[str]:
    """Every thing of these parts that is not as it was."""
    for part in parts:
        was, now = getattr(before, part), getattr(after, part)
        if was == now:
            continue
        if not isinstance(was, Mapping):
            yield f"{part}: was {was}, is {now}"
            continue
        for name in sorted({*was, *now}):
            if was.get(name) != now.get(name):
                yield f"{part}, {name}: was {_differing(was.get(name), now.get(name))}"


def _differing(was: Any, now: Any) -> str:
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        fields = [field for field in sorted({*was, *now}) if was.get(field) != now.get(field)]
        was, now = ({field: side.get(field) for field in fields} for side in (was, now))
    return f"{was}, is {now}"


def claimed(systems: Systems, key: str) -> Values | None:
    """An item of the state table."""
    found = systems.aws("dynamodb").get_item(TableName=STATE_TABLE, Key={"pk": {"S": key}}, ConsistentRead=True)
    item: Values | None = found.get("Item")
    return item


def _names(systems: Systems, names: Names) -> Values:
    reply = systems.aws("route53").list_resource_record_sets(
        HostedZoneId=systems.local["zone"]["id"], StartRecordName=names.dns_name, StartRecordType="A", MaxItems="1"
    )
    record: Values = next((one for one in reply["ResourceRecordSets"] if one["Name"].rstrip(".") == names.dns_name), {})
    values = sorted(value["Value"] for value in record.get("ResourceRecords", ()))
    return {"record": {"ttl": record.get("TTL"), "values": values}, "answer": systems.dns_answer(names.application)}


def _item(systems: Systems, item_id: str) -> Values:
    fields = systems.item(item_id)
    return {name: value for name, value in fields.items() if not name.startswith(_OF_SERVICENOW)}


def _records(systems: Systems, ids: Mapping[str, str]) -> Values:
    items = systems.aws("mgn").describe_source_servers(filters={"isArchived": False}, maxResults=1000)["items"]
    return {
        ids[one["userProvidedID"]]: {
            "state": one["lifeCycle"]["state"],
            "replication": one.get("dataReplicationInfo", {}).get("dataReplicationState"),
        }
        for one in items
        if one.get("userProvidedID") in ids
    }


def _instances(systems: Systems, names: Names) -> Values:
    found = systems.instances(names.migration_id)
    return {one["InstanceId"]: one["State"]["Name"] for one in found if one["State"]["Name"] != "terminated"}


def _snapshots(systems: Systems, names: Names) -> frozenset[str]:
    filters = [{"Name": f"tag:{MIGRATION_TAG}", "Values": [names.migration_id]}]
    found = systems.aws("ec2").describe_snapshots(OwnerIds=["self"], Filters=filters)["Snapshots"]
    return frozenset(one["SnapshotId"] for one in found)
