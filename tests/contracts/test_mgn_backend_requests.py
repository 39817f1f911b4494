"""What every MGN request has to keep to, and what separates accounts, regions and tags."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import boto3
import pytest

from tests.contracts.mgn_cases import ACTION, REPLICATION_TEMPLATE
from tests.contracts.mgn_site import LAUNCHED, SYNCED, Site, moto_server, refused, running_site

UNKNOWN_SERVER = "s-" + "0" * 17


@pytest.fixture(scope="module")
def url() -> str:
    return moto_server()


@pytest.fixture
def site(url: str) -> Iterator[Site]:
    with running_site(url) as one:
        yield one


def method(site: Site, operation: str) -> Callable[..., Any]:
    names = {api: name for name, api in site.mgn.meta.method_to_api_mapping.items()}
    found: Callable[..., Any] = getattr(site.mgn, names[operation])
    return found


@pytest.mark.parametrize(
    ("operation", "parameters", "field"),
    [
        ("StartTest", {"sourceServerIDs": []}, "sourceServerIDs"),
        ("StartTest", {"sourceServerIDs": [UNKNOWN_SERVER] * 201}, "sourceServerIDs"),
        ("StartTest", {"sourceServerIDs": ["s-1"]}, "sourceServerIDs[0]"),
        ("StartTest", {"sourceServerIDs": ["x-" + "0" * 17]}, "sourceServerIDs[0]"),
        ("StartTest", {"sourceServerIDs": [UNKNOWN_SERVER], "tags": {str(n): "" for n in range(51)}}, "tags"),
        ("StartTest", {"sourceServerIDs": [UNKNOWN_SERVER], "tags": {"a": "x" * 257}}, "tags.a"),
        (
            "ChangeServerLifeCycleState",
            {"sourceServerID": UNKNOWN_SERVER, "lifeCycle": {"state": "TESTING"}},
            "lifeCycle.state",
        ),
        ("ChangeServerLifeCycleState", {"sourceServerID": UNKNOWN_SERVER, "lifeCycle": {}}, "lifeCycle.state"),
        ("DescribeSourceServers", {"maxResults": 1001}, "maxResults"),
        ("DescribeSourceServers", {"maxResults": 0}, "maxResults"),
        ("DescribeSourceServers", {"nextToken": "made-up"}, "nextToken"),
        ("DescribeSourceServers", {"filters": {"lifeCycleStates": ["DONE"]}}, "filters.lifeCycleStates[0]"),
        ("DescribeJobs", {"filters": {"fromDate": "yesterday"}}, "filters.fromDate"),
        ("DescribeJobLogItems", {"jobID": "mgnjob-" + "0" * 17}, "jobID"),
        ("CreateWave", {"name": " "}, "name"),
        ("CreateWave", {"name": "wave-07 "}, "name"),
        ("UpdateSourceServer", {"sourceServerID": UNKNOWN_SERVER, "platform": "beos"}, "platform"),
        (
            "UpdateReplicationConfiguration",
            {"sourceServerID": UNKNOWN_SERVER, "bandwidthThrottling": 10_001},
            "bandwidthThrottling",
        ),
    ],
)
def test_a_field_that_breaks_the_model_is_named(
    site: Site, operation: str, parameters: dict[str, Any], field: str
) -> None:
    error = refused(method(site, operation), **parameters)
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert error["Error"]["Code"] == "ValidationException"
    assert {each["name"] for each in error["fieldList"]} == {field}


@pytest.mark.parametrize(
    "operation",
    [
        "UpdateSourceServer",
        "DeleteSourceServer",
        "GetLaunchConfiguration",
        "UpdateLaunchConfiguration",
        "GetReplicationConfiguration",
        "UpdateReplicationConfiguration",
        "StartReplication",
        "StopReplication",
        "PauseReplication",
        "ResumeReplication",
        "RetryDataReplication",
        "FinalizeCutover",
        "DisconnectFromService",
        "MarkAsArchived",
    ],
)
def test_an_unknown_server_is_not_found(site: Site, operation: str) -> None:
    error = refused(method(site, operation), sourceServerID=UNKNOWN_SERVER)
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 404
    assert error["Error"]["Code"] == "ResourceNotFoundException"
    assert (error["resourceType"], error["resourceId"]) == ("SourceServer", UNKNOWN_SERVER)


def test_initialising_again_is_no_change(site: Site) -> None:
    server_id = site.register()
    answer = site.mgn.initialize_service()
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert site.server(server_id)["sourceServerID"] == server_id


def test_servers_are_filtered(site: Site) -> None:
    ids = [site.register(f"web-{number}") for number in range(3)]
    site.wait(SYNCED)
    site.mgn.start_test(sourceServerIDs=ids[:1])

    def found(**filters: Any) -> list[str]:
        items = site.mgn.describe_source_servers(filters=filters)["items"]
        return [each["sourceServerID"] for each in items]

    assert found(lifeCycleStates=["TESTING"]) == ids[:1]
    assert found(lifeCycleStates=["TESTING", "READY_FOR_TEST"]) == ids
    assert found(sourceServerIDs=[ids[2], UNKNOWN_SERVER]) == [ids[2]]
    assert found(replicationTypes=["SNAPSHOT_SHIPPING"]) == []
    assert found(replicationTypes=["AGENT_BASED"]) == ids


def test_a_page_goes_on_where_it_was_after_a_deletion(site: Site) -> None:
    ids = [site.register(f"web-{number}") for number in range(3)]
    first = site.mgn.describe_source_servers(maxResults=1)
    site.mgn.disconnect_from_service(sourceServerID=ids[0])
    site.mgn.mark_as_archived(sourceServerID=ids[0])
    site.mgn.delete_source_server(sourceServerID=ids[0])

    second = site.mgn.describe_source_servers(maxResults=1, nextToken=first["nextToken"])

    assert [each["sourceServerID"] for each in second["items"]] == [ids[1]]
    error = refused(site.mgn.describe_jobs, nextToken=first["nextToken"])
    assert error["Error"]["Code"] == "ValidationException"


def servers(site: Site) -> list[str]:
    return [site.register(f"web-{number}") for number in range(5)]


def jobs(site: Site) -> list[str]:
    ready = [site.register(f"web-{number}") for number in range(5)]
    site.wait(SYNCED)
    return [site.mgn.start_test(sourceServerIDs=[each])["job"]["jobID"] for each in ready][::-1]


def templates(site: Site) -> list[str]:
    create = site.mgn.create_launch_configuration_template
    return [create()["launchConfigurationTemplateID"] for _ in range(5)]


def replication_templates(site: Site) -> list[str]:
    create = site.mgn.create_replication_configuration_template
    return [create(**REPLICATION_TEMPLATE)["replicationConfigurationTemplateID"] for _ in range(5)]


def applications(site: Site) -> list[str]:
    return [site.mgn.create_application(name=f"app-{number}")["applicationID"] for number in range(5)]


def waves(site: Site) -> list[str]:
    return [site.mgn.create_wave(name=f"wave-{number}")["waveID"] for number in range(5)]


def vcenter_clients(site: Site) -> list[str]:
    return [site.backend.install_vcenter_client(f"vc-{number}", "u", "dc") for number in range(5)]


def connectors(site: Site) -> list[str]:
    return [site.backend.install_connector(f"c-{number}", "mi-" + "0" * 17) for number in range(5)]


def managed_accounts(site: Site) -> list[str]:
    accounts = [f"21098765432{number}" for number in range(5)]
    site.configure(managed_accounts={site.account: accounts})
    return accounts


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
@pytest.mark.parametrize(
    ("operation", "make", "member"),
    [
        ("describe_source_servers", servers, "sourceServerID"),
        ("describe_jobs", jobs, "jobID"),
        ("describe_launch_configuration_templates", templates, "launchConfigurationTemplateID"),
        ("describe_replication_configuration_templates", replication_templates, "replicationConfigurationTemplateID"),
        ("list_applications", applications, "applicationID"),
        ("list_waves", waves, "waveID"),
        ("describe_vcenter_clients", vcenter_clients, "vcenterClientID"),
        ("list_connectors", connectors, "connectorID"),
        ("list_managed_accounts", managed_accounts, "accountId"),
    ],
)
def test_pages_of_every_size_show_everything_once_in_order(
    site: Site, operation: str, make: Callable[[Site], list[str]], member: str, size: int
) -> None:
    known = make(site)

    pages = list(site.mgn.get_paginator(operation).paginate(PaginationConfig={"PageSize": size}))

    assert [item[member] for page in pages for item in page["items"]] == known
    assert all(len(page["items"]) <= size for page in pages)
    assert len(pages) == max(1, -(-len(known) // size))
    error = refused(getattr(site.mgn, operation), nextToken="made-up")
    assert error["Error"]["Code"] == "ValidationException"


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_a_jobs_log_is_paged_too(site: Site, size: int) -> None:
    job_id = site.launch("start_test", site.ready())["jobID"]
    pages = site.mgn.get_paginator("describe_job_log_items").paginate(jobID=job_id, PaginationConfig={"PageSize": size})
    assert [item["event"] for page in pages for item in page["items"]] == site.log(job_id)


def test_a_reply_has_no_more_than_the_model_lets_it_have(site: Site) -> None:
    server_id = site.register()
    for number in range(101):
        site.backend.create_launch_configuration_template({"copyTags": bool(number)})
        site.backend.create_launch_configuration_template({})
        if number < 100:
            site.backend.put_source_server_action({"sourceServerID": server_id, **ACTION, "actionID": f"a{number}"})

    assert len(site.mgn.describe_launch_configuration_templates()["items"]) == 200
    listed = site.mgn.list_source_server_actions(sourceServerID=server_id, maxResults=1000)
    assert (len(listed["items"]), "nextToken" in listed) == (100, False)


def test_servers_jobs_and_groups_are_tagged_by_their_arn(site: Site) -> None:
    server = site.server(site.ready())
    job = site.mgn.start_test(sourceServerIDs=[server["sourceServerID"]], tags={"a": "1"})["job"]
    wave = site.mgn.create_wave(name="wave-07")
    for arn in (server["arn"], job["arn"], wave["arn"]):
        site.mgn.tag_resource(resourceArn=arn, tags={"mark": "x", "gone": "y"})
        site.mgn.untag_resource(resourceArn=arn, tagKeys=["gone", "a"])
        assert site.mgn.list_tags_for_resource(resourceArn=arn)["tags"] == {"mark": "x"}
    assert site.server(server["sourceServerID"])["tags"] == {"mark": "x"}
    assert site.job(job["jobID"])["tags"] == {"mark": "x"}


def test_tags_have_their_limits(site: Site) -> None:
    arn = site.server(site.register(tags={str(number): "" for number in range(30)}))["arn"]

    error = refused(site.mgn.tag_resource, resourceArn=arn, tags={f"n{number}": "" for number in range(21)})
    assert error["Error"]["Code"] == "ValidationException"
    error = refused(site.mgn.tag_resource, resourceArn=arn, tags={"aws:x": ""})
    assert error["Error"]["Code"] == "ValidationException"
    error = refused(site.mgn.list_tags_for_resource, resourceArn=arn.replace("s-", "s-x"))
    assert error["Error"]["Code"] == "ResourceNotFoundException"


def test_a_body_names_no_operation(site: Site) -> None:
    body = {"sourceServerIDs": ["&Action=StopReplication"]}
    status, error, answer = site.post("/StartTest", body)
    assert (status, error) == (400, "ValidationException")
    assert {field["name"] for field in answer["fieldList"]} == {"sourceServerIDs[0]"}


def test_accounts_and_regions_know_nothing_of_each_other(site: Site) -> None:
    server_id = site.register()
    for other in (site.client("mgn", account="999999999999"), site.client("mgn", region="us-east-1")):
        error = refused(other.describe_source_servers)
        assert error["Error"]["Code"] == "UninitializedAccountException"
        other.initialize_service()
        assert other.describe_source_servers()["items"] == []
        error = refused(other.mark_as_archived, sourceServerID=server_id)
        assert error["Error"]["Code"] == "ResourceNotFoundException"


def test_an_assumed_role_acts_in_its_own_account(site: Site) -> None:
    site.register()
    other = "222233334444"
    role = f"arn:aws:iam::{other}:role/migrator-target"
    given = site.client("sts").assume_role(RoleArn=role, RoleSessionName="migrator")["Credentials"]
    make: Any = boto3.Session(
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
    ).client
    assumed = make("mgn", region_name="eu-central-1", endpoint_url=site.url)

    assumed.initialize_service()

    assert assumed.describe_source_servers()["items"] == []
    assert assumed.create_wave(name="wave-07")["arn"].split(":")[4] == other
    assert site.mgn.list_waves()["items"] == []
    assert len(site.mgn.describe_source_servers()["items"]) == 1
    assumed.close()


def test_only_a_managed_account_can_be_named(site: Site) -> None:
    managed, other = "210987654321", "999999999999"
    site.configure(managed_accounts={site.account: [managed]})
    mine = site.register()
    there = site.client("mgn", account=managed)
    there.initialize_service()

    assert [each["accountId"] for each in site.mgn.list_managed_accounts()["items"]] == [managed]
    assert len(site.mgn.describe_source_servers(accountID=site.account)["items"]) == 1
    assert site.mgn.describe_source_servers(accountID=managed)["items"] == []
    site.mgn.create_wave(name="wave-07", accountID=managed)
    assert [each["name"] for each in there.list_waves()["items"]] == ["wave-07"]
    error = refused(site.mgn.describe_source_servers, accountID=other)
    assert error["Error"]["Code"] == "AccessDeniedException"
    error = refused(there.mark_as_archived, sourceServerID=mine, accountID=site.account)
    assert error["Error"]["Code"] == "AccessDeniedException"


def test_many_callers_at_once_start_one_job_for_a_server(site: Site) -> None:
    server_id = site.ready()
    assert site.state(server_id) == "READY_FOR_TEST"
    site.world.company = Barrier(2)  # others would come between looking and acting

    def attempt(_: int) -> str:
        try:
            return str(site.mgn.start_test(sourceServerIDs=[server_id])["job"]["jobID"])
        except site.mgn.exceptions.ConflictException:
            return ""

    with ThreadPoolExecutor(8) as pool:
        started = [job_id for job_id in pool.map(attempt, range(16)) if job_id]

    assert len(started) == 1
    site.wait(LAUNCHED)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: site.job(started[0]), range(16)))
    assert len(site.world.launches) == 1
