import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from activities.prerequisites import CheckPrerequisites, PrerequisiteChecks, Prerequisites
from migration.errors import Conflict, NotFound, Unavailable
from migration.findings import FindingCode, Severity
from migration.ports import NetworkCard, PowerState, RecordSet, Subnet
from migration.request import MigrationRequest
from tests.fakes.ec2 import FakeCloud
from tests.fakes.environment import Attempts
from tests.fakes.inventory import FakeDatabase
from tests.fakes.messages import FakeWebhook
from tests.fakes.mgn import FakeReplication
from tests.fakes.names import FakeNames
from tests.fakes.ssm import FakeCommands
from tests.fakes.tickets import FakeTickets, a_ticket
from tests.fakes.vcenter import FakeHypervisor

PRODUCTION, TEST, STAGING = "subnet-0a1b2c3d", "subnet-0d3c2b1a", "subnet-0e5f6a7b"
OLD = RecordSet(ttl=300, values=("10.1.0.11",))
MAC, SPARE = "00:50:56:00:00:01", "00:50:56:00:00:02"


def document(**changes: Any) -> dict[str, Any]:
    return {
        "schemaVersion": "1.0",
        "migrationId": "mig-billing",
        "appName": "billing",
        "environment": "prod",
        "requestedBy": "requester@example.com",
        "migrationType": "cutover",
        "source": {
            "type": "vmware",
            "connection": "vcenter-1",
            "servers": [{"name": "billing-web-01", "vm": "web", "os": "linux", "address": "10.1.0.11"}],
        },
        "target": {
            "type": "aws-mgn",
            "accountId": "123456789012",
            "region": "eu-central-1",
            "subnetId": PRODUCTION,
            "securityGroupIds": ["sg-0a1b2c3d"],
            "instanceType": "m5.large",
            "instanceProfile": "billing",
            "test": {"subnetId": TEST, "securityGroupIds": ["sg-0d3c2b1a"]},
        },
        "replication": {"stagingSubnetId": STAGING, "kmsKeyId": "alias/migrations"},
        "approval": {"approvers": ["approver-1@example.com"]},
        "dns": [
            {
                "provider": "route53",
                "zone": "example.internal",
                "name": "billing.example.internal",
                "type": "A",
                "to": {"servers": ["billing-web-01"]},
            }
        ],
        "cmdb": {
            "system": "servicenow",
            "connection": "servicenow-1",
            "items": [{"server": "billing-web-01", "id": "ci-1"}],
        },
        "callbackUrl": "https://hooks.example.com/migrations",
        **changes,
    }


class World:
    """Everything that a good request needs."""

    def __init__(self) -> None:
        self.hypervisor, self.mgn, self.cloud = FakeHypervisor(), FakeReplication(), FakeCloud()
        self.commands, self.names = FakeCommands(self.mgn), FakeNames("example.internal")
        self.database, self.webhook = FakeDatabase({"ci-1": {}}), FakeWebhook()
        self.tickets = FakeTickets(a_ticket())
        self.vcenters, self.servicenows = {"vcenter-1"}, {"servicenow-1"}
        self.quota = 150
        nics = (NetworkCard(key=1, mac=MAC, connected=True), NetworkCard(key=2, mac=SPARE, connected=False))
        self.hypervisor.add("web", nics=nics)
        self.commands.add("mi-1", "billing-web-01")
        self.names.edit("billing.example.internal", "A", OLD)
        for subnet in (PRODUCTION, TEST, STAGING):
            self.subnet(subnet)
        self.cloud.groups = {"sg-0a1b2c3d": "vpc-1", "sg-0d3c2b1a": "vpc-1"}
        self.cloud.types = {"eu-central-1a": frozenset({"m5.large"})}
        self.cloud.profiles = {"billing"}

    def subnet(self, subnet_id: str, *, free: int = 100, vpc: str = "vpc-1") -> None:
        self.cloud.known_subnets[subnet_id] = Subnet(
            subnet_id=subnet_id, vpc_id=vpc, zone="eu-central-1a", free_addresses=free
        )

    def checks(self) -> PrerequisiteChecks:
        def hypervisors(name: str) -> FakeHypervisor:
            if name not in self.vcenters:
                raise NotFound(f"no vCenter connection {name}")
            return self.hypervisor

        def databases(name: str) -> FakeDatabase:
            if name not in self.servicenows:
                raise NotFound(f"no ServiceNow connection {name}")
            return self.database

        return PrerequisiteChecks(
            hypervisors,
            lambda _: self.commands,
            lambda _: self.mgn,
            lambda _: self.cloud,
            lambda _: self.names,
            databases,
            self.webhook,
            self.quota,
            lambda _: self.tickets,
        )

    def check(self, **changes: Any) -> Prerequisites:
        request = MigrationRequest.model_validate_json(json.dumps(document(**changes)))
        return Attempts().attempt(self.checks().check_prerequisites, CheckPrerequisites(request=request))

    def found(self, **changes: Any) -> list[tuple[str, Severity]]:
        return [(finding.code, finding.severity) for finding in self.check(**changes).findings]


@pytest.fixture
def world() -> World:
    return World()


def changed(part: str, **fields: Any) -> dict[str, Any]:
    return {part: {**document()[part], **fields}}


def server(**fields: Any) -> dict[str, Any]:
    return changed("source", servers=[{**document()["source"]["servers"][0], **fields}])


def test_a_good_request_has_no_findings_and_the_world_to_come_back_to_is_recorded(world: World) -> None:
    checked = world.check()
    assert checked.findings == ()
    (source,) = checked.sources
    assert (source.server, source.vm, source.user_provided_id) == ("billing-web-01", "web", "vcenter-1:uuid-web")
    assert (source.managed_instance_id, source.powered_on, source.connected_macs) == ("mi-1", True, (MAC,))
    assert [(name.index, name.before) for name in checked.names] == [(0, OLD)]


def test_the_checks_change_nothing(world: World) -> None:
    world.check()
    systems = (world.hypervisor, world.mgn, world.cloud, world.commands, world.names, world.database)
    assert not [effect for system in systems for effect in system.effects]


def test_all_findings_come_at_once(world: World) -> None:
    world.cloud.profiles.clear()
    world.database.items.clear()
    world.names.zones.clear()
    assert world.found() == [
        (FindingCode.INSTANCE_PROFILE_MISSING, Severity.CRITICAL),
        (FindingCode.ZONE_MISSING, Severity.CRITICAL),
        (FindingCode.ITEM_MISSING, Severity.CRITICAL),
    ]


def test_what_is_not_offered_yet_is_critical_and_named_by_its_path(world: World) -> None:
    (finding,) = world.check(cmf={"waveId": "7"}).findings
    assert (finding.code, finding.severity, finding.path) == ("NOT_OFFERED", Severity.CRITICAL, "$.cmf")


def test_a_cutover_window_that_is_over_is_critical_unless_nothing_is_cut_over(world: World) -> None:
    now = datetime.now(UTC)
    over = {
        "notBefore": (now - timedelta(hours=2)).isoformat(),
        "notAfter": (now - timedelta(hours=1)).isoformat(),
    }
    assert world.found(cutoverWindow=over) == [(FindingCode.WINDOW_PAST, Severity.CRITICAL)]
    assert world.found(cutoverWindow=over, migrationType="test") == []


def test_a_callback_address_that_must_not_be_called_is_critical(world: World) -> None:
    world.webhook.refusal = "a private address"
    assert world.found() == [(FindingCode.CALLBACK_REFUSED, Severity.CRITICAL)]
    assert world.found(callbackUrl=None) == []


def test_unknown_connections_are_critical(world: World) -> None:
    world.vcenters.clear()
    world.servicenows.clear()
    checked = world.check()
    assert [(finding.code, finding.path) for finding in checked.findings] == [
        (FindingCode.UNKNOWN_CONNECTION, "$.source.connection"),
        (FindingCode.UNKNOWN_CONNECTION, "$.cmdb.connection"),
    ]
    assert checked.sources == ()


def test_credentials_of_another_account_are_critical_and_nothing_else_is_looked_at_there(world: World) -> None:
    world.cloud.account_id = "210987654321"
    world.cloud.profiles.clear()
    assert world.found() == [(FindingCode.WRONG_ACCOUNT, Severity.CRITICAL)]


def test_a_look_that_is_not_allowed_is_a_finding_and_the_other_looks_go_on(world: World) -> None:
    world.cloud.refuse("subnets", Conflict("ec2:DescribeSubnets is denied"))
    world.cloud.profiles.clear()
    assert world.found() == [
        (FindingCode.LOOK_REFUSED, Severity.CRITICAL),
        (FindingCode.INSTANCE_PROFILE_MISSING, Severity.CRITICAL),
    ]


def test_a_system_that_does_not_answer_is_asked_again_instead_of_being_a_finding(world: World) -> None:
    world.names.refuse("read", Unavailable("throttled"))
    request = MigrationRequest.model_validate_json(json.dumps(document()))
    environment, checks = Attempts(), world.checks()
    error = environment.error(checks.check_prerequisites, CheckPrerequisites(request=request))
    assert (error.type, error.non_retryable) == ("Unavailable", False)
    assert environment.attempt(checks.check_prerequisites, CheckPrerequisites(request=request)).findings == ()


@pytest.mark.parametrize(
    ("subnet", "path"),
    [
        (PRODUCTION, "$.target.subnetId"),
        (TEST, "$.target.test.subnetId"),
        (STAGING, "$.replication.stagingSubnetId"),
    ],
)
def test_every_subnet_must_exist_and_have_room(world: World, subnet: str, path: str) -> None:
    world.subnet(subnet, free=0)
    assert [(f.code, f.path) for f in world.check().findings] == [(FindingCode.SUBNET_FULL, path)]
    del world.cloud.known_subnets[subnet]
    assert [(f.code, f.path) for f in world.check().findings] == [(FindingCode.SUBNET_MISSING, path)]


def test_a_subnet_for_staging_and_production_needs_room_for_both(world: World) -> None:
    world.subnet(PRODUCTION, free=1)
    assert world.found() == []
    assert world.found(replication={}) == [(FindingCode.SUBNET_FULL, Severity.CRITICAL)]


def test_a_test_network_is_not_looked_at_when_no_test_is_launched(world: World) -> None:
    del world.cloud.known_subnets[TEST]
    assert world.found(test={"mode": "skip", "reason": "tested last week"}) == []


def test_a_security_group_must_exist_in_the_subnets_vpc(world: World) -> None:
    world.cloud.groups["sg-0a1b2c3d"] = "vpc-2"
    assert world.found() == [(FindingCode.SECURITY_GROUP_IN_OTHER_VPC, Severity.CRITICAL)]
    del world.cloud.groups["sg-0a1b2c3d"]
    assert world.found() == [(FindingCode.SECURITY_GROUP_MISSING, Severity.CRITICAL)]


def test_an_instance_type_must_be_offered_in_the_subnets_zone(world: World) -> None:
    assert world.found(**server(launch={"instanceType": "x9.huge"})) == [
        (FindingCode.INSTANCE_TYPE_NOT_OFFERED, Severity.CRITICAL)
    ]


def test_a_key_that_mgn_cannot_use_is_critical(world: World) -> None:
    world.cloud.key_problems = {"alias/migrations": "it is disabled"}
    assert world.found() == [(FindingCode.KMS_KEY_UNUSABLE, Severity.CRITICAL)]


def test_mgn_must_be_initialised(world: World) -> None:
    world.mgn.initialised = False
    assert world.found() == [(FindingCode.MGN_NOT_INITIALISED, Severity.CRITICAL)]


def test_mgn_must_have_room_for_the_servers_that_it_does_not_know_yet(world: World) -> None:
    world.mgn.active = world.quota = 3
    (finding,) = world.check().findings
    assert (finding.code, finding.severity) == (FindingCode.MGN_QUOTA_EXCEEDED, Severity.CRITICAL)
    assert "quota of 3 (L-9A599620)" in finding.message
    world.mgn.add("s-1", user_provided_id="vcenter-1:uuid-web")
    assert world.found() == []


def test_the_quota_that_aws_raised_is_the_one_that_counts(world: World) -> None:
    world.mgn.active, world.quota = 150, 151
    assert world.found() == []


@pytest.mark.parametrize(
    ("fields", "code", "severity"),
    [
        ({"power": PowerState.OFF}, FindingCode.MACHINE_POWERED_OFF, Severity.CRITICAL),
        ({"power": PowerState.SUSPENDED}, FindingCode.MACHINE_POWERED_OFF, Severity.CRITICAL),
        ({"tools_running": False}, FindingCode.TOOLS_NOT_RUNNING, Severity.WARNING),
        ({"addresses": ("10.1.0.12",)}, FindingCode.ADDRESS_DIFFERS, Severity.WARNING),
        ({"snapshots": ("before-upgrade",)}, FindingCode.MACHINE_HAS_SNAPSHOTS, Severity.WARNING),
    ],
)
def test_a_source_machines_state_is_judged(
    world: World, fields: dict[str, Any], code: FindingCode, severity: Severity
) -> None:
    world.hypervisor.edit("web", **fields)
    assert world.found() == [(code, severity)]


def test_a_machine_that_the_hypervisor_does_not_know_is_critical(world: World) -> None:
    (finding,) = world.check(**server(vm="wbe")).findings
    assert (finding.code, finding.subject) == (FindingCode.MACHINE_MISSING, "billing-web-01")
    assert finding.path == "$.source.servers[0].vm"


def test_the_agent_needs_a_managed_instance_that_is_online(world: World) -> None:
    world.commands.add("mi-1", "billing-web-01", online=False)
    assert world.found() == [(FindingCode.MANAGED_INSTANCE_OFFLINE, Severity.CRITICAL)]
    world.commands.instances.clear()
    assert world.found() == [(FindingCode.MANAGED_INSTANCE_MISSING, Severity.CRITICAL)]
    assert world.found(**server(agentInstall="preinstalled")) == []


def test_a_record_that_does_not_exist_yet_is_a_warning_and_recorded_as_absent(world: World) -> None:
    world.names.edit("billing.example.internal", "A", None)
    checked = world.check()
    assert [(f.code, f.severity) for f in checked.findings] == [(FindingCode.RECORD_MISSING, Severity.WARNING)]
    assert [(name.index, name.before) for name in checked.names] == [(0, None)]


# --- hooks and the change ticket -----------------------------------------------------------------------------------


def hooks(*parts: dict[str, Any]) -> dict[str, Any]:
    name = document()["source"]["servers"][0]["name"]
    usual = {"at": "beforeQuiesce", "on": "source", "server": name, "type": "ssm", "ref": "AWS-RunShellScript"}
    return {"hooks": [usual | part for part in parts]}


@pytest.mark.parametrize(
    ("on", "at"),
    [
        *(("source", at) for at in ("beforeQuiesce", "afterRollback")),
        *(("target", at) for at in ("afterLaunch", "beforeSwitch", "afterSwitch", "beforeRollback")),
        ("target", "beforeDecommission"),
    ],
)
def test_a_command_may_run_while_its_machine_runs(world: World, on: str, at: str) -> None:
    assert world.found(**hooks({"on": on, "at": at})) == []


@pytest.mark.parametrize(
    ("on", "at"),
    [
        *(("source", at) for at in ("afterQuiesce", "afterLaunch", "beforeSwitch", "beforeRollback")),
        *(("target", at) for at in ("beforeQuiesce", "afterQuiesce", "afterRollback")),
    ],
)
def test_a_command_cannot_run_on_a_machine_that_is_off_by_then(world: World, on: str, at: str) -> None:
    assert world.found(**hooks({"on": on, "at": at})) == [("HOOK_IMPOSSIBLE", Severity.CRITICAL)]
    assert world.found(**hooks({"on": on, "at": at, "type": "webhook"})) == []


def test_a_webhook_must_be_allowed_as_a_callback_is(world: World) -> None:
    world.webhook.refusal = "no scheme"
    found = world.found(**hooks({"type": "webhook"}), callbackUrl=None)
    assert found == [("HOOK_REFUSED", Severity.CRITICAL)]


@pytest.mark.parametrize(
    "part", [{"at": "afterQuiesce", "type": "webhook"}, {"onFailure": "warn"}, {"on": "target", "type": "webhook"}]
)
def test_a_source_that_hooks_alone_make_quiet_needs_such_a_hook(world: World, part: dict[str, str]) -> None:
    quiesce = {"quiesce": {"method": "hookOnly"}}
    assert world.found(**hooks(part), **quiesce) == [("HOOK_IMPOSSIBLE", Severity.CRITICAL)]
    assert world.found(**hooks({}), **quiesce) == []


def test_a_change_ticket_must_exist_and_not_be_over(world: World) -> None:
    def change(number: str) -> dict[str, Any]:
        return {"change": {"system": "servicenow", "connection": "servicenow-1", "number": number}}

    world.tickets = FakeTickets(a_ticket(), a_ticket("CHG0030002", over=True, state="Closed"))
    assert world.found(**change("CHG0030001")) == []
    assert world.found(**change("CHG0030002")) == [("CHANGE_OVER", Severity.CRITICAL)]
    assert world.found(**change("CHG0030003")) == [("CHANGE_MISSING", Severity.CRITICAL)]
