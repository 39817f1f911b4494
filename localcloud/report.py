"""What the systems say of a migration when it is over: every line is read from them, none from our own state."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal

import boto3
import dns.message
import dns.query
import httpx

from adapters.vcenter import VCenter
from localcloud.aws.seed import ACCESS_KEY, SECRET_KEY
from localcloud.change_requests import change_number, change_sys_id
from localcloud.documents import SERVICENOW, VCENTER
from localcloud.receiver import HOOKS
from migration.factory_words import BLOCKED, COMPLETED, ROLLED_BACK, STATUS_CHECKS_PASSED
from migration.marks import MIGRATION_TAG
from migration.messages import MessageType
from migration.ports import PowerState
from migration.settings import Connection

Ending = Literal["target", "source"]
"""Which side serves in the end."""

_LAST_CALLBACK = {"target": "MigrationSucceeded", "source": "MigrationRolledBack"}


_FACTORY_SAYS = {"target": [STATUS_CHECKS_PASSED], "source": [ROLLED_BACK]}
_WAVE_SAYS = {"target": COMPLETED, "source": BLOCKED}


@dataclass(frozen=True)
class Line:
    """One fact: what it is about, what a system said, and whether it is as it should be."""

    subject: str
    said: str
    right: bool


class Systems:
    """The systems of one local cloud, read with their own clients."""

    def __init__(self, local: Mapping[str, Any]) -> None:
        """`local` is the content of local.json."""
        self.local = local
        self._session = boto3.Session(
            aws_access_key_id=ACCESS_KEY, aws_secret_access_key=SECRET_KEY, region_name=local["region"]
        )

    def aws(self, service: str) -> Any:
        """A boto3 client."""
        return self._session.client(service, endpoint_url=self.local["aws"])  # type: ignore[call-overload]  # any service

    def vms(self, application: str) -> list[Mapping[str, Any]]:
        """The application's source machines."""
        return [vm for vm in self.local["vms"] if vm["application"] == application]

    def dns_answer(self, application: str) -> list[str]:
        """What the DNS server answers for the application's name."""
        host, port = self.local["dns"].rsplit(":", 1)
        question = dns.message.make_query(self.local["dns_names"][application], "A")
        reply = dns.query.udp(question, host, port=int(port), timeout=5)
        return sorted(str(item) for answer in reply.answer for item in answer)

    def application(self, application: str) -> Any:
        """The applications' own account: writes, who served when."""
        return httpx.get(self.local["applications"], trust_env=False).json()[application]

    def instances(self, migration_id: str) -> list[dict[str, Any]]:
        """The EC2 instances with the migration's tag, in whatever state."""
        found = self.aws("ec2").describe_instances(Filters=[{"Name": f"tag:{MIGRATION_TAG}", "Values": [migration_id]}])
        return [instance for reservation in found["Reservations"] for instance in reservation["Instances"]]

    def records(self, migration_id: str) -> list[dict[str, Any]]:
        """The MGN records with the migration's tag, archived ones included."""
        items = self.aws("mgn").describe_source_servers(filters={})["items"]
        return [item for item in items if item["tags"].get(MIGRATION_TAG) == migration_id]

    def hypervisor(self) -> VCenter:
        """The vCenter."""
        login = self.local["credentials"]["vcenter"]
        return VCenter(Connection(url=self.local["vcenter"], **login))

    def item(self, item_id: str) -> dict[str, str]:
        """A CMDB item."""
        login = self.local["credentials"]["servicenow"]
        url = f"{self.local['servicenow']}/api/now/table/cmdb_ci_server/{item_id}"
        reply = httpx.get(url, auth=(login["username"], login["password"]), trust_env=False)
        fields: dict[str, str] = reply.json()["result"]
        return fields

    def factory(self, path: str) -> Any:
        """What Cloud Migration Factory has, as its service account sees it."""
        cmf = self.local["cmf"]
        login = httpx.post(f"{cmf}/prod/login", json=self.local["credentials"]["cmf"], trust_env=False)
        headers = {"Authorization": login.json()}
        return httpx.get(f"{cmf}/prod/user/{path}", headers=headers, trust_env=False).json()

    def wave_status(self, application: str) -> str:
        """The status of the application's wave in Cloud Migration Factory."""
        wave: dict[str, str] = self.factory(f"wave/{self.local['cmf_waves'][application]}")
        return wave["wave_status"]

    def deliveries(self, migration_id: str) -> list[dict[str, Any]]:
        """The callbacks of the migration that arrived: nothing of hooks, nor of messages that were refused."""
        received = self.received(migration_id)
        return [one for one in received if one["path"] != HOOKS and one["type"] != MessageType.REQUEST_REFUSED]

    def hooks(self, migration_id: str) -> list[dict[str, Any]]:
        """The webhooks of hooks that arrived."""
        return [one for one in self.received(migration_id) if one["path"] == HOOKS]

    def change(self, application: str) -> dict[str, str]:
        """The application's change request: its fields as people see them."""
        login = self.local["credentials"]["servicenow"]
        url = f"{self.local['servicenow']}/api/now/table/change_request/{change_sys_id(change_number(application))}"
        parameters = {"sysparm_display_value": "all"}
        reply = httpx.get(url, params=parameters, auth=(login["username"], login["password"]), trust_env=False)
        return {name: value["display_value"] for name, value in reply.json()["result"].items()}

    def received(self, migration_id: str) -> list[dict[str, Any]]:
        reply = httpx.get(f"{self.local['receiver']}/deliveries", params={"migrationId": migration_id}, trust_env=False)
        listed: list[dict[str, Any]] = reply.json()["deliveries"]
        return listed

    def heard_the_end(self, migration_id: str, application: str) -> bool:
        """Whether the last callback is here, and the wave's end told: both leave when nobody waits for them."""
        deliveries = self.deliveries(migration_id)
        called = bool(deliveries) and deliveries[-1]["type"] in _LAST_CALLBACK.values()
        return called and self.wave_status(application) in _WAVE_SAYS.values()

    def ledger(self, service: str) -> list[dict[str, Any]]:
        """The calls that a service accepted."""
        reply = httpx.get(self.local["ledger"], params={"service": service}, trust_env=False)
        return [json.loads(line) for line in reply.text.splitlines()]


def report(
    systems: Systems, application: str, migration_id: str, ending: Ending, *, tests: int = 1, cutovers: int = 1
) -> list[Line]:
    """Read everything back, and judge it by the side that should serve.

    Args:
        systems: What is asked.
        application: The application's name.
        migration_id: The migration that moved it, or tried.
        ending: The side that should serve now.
        tests: How often MGN should have been asked for a test launch.
        cutovers: How often for a cutover launch: once for each tier of each entry into that step.
    """
    return [
        *_traffic(systems, application, migration_id, ending),
        *_target(systems, migration_id, ending),
        *_source(systems, application, ending),
        *_books(systems, application, migration_id, ending),
        _ledger(systems, migration_id, ending, {"StartTest": tests, "StartCutover": cutovers}),
    ]


def _traffic(systems: Systems, application: str, migration_id: str, ending: Ending) -> Iterator[Line]:
    answer = systems.dns_answer(application)
    addresses = {
        "source": sorted(vm["address"] for vm in systems.vms(application)),
        "target": sorted(_running(systems.instances(migration_id))),
    }
    yield Line("DNS answers", f"{', '.join(answer)} (the {ending})", answer == addresses[ending])
    told = systems.application(application)
    served = [server["servedBy"] for server in told["servers"]]
    yield Line("serving now", ", ".join(map(str, served)), set(served) == {ending})
    lost = sum(server["lostWrites"] for server in told["servers"])
    writes = sum(side["writes"] for server in told["servers"] for side in server["sides"] if side["side"] == ending)
    yield Line("write counter", f"{writes} writes, {lost} lost", lost == 0 and writes > 0)
    overlaps = told["overlaps"]
    yield Line("two sides at once", f"{len(overlaps)} times, down for {told['downtimeSeconds']:.1f} s", not overlaps)


def _running(instances: list[dict[str, Any]]) -> list[str]:
    return [i["PrivateIpAddress"] for i in instances if i["State"]["Name"] == "running"]


def _target(systems: Systems, migration_id: str, ending: Ending) -> Iterator[Line]:
    instances, records = systems.instances(migration_id), systems.records(migration_id)
    states = Counter(instance["State"]["Name"] for instance in instances)
    expected = len(records) if ending == "target" else 0
    said = ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "none"
    yield Line("EC2 instances", said, states["running"] == expected and not states["stopped"])
    lifecycles = Counter(
        f"{record['lifeCycle']['state']}{' (archived)' if record['isArchived'] else ''}" for record in records
    )
    wanted = "CUTOVER (archived)" if ending == "target" else "DISCONNECTED (archived)"
    yield Line("MGN lifecycle", ", ".join(lifecycles), set(lifecycles) == {wanted})


def _source(systems: Systems, application: str, ending: Ending) -> Iterator[Line]:
    with closing(systems.hypervisor()) as hypervisor:
        machines = [hypervisor.find(vm["name"]) for vm in systems.vms(application)]
    power = {machine.power for machine in machines}
    plugged = {nic.connected for machine in machines for nic in machine.nics}
    snapshots = sum(len(machine.snapshots) for machine in machines)
    wanted = PowerState.OFF if ending == "target" else PowerState.ON
    said = f"{', '.join(power)}, network {'connected' if plugged == {True} else 'disconnected'}, {snapshots} snapshots"
    yield Line("source in vCenter", said, power == {wanted} and plugged == {ending == "source"} and not snapshots)


def _books(systems: Systems, application: str, migration_id: str, ending: Ending) -> Iterator[Line]:
    running = _running(systems.instances(migration_id))
    for vm in systems.vms(application):
        item = systems.item(vm["cmdb_id"])
        right = item["ip_address"] in running if ending == "target" else item["ip_address"] == vm["address"]
        yield Line("CMDB item", f"{vm['name']} at {item['ip_address']}, mark {item['correlation_id'] or 'none'}", right)
    yield _change(systems, application, migration_id, ending)
    yield _hooks(systems, migration_id, ending)
    yield _callbacks(systems, migration_id, ending)
    yield _factory(systems, application, ending)


def _change(systems: Systems, application: str, migration_id: str, ending: Ending) -> Line:
    """Each note once; closed by how it ended, when the cutover had begun."""
    change = systems.change(application)
    marks = [line for line in change["work_notes"].splitlines() if line.startswith(f"[{migration_id}/")]
    begun = any("/cutover/" in mark for mark in marks)
    closed = {"target": "successful", "source": "unsuccessful"}[ending] if begun else ""
    said = f"{change['number']} {change['state']} {change['close_code']}, {len(marks)} work notes"
    right = change["close_code"] == closed and (change["state"] == "Closed") == begun
    return Line("change ticket", said, right and len(marks) == len(set(marks)) and (begun or ending == "source"))


def _hooks(systems: Systems, migration_id: str, ending: Ending) -> Line:
    """No command twice under one key; and where the target serves, the source was told to stop and the webhook sent."""
    comments = [str(entry["detail"].get("Comment", "")) for entry in systems.ledger("ssm")]
    stopped = [one for one in comments if one.startswith(f"{migration_id}/") and "/hook-" in one]
    told = [delivery["webhookId"] for delivery in systems.hooks(migration_id) if delivery["accepted"]]
    said = f"{len(stopped)} commands, {len(set(told))} webhooks"
    ran = ending == "source" or bool(stopped and told)
    return Line("hooks", said, ran and len(stopped) == len(set(stopped)))


def _callbacks(systems: Systems, migration_id: str, ending: Ending) -> Line:
    deliveries = systems.deliveries(migration_id)
    verified = sum(delivery["verified"] for delivery in deliveries)
    last = deliveries[-1]["type"] if deliveries else "none"
    right = bool(deliveries) and verified == len(deliveries) and last == _LAST_CALLBACK[ending]
    return Line("callbacks", f"{len(deliveries)} received, {verified} signatures verified, last {last}", right)


def _factory(systems: Systems, application: str, ending: Ending) -> Line:
    names = {vm["name"] for vm in systems.vms(application)}
    servers = [server for server in systems.factory("server") if server["server_name"] in names]
    words = sorted({server.get("migration_status", "none") for server in servers})
    wave = systems.wave_status(application)
    right = (words, wave) == (_FACTORY_SAYS[ending], _WAVE_SAYS[ending])
    return Line("Cloud Migration Factory", f"{', '.join(words)}; the wave: {wave}", right)


def _ledger(systems: Systems, migration_id: str, ending: Ending, launches: Mapping[str, int]) -> Line:
    ids = {record["sourceServerID"] for record in systems.records(migration_id)}
    calls = Counter(e["operation"] for e in systems.ledger("mgn") if ids & set(e["targets"]))
    wanted = {**launches, "FinalizeCutover": len(ids) if ending == "target" else 0}
    counted = {name: calls[name] for name in wanted}
    said = ", ".join(f"{name} {count}" for name, count in counted.items())
    return Line("ledger", f"{said}; CMDB system {SERVICENOW}, hypervisor {VCENTER}", counted == wanted)
