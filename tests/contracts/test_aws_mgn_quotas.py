"""A launch that would exceed a quota of MGN waits until running jobs have given it back."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from activities.mgn import ApplicationMigration, AwaitJob, Launch
from adapters.ec2 import ec2
from adapters.mgn import mgn
from localcloud.aws.mgn import Quotas
from migration.marks import Mark
from migration.steps import Step
from tests.contracts.aws_cloud import Cloud, local_aws
from tests.fakes.environment import Attempts

SYNCED = 60 * 60
LAUNCHED = 15 * 60
QUOTAS = {
    "Concurrent jobs in progress": Quotas(concurrent_jobs=1),
    "Max source servers in all jobs": Quotas(servers_in_all_jobs=1),
}


@pytest.fixture(params=QUOTAS)
def quota(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["asModelled", "always402"])
def cloud(request: pytest.FixtureRequest, quota: str) -> Iterator[Cloud]:
    with local_aws(quotas=QUOTAS[quota], over_quota=request.param) as cloud:
        yield cloud


@pytest.fixture
def launches(cloud: Cloud) -> ApplicationMigration:
    sessions = cloud.sessions
    return ApplicationMigration(
        mgn(sessions), ec2(sessions), timedelta(minutes=2), timedelta(minutes=1), timedelta(seconds=20)
    )


def ready(cloud: Cloud, *names: str) -> list[str]:
    ids = [cloud.register(name, f"vcenter-1:{name}") for name in names]
    cloud.wait(SYNCED)
    return ids


def launch(cloud: Cloud, migration: str, *ids: str) -> Launch:
    mark = Mark(migration_id=migration, generation=1, step=Step.TEST, entry=1, correlation_id=migration)
    return Launch(where=cloud.where, mark=mark, source_server_ids=ids)


def test_the_second_launch_waits_for_the_quota_and_then_succeeds(
    cloud: Cloud, quota: str, launches: ApplicationMigration
) -> None:
    first, second = ready(cloud, "web-01", "web-02")
    Attempts().attempt(launches.start_test, launch(cloud, "mig-1", first))
    waiting, asked = Attempts(), launch(cloud, "mig-2", second)

    error = waiting.error(launches.start_test, asked)

    assert (error.type, error.non_retryable) == ("Unavailable", False)
    assert f"{quota}: 2 would exceed the quota of 1." in error.message
    assert "waits for" in error.message
    cloud.wait(LAUNCHED)
    started = waiting.attempt(launches.start_test, asked)
    cloud.wait(LAUNCHED)
    launched = Attempts().attempt(launches.await_job, AwaitJob(where=cloud.where, job_id=str(started.job_id)))
    assert [server.source_server_id for server in launched.servers] == [second]
    assert len(cloud.calls("StartTest", second)) == 1


@pytest.mark.parametrize("over_quota", ["asModelled", "always402"])
def test_more_servers_than_one_job_takes_are_refused_for_good(over_quota: str) -> None:
    with local_aws(quotas=Quotas(servers_in_a_job=1), over_quota=over_quota) as cloud:
        time = timedelta(minutes=2)
        launches = ApplicationMigration(mgn(cloud.sessions), ec2(cloud.sessions), time, time, time)
        error = Attempts().error(launches.start_test, launch(cloud, "mig-1", *ready(cloud, "web-01", "web-02")))
        assert (error.type, error.non_retryable) == ("MigrationExecutionError", True)
        assert "2 would exceed the quota of 1" in error.message
        assert not cloud.calls("StartTest")
