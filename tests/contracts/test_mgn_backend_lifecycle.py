"""The state rules of MGN, over HTTP."""

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from localcloud.aws.mgn import MgnSettings, Quotas
from localcloud.aws.mgn.exceptions import UninitializedAccountException
from localcloud.aws.mgn.lifecycle import TRANSITIONS, outcomes
from tests.contracts.mgn_site import GIB, SYNCED, Site, moto_server, refused, running_site

STATES = (
    "DISCOVERED",
    "NOT_READY",
    "READY_FOR_TEST",
    "TESTING",
    "READY_FOR_CUTOVER",
    "CUTTING_OVER",
    "CUTOVER",
    "DISCONNECTED",
    "STOPPED",
)
"""All that a server can come to here; PENDING_INSTALLATION comes from imports, which are not offered."""

REPLICATING = ("NOT_READY", "READY_FOR_TEST", "TESTING", "READY_FOR_CUTOVER", "CUTTING_OVER")
CHANGE = "ChangeServerLifeCycleState to "
Call = Callable[[Site, str], Any]


def on_a_server(operation: str) -> Call:
    return lambda site, one: getattr(site.mgn, operation)(sourceServerID=one)


def on_servers(operation: str) -> Call:
    return lambda site, one: getattr(site.mgn, operation)(sourceServerIDs=[one])


OPERATIONS: dict[str, tuple[Call, dict[str, str]]] = {
    "StartTest": (on_servers("start_test"), {"READY_FOR_TEST": "TESTING", "TESTING": "TESTING"}),
    "StartCutover": (on_servers("start_cutover"), {"READY_FOR_CUTOVER": "CUTTING_OVER"}),
    CHANGE + "READY_FOR_TEST": (
        lambda site, one: site.change(one, "READY_FOR_TEST"),
        {"TESTING": "READY_FOR_TEST", "READY_FOR_CUTOVER": "READY_FOR_TEST"},
    ),
    CHANGE + "READY_FOR_CUTOVER": (
        lambda site, one: site.change(one, "READY_FOR_CUTOVER"),
        dict.fromkeys(("READY_FOR_TEST", "TESTING", "CUTTING_OVER"), "READY_FOR_CUTOVER"),
    ),
    CHANGE + "CUTOVER": (lambda site, one: site.change(one, "CUTOVER"), {"DISCONNECTED": "CUTOVER"}),
    "FinalizeCutover": (on_a_server("finalize_cutover"), {"CUTTING_OVER": "CUTOVER"}),
    "DisconnectFromService": (
        on_a_server("disconnect_from_service"),
        dict.fromkeys(("DISCOVERED", *REPLICATING, "STOPPED"), "DISCONNECTED"),
    ),
    "MarkAsArchived": (
        on_a_server("mark_as_archived"),
        {"CUTOVER": "CUTOVER", "DISCONNECTED": "DISCONNECTED"},
    ),
    "TerminateTargetInstances": (
        on_servers("terminate_target_instances"),
        {"READY_FOR_CUTOVER": "READY_FOR_CUTOVER"},
    ),
    "StartReplication": (
        on_a_server("start_replication"),
        {"STOPPED": "NOT_READY", "DISCOVERED": "NOT_READY"},
    ),
    "StopReplication": (on_a_server("stop_replication"), dict.fromkeys(REPLICATING, "STOPPED")),
    "PauseReplication": (on_a_server("pause_replication"), dict(zip(REPLICATING, REPLICATING, strict=True))),
    "ResumeReplication": (on_a_server("resume_replication"), {}),
    "RetryDataReplication": (on_a_server("retry_data_replication"), {}),
    "DeleteSourceServer": (on_a_server("delete_source_server"), {}),
}
"""What the reference says; the state alone does not let a server resume, retry or be deleted."""

MODELS_NO_CONFLICT = {"RetryDataReplication"}
NEEDS_MORE_THAN_A_STATE = {
    "TerminateTargetInstances",
    "ResumeReplication",
    "RetryDataReplication",
    "DeleteSourceServer",
    "UpdateSourceServerReplicationType",
}

_names = count(1)


@pytest.fixture(scope="module")
def url() -> str:
    return moto_server()


@pytest.fixture
def site(url: str) -> Iterator[Site]:
    with running_site(url) as one:
        yield one


@pytest.fixture(scope="module")
def common(url: str) -> Iterator[Site]:
    """One account for the whole matrix; each test has a server of its own."""
    with running_site(url) as one:
        yield one


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_is_accepted_in_its_states_and_refused_in_all_others(
    common: Site, operation: str, state: str
) -> None:
    common.configure(quotas=Quotas(replicating_servers=1000))
    call, expected = OPERATIONS[operation]
    server_id = common.in_state(state, f"web-{next(_names)}")

    if state in expected:
        call(common, server_id)
        assert common.state(server_id) == expected[state]
        return
    error = refused(call, site=common, one=server_id)
    assert common.state(server_id) == state
    if operation in MODELS_NO_CONFLICT:
        assert (error["Error"]["Code"], error["reason"]) == ("ValidationException", "other")
        return
    assert error["Error"]["Code"] == "ConflictException"
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 409
    assert (error["resourceType"], error["resourceId"]) == ("SourceServer", server_id)
    assert [each["resourceId"] for each in error["errors"]] == [server_id]


@pytest.mark.parametrize("operation", sorted(set(TRANSITIONS) - NEEDS_MORE_THAN_A_STATE))
def test_the_table_of_the_lifecycle_says_what_the_service_does(operation: str) -> None:
    table = {state: after for state, after in outcomes(operation, MgnSettings()).items() if state in STATES}
    assert table == OPERATIONS[operation][1]


def test_a_failed_launch_leaves_the_lifecycle_where_the_call_put_it(site: Site) -> None:
    server_id = site.ready()
    site.world.faults["id-web-01 test"] = "InsufficientInstanceCapacity"

    site.launch("start_test", server_id)

    assert site.state(server_id) == "TESTING"
    assert "launchedInstance" not in site.server(server_id)


def test_each_call_leaves_its_time_in_the_lifecycle_and_what_is_not_set_is_empty(site: Site) -> None:
    server_id = site.ready()
    assert site.server(server_id)["lifeCycle"]["lastTest"] == {"initiated": {}, "reverted": {}, "finalized": {}}

    job_id = site.launch("start_test", server_id)["jobID"]
    site.change(server_id, "READY_FOR_TEST")
    test = site.server(server_id)["lifeCycle"]["lastTest"]
    assert test["initiated"] == {"apiCallDateTime": "2027-01-15T08:15:00.000000+00:00", "jobID": job_id}
    assert test["reverted"] == {"apiCallDateTime": "2027-01-15T08:23:30.000000+00:00"}
    assert test["finalized"] == {}

    site.change(server_id, "READY_FOR_CUTOVER")
    site.launch("start_cutover", server_id)
    site.change(server_id, "READY_FOR_CUTOVER")
    assert set(site.server(server_id)["lifeCycle"]["lastCutover"]["reverted"]) == {"apiCallDateTime"}
    site.launch("start_cutover", server_id)
    site.mgn.finalize_cutover(sourceServerID=server_id)
    cutover = site.server(server_id)["lifeCycle"]["lastCutover"]
    assert cutover["reverted"] == {}
    assert set(cutover["finalized"]) == {"apiCallDateTime"}


def test_finalize_keeps_the_instance_and_ends_the_replication(site: Site) -> None:
    server_id = site.in_state("CUTTING_OVER")
    instance_id = site.server(server_id)["launchedInstance"]["ec2InstanceID"]

    answer = site.mgn.finalize_cutover(sourceServerID=server_id)

    copy = answer["dataReplicationInfo"]
    assert copy["dataReplicationState"] == "DISCONNECTED"
    assert "lagDuration" not in copy
    assert "etaDateTime" not in copy
    assert {step["status"] for step in copy["dataReplicationInitiation"]["steps"]} == {"NOT_STARTED"}
    assert copy["replicatedDisks"][0]["totalStorageBytes"] == 0
    assert site.instance(instance_id)["State"]["Name"] == "running"
    assert answer["launchedInstance"]["ec2InstanceID"] == instance_id
    site.wait(3600)
    later = site.server(server_id)["lifeCycle"]
    for name in ("elapsedReplicationDuration", "lastSeenByServiceDateTime"):
        assert later[name] == answer["lifeCycle"][name]


def test_a_server_leaves_by_disconnect_archive_and_delete(site: Site) -> None:
    server_id = site.in_state("DISCONNECTED")

    assert site.mgn.mark_as_archived(sourceServerID=server_id)["isArchived"] is True
    assert site.mgn.mark_as_archived(sourceServerID=server_id)["isArchived"] is True
    assert [each["sourceServerID"] for each in site.mgn.describe_source_servers()["items"]] == [server_id]
    assert site.mgn.describe_source_servers(filters={"isArchived": False})["items"] == []
    deleted = site.mgn.delete_source_server(sourceServerID=server_id)
    assert deleted["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert site.mgn.describe_source_servers()["items"] == []
    error = refused(site.mgn.delete_source_server, sourceServerID=server_id)
    assert error["Error"]["Code"] == "ResourceNotFoundException"
    assert (error["resourceType"], error["resourceId"]) == ("SourceServer", server_id)


def test_an_agent_installed_again_keeps_its_record_and_gets_a_new_one_after_the_end(site: Site) -> None:
    first = site.ready()
    assert site.register() == first

    site.mgn.disconnect_from_service(sourceServerID=first)
    second = site.register()

    assert second != first
    site.wait(SYNCED)
    assert (site.state(first), site.state(second)) == ("DISCONNECTED", "READY_FOR_TEST")


def test_an_agent_registers_only_where_the_service_was_initialised(url: str) -> None:
    stranger = Site(url)
    with pytest.raises(UninitializedAccountException):
        stranger.register()
    stranger.close()


def test_the_record_shows_what_the_agent_reported(site: Site) -> None:
    server_id = site.register(vmware_uuid="4207d1a8", tags={"migration-id": "mig-1"})

    server = site.server(server_id)

    assert server["arn"] == f"arn:aws:mgn:eu-central-1:{site.account}:source-server/{server_id}"
    assert server["userProvidedID"] == "id-web-01"
    assert server["tags"] == {"migration-id": "mig-1"}
    seen = server["sourceProperties"]
    assert seen["identificationHints"] == {
        "hostname": "web-01",
        "fqdn": "web-01.example.internal",
        "vmWareUuid": "4207d1a8",
    }
    assert seen["networkInterfaces"] == [{"ips": ["10.1.0.11"], "isPrimary": True, "macAddress": "00-50-56-00-00-01"}]
    assert seen["disks"] == [{"deviceName": "/dev/sda", "bytes": 8 * GIB}]


def test_a_user_provided_id_can_be_changed_but_not_to_another_servers(site: Site) -> None:
    one, other = site.register("web-01"), site.register("web-02")

    changed = site.mgn.update_source_server(sourceServerID=one, userProvidedID="new", platform="linux")

    assert changed["userProvidedID"] == site.server(one)["userProvidedID"] == "new"
    error = refused(site.mgn.update_source_server, sourceServerID=other, userProvidedID="new")
    assert error["Error"]["Code"] == "ConflictException"
