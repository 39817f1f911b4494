"""Sessions, roles, and the one reading of what AWS refuses."""

import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    ReadTimeoutError,
)

from adapters.aws import AwsSessions, aws_call, outcome, translate
from adapters.aws_observed import observed
from migration.errors import Conflict, MigrationError, MigrationExecutionError, NotFound, PrerequisiteError, Unavailable
from migration.marks import MIGRATION_TAG
from migration.metrics import CALL_RESULTS
from migration.on_behalf import on_behalf_of
from migration.ports import CallMade, Where
from tests.contracts.aws_cloud import REGION, Cloud, local_aws

OTHER_ACCOUNT = "222233334444"


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with local_aws() as cloud:
        yield cloud


def reply(code: str, status: int, message: str = "as it is", **members: Any) -> ClientError:
    metadata = {"HTTPStatusCode": status, "HTTPHeaders": members.pop("headers", {})}
    response: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": metadata, **members}
    return ClientError(response, "StartTest")


def test_one_client_serves_all_threads(cloud: Cloud) -> None:
    clients: list[Any] = []
    threads = [
        threading.Thread(target=lambda: clients.append(cloud.sessions.client("ssm", where=cloud.where)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(client) for client in clients}) == 1


def test_a_client_that_acts_once_never_repeats_a_call(cloud: Cloud) -> None:
    queue = cloud.aws.seeded.request_queue_url
    before = len(cloud.calls("SendMessage"))
    cloud.lose_reply("sqs", "SendMessage")
    with pytest.raises(Unavailable), aws_call("SendMessage"):
        cloud.sessions.client("sqs", once=True).send_message(QueueUrl=queue, MessageBody="once")
    assert len(cloud.calls("SendMessage")) == before + 1


def test_a_role_is_assumed_in_its_account_and_renewed_before_it_expires(cloud: Cloud) -> None:
    where = Where(account_id=OTHER_ACCOUNT, region=REGION, role_arn=f"arn:aws:iam::{OTHER_ACCOUNT}:role/migrator")
    client = cloud.sessions.client("sts", where=where)
    identity = client.get_caller_identity()
    assert identity["Account"] == OTHER_ACCOUNT
    assert identity["Arn"].endswith("assumed-role/migrator/migrator")
    credentials = client._request_signer._credentials  # where botocore keeps them
    first = credentials.access_key
    credentials._expiry_time = credentials._time_fetcher()
    assert client.get_caller_identity()["Account"] == OTHER_ACCOUNT
    assert credentials.access_key != first


def test_a_role_is_assumed_with_the_external_id_that_its_account_wants(cloud: Cloud) -> None:
    said = list[Any]()
    sessions = AwsSessions(REGION, "an-id-of-this-installation")
    sessions.client("sts").meta.events.register(
        "provide-client-params.sts.AssumeRole", lambda params, **_: said.append(params.get("ExternalId"))
    )
    arn = f"arn:aws:iam::{OTHER_ACCOUNT}:role/migrator"
    assert sessions.client("sts", region=REGION, role_arn=arn).get_caller_identity()["Account"] == OTHER_ACCOUNT
    assert said == ["an-id-of-this-installation"]
    sessions.close()


def _who(client: Any) -> str:
    return str(client.get_caller_identity()["Arn"]).partition("assumed-role/")[2]


def test_one_client_calls_for_each_migration_in_a_session_that_is_named_and_tagged_like_it(cloud: Cloud) -> None:
    said = list[Any]()
    sessions = AwsSessions(REGION)
    sessions.client("sts").meta.events.register(
        "provide-client-params.sts.AssumeRole", lambda params, **_: said.append(params.get("Tags"))
    )
    client = sessions.client("sts", region=REGION, role_arn=f"arn:aws:iam::{OTHER_ACCOUNT}:role/migrator")
    for migration_id in ("mig-billing", "mig-shop", "mig-billing"):
        with on_behalf_of(migration_id):
            assert _who(client) == f"migrator/{migration_id}"
    assert _who(client) == "migrator/migrator"
    assert said == [*([{"Key": MIGRATION_TAG, "Value": name}] for name in ("mig-billing", "mig-shop")), None]
    sessions.close()


def test_a_session_is_named_like_a_workflow_whose_id_has_signs_that_no_session_may(cloud: Cloud) -> None:
    client = cloud.sessions.client("sts", region=REGION, role_arn=f"arn:aws:iam::{OTHER_ACCOUNT}:role/migrator")
    with on_behalf_of("callbacks/refused/" + "a" * 60):
        assert _who(client) == "migrator/callbacks-refused-" + "a" * 46


def test_a_role_that_may_not_be_assumed_names_what_is_missing(cloud: Cloud) -> None:
    message = "User: arn:aws:iam::1:user/u is not authorized to perform: sts:AssumeRole on resource: role"
    cloud.refuse("sts", "AssumeRole", 403, "AccessDenied", message)
    arn = "arn:aws:iam::123456789012:role/forbidden"
    with pytest.raises(MigrationExecutionError, match="missing: sts:AssumeRole") as refused, aws_call("ListCommands"):
        cloud.sessions.client("ssm", region=REGION, role_arn=arn).list_commands()
    assert not refused.value.retryable
    assert refused.value.action is not None
    assert "sts:AssumeRole" in refused.value.action


def test_the_route53_adapter_gets_its_client(cloud: Cloud) -> None:
    zones = cloud.sessions.route53("route53", None, None).list_hosted_zones()["HostedZones"]
    assert [zone["Name"] for zone in zones] == ["example.internal."]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (reply("ThrottlingException", 429), Unavailable),
        (reply("RequestLimitExceeded", 503), Unavailable),
        (reply("ProvisionedThroughputExceededException", 400), Unavailable),
        (reply("Throttling", 400), Unavailable),
        (reply("InternalServerException", 500), Unavailable),
        (reply("ExpiredTokenException", 403), Unavailable),
        (reply("RequestExpired", 400), Unavailable),
        (ReadTimeoutError(endpoint_url="https://example.com"), Unavailable),
        (ConnectTimeoutError(endpoint_url="https://example.com"), Unavailable),
        (EndpointConnectionError(endpoint_url="https://example.com"), Unavailable),
        (reply("ResourceNotFoundException", 404), NotFound),
        (reply("InvalidInstanceID.NotFound", 400), NotFound),
        (reply("NoSuchEntity", 404), NotFound),
        (reply("AWS.SimpleQueueService.NonExistentQueue", 400), NotFound),
        (reply("ConflictException", 409), Conflict),
        (reply("IncorrectInstanceState", 400), Conflict),
        (reply("ValidationException", 400), MigrationExecutionError),
        (reply("AccessDeniedException", 403), MigrationExecutionError),
        (reply("UnauthorizedOperation", 403), MigrationExecutionError),
        (reply("UninitializedAccountException", 400), PrerequisiteError),
        (ParamValidationError(report="wrong"), MigrationExecutionError),
    ],
)
def test_each_refusal_has_its_kind_and_only_patience_is_retried(error: Exception, kind: type[MigrationError]) -> None:
    translated = translate(error, "StartTest")
    assert type(translated) is kind
    assert translated.retryable is (kind is Unavailable)
    assert str(translated).startswith("StartTest: ")


def test_a_busy_server_is_worth_a_retry_and_another_state_is_not() -> None:
    words = "One or more of the Source Servers included in API call are currently being processed by a Job"
    assert type(translate(reply("ConflictException", 409, words), "StartTest")) is Unavailable
    errors = [{"resourceId": "s-1", "message": "is DISCONNECTED"}]
    conflict = translate(reply("ConflictException", 409, "wrong state", errors=errors), "StartTest")
    assert type(conflict) is Conflict
    assert "s-1 is DISCONNECTED" in str(conflict)


@pytest.mark.parametrize("told", [{"headers": {"retry-after": "7"}}, {"retryAfterSeconds": 7}])
def test_throttling_keeps_the_wait_that_was_asked_for(told: dict[str, Any]) -> None:
    throttled = translate(reply("ThrottlingException", 429, **told), "StartTest")
    assert isinstance(throttled, Unavailable)
    assert throttled.retry_after == timedelta(seconds=7)


@pytest.mark.parametrize(
    ("status", "message", "members", "named"),
    [
        (402, "no", {"quotaCode": "L-FE2EBE17", "quotaValue": 20}, "quota L-FE2EBE17 = 20): waits for MGN's quota of"),
        (402, "no", {"quotaCode": "L-4FF77426", "quotaValue": 200}, "source servers in all jobs"),
        (402, "Too many jobs", {}, "Too many jobs: waits for the quota that running jobs use up"),
        (409, "Concurrent jobs in progress: 21 would exceed the quota of 20.", {}, "Concurrent jobs in progress"),
        (409, "Limit of jobs exceeded", {}, "running jobs"),
    ],
)
def test_a_quota_that_running_jobs_give_back_is_named_and_waited_for(
    status: int, message: str, members: dict[str, Any], named: str
) -> None:
    code = "ServiceQuotaExceededException" if status == 402 else "ConflictException"
    over = translate(reply(code, status, message, **members), "StartTest")
    assert type(over) is Unavailable
    assert named in str(over)


@pytest.mark.parametrize("status", [402, 409])
def test_more_servers_than_one_job_takes_are_no_matter_of_time(status: int) -> None:
    code = "ServiceQuotaExceededException" if status == 402 else "ConflictException"
    words = "Max source servers in a single job: 201 would exceed the quota of 200."
    over = translate(reply(code, status, words), "StartTest")
    assert (type(over), over.retryable) == (MigrationExecutionError, False)
    assert "fewer servers" in str(over.action)


def test_any_other_quota_is_named_for_somebody_to_make_room() -> None:
    full = reply("ServiceQuotaExceededException", 402, quotaCode="L-9A599620", quotaValue=150)
    over = translate(full, "StartReplication")
    assert (type(over), over.retryable) == (MigrationExecutionError, True)
    assert "quota L-9A599620 = 150" in str(over)
    assert over.action is not None


def test_wrong_fields_are_named() -> None:
    wrong = translate(
        reply("ValidationException", 400, fieldList=[{"name": "tags", "message": "too many"}]), "StartTest"
    )
    assert "tags: too many" in str(wrong)


def test_missing_credentials_are_somebodys_to_give() -> None:
    missing = translate(NoCredentialsError(), "StartTest")
    assert missing.retryable
    assert missing.action is not None


def test_what_is_no_error_of_aws_passes_unchanged() -> None:
    with pytest.raises(json.JSONDecodeError), aws_call("StartTest"):
        json.loads("{")


# --- calls that are observed -------------------------------------------------------------------------------------


def made(cloud: Cloud, *plans: tuple[int, str]) -> list[CallMade]:
    """What is told of one DescribeJobs, whose attempts go as planned."""
    for status, code in plans:
        cloud.refuse("mgn", "DescribeJobs", status, code)
    calls: list[CallMade] = []
    sessions = AwsSessions(REGION, on_client=observed(calls.append))
    try:
        with suppress(MigrationError), aws_call("DescribeJobs"):
            sessions.client("mgn").describe_jobs()
    finally:
        sessions.close()
    return calls


@pytest.mark.parametrize(
    ("plans", "result"),
    [
        ([], "ok"),
        ([(429, "ThrottlingException")], "ok"),
        ([(429, "ThrottlingException")] * 2, "throttled"),
        ([(403, "AccessDeniedException")], "denied"),
        ([(409, "ConflictException")], "refused"),
        ([(500, "InternalServerException")] * 2, "unavailable"),
    ],
)
def test_a_call_is_told_of_once_with_what_came_of_it(cloud: Cloud, plans: list[tuple[int, str]], result: str) -> None:
    (call,) = made(cloud, *plans)
    assert (call.system, call.operation, call.result) == ("mgn", "DescribeJobs", result)
    assert timedelta(0) < call.took < timedelta(seconds=20)


def test_a_call_that_nobody_answers_is_told_of_too(cloud: Cloud) -> None:
    calls: list[CallMade] = []
    cloud.lose_reply("sqs", "GetQueueAttributes")
    client = AwsSessions(REGION, on_client=observed(calls.append)).client("sqs", once=True)
    with pytest.raises(Unavailable), aws_call("GetQueueAttributes"):
        client.get_queue_attributes(QueueUrl=cloud.aws.seeded.request_queue_url)
    assert [(call.operation, call.result) for call in calls] == [("GetQueueAttributes", "unavailable")]


def test_nothing_hears_of_calls_where_nobody_wants_to(cloud: Cloud) -> None:
    client, contexts = AwsSessions(REGION).client("sts"), list[Any]()
    client.meta.events.register("after-call", lambda context, **_: contexts.append(dict(context)))
    client.get_caller_identity()
    assert len(contexts) == 1
    assert not [name for name in contexts[0] if name.startswith("migrator")]


@pytest.mark.parametrize("code", ["", "ThrottlingException", "AccessDenied", "NoSuchHostedZone", "ServiceUnavailable"])
@pytest.mark.parametrize("status", [200, 400, 503])
def test_every_reply_has_one_of_the_results_that_are_counted(code: str, status: int) -> None:
    assert outcome(code, status) in CALL_RESULTS
