import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from activities.prerequisites import CheckPrerequisites, PrerequisiteChecks, Prerequisites
from migration.errors import Conflict, NotFound, SourcePreparationError, Unavailable
from migration.findings import FindingCode, Severity
from migration.ports import Claim, MachineDisk, NetworkCard, PowerState, RecordSet, Subnet
from migration.request import MigrationRequest, request_hash
from tests.fakes.ec2 import FakeCloud
from tests.fakes.environment import Attempts
from tests.fakes.factory import WAVE, FakeFactory
from tests.fakes.inventory import FakeDatabase
from tests.fakes.messages import FakeWebhook
from tests.fakes.mgn import FakeReplication
from tests.fakes.names import FakeNames
from tests.fakes.ssm import FakeCommands
from tests.fakes.store import FakeStore
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
        self.quota, self.store = 150, FakeStore()
        self.connections, self.factory = {"", "cmf-1"}, FakeFactory()
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
            subnet_id=subnet_id, vpc_id=vpc, zone="eu-central-1a", cidr="10.2.0.0/24", free_addresses=free
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

        def factories(name: str) -> FakeFactory:
            if name not in self.connections:
                raise NotFound(f"no CMF connection {name}")
            return self.factory

        return PrerequisiteChecks(
            hypervisors,
            lambda _: self.commands,
            lambda _: self.mgn,
            lambda _: self.cloud,
            lambda _: self.names,
            databases,
            factories,
            self.webhook,
            self.store,
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
    (finding,) = world.check(cmdb={"system": "netbox", "connection": "netbox-1"}).findings
    assert (finding.code, finding.severity, finding.path) == ("NOT_OFFERED", Severity.CRITICAL, "$.cmdb.system")


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


def test_a_fixed_address_must_be_one_of_the_subnet(world: World) -> None:
    assert world.found(**server(launch={"privateIp": "10.2.0.50"})) == []
    (finding,) = world.check(**server(launch={"privateIp": "copy"})).findings
    assert (finding.code, finding.severity) == (FindingCode.ADDRESS_OUTSIDE_SUBNET, Severity.CRITICAL)
    assert "10.1.0.11, subnet subnet-0a1b2c3d is 10.2.0.0/24" in finding.message


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


CRITICAL, WARNING, INFORMATION = Severity.CRITICAL, Severity.WARNING, Severity.INFORMATION
TIB = 1024**4


def disk(number: int = 1, *, size: int = 10 * 1024**3, **facts: bool) -> MachineDisk:
    return MachineDisk(label=f"Hard disk {number}", size_bytes=size, **facts)


@pytest.mark.parametrize(
    ("fields", "code", "severity"),
    [
        ({"power": PowerState.OFF}, FindingCode.MACHINE_POWERED_OFF, CRITICAL),
        ({"power": PowerState.SUSPENDED}, FindingCode.MACHINE_POWERED_OFF, CRITICAL),
        ({"tools_running": False}, FindingCode.TOOLS_NOT_RUNNING, WARNING),
        ({"addresses": ("10.1.0.12",)}, FindingCode.ADDRESS_DIFFERS, WARNING),
        ({"addresses": ()}, FindingCode.ADDRESS_MISSING, WARNING),
        ({"snapshots": ("before-upgrade",)}, FindingCode.MACHINE_HAS_SNAPSHOTS, WARNING),
        ({"consolidation_needed": True}, FindingCode.CONSOLIDATION_NEEDED, WARNING),
        ({"disks": tuple(disk(n) for n in range(27))}, None, None),
        ({"disks": tuple(disk(n) for n in range(28))}, FindingCode.DISKS_MANY, WARNING),
        ({"disks": tuple(disk(n) for n in range(60))}, FindingCode.DISKS_MANY, WARNING),
        ({"disks": tuple(disk(n) for n in range(61))}, FindingCode.DISKS_TOO_MANY, CRITICAL),
        ({"disks": (disk(size=16 * TIB),)}, None, None),
        ({"disks": (disk(size=16 * TIB + 1),)}, FindingCode.DISK_TOO_LARGE, CRITICAL),
        ({"disks": (disk(raw_mapped=True),)}, FindingCode.DISK_RAW_MAPPED, WARNING),
        ({"disks": (disk(independent=True),)}, FindingCode.DISK_INDEPENDENT, WARNING),
        ({"disks": (disk(shared=True),)}, FindingCode.DISK_SHARED, WARNING),
        ({"passthrough": ("PCI device 0",)}, FindingCode.PASSTHROUGH_DEVICE, WARNING),
        ({"has_tpm": True}, FindingCode.VIRTUAL_TPM, WARNING),
        ({"encrypted": True}, FindingCode.MACHINE_ENCRYPTED, INFORMATION),
    ],
)
def test_a_source_machine_is_judged(
    world: World, fields: dict[str, Any], code: FindingCode | None, severity: Severity | None
) -> None:
    world.hypervisor.edit("web", **fields)
    assert world.found() == ([(code, severity)] if code else [])


@pytest.mark.parametrize(
    "guest", ["ubuntu64Guest", "centos64Guest", "centos7_64Guest", "rhel9_64Guest", "sles15_64Guest"]
)
def test_a_system_that_has_an_agent_is_no_finding(world: World, guest: str) -> None:
    world.hypervisor.edit("web", guest_id=guest)
    assert world.found() == []


@pytest.mark.parametrize(
    ("guest", "code", "severity"),
    [
        ("freebsd13_64Guest", FindingCode.GUEST_OS_UNSUPPORTED, CRITICAL),
        ("solaris11_64Guest", FindingCode.GUEST_OS_UNSUPPORTED, CRITICAL),
        ("darwin21_64Guest", FindingCode.GUEST_OS_UNSUPPORTED, CRITICAL),
        ("win98Guest", FindingCode.GUEST_OS_UNSUPPORTED, CRITICAL),
        ("otherLinux64Guest", FindingCode.GUEST_OS_UNKNOWN, WARNING),
        ("rhel4_64Guest", FindingCode.GUEST_OS_UNKNOWN, WARNING),
        ("windows2019srv_64Guest", FindingCode.GUEST_OS_DIFFERS, CRITICAL),
        ("windows9Server64Guest", FindingCode.GUEST_OS_DIFFERS, CRITICAL),
        ("winNetEnterpriseGuest", FindingCode.GUEST_OS_DIFFERS, CRITICAL),
    ],
)
def test_a_system_without_an_agent_is_named(world: World, guest: str, code: FindingCode, severity: Severity) -> None:
    world.hypervisor.edit("web", guest_id=guest)
    assert world.found() == [(code, severity)]


def test_a_windows_machine_is_found_to_be_one(world: World) -> None:
    world.hypervisor.edit("web", guest_id="windows2019srv_64Guest")
    assert world.found(**server(os="windows")) == []
    world.hypervisor.edit("web", guest_id="ubuntu64Guest")
    assert world.found(**server(os="windows")) == [(FindingCode.GUEST_OS_DIFFERS, CRITICAL)]


def test_a_disk_must_fit_the_volume_type_of_its_launch(world: World) -> None:
    world.hypervisor.edit("web", disks=(disk(size=2 * TIB),))
    assert world.found() == []
    (finding,) = world.check(**server(launch={"volumeType": "standard"})).findings
    assert (finding.code, finding.path) == (FindingCode.DISK_TOO_LARGE, "$.source.servers[0].launch.volumeType")
    assert "Hard disk 1 of web has 2.0 TiB, a standard volume 1 TiB at most" in finding.message


def test_disks_that_snapshots_leave_out_matter_only_where_there_is_a_snapshot(world: World) -> None:
    world.hypervisor.edit("web", disks=(disk(raw_mapped=True, independent=True),))
    assert [code for code, _ in world.found()] == [FindingCode.DISK_RAW_MAPPED, FindingCode.DISK_INDEPENDENT]
    assert world.found(sourceSnapshot="none") == []


def test_a_machine_that_the_hypervisor_does_not_know_is_critical(world: World) -> None:
    (finding,) = world.check(**server(vm="wbe")).findings
    assert (finding.code, finding.subject) == (FindingCode.MACHINE_MISSING, "billing-web-01")
    assert finding.path == "$.source.servers[0].vm"


def test_a_machine_that_is_named_twice_is_critical(world: World) -> None:
    (first,) = document()["source"]["servers"]
    second = {**first, "name": "billing-web-02", "agentInstall": "preinstalled"}
    (finding,) = world.check(**changed("source", servers=[first, second])).findings
    assert (finding.code, finding.subject) == (FindingCode.MACHINE_NAMED_TWICE, "billing-web-02")


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


# --- Cloud Migration Factory ------------------------------------------------------------------------------------


def factory_findings(world: World, **link: Any) -> list[tuple[str, Severity, str | None]]:
    found = world.check(cmf={"waveId": WAVE, **link}).findings
    return [(finding.code, finding.severity, finding.path) for finding in found]


def test_a_wave_that_has_the_servers_has_no_findings(world: World) -> None:
    assert factory_findings(world) == []
    world.factory.known.clear()
    world.factory.add("10.1.0.11")  # CMF may know a server by its address
    assert factory_findings(world, connection="cmf-1") == []
    assert world.factory.effects == []


def test_a_factory_that_the_settings_do_not_know_is_critical(world: World) -> None:
    assert factory_findings(world, connection="cmf-9") == [
        (FindingCode.UNKNOWN_CONNECTION, Severity.CRITICAL, "$.cmf.connection")
    ]


def test_a_wave_that_does_not_exist_is_critical(world: World) -> None:
    assert factory_findings(world, waveId="99") == [
        (FindingCode.FACTORY_WAVE_MISSING, Severity.CRITICAL, "$.cmf.waveId")
    ]


@pytest.mark.parametrize(
    ("change", "code", "severity"),
    [
        (lambda factory: factory.known.clear(), FindingCode.FACTORY_SERVER_MISSING, Severity.CRITICAL),
        (lambda factory: factory.apps.clear(), FindingCode.FACTORY_SERVER_IN_OTHER_WAVE, Severity.CRITICAL),
        (lambda factory: factory.add("web"), FindingCode.FACTORY_SERVER_AMBIGUOUS, Severity.CRITICAL),
        (
            lambda factory: factory.known.update({"1": factory.known["1"].model_copy(update={"strategy": "Retain"})}),
            FindingCode.FACTORY_SERVER_NOT_REHOSTED,
            Severity.WARNING,
        ),
    ],
)
def test_a_server_that_does_not_fit_its_wave_is_found(
    world: World, change: Callable[[FakeFactory], object], code: FindingCode, severity: Severity
) -> None:
    change(world.factory)
    assert factory_findings(world) == [(code, severity, "$.cmf.waveId")]


@pytest.mark.parametrize("elsewhere", [{"account_ids": ("999999999999",)}, {"region": "us-east-1"}])
def test_an_application_that_cmf_sends_elsewhere_is_a_warning(world: World, elsewhere: dict[str, Any]) -> None:
    here = {"account_ids": ("123456789012",), "region": "eu-central-1"}
    world.factory.apps["1"] = world.factory.apps["1"].model_copy(update=here)
    assert factory_findings(world) == []
    world.factory.apps["1"] = world.factory.apps["1"].model_copy(update=elsewhere)
    assert factory_findings(world) == [(FindingCode.FACTORY_TARGET_DIFFERS, Severity.WARNING, "$.target")]


def test_a_schema_without_our_words_for_a_wave_is_a_warning(world: World) -> None:
    world.factory.allowed = ("not started", "in progress", "completed")
    assert factory_findings(world) == [(FindingCode.FACTORY_STATUS_NOT_ALLOWED, Severity.WARNING, "$.cmf")]


# --- inside the machines -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answers", "code", "severity"),
    [
        ({"root": "no"}, FindingCode.AGENT_WITHOUT_ROOT, CRITICAL),
        ({"free_root": "2047"}, FindingCode.AGENT_SPACE_LOW, CRITICAL),
        ({"free_root": "2048"}, None, None),
        ({"free_tmp": "511"}, FindingCode.AGENT_SPACE_LOW, CRITICAL),
        ({"mgn": "silent"}, FindingCode.AGENT_ENDPOINT_UNREACHABLE, CRITICAL),
        ({"s3": "refused"}, FindingCode.AGENT_ENDPOINT_UNREACHABLE, CRITICAL),
        ({"mgn": "unknown", "s3": "unknown"}, FindingCode.AGENT_NOT_LOOKED_AT, WARNING),
        ({"staging": "unreachable"}, FindingCode.AGENT_STAGING_UNREACHABLE, WARNING),
        ({"staging": "refused"}, None, None),
        ({"dhcp": "no"}, FindingCode.AGENT_DHCP_MISSING, WARNING),
        ({"free_root": "plenty"}, FindingCode.AGENT_NOT_LOOKED_AT, WARNING),
    ],
)
def test_what_the_agent_needs_is_looked_at_inside_the_machine(
    world: World, answers: dict[str, str], code: FindingCode | None, severity: Severity | None
) -> None:
    world.commands.answers |= answers
    assert world.found() == ([(code, severity)] if code else [])


def test_every_machine_is_looked_into_with_one_command_that_its_mark_finds_again(world: World) -> None:
    request = MigrationRequest.model_validate_json(json.dumps(document()))
    mark = "mig-billing/1/validate/1"
    Attempts().attempt(world.checks().check_prerequisites, CheckPrerequisites(request=request, mark=mark))
    assert world.commands.looks == [("mi-1", mark)]


def test_a_machine_whose_agent_mgn_knows_is_not_looked_into(world: World) -> None:
    world.mgn.add("s-1", user_provided_id="vcenter-1:uuid-web")
    assert world.found() == []
    assert world.found(**server(agentInstall="preinstalled")) == []
    assert world.commands.looks == []


def test_a_look_that_somebody_ended_is_a_warning_and_one_that_found_no_way_is_made_again(world: World) -> None:
    world.commands.look_ends = SourcePreparationError("the command c-2 on mi-1 ended as Cancelled", action="Look there")
    (finding,) = world.check().findings
    assert (finding.code, finding.subject) == (FindingCode.AGENT_NOT_LOOKED_AT, "billing-web-01")
    world.commands.look_ends = None
    world.commands.refuse("look", Unavailable("the machine could not be reached"))
    asked = CheckPrerequisites(request=MigrationRequest.model_validate_json(json.dumps(document())))
    assert Attempts().error(world.checks().check_prerequisites, asked).type == "Unavailable"


# --- time, quotas, claims ----------------------------------------------------------------------------------------


def test_more_days_than_mgn_gives_away_are_a_warning(world: World) -> None:
    days = {"replication": {"deadline": "P45D"}, "soak": {"for": "P10D"}, "grace": "P36D"}
    (finding,) = world.check(**days).findings
    assert (finding.code, finding.severity) == (FindingCode.FREE_PERIOD_EXCEEDED, WARNING)
    assert "add up to 91 days" in finding.message
    assert world.found(**days | {"grace": "P35D"}) == []
    assert world.found(**days, migrationType="test") == []


def test_jobs_that_leave_no_room_for_a_launch_are_told(world: World) -> None:
    for number in range(20):
        world.mgn.add(f"s-{number}")
        world.mgn.add_job(f"mgnjob-{number}", "LAUNCH", [f"s-{number}"])
    assert world.found() == [(FindingCode.MGN_JOBS_BUSY, INFORMATION)]
    for number in range(19):
        world.mgn.end_job(f"mgnjob-{number}")
    assert world.found() == []
    world.mgn.add_job("mgnjob-large", "LAUNCH", [f"s-{number}" for number in range(199)])
    assert world.found() == [(FindingCode.MGN_JOBS_BUSY, INFORMATION)]


def unclaimed(world: World) -> list[tuple[str, str]]:
    """What a look before the claim finds: codes and messages."""
    request = MigrationRequest.model_validate_json(json.dumps(document()))
    asked = CheckPrerequisites(request=request, unclaimed=True)
    checked = Attempts().attempt(world.checks().check_prerequisites, asked)
    assert world.store.effects == []
    return [(finding.code, finding.message) for finding in checked.findings]


def claimed(world: World, migration_id: str, keys: list[str], *, request: str = "another") -> None:
    claim = Claim(migration_id=migration_id, generation=1, request_hash=request, workflow_run="run-1")
    world.store.claim(claim, keys, again=False)
    world.store.effects.clear()


def test_a_server_of_another_live_migration_is_critical_and_its_holder_named(world: World) -> None:
    claimed(world, "mig-other", ["vcenter-1/web"])
    assert unclaimed(world) == [(FindingCode.SERVER_IN_OTHER_MIGRATION, "vcenter-1/web is held by mig-other")]
    world.store.finish("mig-other", 1, "COMPLETED", ["vcenter-1/web"])
    world.store.effects.clear()
    assert unclaimed(world) == []


def test_an_id_that_belongs_to_another_request_is_critical(world: World) -> None:
    claimed(world, "mig-billing", [])
    assert unclaimed(world) == [(FindingCode.MIGRATION_ID_TAKEN, "mig-billing is live, with another request")]


@pytest.mark.parametrize(("ended", "taken"), [("COMPLETED", True), ("ROLLED_BACK", False), ("FAILED", False)])
def test_an_id_that_has_ended_for_good_is_critical(world: World, ended: str, *, taken: bool) -> None:
    request = MigrationRequest.model_validate_json(json.dumps(document()))
    claimed(world, "mig-billing", ["vcenter-1/web"], request=request_hash(request))
    assert unclaimed(world) == [], "its own live claim is none of another"
    world.store.finish("mig-billing", 1, ended, ["vcenter-1/web"])
    world.store.effects.clear()
    words = f"mig-billing has ended as {ended}, and cannot be started again"
    assert unclaimed(world) == ([(FindingCode.MIGRATION_ID_TAKEN, words)] if taken else [])


def test_a_migration_does_not_stumble_over_its_own_claim(world: World) -> None:
    claimed(world, "mig-billing", ["vcenter-1/web"])
    assert world.found() == []


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
