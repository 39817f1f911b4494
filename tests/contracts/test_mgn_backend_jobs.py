"""MGN's jobs: how they go, what they log, what they do to instances, and how many there may be."""

from collections.abc import Iterator
from typing import Any

import pytest

from localcloud.aws.mgn import Quotas
from tests.contracts.mgn_site import LAUNCHED, START, SYNCED, Site, moto_server, refused, running_site

LAUNCH_LOG = [
    "JOB_START",
    "SNAPSHOT_START",
    "SNAPSHOT_END",
    "CONVERSION_START",
    "CONVERSION_END",
    "LAUNCH_START",
    "JOB_END",
]
BUSY = "One or more of the Source Servers included in API call are currently being processed by a Job"


@pytest.fixture(scope="module")
def url() -> str:
    return moto_server()


@pytest.fixture
def site(url: str) -> Iterator[Site]:
    with running_site(url) as one:
        yield one


def instance_of(site: Site, server_id: str) -> str:
    return str(site.server(server_id)["launchedInstance"]["ec2InstanceID"])


def test_a_launch_job_goes_from_pending_over_started_to_completed(site: Site) -> None:
    server_id = site.ready()

    answer = site.mgn.start_test(sourceServerIDs=[server_id], tags={"mark": "mig-1/1/test/1"})

    job = answer["job"]
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert (job["status"], job["type"], job["initiatedBy"]) == ("PENDING", "LAUNCH", "START_TEST")
    assert job["tags"] == {"mark": "mig-1/1/test/1"}
    assert job["arn"] == f"arn:aws:mgn:eu-central-1:{site.account}:job/{job['jobID']}"
    assert job["participatingServers"] == [{"sourceServerID": server_id, "launchStatus": "PENDING"}]
    site.wait(60)
    running = site.job(job["jobID"])
    assert (running["status"], running["participatingServers"][0]["launchStatus"]) == ("STARTED", "IN_PROGRESS")
    assert "endDateTime" not in running
    site.wait(LAUNCHED)
    ended = site.job(job["jobID"])
    assert (ended["status"], ended["endDateTime"]) == ("COMPLETED", "2027-01-15T08:22:40.000000+00:00")
    assert ended["participatingServers"][0]["launchStatus"] == "LAUNCHED"
    assert ended["participatingServers"][0]["launchedEc2InstanceID"] == instance_of(site, server_id)
    assert site.log(job["jobID"]) == LAUNCH_LOG


def test_a_job_log_tells_servers_instances_and_times_in_order(site: Site) -> None:
    server_id = site.ready()
    job_id = site.launch("start_test", server_id)["jobID"]

    items = site.mgn.describe_job_log_items(jobID=job_id)["items"]

    times = [item["logDateTime"] for item in items]
    assert times == sorted(times)
    by_event = {item["event"]: item["eventData"] for item in items}
    assert by_event["SNAPSHOT_START"] == {"sourceServerID": server_id}
    assert by_event["CONVERSION_START"]["conversionServerID"] == by_event["CONVERSION_END"]["conversionServerID"]


def test_an_instance_appears_without_a_request_when_the_host_advances_the_clock(site: Site) -> None:
    server_id = site.ready()
    site.mgn.start_test(sourceServerIDs=[server_id])
    site.wait(LAUNCHED)

    site.backend.advance()

    running = [each for page in site.ec2.describe_instances()["Reservations"] for each in page["Instances"]]
    assert [each["State"]["Name"] for each in running] == ["running"]
    assert len(site.world.launches) == 1


def test_the_world_hears_once_of_each_launch_with_the_data_of_the_snapshots_moment(site: Site) -> None:
    server_id = site.ready()

    site.launch("start_test", server_id)
    site.server(server_id)

    instance_id = instance_of(site, server_id)
    assert site.world.launches == [(server_id, "id-web-01", instance_id, "test", START + SYNCED + 10)]


def test_the_data_of_a_source_that_was_stopped_is_as_of_its_stop(site: Site) -> None:
    server_id = site.in_state("READY_FOR_CUTOVER")
    site.power("web-01", on=False)
    stopped = site.now
    site.wait(240)

    site.launch("start_cutover", server_id)

    assert site.world.launches[-1][3:] == ("cutover", stopped)


def test_a_launch_terminates_the_instance_of_the_launch_before(site: Site) -> None:
    server_id = site.in_state("TESTING")
    first = instance_of(site, server_id)

    job_id = site.launch("start_test", server_id)["jobID"]

    second = instance_of(site, server_id)
    assert second != first
    assert site.instance(first)["State"]["Name"] == "terminated"
    assert site.instance(second)["State"]["Name"] == "running"
    assert site.world.terminations == [first]
    assert site.log(job_id) == ["JOB_START", "CLEANUP_START", "CLEANUP_END", *LAUNCH_LOG[1:]]


def test_a_cutover_terminates_the_test_instance_first(site: Site) -> None:
    server_id = site.in_state("READY_FOR_CUTOVER")
    tested = instance_of(site, server_id)

    site.launch("start_cutover", server_id)

    assert site.instance(tested)["State"]["Name"] == "terminated"
    assert site.world.launches[-1][3] == "cutover"


def test_a_protected_instance_is_left_and_the_log_says_so(site: Site) -> None:
    server_id = site.in_state("TESTING")
    first = instance_of(site, server_id)
    site.ec2.modify_instance_attribute(InstanceId=first, DisableApiTermination={"Value": True})

    job_id = site.launch("start_test", server_id)["jobID"]

    assert "CLEANUP_FAIL" in site.log(job_id)
    assert site.instance(first)["State"]["Name"] == "running"


def test_a_launch_that_fails_ends_its_job_completed_and_says_why_in_the_log(site: Site) -> None:
    good, bad = site.ready("web-01"), site.ready("web-02")
    site.world.faults["id-web-02 test"] = "Insufficient capacity in eu-central-1a"

    job = site.launch("start_test", good, bad)

    assert job["status"] == "COMPLETED"
    statuses = {each["sourceServerID"]: each["launchStatus"] for each in job["participatingServers"]}
    assert statuses == {good: "LAUNCHED", bad: "FAILED"}
    assert "launchedEc2InstanceID" not in job["participatingServers"][1]
    items = site.mgn.describe_job_log_items(jobID=job["jobID"])["items"]
    failed = [item["eventData"] for item in items if item["event"] == "LAUNCH_FAILED"]
    assert failed == [{"sourceServerID": bad, "rawError": "Insufficient capacity in eu-central-1a"}]
    assert items[-1]["event"] == "JOB_END"
    assert [launch[0] for launch in site.world.launches] == [good]


@pytest.mark.parametrize("operation", ["start_test", "start_cutover", "terminate_target_instances"])
def test_one_busy_server_fails_the_whole_call_and_nothing_is_started(site: Site, operation: str) -> None:
    busy, idle = site.ready("web-01"), site.ready("web-02")
    site.mgn.start_test(sourceServerIDs=[busy])

    error = refused(getattr(site.mgn, operation), sourceServerIDs=[idle, busy])

    assert (error["Error"]["Code"], error["message"]) == ("ConflictException", BUSY)
    assert error["errors"] == [
        {"message": BUSY, "code": "ConflictException", "resourceId": busy, "resourceType": "SourceServer"}
    ]
    assert site.state(idle) == "READY_FOR_TEST"
    assert len(site.mgn.describe_jobs()["items"]) == 1


@pytest.mark.parametrize(
    "operation", ["finalize_cutover", "disconnect_from_service", "stop_replication", "pause_replication"]
)
def test_a_busy_server_is_left_alone_by_everything_else_too(site: Site, operation: str) -> None:
    server_id = site.in_state("READY_FOR_CUTOVER")
    site.mgn.start_cutover(sourceServerIDs=[server_id])

    error = refused(getattr(site.mgn, operation), sourceServerID=server_id)

    assert (error["Error"]["Code"], error["message"]) == ("ConflictException", BUSY)


def test_terminate_removes_the_instance_and_clears_the_record(site: Site) -> None:
    server_id = site.in_state("READY_FOR_CUTOVER")
    instance_id = instance_of(site, server_id)

    job = site.launch("terminate_target_instances", server_id)

    assert (job["type"], job["initiatedBy"], job["status"]) == ("TERMINATE", "TERMINATE", "COMPLETED")
    assert job["participatingServers"][0]["launchStatus"] == "TERMINATED"
    assert site.log(job["jobID"]) == ["JOB_START", "CLEANUP_START", "CLEANUP_END", "JOB_END"]
    assert site.instance(instance_id)["State"]["Name"] == "terminated"
    assert "launchedInstance" not in site.server(server_id)
    assert site.world.terminations == [instance_id]
    error = refused(site.mgn.terminate_target_instances, sourceServerIDs=[server_id])
    assert error["Error"]["Code"] == "ConflictException"


def test_an_instance_that_was_terminated_elsewhere_cannot_be_terminated_again(site: Site) -> None:
    server_id = site.in_state("READY_FOR_CUTOVER")
    site.ec2.terminate_instances(InstanceIds=[instance_of(site, server_id)])

    error = refused(site.mgn.terminate_target_instances, sourceServerIDs=[server_id])

    assert error["Error"]["Code"] == "ConflictException"
    assert site.server(server_id)["launchedInstance"]["firstBoot"] == "UNKNOWN"


def test_a_first_boot_is_waited_for(site: Site) -> None:
    server_id = site.ready()
    job_id = site.mgn.start_test(sourceServerIDs=[server_id])["job"]["jobID"]
    site.wait(460)
    assert site.server(server_id)["launchedInstance"] == {
        "ec2InstanceID": instance_of(site, server_id),
        "jobID": job_id,
        "firstBoot": "WAITING",
    }
    site.wait(60)
    assert site.server(server_id)["launchedInstance"]["firstBoot"] == "SUCCEEDED"


def test_a_job_for_an_unknown_or_repeated_server_is_invalid(site: Site) -> None:
    server_id = site.ready()
    for ids in (["s-" + "0" * 17], [server_id, server_id]):
        error = refused(site.mgn.start_test, sourceServerIDs=ids)
        assert error["Error"]["Code"] == "ValidationException"
        assert [field["name"] for field in error["fieldList"]] == ["sourceServerIDs"]
    assert site.mgn.describe_jobs()["items"] == []


@pytest.mark.parametrize(
    ("quotas", "code", "value"),
    [
        (Quotas(concurrent_jobs=1), "L-FE2EBE17", 1),
        (Quotas(servers_in_a_job=1), "L-F1FD732F", 1),
        (Quotas(servers_in_all_jobs=2), "L-4FF77426", 2),
    ],
)
def test_jobs_stay_within_the_accounts_quotas(site: Site, quotas: Quotas, code: str, value: int) -> None:
    servers = [site.ready(f"web-{number}") for number in range(3)]
    site.configure(quotas=quotas, over_quota="always402")
    site.mgn.start_test(sourceServerIDs=servers[:1])

    error = refused(site.mgn.start_test, sourceServerIDs=servers[1:])

    assert error["ResponseMetadata"]["HTTPStatusCode"] == 402
    assert error["Error"]["Code"] == "ServiceQuotaExceededException"
    assert (error["serviceCode"], error["quotaCode"], error["quotaValue"]) == ("mgn", code, value)
    assert (error["resourceType"], error["resourceId"]) == ("SourceServer", servers[1])
    site.wait(LAUNCHED)
    if code != "L-F1FD732F":
        assert site.mgn.start_test(sourceServerIDs=servers[1:])["job"]["status"] == "PENDING"


def test_jobs_are_listed_newest_first_by_page_and_by_time(site: Site) -> None:
    ids = []
    for number in range(3):
        server_id = site.ready(f"web-{number}")
        ids.append(site.mgn.start_test(sourceServerIDs=[server_id])["job"]["jobID"])

    first = site.mgn.describe_jobs(maxResults=2)
    second = site.mgn.describe_jobs(maxResults=2, nextToken=first["nextToken"])

    assert [job["jobID"] for job in first["items"] + second["items"]] == ids[::-1]
    assert "nextToken" not in second
    middle = site.job(ids[1])["creationDateTime"].replace("+00:00", "Z")
    assert found(site, fromDate=middle) == {ids[1], ids[2]}
    assert found(site, toDate=middle) == {ids[0], ids[1]}


def found(site: Site, **filters: Any) -> set[str]:
    return {job["jobID"] for job in site.mgn.describe_jobs(filters=filters)["items"]}
