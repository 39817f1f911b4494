"""AWS: sessions that reach every account through its role, and the one reading of what AWS refuses.

A client belongs to a service, a role and a region, and is shared by all threads; sessions are not thread-safe, so
clients are made under a lock (boto3 guide, "Multithreading or multiprocessing with clients").
"""

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from botocore.config import Config
from botocore.credentials import (
    CredentialProvider,
    CredentialResolver,
    DeferredRefreshableCredentials,
    ReadOnlyCredentials,
)
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    MetadataRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
)
from botocore.exceptions import (
    ConnectionError as NoConnectionError,
)
from botocore.session import Session

from migration.errors import Conflict, MigrationError, MigrationExecutionError, NotFound, PrerequisiteError, Unavailable
from migration.marks import MIGRATION_TAG
from migration.on_behalf import migration_served
from migration.ports import Where

if TYPE_CHECKING:
    from mypy_boto3_route53 import Route53Client

_NO_ANSWER = (
    NoConnectionError,
    HTTPClientError,
    IncompleteReadError,
    CredentialRetrievalError,
    MetadataRetrievalError,
)
_SESSION_NAME = "migrator"
_NOT_IN_SESSION_NAMES = re.compile(r"[^A-Za-z0-9_+=,.@-]")
_LONGEST_SESSION_NAME = 64
_MOST_SESSIONS = 1000
"""Sessions of one role that are remembered: migrations under way at once; the one used longest ago is forgotten."""

_USER_AGENT = "migrator/0.1.0"
_CONNECT_SECONDS = 5
_READ_SECONDS = 20
_LONG_POLL_READ_SECONDS = 30
_CONNECTIONS = 50
_ATTEMPTS = 2

_REDIRECTION = 300
_QUOTA_EXCEEDED = 402
_CONFLICT = 409
_TOO_MANY = 429
_SERVER_ERROR = 500

_BUSY_SERVER = "currently being processed by a Job"
_TOO_FAST = re.compile(
    r"^(Request|EC2)?Thrott|^TooManyRequests|^ProvisionedThroughputExceeded|^RequestLimitExceeded|^SlowDown"
    r"|^PriorRequestNotComplete|^BandwidthLimitExceeded"
)
_PASSES = re.compile(
    r"^(Internal(Server|Service)?(Error|Failure|Exception)|ServiceUnavailable|Unavailable$|RequestTimeout|RequestExpired"
    r"|ExpiredToken|Transaction(Conflict|InProgress)|InsufficientInstanceCapacity)"
)
_FORBIDDEN = re.compile(
    r"^(AccessDenied|UnauthorizedOperation|UnrecognizedClient|InvalidClientTokenId|AuthFailure|SignatureDoesNotMatch"
    r"|NotAuthorized|Client\.UnauthorizedOperation)"
)
_ABSENT = re.compile(r"(NotFound(Exception|Fault)?|DoesNotExist|NonExistentQueue|^InvalidInstanceId)$|^NoSuch")
_OVER_QUOTA = re.compile(r"^ServiceQuotaExceeded|LimitExceeded(Exception)?$")
_STARTS_A_JOB = frozenset({"StartTest", "StartCutover", "TerminateTargetInstances"})
_SPEAKS_OF_A_QUOTA = re.compile(r"\bquota\b|\blimit\b", re.IGNORECASE)
_QUOTA_OF_ONE_JOB = "L-F1FD732F"
_TOO_MUCH_FOR_ONE_JOB = re.compile(r"in a single job", re.IGNORECASE)
_QUOTAS_OF_RUNNING_JOBS = {
    "L-FE2EBE17": "concurrent jobs in progress",
    "L-4FF77426": "source servers in all jobs",
    "L-615F978B": "concurrent jobs of a source server",
}
"""MGN's quotas that jobs give back when they end. Source: "Service quotas" in its user guide."""

_OTHER_STATE = re.compile(r"^(Conflict|Incorrect(Instance)?State|OperationNotPermitted|ResourceInUse|ConditionalCheck)")
_PERMISSION = re.compile(r"not authorized to perform:? ([\w-]+:\w+)")


class _RoleCredentials(DeferredRefreshableCredentials):
    """Credentials of an assumed role, from a session for each migration that calls are made for.

    Each is fetched at its first call, and again before it expires. So one client serves all migrations, and AWS still
    tells them apart.
    """

    def __init__(self, fetch: Callable[[str | None], dict[str, Any]]) -> None:
        super().__init__(refresh_using=partial(fetch, None), method=_AssumedRole.METHOD)
        self._fetch = fetch
        self._sessions_lock = threading.Lock()
        self._sessions: OrderedDict[str, DeferredRefreshableCredentials] = OrderedDict()

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        migration_id = migration_served()
        frozen: ReadOnlyCredentials = (
            super().get_frozen_credentials()
            if migration_id is None
            else self._session(migration_id).get_frozen_credentials()
        )
        return frozen

    def _session(self, migration_id: str) -> DeferredRefreshableCredentials:
        with self._sessions_lock:
            session = self._sessions.pop(migration_id, None) or DeferredRefreshableCredentials(
                refresh_using=partial(self._fetch, migration_id), method=self.method
            )
            self._sessions[migration_id] = session
            if len(self._sessions) > _MOST_SESSIONS:
                self._sessions.popitem(last=False)
            return session


class _AssumedRole(CredentialProvider):
    METHOD = "assume-role"

    def __init__(self, credentials: _RoleCredentials) -> None:
        super().__init__()
        self._credentials = credentials

    def load(self) -> _RoleCredentials:
        return self._credentials


class AwsSessions:
    """Clients by service, role and region. Addresses and first credentials come from AWS's own environment."""

    def __init__(
        self,
        region: str | None = None,
        external_id: str | None = None,
        on_client: Callable[[Any], None] | None = None,
    ) -> None:
        """Nothing is called yet.

        Args:
            region: For clients that name none; None: the AWS default (`AWS_REGION`, or the profile's).
            external_id: Said whenever a role is assumed; None: nothing is said.
            on_client: What is done to each client that is made, such as `aws_observed.observed`; None: nothing.
        """
        self._region = region
        self._external_id = external_id
        self._on_client = on_client
        self._lock = threading.RLock()
        self._source = Session()
        self._assumed: dict[tuple[str, str | None], Session] = {}
        self._clients: dict[tuple[str, str | None, str | None, int], Any] = {}

    def client(
        self,
        service: str,
        *,
        where: Where | None = None,
        region: str | None = None,
        role_arn: str | None = None,
        once: bool = False,
    ) -> Any:
        """Give the client of a service.

        Args:
            service: As botocore names it, such as `mgn`.
            where: Account and region to reach, with the role; instead of `region` and `role_arn`.
            region: None: the default one.
            role_arn: The role to assume; None: our own credentials.
            once: The client never repeats a call by itself: for calls that have no token and are not idempotent,
                whose lost reply only a look can tell from a lost request.
        """
        if where is not None:
            region, role_arn = where.region, where.role_arn
        region = region or self._region
        attempts = 1 if once else _ATTEMPTS
        with self._lock:
            key = (service, role_arn, region, attempts)
            if key not in self._clients:
                session = self._session(role_arn, region)
                client = session.create_client(service, region_name=region, config=_config(service, attempts))
                if self._on_client is not None:
                    self._on_client(client)
                self._clients[key] = client
            return self._clients[key]

    def route53(self, service: Literal["route53"], role_arn: str | None, region: str | None) -> "Route53Client":
        """Give the client of the hosted zones that a role reaches, in the order of arguments that `Route53` uses."""
        client: Route53Client = self.client(service, role_arn=role_arn, region=region)
        return client

    def close(self) -> None:
        """Close every connection; the clients are not to be used any more."""
        with self._lock:
            for client in self._clients.values():
                client.close()
            self._clients.clear()

    def _session(self, role_arn: str | None, region: str | None) -> Session:
        if role_arn is None:
            return self._source
        if (role_arn, region) not in self._assumed:
            session = Session()
            provider = _AssumedRole(_RoleCredentials(partial(self._assume, role_arn, region)))
            session.register_component("credential_provider", CredentialResolver(providers=[provider]))
            self._assumed[role_arn, region] = session
        return self._assumed[role_arn, region]

    def _assume(self, role_arn: str, region: str | None, migration_id: str | None) -> dict[str, Any]:
        """A session of a role. It is called like the migration, in CloudTrail, and tagged with it, for policies."""
        said: dict[str, Any] = {"RoleSessionName": _SESSION_NAME}
        if migration_id is not None:
            said["RoleSessionName"] = _NOT_IN_SESSION_NAMES.sub("-", migration_id)[:_LONGEST_SESSION_NAME]
            said["Tags"] = [{"Key": MIGRATION_TAG, "Value": migration_id}]
        if self._external_id:
            said["ExternalId"] = self._external_id
        given = self.client("sts", region=region).assume_role(RoleArn=role_arn, **said)["Credentials"]
        return {
            "access_key": given["AccessKeyId"],
            "secret_key": given["SecretAccessKey"],
            "token": given["SessionToken"],
            "expiry_time": given["Expiration"].isoformat(),
        }


def _config(service: str, attempts: int) -> Config:
    return Config(
        retries={"mode": "standard", "total_max_attempts": attempts},
        connect_timeout=_CONNECT_SECONDS,
        # A long poll answers after up to 20 s; its own timeout must be longer.
        read_timeout=_LONG_POLL_READ_SECONDS if service == "sqs" else _READ_SECONDS,
        max_pool_connections=_CONNECTIONS,
        user_agent_extra=_USER_AGENT,
    )


@contextmanager
def aws_call(doing: str) -> Iterator[None]:
    """Translate what goes wrong inside. `doing` names the operation, as AWS spells it."""
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise translate(error, doing) from error


def outcome(code: str, status: int) -> str:
    """What a reply came to, in one word of `migration.metrics.CALL_RESULTS`, by its error code and HTTP status."""
    if _TOO_FAST.search(code) or status == _TOO_MANY:
        return "throttled"
    if _FORBIDDEN.search(code):
        return "denied"
    if _PASSES.search(code) or status >= _SERVER_ERROR:
        return "unavailable"
    return "ok" if status < _REDIRECTION else "refused"


def translate(error: Exception, doing: str) -> MigrationError:
    """Classify an error of botocore: in words, with who acts, and whether a retry can help."""
    if isinstance(error, ClientError):
        return _refusal(error, doing)
    if isinstance(error, _NO_ANSWER):
        return Unavailable(f"{doing}: AWS did not answer: {error}")
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        action = "Give the worker AWS credentials."
        return MigrationExecutionError(f"{doing}: {error}", action=action, retryable=True)
    return MigrationExecutionError(f"{doing}: {error}")


class _Refusal(NamedTuple):
    """What an error's reply says, and the operation it answers."""

    doing: str
    operation: str
    code: str
    message: str
    status: int
    reply: Mapping[str, Any]

    @property
    def quota_code(self) -> str:
        return str(self.reply.get("quotaCode") or "")

    @property
    def over_quota(self) -> bool:
        """A conflict says so in words alone, where the operation models no error of a quota."""
        in_words = self.status == _CONFLICT and self.operation in _STARTS_A_JOB
        return (
            bool(_OVER_QUOTA.search(self.code))
            or self.status == _QUOTA_EXCEEDED
            or (in_words and bool(_SPEAKS_OF_A_QUOTA.search(self.message)))
        )

    @property
    def for_one_job(self) -> bool:
        """Whether the call itself is too big, so that waiting will not help."""
        return self.quota_code == _QUOTA_OF_ONE_JOB or bool(_TOO_MUCH_FOR_ONE_JOB.search(self.message))

    @property
    def words(self) -> str:
        return f"{self.doing}: {self.code}: {self.message}".rstrip(": ") + _details(self.reply)


def _refusal(error: ClientError, doing: str) -> MigrationError:
    reply: Mapping[str, Any] = error.response
    said = reply.get("Error", {})
    status = reply.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    code, message = str(said.get("Code", "")), str(said.get("Message", ""))
    refusal = _Refusal(doing, error.operation_name, code, message, status, reply)
    return _patience(refusal) or _person(refusal) or _answer(refusal)


def _patience(refusal: _Refusal) -> MigrationError | None:
    """Read what passes by itself."""
    code, status = refusal.code, refusal.status
    throttled = bool(_TOO_FAST.search(code)) or status == _TOO_MANY
    busy = _BUSY_SERVER in refusal.message
    if throttled or busy or _PASSES.search(code) or status >= _SERVER_ERROR:
        return Unavailable(refusal.words, retry_after=_retry_after(refusal.reply))
    if quota := _awaited_quota(refusal):
        return Unavailable(f"{refusal.words}: waits for {quota}", retry_after=_retry_after(refusal.reply))
    return None


def _awaited_quota(refusal: _Refusal) -> str | None:
    """Say which of MGN's quotas running jobs will give back, or None.

    StartTest, StartCutover and TerminateTargetInstances model no ServiceQuotaExceededException (API 2020-02-26), so
    they may answer with a conflict that has no code of the quota, only words.
    """
    if name := _QUOTAS_OF_RUNNING_JOBS.get(refusal.quota_code):
        return f"MGN's quota of {name}"
    if refusal.operation not in _STARTS_A_JOB or refusal.quota_code or refusal.for_one_job:
        return None
    return "the quota that running jobs use up" if refusal.over_quota else None


def _person(refusal: _Refusal) -> MigrationError | None:
    """Read what somebody has to put right in the account."""
    if refusal.code == "UninitializedAccountException":
        action = "Initialise MGN once in that account and region: `aws mgn initialize-service`."
        return PrerequisiteError(refusal.words, action=action)
    if _FORBIDDEN.search(refusal.code):
        named = _PERMISSION.search(refusal.message)
        permission = named.group(1) if named else refusal.operation
        action = f"Allow {permission} to the role that migrator uses in that account."
        return MigrationExecutionError(f"{refusal.words} (missing: {permission})", action=action)
    if refusal.over_quota and refusal.for_one_job:
        return MigrationExecutionError(refusal.words, action="Launch fewer servers in one job: in more tiers, say.")
    if refusal.over_quota:
        action = "Wait until others have ended, or raise the quota where AWS allows it."
        return MigrationExecutionError(refusal.words, action=action, retryable=True)
    return None


def _answer(refusal: _Refusal) -> MigrationError:
    """Read what is wrong with this very call."""
    if _ABSENT.search(refusal.code):
        return NotFound(refusal.words)
    if _OTHER_STATE.search(refusal.code) or refusal.status == _CONFLICT:
        return Conflict(refusal.words)
    return MigrationExecutionError(refusal.words)


def _details(reply: Mapping[str, Any]) -> str:
    """Gather what the reply says beside its message: errors of a batch, wrong fields, the quota."""
    parts = [f"{one.get('resourceId', '')} {one.get('message', '')}".strip() for one in reply.get("errors") or []]
    parts += [f"{one.get('name', '')}: {one.get('message', '')}" for one in reply.get("fieldList") or []]
    if reply.get("quotaCode"):
        value = f" = {reply['quotaValue']}" if reply.get("quotaValue") is not None else ""
        parts.append(f"quota {reply['quotaCode']}{value}")
    return f" ({'; '.join(parts)})" if parts else ""


def _retry_after(reply: Mapping[str, Any]) -> timedelta | None:
    headers = reply.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    asked = str(reply.get("retryAfterSeconds") or headers.get("retry-after") or "")
    return timedelta(seconds=int(asked)) if asked.isdecimal() else None
