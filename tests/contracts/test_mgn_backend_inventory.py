"""What MGN merely lists: vCenter clients with the machines that they find, and connectors."""

from collections.abc import Iterator

import pytest

from localcloud.aws.mgn import Quotas
from localcloud.aws.mgn.exceptions import ResourceNotFoundException, ServiceQuotaExceededException
from localcloud.aws.mgn.servers import Machine
from tests.contracts.mgn_site import GIB, SYNCED, Site, moto_server, refused, running_site


@pytest.fixture(scope="module")
def url() -> str:
    return moto_server()


@pytest.fixture
def site(url: str) -> Iterator[Site]:
    with running_site(url) as one:
        yield one


def test_a_discovered_machine_waits_for_its_replication_and_needs_no_agent(site: Site) -> None:
    server_id = site.discovered()
    server = site.server(server_id)
    assert (server["lifeCycle"]["state"], server["replicationType"]) == ("DISCOVERED", "SNAPSHOT_SHIPPING")
    assert server["tags"] == {"from": "dc-1"}
    clients = site.mgn.describe_vcenter_clients()["items"]
    assert [each["vcenterClientID"] for each in clients] == [server["vcenterClientID"]]
    shipped = site.mgn.describe_source_servers(filters={"replicationTypes": ["SNAPSHOT_SHIPPING"]})["items"]
    assert [each["sourceServerID"] for each in shipped] == [server_id]

    site.mgn.start_replication(sourceServerID=server_id)

    seen: list[str] = []
    for _ in range(32):
        state = site.replication(server_id)["dataReplicationState"]
        if not seen or seen[-1] != state:
            seen.append(state)
        site.wait(30)
    assert seen == [
        "INITIATING",
        "PENDING_SNAPSHOT_SHIPPING",
        "SHIPPING_SNAPSHOT",
        "CREATING_SNAPSHOT",
        "CONTINUOUS",
    ]
    assert site.launch("start_test", server_id)["participatingServers"][0]["launchStatus"] == "LAUNCHED"


def test_a_machine_that_is_off_is_shipped_all_the_same(site: Site) -> None:
    server_id = site.discovered()
    site.mgn.start_replication(sourceServerID=server_id)
    site.world.power["web-01"] = [(site.now, False)]
    site.wait(SYNCED + 1000)
    assert site.replication(server_id)["lagDuration"] == "P0D"


def test_the_type_of_replication_changes_while_it_is_stopped(site: Site) -> None:
    server_id = site.discovered()
    update = site.mgn.update_source_server_replication_type

    assert update(sourceServerID=server_id, replicationType="AGENT_BASED")["replicationType"] == "AGENT_BASED"
    assert update(sourceServerID=server_id, replicationType="AGENT_BASED")["replicationType"] == "AGENT_BASED"
    update(sourceServerID=server_id, replicationType="SNAPSHOT_SHIPPING")
    site.mgn.start_replication(sourceServerID=server_id)
    error = refused(update, sourceServerID=server_id, replicationType="AGENT_BASED")
    assert (error["Error"]["Code"], error["resourceId"]) == ("ConflictException", server_id)
    plain = site.in_state("STOPPED", "web-02")
    error = refused(update, sourceServerID=plain, replicationType="SNAPSHOT_SHIPPING")
    assert [field["name"] for field in error["fieldList"]] == ["replicationType"]


def test_a_deleted_client_finds_nothing_more(site: Site) -> None:
    client_id = site.backend.install_vcenter_client("vc.example.internal", "vc-uuid", "dc-1")
    arn = site.mgn.describe_vcenter_clients()["items"][0]["arn"]
    site.mgn.tag_resource(resourceArn=arn, tags={"a": "b"})
    assert site.mgn.describe_vcenter_clients()["items"][0]["tags"] == {"a": "b"}

    site.mgn.delete_vcenter_client(vcenterClientID=client_id)

    assert site.mgn.describe_vcenter_clients()["items"] == []
    machine = Machine("web-01", "web-01.example.internal", "10.1.0.11", "00:50:56:00:00:01", "x", "Ubuntu", ())
    with pytest.raises(ResourceNotFoundException):
        site.backend.discover(client_id, machine)


def test_a_server_is_reached_by_a_connector_that_is_there(site: Site) -> None:
    server_id = site.register()
    connector_id = site.backend.install_connector("dc-1", "mi-" + "0" * 17)
    connector = site.mgn.list_connectors(filters={"connectorIDs": [connector_id]})["items"][0]
    assert (connector["name"], connector["ssmInstanceID"]) == ("dc-1", "mi-" + "0" * 17)

    action = {"connectorArn": connector["arn"]}
    updated = site.mgn.update_source_server(sourceServerID=server_id, connectorAction=action)

    assert updated["connectorAction"] == action
    unknown = {"connectorArn": connector["arn"].replace(connector_id, "connector-" + "0" * 17)}
    error = refused(site.mgn.update_source_server, sourceServerID=server_id, connectorAction=unknown)
    assert (error["Error"]["Code"], error["resourceType"]) == ("ResourceNotFoundException", "Connector")
    gone = site.mgn.list_connectors(filters={"connectorIDs": ["connector-" + "0" * 17]})["items"]
    assert gone == []


@pytest.mark.parametrize(
    ("quotas", "code"),
    [
        (Quotas(active_servers=1), "L-50980698"),
        (Quotas(total_servers=1), "L-967C958D"),
        (Quotas(replicating_servers=1), "L-9A599620"),
    ],
)
def test_servers_stay_within_their_quotas(site: Site, quotas: Quotas, code: str) -> None:
    site.configure(quotas=quotas)
    site.register("web-01")
    with pytest.raises(ServiceQuotaExceededException) as refusal:
        site.register("web-02")
    assert (refusal.value.quotaCode, refusal.value.quotaValue) == (code, 1)
    assert len(site.mgn.describe_source_servers()["items"]) == 1


def test_how_many_jobs_a_server_may_be_in_is_a_quota_too(site: Site) -> None:
    server_id = site.ready(disks=[("/dev/sda", 8 * GIB)])
    site.configure(quotas=Quotas(jobs_of_a_server=2))
    first = site.mgn.start_test(sourceServerIDs=[server_id])["job"]["jobID"]
    second = site.mgn.start_test(sourceServerIDs=[server_id])["job"]["jobID"]
    assert refused(site.mgn.start_test, sourceServerIDs=[server_id])["Error"]["Code"] == "ConflictException"
    site.wait(1000)
    assert {site.job(each)["status"] for each in (first, second)} == {"COMPLETED"}
