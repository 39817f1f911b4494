"""The state rules of MGN, over HTTP."""

from collections.abc import Iterator
from dataclasses import fields
from itertools import count
from typing import Any

import pytest
from moto.core.utils import camelcase_to_underscores

from localcloud.aws.mgn import Quotas
from localcloud.aws.mgn.exceptions import UninitializedAccountException
from localcloud.aws.mgn.fidelity import differences, not_offered
from localcloud.aws.mgn.lifecycle import GONE, STATES, TRANSITIONS, answer, outcomes
from localcloud.aws.mgn.servers import AGENT_BASED, SNAPSHOT_SHIPPING, Launched
from localcloud.aws.mgn.switches import SOURCES, Switches
from localcloud.aws.mgn.validation import operation as modelled
from tests.contracts.mgn_site import GIB, SYNCED, Site, moto_server, refused, running_site

CHANGE = "ChangeServerLifeCycleState to "
REPLICATING = ("NOT_READY", "READY_FOR_TEST", "TESTING", "READY_FOR_CUTOVER", "CUTTING_OVER")
IN_SERVICE = ("DISCOVERED", "PENDING_INSTALLATION", "STOPPED", *REPLICATING)
ENDED = ("CUTOVER", "DISCONNECTED")
STALLED = 1000
"""MGN seconds after which a source that is off has stalled."""

REFERENCE: dict[str, dict[str, str]] = {
    "StartTest": {"READY_FOR_TEST": "TESTING", "TESTING": "TESTING"},
    "StartCutover": {"READY_FOR_CUTOVER": "CUTTING_OVER"},
    CHANGE + "READY_FOR_TEST": dict.fromkeys(("TESTING", "READY_FOR_CUTOVER"), "READY_FOR_TEST"),
    CHANGE + "READY_FOR_CUTOVER": dict.fromkeys(("READY_FOR_TEST", "TESTING", "CUTTING_OVER"), "READY_FOR_CUTOVER"),
    CHANGE + "CUTOVER": {"DISCONNECTED": "CUTOVER"},
    "FinalizeCutover": {"CUTTING_OVER": "CUTOVER"},
    "DisconnectFromService": dict.fromkeys(IN_SERVICE, "DISCONNECTED"),
    "MarkAsArchived": {"CUTOVER": "CUTOVER", "DISCONNECTED": "DISCONNECTED"},
    "DeleteSourceServer": dict.fromkeys(ENDED, GONE),
    "TerminateTargetInstances": {
        state: state for state in STATES if state not in {"PENDING_INSTALLATION", "TESTING", "CUTTING_OVER", "CUTOVER"}
    },
    "StartReplication": {"STOPPED": "NOT_READY", "DISCOVERED": "NOT_READY"},
    "StopReplication": dict.fromkeys(REPLICATING, "STOPPED"),
    "PauseReplication": {state: state for state in REPLICATING},
    "ResumeReplication": {state: state for state in REPLICATING},
    "RetryDataReplication": {state: state for state in REPLICATING},
    "UpdateSourceServerReplicationType": {"DISCOVERED": "DISCOVERED", "STOPPED": "STOPPED"},
}
"""What the reference says, where the condition besides the state holds."""

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


def operate(site: Site, operation: str, one: str) -> None:
    """Make the operation's call for one server, once its condition besides the state holds as far as it can."""
    site.mgn.describe_source_servers(filters={"sourceServerIDs": [one]})
    server = site.backend.servers[one]
    name, _, target = operation.partition(" to ")
    parameters: dict[str, Any] = {"sourceServerID": one}
    match name:
        case "StartTest" | "StartCutover":
            parameters = {"sourceServerIDs": [one]}
        case "TerminateTargetInstances":
            parameters = {"sourceServerIDs": [one]}
            server.launched = server.launched or Launched(an_instance(site), "mgnjob-" + "0" * 17, site.now)
        case "ChangeServerLifeCycleState":
            parameters["lifeCycle"] = {"state": target}
        case "UpdateSourceServerReplicationType":
            server.vcenter_client_id = server.vcenter_client_id or "vcc-" + "0" * 17
            other = {AGENT_BASED: SNAPSHOT_SHIPPING, SNAPSHOT_SHIPPING: AGENT_BASED}
            parameters["replicationType"] = other[server.replication_type]
        case "DeleteSourceServer":
            server.archived = server.state in ENDED
        case "ResumeReplication" if server.replicates:
            site.backend.pause_replication(one)
        case "RetryDataReplication" if server.replicates:
            site.power(server.machine.hostname, on=False)
            site.wait(STALLED)
    getattr(site.mgn, camelcase_to_underscores(name))(**parameters)


def an_instance(site: Site) -> str:
    made = site.ec2.run_instances(ImageId="ami-12c6146b", MinCount=1, MaxCount=1)
    return str(made["Instances"][0]["InstanceId"])


def a_server(site: Site, state: str) -> str:
    name = f"web-{next(_names)}"
    if state != "PENDING_INSTALLATION":
        return site.in_state(state, name)
    server_id = site.discovered(name)
    site.backend.servers[server_id].state = state  # nothing leads there: imports are not offered
    return server_id


def check(site: Site, operation: str, state: str, expected: str) -> None:
    server_id = a_server(site, state)
    if expected in STATES:
        operate(site, operation, server_id)
        assert site.state(server_id) == expected
    elif expected == GONE:
        operate(site, operation, server_id)
        assert server_id not in site.backend.servers
    else:
        error = refused(operate, site=site, operation=operation, one=server_id)
        assert error["Error"]["Code"] == expected
        assert site.backend.servers[server_id].state == state
        check_members(error, expected, server_id)


def check_members(error: Any, code: str, server_id: str) -> None:
    if code == "ValidationException":
        assert (error["ResponseMetadata"]["HTTPStatusCode"], error["reason"]) == (400, "other")
        assert [each["name"] for each in error["fieldList"]] == [server_id]
        return
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 409
    assert (error["resourceType"], error["resourceId"]) == ("SourceServer", server_id)
    assert [each["resourceId"] for each in error["errors"]] == [server_id]


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("operation", TRANSITIONS)
def test_every_cell_of_the_matrix_is_what_the_service_answers(common: Site, operation: str, state: str) -> None:
    common.configure(quotas=Quotas(replicating_servers=1000))
    check(common, operation, state, answer(operation, state, Switches()))


@pytest.mark.parametrize(("switch", "position", "operation", "state", "usual", "then"), list(differences()))
def test_a_cell_that_a_switch_changes_is_what_the_service_answers_then(
    common: Site, switch: str, position: str, operation: str, state: str, usual: str, then: str
) -> None:
    assert usual != then
    changed: dict[str, Any] = {switch: position}
    common.configure(quotas=Quotas(replicating_servers=1000), **changed)
    check(common, operation, state, then)


@pytest.mark.parametrize("operation", TRANSITIONS)
def test_the_table_of_the_lifecycle_says_what_the_reference_says(operation: str) -> None:
    assert outcomes(operation, Switches()) == REFERENCE[operation]


def test_every_cell_names_its_sources_and_every_unknown_a_switch_that_exists() -> None:
    switches = {switch.name for switch in fields(Switches)}
    for each in TRANSITIONS.values():
        assert each.switch in switches | {""}
        for state in STATES:
            assert set(each.sources_of(state).split(", ")) <= set(SOURCES)


def test_what_is_not_offered_is_refused_as_the_page_says(site: Site) -> None:
    assert "StartImport" in not_offered()
    assert "StartTest" not in not_offered()
    for name in not_offered():
        status, kind, body = site.post(str(modelled(name).http["requestUri"]), {}, str(modelled(name).http["method"]))
        assert (status, kind, body["reason"]) == (400, "ValidationException", "unknownOperation"), name


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
