"""MGN's records, replication and groups through our adapter; nothing takes effect twice."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from adapters.mgn import Mgn, mgn
from adapters.mgn.records import duration, moment
from adapters.ssm import Ssm
from localcloud.aws.mgn import mgn_backends
from migration.errors import Conflict, MigrationExecutionError, NotFound, Unavailable
from migration.ports import ReplicationSettings, Where
from tests.contracts.aws_cloud import ACCOUNT, REGION, Cloud, local_aws

SYNCED = 60 * 60
LAUNCHED = 15 * 60
MARK = {"migrator:mark": "mig-billing/1/test/1", "migrator:migration-id": "mig-billing"}
MISSING = "s-0123456789abcdef0"


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with local_aws(servers=4) as cloud:
        yield cloud


@pytest.fixture
def service(cloud: Cloud) -> Mgn:
    return Mgn(cloud.sessions, cloud.where)


@pytest.fixture(scope="module")
def unused(cloud: Cloud) -> Iterator[str]:
    """The ids of machines whose agents no test has installed yet."""
    return iter([machine.uuid for machine in cloud.machines])


@pytest.fixture
def register(cloud: Cloud, unused: Iterator[str]) -> Callable[[], str]:
    """Install the agent on one more machine, not replicating yet; the source server's id."""

    def registered() -> str:
        uuid = next(unused)
        machine = next(one for one in cloud.machines if one.uuid == uuid)
        line = "./aws-replication-installer-init --no-prompt --no-replication"
        Ssm(cloud.sessions, cloud.where).run(
            machine.managed_instance_id,
            [f"{line} --region {REGION} --user-provided-id {user_provided_id(uuid)}"],
            os="linux",
            comment=f"install {uuid}",
            within=timedelta(seconds=20),
        )
        return Mgn(cloud.sessions, cloud.where).find([user_provided_id(uuid)])[user_provided_id(uuid)].source_server_id

    return registered


def user_provided_id(uuid: str) -> str:
    return f"vcenter-1:{uuid}"


def record(service: Mgn, source_server_id: str) -> Any:
    return service.servers([source_server_id])[source_server_id]


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("P0D", timedelta(0)),
        ("PT5M3.5S", timedelta(minutes=5, seconds=3.5)),
        ("P1DT2H", timedelta(days=1, hours=2)),
        ("PT16H20M38.697305S", timedelta(hours=16, minutes=20, seconds=38.697305)),
        ("P152D", timedelta(days=152)),
    ],
)
def test_durations_are_read_as_the_service_writes_them(text: str, read: timedelta) -> None:
    assert duration(text) == read


@pytest.mark.parametrize("text", ["", "P", "PT", "5M", "-PT5M", "P1Y", "P1DT"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(MigrationExecutionError, match="cannot be read"):
        duration(text)


@pytest.mark.parametrize(
    "text", ["2026-11-23T10:00:00.5Z", "2026-11-23T10:00:00.500000+00:00", "2026-11-23T11:00:00.5+01:00"]
)
def test_both_forms_of_a_time_are_read(text: str) -> None:
    assert moment(text) == datetime(2026, 11, 23, 10, 0, 0, 500_000, tzinfo=UTC)


def test_one_adapter_serves_one_account_and_region(cloud: Cloud) -> None:
    services = mgn(cloud.sessions)
    assert services(cloud.where) is services(cloud.where)


def test_an_account_is_initialised_or_not(cloud: Cloud, service: Mgn) -> None:
    assert service.is_initialised()
    elsewhere = Mgn(cloud.sessions, Where(account_id=ACCOUNT, region="eu-west-1"))
    assert not elsewhere.is_initialised()


def test_a_registered_machine_is_found_by_its_id_and_does_not_replicate(
    service: Mgn, register: Callable[[], str]
) -> None:
    before = service.count_active()
    found = record(service, register())
    assert found.life_cycle == "STOPPED"
    assert (found.replication_state, found.lag, found.archived) == ("STOPPED", None, False)
    assert found.user_provided_id is not None
    assert service.find([found.user_provided_id, "vcenter-1:unknown"]) == {found.user_provided_id: found}
    assert service.count_active() == before


def test_replication_starts_once_and_its_progress_can_be_read(
    cloud: Cloud, service: Mgn, register: Callable[[], str]
) -> None:
    source_server_id, before = register(), service.count_active()
    cloud.lose_reply("mgn", "StartReplication", source_server_id)
    service.start_replication(source_server_id)
    service.start_replication(source_server_id)
    assert len(cloud.calls("StartReplication", source_server_id)) == 1
    assert service.count_active() == before + 1
    cloud.wait(400)
    syncing = record(service, source_server_id)
    assert syncing.replication_state == "INITIAL_SYNC"
    assert 0 < syncing.replicated_bytes < syncing.total_bytes
    assert syncing.eta is not None
    cloud.wait(SYNCED)
    synced = record(service, source_server_id)
    assert (synced.replication_state, synced.life_cycle, synced.lag) == ("CONTINUOUS", "READY_FOR_TEST", timedelta(0))


def test_records_that_are_gone_are_named(service: Mgn, register: Callable[[], str]) -> None:
    with pytest.raises(NotFound, match=MISSING):
        service.servers([register(), MISSING])


def test_more_records_than_one_filter_takes_are_read_in_parts(cloud: Cloud, service: Mgn) -> None:
    disk = [("/dev/sda", 2**30)]
    usual = {"fqdn": "web", "ip": "10.1.0.11", "mac": "00:50:56:00:00:01", "os": "Ubuntu", "disks": disk, "tags": {}}
    backend = mgn_backends[ACCOUNT][REGION]
    names = [f"many-{number}" for number in range(230)]
    ids = [backend.register_agent(hostname=one, user_provided_id=one, no_replication=True, **usual) for one in names]
    assert list(service.servers(ids)) == ids
    assert service.find(names).keys() == set(names)


def test_a_disconnected_or_archived_record_is_not_found_by_its_machine(
    service: Mgn, register: Callable[[], str]
) -> None:
    source_server_id = register()
    key = record(service, source_server_id).user_provided_id
    service.disconnect(source_server_id)
    assert service.find([key]) == {}
    service.archive(source_server_id)
    assert service.find([key]) == {}


def test_two_live_records_of_one_machine_are_a_conflict(
    cloud: Cloud, service: Mgn, register: Callable[[], str]
) -> None:
    first, second = register(), register()
    key = record(service, first).user_provided_id
    client = cloud.sessions.client("mgn", where=cloud.where)

    def same(parsed: Any, **_: Any) -> None:
        for item in parsed["items"]:
            if item["sourceServerID"] in {first, second}:
                item["userProvidedID"] = key

    client.meta.events.register("after-call.mgn.DescribeSourceServers", same)
    with pytest.raises(Conflict, match=key):
        service.find([key])
    client.meta.events.unregister("after-call.mgn.DescribeSourceServers", same)


def test_replication_is_configured_where_it_differs(cloud: Cloud, service: Mgn, register: Callable[[], str]) -> None:
    source_server_id, seeded = register(), cloud.aws.seeded
    settings = ReplicationSettings(
        staging_subnet_id=seeded.subnets["staging"],
        kms_key_id=seeded.kms_key_arn.rpartition("/")[2],
        bandwidth_mbps=100,
        staging_tags={"costCentre": "4711"},
    )
    service.configure_replication(source_server_id, settings)
    service.configure_replication(source_server_id, settings)
    assert len(cloud.calls("UpdateReplicationConfiguration", source_server_id)) == 1
    client = cloud.sessions.client("mgn", where=cloud.where)
    now = client.get_replication_configuration(sourceServerID=source_server_id)
    assert now["stagingAreaSubnetId"] == seeded.subnets["staging"]
    assert (now["ebsEncryption"], now["ebsEncryptionKeyArn"]) == ("CUSTOM", seeded.kms_key_arn)
    assert (now["bandwidthThrottling"], now["stagingAreaTags"]) == (100, {"costCentre": "4711"})
    assert now["dataPlaneRouting"] == "PRIVATE_IP"
    service.configure_replication(source_server_id, settings.model_copy(update={"kms_key_id": None}))
    assert client.get_replication_configuration(sourceServerID=source_server_id)["ebsEncryption"] == "DEFAULT"


def test_tags_are_set_where_they_differ(cloud: Cloud, service: Mgn, register: Callable[[], str]) -> None:
    source_server_id = register()
    before = len(cloud.calls("TagResource"))
    service.tag(source_server_id, MARK)
    service.tag(source_server_id, MARK)
    assert record(service, source_server_id).tags.items() >= MARK.items()
    assert len(cloud.calls("TagResource")) == before + 1


def test_servers_are_grouped_once_even_when_the_first_reply_is_lost(
    cloud: Cloud, service: Mgn, register: Callable[[], str]
) -> None:
    ids = [register(), register()]
    cloud.lose_reply("mgn", "CreateApplication")
    with pytest.raises(Unavailable):
        service.group(ids, application="billing", wave="wave-07")
    for _ in range(2):
        service.group(ids, application="billing", wave="wave-07")
    client = cloud.sessions.client("mgn", where=cloud.where)
    (application,) = [one for one in client.list_applications()["items"] if one["name"] == "billing"]
    (wave,) = [one for one in client.list_waves()["items"] if one["name"] == "wave-07"]
    assert application["waveID"] == wave["waveID"]
    assert application["applicationAggregatedStatus"]["totalSourceServers"] == 2
    assert len(cloud.calls("AssociateSourceServers", application["applicationID"])) == 1
    assert len(cloud.calls("AssociateApplications", application["applicationID"])) == 1


def test_a_name_that_is_made_beside_us_is_found_again(cloud: Cloud, service: Mgn, register: Callable[[], str]) -> None:
    client = cloud.sessions.client("mgn", where=cloud.where)
    hidden = iter([True])

    def not_yet_listed(parsed: Any, **_: Any) -> None:
        if next(hidden, False):
            parsed["items"] = []

    made = client.create_application(name="crm")["applicationID"]
    client.meta.events.register("after-call.mgn.ListApplications", not_yet_listed)
    source_server_id = register()
    service.group([source_server_id], application="crm", wave=None)
    client.meta.events.unregister("after-call.mgn.ListApplications", not_yet_listed)
    (item,) = client.describe_source_servers(filters={"sourceServerIDs": [source_server_id]})["items"]
    assert item["applicationID"] == made


def test_servers_and_applications_move_out_of_their_former_groups(
    cloud: Cloud, service: Mgn, register: Callable[[], str]
) -> None:
    source_server_id = register()
    service.group([source_server_id], application="old", wave="wave-old")
    service.group([source_server_id], application="new", wave="wave-old")
    service.group([source_server_id], application="new", wave="wave-new")
    client = cloud.sessions.client("mgn", where=cloud.where)
    waves = {one["waveID"]: one["name"] for one in client.list_waves()["items"]}
    applications = {one["name"]: one for one in client.list_applications()["items"]}
    assert applications["old"]["applicationAggregatedStatus"]["totalSourceServers"] == 0
    assert applications["new"]["applicationAggregatedStatus"]["totalSourceServers"] == 1
    assert waves[applications["new"]["waveID"]] == "wave-new"


def test_a_record_is_disconnected_once(cloud: Cloud, service: Mgn, register: Callable[[], str]) -> None:
    source_server_id = register()
    cloud.lose_reply("mgn", "DisconnectFromService", source_server_id)
    service.disconnect(source_server_id)
    service.disconnect(source_server_id)
    assert record(service, source_server_id).life_cycle == "DISCONNECTED"
    assert len(cloud.calls("DisconnectFromService", source_server_id)) == 1


def test_only_a_stalled_record_is_retried(cloud: Cloud, service: Mgn, register: Callable[[], str]) -> None:
    source_server_id, seeded = register(), cloud.aws.seeded
    service.retry_replication(source_server_id)
    service.configure_replication(source_server_id, ReplicationSettings(staging_subnet_id="subnet-0123456789abcdef0"))
    service.start_replication(source_server_id)
    cloud.wait(60)
    stalled = record(service, source_server_id)
    assert stalled.replication_state == "STALLED"
    assert (stalled.replication_error or "").startswith("FAILED_TO_LAUNCH_REPLICATION_SERVER")
    assert cloud.calls("RetryDataReplication", source_server_id) == []
    service.retry_replication(source_server_id)
    assert len(cloud.calls("RetryDataReplication", source_server_id)) == 1
    service.configure_replication(source_server_id, ReplicationSettings(staging_subnet_id=seeded.subnets["staging"]))
    cloud.wait(SYNCED)
    assert record(service, source_server_id).replication_state == "CONTINUOUS"
