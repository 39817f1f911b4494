"""What is planned to go wrong in MGN, what the service makes of it, and hooks that fail themselves."""

import logging
from collections.abc import Iterator
from typing import Any

import botocore.session
import pytest

from localcloud.aws.mgn import (
    AccessDeniedException,
    InternalServerException,
    LaunchKind,
    Quotas,
    ThrottlingException,
    Trouble,
)
from localcloud.aws.mgn.hooks import TROUBLES
from tests.contracts.mgn_site import LAUNCHED, START, SYNCED, DataCentre, Site, moto_server, refused, running_site

MODEL: Any = botocore.session.get_session().get_service_model("mgn")
FAILS_A_STEP = sorted(code for code in TROUBLES if code.startswith("FAILED_TO_") and "FSX" not in code)


@pytest.fixture(scope="module")
def url() -> str:
    return moto_server()


@pytest.fixture
def site(url: str) -> Iterator[Site]:
    with running_site(url) as one:
        yield one


def events(site: Site, job_id: str, name: str) -> list[Any]:
    items = site.mgn.describe_job_log_items(jobID=job_id)["items"]
    return [item["eventData"] for item in items if item["event"] == name]


def test_a_failed_snapshot_is_replaced_by_the_previous_one_and_the_launch_has_its_older_data(site: Site) -> None:
    server_id = site.ready()
    site.wait(650)
    before = site.replication(server_id)["lastSnapshotDateTime"]
    site.plan.faults["snapshot id-web-01 test"] = "SnapshotCreationPerVolumeRateExceeded"

    job = site.launch("start_test", server_id)

    assert job["participatingServers"][0]["launchStatus"] == "LAUNCHED"
    assert site.log(job["jobID"]) == [
        "JOB_START",
        "SNAPSHOT_START",
        "SNAPSHOT_FAIL",
        "USING_PREVIOUS_SNAPSHOT",
        "CONVERSION_START",
        "CONVERSION_END",
        "LAUNCH_START",
        "JOB_END",
    ]
    failed = events(site, job["jobID"], "SNAPSHOT_FAIL")
    assert failed == [{"sourceServerID": server_id, "rawError": "SnapshotCreationPerVolumeRateExceeded"}]
    assert before == "2027-01-15T08:25:00.000000+00:00"
    assert site.world.launches[-1][4] == START + SYNCED + 600


@pytest.mark.parametrize("code", ["SNAPSHOTS_FAILURE", "LAST_SNAPSHOT_JOB_FAILED"])
def test_a_replication_that_cannot_take_snapshots_launches_from_the_previous_one(site: Site, code: str) -> None:
    server_id = site.ready()
    site.plan.stalls["id-web-01"] = [(site.now + 100, Trouble(code, "quota"))]
    site.wait(300)

    job = site.launch("start_test", server_id)

    assert events(site, job["jobID"], "SNAPSHOT_FAIL")[0]["rawError"] == "quota"
    assert site.world.launches[-1][4] == START + SYNCED


def test_a_failed_conversion_ends_the_job_for_that_server_alone(site: Site) -> None:
    good, bad = site.ready("web-01"), site.ready("web-02")
    site.plan.faults["conversion id-web-02 test"] = "the conversion server did not start"

    job = site.launch("start_test", good, bad)

    statuses = {each["sourceServerID"]: each["launchStatus"] for each in job["participatingServers"]}
    assert statuses == {good: "LAUNCHED", bad: "FAILED"}
    failed = events(site, job["jobID"], "CONVERSION_FAIL")
    assert [(each["sourceServerID"], each["rawError"]) for each in failed] == [
        (bad, "the conversion server did not start")
    ]
    assert bad not in [each["sourceServerID"] for each in events(site, job["jobID"], "LAUNCH_START")]
    assert site.log(job["jobID"])[-1] == "JOB_END"


def test_a_job_in_which_nothing_is_left_to_do_ends_at_once(site: Site) -> None:
    server_id = site.ready()
    site.plan.faults["conversion id-web-01 test"] = "no capacity"

    job = site.launch("start_test", server_id)

    assert job["status"] == "COMPLETED"
    assert job["endDateTime"] == "2027-01-15T08:20:40.000000+00:00"
    assert site.state(server_id) == "TESTING"


def test_a_server_whose_copy_is_lost_before_the_snapshot_is_skipped(site: Site) -> None:
    server_id = site.ready()
    job_id = site.mgn.start_test(sourceServerIDs=[server_id])["job"]["jobID"]
    key = f"arn:aws:kms:eu-central-1:{site.account}:key/1"
    site.mgn.update_replication_configuration(sourceServerID=server_id, ebsEncryption="CUSTOM", ebsEncryptionKeyArn=key)
    site.wait(LAUNCHED)

    assert site.log(job_id) == ["JOB_START", "SERVER_SKIPPED", "JOB_END"]
    assert site.job(job_id)["participatingServers"][0]["launchStatus"] == "FAILED"
    assert site.world.launches == []


class Broken(DataCentre):
    """A data centre of which every question fails."""

    def power_history(self, user_provided_id: str) -> list[tuple[float, bool]]:
        raise RuntimeError("no answer")

    def launched(
        self, source_server_id: str, user_provided_id: str, instance_id: str, kind: LaunchKind, data_as_of: float
    ) -> None:
        raise RuntimeError("no answer")

    def terminated(self, instance_id: str) -> None:
        raise RuntimeError("no answer")

    def launch_fault(self, user_provided_id: str, kind: LaunchKind) -> str | None:
        raise RuntimeError("no answer")


def test_hooks_that_raise_wedge_no_job(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.world = Broken()
    site.plan.snapshot_fault = site.plan.conversion_fault = site.world.launch_fault  # type: ignore[method-assign]  # fails
    site.configure()
    first, second = site.ready("web-01"), site.ready("web-02")

    job = site.launch("start_test", first, second)
    again = site.launch("start_test", first)

    assert {each["launchStatus"] for each in job["participatingServers"]} == {"LAUNCHED"}
    assert again["participatingServers"][0]["launchStatus"] == "LAUNCHED"
    site.change(first, "READY_FOR_CUTOVER")
    ended = site.launch("terminate_target_instances", first)
    assert ended["participatingServers"][0]["launchStatus"] == "TERMINATED"
    assert {record.levelno for record in caplog.records if "mgn" in record.name} == {logging.ERROR}
    caplog.clear()


def test_a_job_that_meets_a_bug_fails_its_servers_and_frees_them(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server_id = site.in_state("READY_FOR_CUTOVER")

    def bug(*_: Any) -> str:
        raise KeyError("Ebs")

    with monkeypatch.context() as patched:
        patched.setattr(site.backend.ec2, "launch", bug)
        patched.setattr(site.backend.ec2, "terminate", bug)
        cutover = site.launch("start_cutover", server_id)
        site.change(server_id, "READY_FOR_CUTOVER")
        terminate = site.launch("terminate_target_instances", server_id)

    for job, event in ((cutover, "LAUNCH_FAILED"), (terminate, "CLEANUP_FAIL")):
        assert (job["status"], job["participatingServers"][0]["launchStatus"]) == ("COMPLETED", "FAILED")
        assert "KeyError" in events(site, job["jobID"], event)[-1]["rawError"]
    assert site.launch("start_cutover", server_id)["participatingServers"][0]["launchStatus"] == "LAUNCHED"
    caplog.clear()


def test_a_bug_in_an_operation_is_an_error_of_the_service(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(site.backend, "list_waves", lambda asked: asked["nothing"])
    error = refused(site.mgn.list_waves)
    assert (error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"]) == ("InternalServerException", 500)
    caplog.clear()


def test_the_codes_of_a_stall_are_the_models() -> None:
    assert set(MODEL.shape_for("DataReplicationErrorString").enum) == TROUBLES
    with pytest.raises(ValueError, match="OUT_OF_LUCK"):
        Trouble("OUT_OF_LUCK")


@pytest.mark.parametrize("code", sorted(TROUBLES))
def test_a_troubled_replication_stalls_with_its_code_falls_behind_and_is_rescanned_afterwards(
    site: Site, code: str
) -> None:
    server_id = site.ready()
    site.plan.stalls["id-web-01"] = [(site.now, Trouble(code, "as planned")), (site.now + 310, None)]
    site.wait(310 - 10)

    copy = site.replication(server_id)

    assert (copy["dataReplicationState"], copy["lagDuration"]) == ("STALLED", "PT5M")
    assert copy["dataReplicationError"] == {"error": code, "rawError": "as planned"}
    assert copy["dataReplicationInitiation"]["nextAttemptDateTime"] == "2027-01-15T08:25:00.000000+00:00"
    site.wait(10)
    assert site.replication(server_id)["dataReplicationState"] == "RESCAN"
    site.wait(120)
    assert site.replication(server_id)["lagDuration"] == "P0D"


@pytest.mark.parametrize("code", FAILS_A_STEP)
def test_an_initiation_that_fails_names_its_step_and_goes_on_from_there(site: Site, code: str) -> None:
    server_id = site.register()
    site.plan.stalls["id-web-01"] = [(site.now + 100, Trouble(code)), (site.now + 500, None)]
    site.wait(110)

    steps = site.replication(server_id)["dataReplicationInitiation"]["steps"]

    names = [step["name"] for step in steps]
    statuses = [step["status"] for step in steps]
    at = min(names.index(code.removeprefix("FAILED_TO_")), 6)  # it had come to the seventh step
    assert statuses == ["SUCCEEDED"] * at + ["FAILED"] + ["NOT_STARTED"] * (10 - at)
    site.wait(SYNCED + 400 - 110)
    assert site.state(server_id) == "READY_FOR_TEST"


def test_a_replication_in_trouble_can_be_paused_stopped_and_retried(site: Site) -> None:
    server_id = site.ready()
    site.plan.stalls["id-web-01"] = [(site.now, Trouble("NOT_CONVERGING"))]
    site.wait(10)
    retried = site.mgn.retry_data_replication(sourceServerID=server_id)
    assert retried["dataReplicationInfo"]["dataReplicationError"]["error"] == "NOT_CONVERGING"
    paused = site.mgn.pause_replication(sourceServerID=server_id)
    assert paused["dataReplicationInfo"]["dataReplicationState"] == "PAUSED"
    stopped = site.mgn.stop_replication(sourceServerID=server_id)
    assert stopped["dataReplicationInfo"]["dataReplicationState"] == "STOPPED"


@pytest.mark.parametrize(
    ("planned", "status", "members"),
    [
        (
            ThrottlingException(retry_after=7, quota_code="L-00000000"),
            429,
            {"serviceCode": "mgn", "quotaCode": "L-00000000", "retryAfterSeconds": "7"},
        ),
        (InternalServerException(retry_after=3), 500, {"retryAfterSeconds": 3}),
        (AccessDeniedException("not authorized to perform: mgn:StartTest"), 403, {}),
    ],
)
def test_a_planned_refusal_comes_before_any_effect_with_all_its_members(
    site: Site, planned: Any, status: int, members: dict[str, Any]
) -> None:
    server_id = site.ready()
    site.plan.refusals["StartTest"] = planned

    error = refused(site.mgn.start_test, sourceServerIDs=[server_id])

    assert (error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"]) == (planned.code, status)
    assert {name: error[name] for name in members} == members
    assert site.state(server_id) == "READY_FOR_TEST"
    site.plan.refusals.clear()
    site.mgn.start_test(sourceServerIDs=[server_id])


def test_every_error_of_the_model_arrives_with_every_member(site: Site, url: str) -> None:
    stranger = Site(url)
    site.plan.refusals["ListWaves"] = ThrottlingException(retry_after=7, quota_code="L-1")
    site.plan.refusals["ListApplications"] = InternalServerException(retry_after=7)
    site.configure(managed_accounts={})
    server_id, unknown = site.ready(), "s-" + "0" * 17
    replies = [
        refused(stranger.mgn.list_waves),
        refused(site.mgn.start_test, sourceServerIDs=[]),
        refused(site.mgn.start_cutover, sourceServerIDs=[server_id]),
        refused(site.mgn.mark_as_archived, sourceServerID=unknown),
        refused(site.mgn.describe_jobs, accountID="999999999999"),
        refused(site.mgn.list_waves),
        refused(site.mgn.list_applications),
        over_quota(site),
    ]
    stranger.close()

    seen = {reply["Error"]["Code"] for reply in replies}
    assert seen == {shape.name for shape in MODEL.error_shapes}
    for reply in replies:
        expected = set(MODEL.shape_for(reply["Error"]["Code"]).members)
        assert expected <= {name for name, value in reply.items() if value or value == 0}, reply["Error"]["Code"]


def over_quota(site: Site) -> Any:
    site.configure(quotas=Quotas(active_waves=0))
    return refused(site.mgn.create_wave, name="wave-07")
