"""What every MGN request has to keep to, and what separates accounts, regions and tags."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import botocore.session
import httpx
import pytest

from tests.contracts.mgn_site import LAUNCHED, SYNCED, Site, moto_server, refused, running_site

UNKNOWN_SERVER = "s-" + "0" * 17
MODEL: Any = botocore.session.get_session().get_service_model("mgn")
OPERATIONS = MODEL.operation_names
OFFERED = {
    "InitializeService", "DescribeSourceServers", "UpdateSourceServer", "DeleteSourceServer",
    "TagResource", "UntagResource", "ListTagsForResource",
    "GetLaunchConfiguration", "UpdateLaunchConfiguration",
    "GetReplicationConfiguration", "UpdateReplicationConfiguration",
    "StartReplication", "StopReplication", "PauseReplication", "ResumeReplication", "RetryDataReplication",
    "StartTest", "StartCutover", "ChangeServerLifeCycleState", "TerminateTargetInstances",
    "DescribeJobs", "DescribeJobLogItems", "FinalizeCutover", "DisconnectFromService", "MarkAsArchived",
    "CreateApplication", "ListApplications", "UpdateApplication", "ArchiveApplication", "UnarchiveApplication",
    "DeleteApplication", "AssociateSourceServers", "DisassociateSourceServers",
    "CreateWave", "ListWaves", "UpdateWave", "ArchiveWave", "UnarchiveWave", "DeleteWave",
    "AssociateApplications", "DisassociateApplications",
}  # fmt: skip


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with moto_server() as address:
        yield address


@pytest.fixture
def site(url: str) -> Iterator[Site]:
    with running_site(url) as one:
        yield one


def method(site: Site, operation: str) -> Callable[..., Any]:
    names = {api: name for name, api in site.mgn.meta.method_to_api_mapping.items()}
    found: Callable[..., Any] = getattr(site.mgn, names[operation])
    return found


def test_what_is_modelled_but_not_offered_is_refused_as_unknown(site: Site) -> None:
    missing = [name for name in OPERATIONS if name not in OFFERED]
    assert len(missing) + len(OFFERED) == len(OPERATIONS)
    for operation in missing:
        error = refused(method(site, operation))
        assert (error["Error"]["Code"], error["reason"]) == ("ValidationException", "unknownOperation")


@pytest.mark.parametrize("operation", sorted(OFFERED - {"InitializeService"}))
def test_what_is_required_is_required_of_every_operation(site: Site, operation: str) -> None:
    shape = MODEL.operation_model(operation).input_shape
    in_body = [name for name in shape.required_members if shape.members[name].serialization.get("location") != "uri"]
    if not in_body:
        return
    path = {"resourceArn": "arn:aws:mgn:eu-central-1:1:x"} if "resourceArn" in shape.members else {}

    error = refused(method(site, operation), **path)

    assert (error["Error"]["Code"], error["reason"]) == ("ValidationException", "fieldValidationFailed")
    assert {field["name"]: field["message"] for field in error["fieldList"]} == dict.fromkeys(in_body, "is required")


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
    ("body", "reason"),
    [
        (b"{", "cannotParse"),
        (b"[]", "cannotParse"),
        (b"\xff", "cannotParse"),
        (b'{"sourceServerIDs": "s-1"}', "fieldValidationFailed"),
        (b'{"sourceServerIDs": [null]}', "fieldValidationFailed"),
        (b'{"sourceServerIDs": ["&Action=StopReplication"]}', "fieldValidationFailed"),
    ],
)
def test_a_body_that_no_client_would_send_is_refused_too(site: Site, body: bytes, reason: str) -> None:
    scope = "Credential=test/20261128/eu-central-1/mgn/aws4_request"
    headers = {
        "Authorization": f"AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=0",
        "x-moto-account-id": site.account,
    }

    answer = httpx.post(f"{site.url}/StartTest", content=body, headers=headers)

    assert answer.status_code == 400
    assert answer.headers["x-amzn-errortype"] == "ValidationException"
    assert json.loads(answer.content)["reason"] == reason


@pytest.mark.parametrize(
    "operation",
    sorted(OFFERED - {"InitializeService", "TagResource", "UntagResource", "ListTagsForResource"}),
)
def test_nothing_works_before_the_service_is_initialised(url: str, operation: str) -> None:
    stranger = Site(url)
    parameters: dict[str, dict[str, Any]] = {
        "sourceServerID": {"sourceServerID": UNKNOWN_SERVER},
        "sourceServerIDs": {"sourceServerIDs": [UNKNOWN_SERVER]},
        "lifeCycle": {"lifeCycle": {"state": "READY_FOR_TEST"}},
        "jobID": {"jobID": "mgnjob-" + "0" * 17},
        "name": {"name": "x"},
        "applicationID": {"applicationID": "app-" + "0" * 17},
        "applicationIDs": {"applicationIDs": ["app-" + "0" * 17]},
        "waveID": {"waveID": "wave-" + "0" * 17},
    }
    shape = MODEL.operation_model(operation).input_shape
    given = {key: value for name in shape.required_members for key, value in parameters[name].items()}

    error = refused(method(stranger, operation), **given)

    assert error["Error"]["Code"] == "UninitializedAccountException"
    stranger.close()


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


def test_servers_are_filtered_and_paged(site: Site) -> None:
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
    pages = site.mgn.get_paginator("describe_source_servers").paginate(PaginationConfig={"PageSize": 2})
    assert [[each["sourceServerID"] for each in page["items"]] for page in pages] == [ids[:2], ids[2:]]


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


def test_accounts_and_regions_know_nothing_of_each_other(site: Site) -> None:
    server_id = site.register()
    for other in (site.client("mgn", account="999999999999"), site.client("mgn", region="us-east-1")):
        error = refused(other.describe_source_servers)
        assert error["Error"]["Code"] == "UninitializedAccountException"
        other.initialize_service()
        assert other.describe_source_servers()["items"] == []
        error = refused(other.mark_as_archived, sourceServerID=server_id)
        assert error["Error"]["Code"] == "ResourceNotFoundException"


def test_another_account_cannot_be_named(site: Site) -> None:
    assert site.mgn.describe_source_servers(accountID=site.account)["items"] == []
    error = refused(site.mgn.describe_source_servers, accountID="999999999999")
    assert error["Error"]["Code"] == "AccessDeniedException"


def test_many_callers_at_once_start_one_job_for_a_server(site: Site) -> None:
    server_id = site.ready()
    site.world.thinks_for = 0.02  # others come between looking and acting

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
