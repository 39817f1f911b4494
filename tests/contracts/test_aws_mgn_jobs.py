"""MGN's jobs and life cycle through our adapter; nothing takes effect twice."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from adapters.mgn import Mgn
from localcloud.faults import Rule
from migration.errors import Conflict, Unavailable
from tests.contracts.aws_cloud import Cloud, local_aws

SYNCED = 60 * 60
LAUNCHED = 15 * 60
HALF_A_MINUTE = 30
MARK = {"migrator:mark": "mig-billing/1/test/1", "migrator:migration-id": "mig-billing"}
_names = count(1)


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with local_aws() as cloud:
        yield cloud


@pytest.fixture
def service(cloud: Cloud) -> Mgn:
    return Mgn(cloud.sessions, cloud.where)


@pytest.fixture
def ready(cloud: Cloud, service: Mgn) -> Callable[[], str]:
    """One more machine that replicates and is READY_FOR_TEST."""

    def replicating() -> str:
        name = f"billing-web-{next(_names)}"
        source_server_id = cloud.register(name, f"vcenter-1:{name}")
        cloud.wait(SYNCED)
        assert record(service, source_server_id).life_cycle == "READY_FOR_TEST"
        return source_server_id

    return replicating


def record(service: Mgn, source_server_id: str) -> Any:
    return service.servers([source_server_id])[source_server_id]


def cut_over(cloud: Cloud, service: Mgn, source_server_id: str) -> None:
    service.change_life_cycle_state(source_server_id, "READY_FOR_CUTOVER")
    service.start_cutover([source_server_id], MARK)
    cloud.wait(LAUNCHED)


def test_a_test_launch_carries_its_tags_and_is_found_by_record_time_and_id(
    cloud: Cloud, service: Mgn, ready: Callable[[], str]
) -> None:
    source_server_id = ready()
    job = service.start_test([source_server_id], MARK)
    assert (job.kind, job.status) == ("LAUNCH", "PENDING")
    assert record(service, source_server_id).test_job_id == job.job_id
    cloud.wait(LAUNCHED)
    (ended,) = service.jobs(job_ids=[job.job_id])
    assert ended.status == "COMPLETED"
    assert ended.tags.items() >= MARK.items()
    assert [one.launch_status for one in ended.servers] == ["LAUNCHED"]
    assert ended.servers[0].instance_id == record(service, source_server_id).instance_id
    began = datetime.now(UTC) - timedelta(hours=1)
    assert job.job_id in [one.job_id for one in service.jobs(since=began)]
    assert service.jobs(since=datetime.now(UTC) + timedelta(days=300)) == []
    events = [one.event for one in service.job_log(job.job_id)]
    assert (events[0], events[-1]) == ("JOB_START", "JOB_END")


def test_jobs_come_newest_first(cloud: Cloud, service: Mgn, ready: Callable[[], str]) -> None:
    first = service.start_test([ready()], MARK)
    second = service.start_test([ready()], MARK)
    ids = [job.job_id for job in service.jobs(job_ids=[first.job_id, second.job_id])]
    assert ids == [second.job_id, first.job_id]


def test_a_launch_whose_reply_was_lost_is_not_repeated_by_the_client(
    cloud: Cloud, service: Mgn, ready: Callable[[], str]
) -> None:
    source_server_id = ready()
    cloud.lose_reply("mgn", "StartTest", source_server_id)
    with pytest.raises(Unavailable):
        service.start_test([source_server_id], MARK)
    assert len(cloud.calls("StartTest", source_server_id)) == 1
    adopted = record(service, source_server_id).test_job_id
    assert service.jobs(job_ids=[adopted])[0].tags.items() >= MARK.items()
    with pytest.raises(Unavailable, match="processed by a Job"):
        service.start_test([source_server_id], MARK)


def test_a_failed_launch_is_told_by_the_server_and_the_log(
    cloud: Cloud, service: Mgn, ready: Callable[[], str]
) -> None:
    source_server_id = ready()
    client = cloud.sessions.client("ec2", where=cloud.where)
    launch = cloud.sessions.client("mgn", where=cloud.where).get_launch_configuration(sourceServerID=source_server_id)
    data = {"NetworkInterfaces": [{"DeviceIndex": 0, "SubnetId": "subnet-0123456789abcdef0"}]}
    template = launch["ec2LaunchTemplateID"]
    client.create_launch_template_version(LaunchTemplateId=template, LaunchTemplateData=data)
    client.modify_launch_template(LaunchTemplateId=template, DefaultVersion="2")
    job = service.start_test([source_server_id], MARK)
    cloud.wait(LAUNCHED)
    (ended,) = service.jobs(job_ids=[job.job_id])
    assert (ended.status, ended.servers[0].launch_status) == ("COMPLETED", "FAILED")
    errors = [one for one in service.job_log(job.job_id) if one.error]
    assert [one.source_server_id for one in errors] == [source_server_id]
    assert "InvalidSubnetID.NotFound" in (errors[0].error or "")


def test_the_way_to_the_pivot_takes_each_step_once(cloud: Cloud, service: Mgn, ready: Callable[[], str]) -> None:
    source_server_id = ready()
    for operation in ("ChangeServerLifeCycleState", "FinalizeCutover", "MarkAsArchived"):
        cloud.lose_reply("mgn", operation, source_server_id)
    cut_over(cloud, service, source_server_id)
    service.finalize_cutover(source_server_id)
    service.archive(source_server_id)
    # And all of it again: nothing more happens.
    service.finalize_cutover(source_server_id)
    service.disconnect(source_server_id)
    service.archive(source_server_id)
    ended = record(service, source_server_id)
    assert (ended.life_cycle, ended.archived, ended.lag) == ("CUTOVER", True, None)
    for operation in ("ChangeServerLifeCycleState", "StartCutover", "FinalizeCutover", "MarkAsArchived"):
        assert len(cloud.calls(operation, source_server_id)) == 1
    assert cloud.calls("DisconnectFromService", source_server_id) == []


def test_a_pivot_that_did_not_happen_is_said_so(cloud: Cloud, service: Mgn, ready: Callable[[], str]) -> None:
    source_server_id = ready()
    with pytest.raises(Conflict):
        service.finalize_cutover(source_server_id)
    cut_over(cloud, service, source_server_id)
    refuse = Rule(
        service="mgn", operation="FinalizeCutover", target=source_server_id, action="refuse", times=1, status=503
    )
    cloud.faults.add(refuse)
    with pytest.raises(Unavailable):
        service.finalize_cutover(source_server_id)
    assert record(service, source_server_id).life_cycle == "CUTTING_OVER"


def test_a_way_back_terminates_after_the_state_is_back(cloud: Cloud, service: Mgn, ready: Callable[[], str]) -> None:
    source_server_id = ready()
    service.start_test([source_server_id], MARK)
    cloud.wait(LAUNCHED)
    with pytest.raises(Conflict):
        service.terminate_target_instances([source_server_id], MARK)
    service.change_life_cycle_state(source_server_id, "READY_FOR_TEST")
    service.change_life_cycle_state(source_server_id, "READY_FOR_TEST")
    job = service.terminate_target_instances([source_server_id], MARK)
    assert job.kind == "TERMINATE"
    cloud.wait(LAUNCHED)
    assert record(service, source_server_id).instance_id is None
    assert len(cloud.calls("ChangeServerLifeCycleState", source_server_id)) == 1


def test_a_launch_without_post_launch_actions_has_none(cloud: Cloud, service: Mgn, ready: Callable[[], str]) -> None:
    job = service.start_test([ready()], MARK)
    cloud.wait(LAUNCHED)
    assert service.post_launch_actions([job.job_id]) == []


def test_post_launch_actions_are_known_from_the_launch_on_and_told_until_their_end(
    cloud: Cloud, service: Mgn, ready: Callable[[], str]
) -> None:
    source_server_id, client = ready(), cloud.sessions.client("mgn", where=cloud.where)
    document = {"actionName": "patch", "ssmDocumentName": "AWS-RunShellScript", "mustSucceedForCutover": True}
    client.update_launch_configuration(
        sourceServerID=source_server_id, postLaunchActions={"deployment": "TEST_ONLY", "ssmDocuments": [document]}
    )
    for name, active in (("join the domain", True), ("never", False)):
        client.put_source_server_action(
            sourceServerID=source_server_id,
            actionID=f"{name[:4]}-1",
            actionName=name,
            documentIdentifier="AWS-RunShellScript",
            order=1001,
            active=active,
        )
    job = service.start_test([source_server_id], MARK)

    def statuses() -> tuple[tuple[str, bool, str], ...]:
        return tuple((a.name, a.must_succeed, a.status) for a in service.post_launch_actions([job.job_id]))

    seen = []
    for _ in range(LAUNCHED // HALF_A_MINUTE):
        cloud.wait(HALF_A_MINUTE)
        seen.append(statuses())
    assert [tuple(status for _, _, status in one) for one in dict.fromkeys(seen)] == [
        (),
        ("PENDING", "PENDING"),
        ("IN_PROGRESS", "PENDING"),
        ("SUCCESS", "IN_PROGRESS"),
        ("SUCCESS", "SUCCESS"),
    ]
    assert [(name, must) for name, must, _ in seen[-1]] == [("patch", True), ("join the domain", False)]
