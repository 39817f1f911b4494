"""Post-launch actions: when they run, how they end, and what a failed one forbids."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.contracts.mgn_cases import ACTION
from tests.contracts.mgn_site import Site, moto_server, refused, running_site

DISCOVERED, RUN = 90, 60
MUST = {"mustSucceedForCutover": True}


@pytest.fixture(scope="module")
def url() -> str:
    return moto_server()


@pytest.fixture
def site(url: str) -> Iterator[Site]:
    with running_site(url) as one:
        yield one


def with_actions(site: Site, *actions: dict[str, Any], deployment: str = "TEST_AND_CUTOVER", **more: Any) -> str:
    """A server that can be launched, with these actions, activated."""
    server_id = site.ready()
    for number, action in enumerate(actions):
        given = ACTION | {"actionID": f"a{number}", "actionName": f"action {number}", "order": 1001 + number}
        site.mgn.put_source_server_action(sourceServerID=server_id, **given | action)
    site.mgn.update_launch_configuration(sourceServerID=server_id, postLaunchActions={"deployment": deployment, **more})
    return server_id


def status(site: Site, job: Any) -> Any:
    return site.job(job["jobID"])["participatingServers"][0].get("postLaunchActionsStatus")


def statuses(site: Site, job: Any) -> list[tuple[str, str]]:
    listed = status(site, job)["postLaunchActionsLaunchStatusList"]
    return [(each["ssmDocument"]["actionName"], each["executionStatus"]) for each in listed]


def launched_at(site: Site, job: Any) -> None:
    """Go back to the moment of the launch: a launch waits a little longer than the job takes."""
    site.now -= 50
    assert job["endDateTime"] == "2027-01-15T08:22:40.000000+00:00"


def test_actions_run_one_after_the_other_once_the_agent_was_discovered(site: Site) -> None:
    server_id = with_actions(site, {"order": 1002}, {"order": 1001}, {"active": False})

    job = site.launch("start_test", server_id)
    launched_at(site, job)

    assert status(site, job) == {"postLaunchActionsLaunchStatusList": []}
    site.wait(DISCOVERED)
    assert status(site, job)["ssmAgentDiscoveryDatetime"] == "2027-01-15T08:24:10.000000+00:00"
    assert statuses(site, job) == [("action 1", "IN_PROGRESS")]
    site.wait(RUN)
    assert statuses(site, job) == [("action 1", "SUCCESS"), ("action 0", "IN_PROGRESS")]
    site.wait(RUN)
    assert statuses(site, job) == [("action 1", "SUCCESS"), ("action 0", "SUCCESS")]
    first = status(site, job)["postLaunchActionsLaunchStatusList"][0]
    assert first["ssmDocument"] == {
        "actionName": "action 1",
        "ssmDocumentName": "AWS-RunShellScript",
        "timeoutSeconds": 3600,
        "mustSucceedForCutover": False,
    }
    assert (first["ssmDocumentType"], len(first["executionID"])) == ("COMMAND", 36)


def test_documents_of_the_launch_configuration_run_before_the_actions(site: Site) -> None:
    document = {"actionName": "patch", "ssmDocumentName": "AWSMigration-Patch", "timeoutSeconds": 600}
    server_id = with_actions(site, {}, ssmDocuments=[document])
    job = site.launch("start_test", server_id)
    site.wait(DISCOVERED + 2 * RUN)
    assert statuses(site, job) == [("patch", "SUCCESS"), ("action 0", "SUCCESS")]


@pytest.mark.parametrize(
    ("deployment", "test", "cutover"),
    [("TEST_AND_CUTOVER", True, True), ("TEST_ONLY", True, False), ("CUTOVER_ONLY", False, True)],
)
def test_actions_run_where_they_are_deployed(site: Site, deployment: str, test: bool, cutover: bool) -> None:
    server_id = with_actions(site, {}, deployment=deployment)
    tested = site.launch("start_test", server_id)
    site.change(server_id, "READY_FOR_CUTOVER")
    cut_over = site.launch("start_cutover", server_id)
    assert (status(site, tested) is not None, status(site, cut_over) is not None) == (test, cutover)


def test_nothing_runs_unless_it_is_activated(site: Site) -> None:
    server_id = site.ready()
    site.mgn.put_source_server_action(sourceServerID=server_id, **ACTION)
    assert status(site, site.launch("start_test", server_id)) is None


def test_an_instance_that_is_left_stopped_is_never_discovered(site: Site) -> None:
    server_id = with_actions(site, {})
    site.mgn.update_launch_configuration(sourceServerID=server_id, launchDisposition="STOPPED")
    job = site.launch("start_test", server_id)
    site.wait(3600)
    assert status(site, job) == {"postLaunchActionsLaunchStatusList": []}


def test_an_action_fails_as_planned_in_time_or_for_want_of_a_parameter(site: Site) -> None:
    site.plan.faults["action id-web-01 test action 0"] = "exit status 1"
    ssm = site.client("ssm")
    ssm.put_parameter(Name="there", Value="x", Type="String")

    def parameter(name: str) -> dict[str, Any]:
        return {"parameters": {"p": [{"parameterName": name, "parameterType": "STRING"}]}}

    server_id = with_actions(site, {}, {"timeoutSeconds": 30}, parameter("missing"), parameter("there"))

    job = site.launch("start_test", server_id)
    site.wait(3600)

    listed = status(site, job)["postLaunchActionsLaunchStatusList"]
    assert [each.get("failureReason") for each in listed] == [
        "exit status 1",
        "The execution timed out",
        "ParameterNotFound: missing",
        None,
    ]
    assert [each["executionStatus"] for each in listed] == ["FAILED", "FAILED", "FAILED", "SUCCESS"]
    assert job["participatingServers"][0]["launchStatus"] == "LAUNCHED"


def test_an_automation_document_is_told_from_a_command(site: Site) -> None:
    site.client("ssm").create_document(
        Name="Upgrade",
        DocumentType="Automation",
        DocumentFormat="JSON",
        Content='{"schemaVersion": "0.3", "mainSteps": []}',
    )
    server_id = with_actions(site, {"documentIdentifier": "Upgrade"})
    job = site.launch("start_test", server_id)
    site.wait(DISCOVERED)
    assert status(site, job)["postLaunchActionsLaunchStatusList"][0]["ssmDocumentType"] == "AUTOMATION"


def test_a_failed_action_that_must_succeed_blocks_the_cutover_until_a_test_succeeds(site: Site) -> None:
    site.plan.faults["action id-web-01 test action 0"] = "exit status 1"
    server_id = with_actions(site, MUST)
    site.launch("start_test", server_id)
    site.wait(DISCOVERED + RUN)
    site.change(server_id, "READY_FOR_CUTOVER")

    error = refused(site.mgn.start_cutover, sourceServerIDs=[server_id])

    assert error["Error"]["Code"] == "ConflictException"
    assert "action 0" in error["errors"][0]["message"]
    site.plan.faults.clear()
    site.change(server_id, "READY_FOR_TEST")
    site.launch("start_test", server_id)
    site.wait(DISCOVERED + RUN)
    site.change(server_id, "READY_FOR_CUTOVER")
    site.mgn.start_cutover(sourceServerIDs=[server_id])


def test_by_setting_a_failed_action_blocks_the_finalization_or_nothing(site: Site) -> None:
    for kind in ("test", "cutover"):
        site.plan.faults[f"action id-web-01 {kind} action 0"] = "exit status 1"
    site.configure(must_succeed="blocksFinalize")
    server_id = with_actions(site, MUST)
    site.launch("start_test", server_id)
    site.wait(DISCOVERED + RUN)
    site.change(server_id, "READY_FOR_CUTOVER")
    site.launch("start_cutover", server_id)
    site.wait(DISCOVERED + RUN)

    error = refused(site.mgn.finalize_cutover, sourceServerID=server_id)

    assert (error["Error"]["Code"], error["resourceId"]) == ("ConflictException", server_id)
    site.configure(must_succeed="ignored")
    site.mgn.finalize_cutover(sourceServerID=server_id)


def test_by_setting_a_job_ends_with_its_last_action(site: Site) -> None:
    site.configure(post_launch="inJob")
    server_id = with_actions(site, {}, {})

    job = site.launch("start_test", server_id)

    assert (job["status"], job["participatingServers"][0]["launchStatus"]) == ("STARTED", "LAUNCHED")
    assert refused(site.mgn.start_test, sourceServerIDs=[server_id])["Error"]["Code"] == "ConflictException"
    site.wait(DISCOVERED + 2 * RUN)
    assert site.job(job["jobID"])["endDateTime"] == "2027-01-15T08:26:10.000000+00:00"
    assert site.log(job["jobID"])[-1] == "JOB_END"
