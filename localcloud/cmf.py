"""A Cloud Migration Factory stand-in (4.5.1): its login, user and admin APIs, strict about what they accept.

Source: the solution's own source, aws-solutions/cloud-migration-factory-on-aws. A PUT is carried out as the solution
does it: item read, merged in memory, put without a condition, so that two writers lose updates here, too.
"""

import hashlib
import json
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NoReturn

import httpx
import jwt
from botocore.exceptions import ClientError

from localcloud.aws.cognito import UserPool
from localcloud.faults import FaultPlan, Rule
from localcloud.http_server import HttpServer, Reply, Request
from localcloud.ledger import Ledger
from localcloud.world import Application

STAGE = "prod"
WAVE_STATUSES = ("Not started", "Planning", "In progress", "Completed", "Blocked")
ADMINISTRATORS = "admin"

_FREE: tuple[str, ...] = ()
SCHEMAS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "wave": {
        "wave_name": _FREE,
        "wave_status": WAVE_STATUSES,
        "wave_start_time": _FREE,
        "wave_end_time": _FREE,
    },
    "app": {"app_name": _FREE, "wave_id": _FREE, "aws_accountid": _FREE, "aws_region": _FREE},
    "server": {
        "server_name": _FREE,
        "server_fqdn": _FREE,
        "server_os_family": ("windows", "linux"),
        "server_os_version": _FREE,
        "server_environment": _FREE,
        "r_type": ("Rehost", "Replatform", "Retire", "Retain"),
        "app_id": _FREE,
        "migration_status": _FREE,
        "replication_status": _FREE,
        "target_instance_id": _FREE,
    },
}
"""The attributes of each schema, and the values that one of them may have."""

_NAMES = {"wave": "wave_name", "app": "app_name", "server": "server_name"}

Item = dict[str, Any]


class _Answer(Exception):  # noqa: N818  an answer, not a failure of ours
    def __init__(self, status: int, document: Any) -> None:
        super().__init__(str(document))
        self.reply = Reply.json(status, document)


def wave_name(application: str) -> str:
    """The name of the seeded wave that moves this application alone."""
    return f"wave-{application}"


class CloudMigrationFactory:
    """Serves the three APIs on one address, below the stage `prod`.

    Attributes:
        meanwhile: Called once between the read and the write of the next PUT: another writer's moment.
    """

    def __init__(
        self, ledger: Ledger, faults: FaultPlan, pool: UserPool, *, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        """Start empty; the ledger gets every write, the fault plan may act on every call."""
        self.meanwhile: Callable[[], None] | None = None
        self._ledger = ledger
        self._faults = faults
        self._pool = pool
        self._tables: dict[str, dict[str, Item]] = {schema: {} for schema in SCHEMAS}
        self._refused: set[str] = set()
        self._keys: jwt.PyJWKSet | None = None
        self._lock = threading.Lock()
        self._server = HttpServer(self._answer, name="cmf", host=host, port=port)

    def start(self) -> None:
        """Listen."""
        self._server.start()

    def stop(self) -> None:
        """Stop listening; the items stay."""
        self._server.stop()

    @property
    def url(self) -> str:
        """What the stack's outputs LoginAPI, UserAPI and AdminAPI say: the address without the stage."""
        return self._server.url

    def seed(self, applications: Iterable[Application], *, account_id: str, region: str) -> dict[str, str]:
        """Make a wave of each application, with the application and its servers in it; the waves' ids by its name."""
        waves = {}
        for application in applications:
            wave_id = self.add("wave", wave_name=wave_name(application.name), wave_status="Not started")
            waves[application.name] = wave_id
            app_id = self.add(
                "app", app_name=application.name, wave_id=wave_id, aws_accountid=account_id, aws_region=region
            )
            for machine in application.servers:
                self.add(
                    "server",
                    server_name=machine.name,
                    server_fqdn=f"{machine.name}.example.internal",
                    server_os_family=machine.os,
                    server_os_version="local",
                    r_type="Rehost",
                    app_id=app_id,
                )
        return waves

    def add(self, schema: str, **attributes: str) -> str:
        """Put an item in, as if it had been there for ever; returns its id, one more than the highest."""
        with self._lock:
            table = self._tables[schema]
            item_id = str(max(map(int, table), default=0) + 1)
            table[item_id] = {f"{schema}_id": item_id, **attributes, "_history": {"createdTimestamp": _now()}}
            return item_id

    def item(self, schema: str, item_id: str) -> Item:
        """An item as it is now."""
        with self._lock:
            return dict(self._tables[schema][item_id])

    def change(self, schema: str, item_id: str, **attributes: str) -> None:
        """Another writer's change: the ledger does not see it."""
        with self._lock:
            self._tables[schema][item_id] = self._tables[schema][item_id] | attributes

    def refuse_token(self, token: str) -> None:
        """Take a token as one that has ended."""
        self._refused.add(hashlib.sha256(token.encode()).hexdigest())

    # --- a call ---------------------------------------------------------------------------------------------------

    def _answer(self, request: Request) -> Reply:
        try:
            operation, act = self._route(request)
            rule = self._faults.take(service="cmf", operation=operation, targets=self._targets(request))
            return self._faults.meet(rule, act, refusal=_planned_refusal, silence=Reply.silence)
        except _Answer as answer:
            return answer.reply

    def _route(self, request: Request) -> tuple[str, Callable[[], Reply]]:
        """Which operation a request is, and what carries it out. API Gateway knows no other paths."""
        method, (stage, *path) = request.method, request.segments
        match method, *path:
            case "POST", "login" if stage == STAGE:
                return "login", lambda: self._login(request)
            case "GET", "user", schema if stage == STAGE:
                return f"list{schema.title()}", lambda: self._list(request, schema)
            case "GET", "user", schema, "appid", app_id if stage == STAGE:
                return f"list{schema.title()}", lambda: self._list(request, schema, app_id)
            case "GET", "user", schema, item_id if stage == STAGE:
                return f"read{schema.title()}", lambda: self._read(request, schema, item_id)
            case "PUT", "user", schema, item_id if stage == STAGE:
                return f"update{schema.title()}", lambda: self._update(request, schema, item_id)
            case "GET", "admin", "schema", schema if stage == STAGE:
                return "readSchema", lambda: self._schema(request, schema)
        raise _Answer(403, {"message": "Missing Authentication Token"})

    def _targets(self, request: Request) -> list[str]:
        """The id and the name of what is touched, so that a fault can be planned by either."""
        schema, item_id = (*request.segments[2:4], "", "")[:2]
        if item_id == "appid":
            schema, item_id = "app", request.segments[4]
        with self._lock:
            item = self._tables.get(schema, {}).get(item_id, {})
        return [name for name in (item_id, item.get(_NAMES.get(schema, ""), "")) if name]

    # --- login ----------------------------------------------------------------------------------------------------

    def _login(self, request: Request) -> Reply:
        """Ask Cognito; the answer is the ID token alone, as a JSON string."""
        asked = _document(request)
        if not isinstance(asked, dict) or not {"username", "password"} <= asked.keys():
            raise _Answer(502, {"message": "Internal server error"})
        try:
            answer = self._pool.sign_in(asked["username"], asked["password"])
        except ClientError as error:
            if error.response["Error"]["Code"] in ("NotAuthorizedException", "UserNotFoundException"):
                return Reply(400, b"Incorrect username or password", {"Content-Type": "text/plain"})
            raise _Answer(502, {"message": "Internal server error"}) from error
        if "ChallengeName" in answer:
            return Reply.json(200, {"ChallengeName": answer["ChallengeName"], "Session": answer["Session"]})
        return Reply.json(200, answer["AuthenticationResult"]["IdToken"])

    def _claims(self, request: Request) -> Mapping[str, Any]:
        """What the Cognito authorizer lets through: a raw ID token of this pool, signed by it, not ended."""
        token = request.headers.get("Authorization", "")
        try:
            key = self._key(jwt.get_unverified_header(token).get("kid", ""))
            claims: Mapping[str, Any] = jwt.decode(
                token, key, algorithms=["RS256"], audience=self._pool.client_id, issuer=self._pool.issuer
            )
        except jwt.PyJWTError as error:
            raise _Answer(401, {"message": "Unauthorized"}) from error
        if claims.get("token_use") != "id" or hashlib.sha256(token.encode()).hexdigest() in self._refused:
            raise _Answer(401, {"message": "Unauthorized"})
        return claims

    def _key(self, key_id: str) -> jwt.PyJWK:
        if self._keys is None:
            address = f"{self._pool.endpoint}/{self._pool.pool_id}/.well-known/jwks.json"
            self._keys = jwt.PyJWKSet.from_dict(httpx.get(address, trust_env=False).json())
        try:
            return self._keys[key_id]
        except KeyError as error:
            raise jwt.InvalidKeyError(f"the pool has no key {key_id}") from error

    # --- items ----------------------------------------------------------------------------------------------------

    def _list(self, request: Request, schema: str, app_id: str | None = None) -> Reply:
        """The whole table by name: there is no page and no filter but the application's."""
        self._claims(request)
        with self._lock:
            items = [dict(item) for item in self._table(schema).values()]
        wanted = [item for item in items if app_id in (None, item.get("app_id"))]
        return Reply.json(200, sorted(wanted, key=lambda item: str(item.get(_NAMES[schema], ""))))

    def _read(self, request: Request, schema: str, item_id: str) -> Reply:
        self._claims(request)
        with self._lock:
            item = self._table(schema).get(item_id)
        if item is None:
            _bad(f"{schema} Id {item_id} does not exist")
        return Reply.json(200, item)

    def _update(self, request: Request, schema: str, item_id: str) -> Reply:
        """Policy first, which reads the body; then the item, the checks, and the put of the whole item."""
        claims = self._claims(request)
        wanted = _document(request)
        if not isinstance(wanted, dict):
            raise _Answer(502, {"message": "Internal server error"})
        _allow(claims, wanted)
        with self._lock:
            found = dict(self._table(schema).get(item_id, {}))
        self._check(schema, item_id, found, wanted)
        if (meanwhile := self.meanwhile) is not None:
            self.meanwhile = None
            meanwhile()
        merged = {name: value for name, value in (found | wanted).items() if value != ""}
        history = {"lastModifiedBy": {"userRef": claims["sub"]}, "lastModifiedTimestamp": _now()}
        merged["_history"] = found["_history"] | history
        with self._lock:
            self._tables[schema][item_id] = merged
        self._ledger.record(
            service="cmf",
            operation=f"update{schema.title()}",
            targets=[item_id, str(merged.get(_NAMES[schema], ""))],
            caller=str(claims["cognito:username"]),
            detail={"fields": wanted},
        )
        return Reply.json(200, {"ResponseMetadata": {"HTTPStatusCode": 200, "RetryAttempts": 0}})

    def _check(self, schema: str, item_id: str, found: Item, wanted: Item) -> None:
        if f"{schema}_id" in wanted:
            _bad(f"You cannot modify {schema}_id, it is managed by the system")
        if not found:
            _bad(f"{schema} Id: {item_id} does not exist")
        name = wanted.get(_NAMES[schema])
        with self._lock:
            others = [item for key, item in self._tables[schema].items() if key != item_id]
        if name and any(item.get(_NAMES[schema]) == name for item in others):
            _bad(f"{_NAMES[schema]}: {name} already exist")
        if wrong := list(_wrong_attributes(schema, wanted)):
            _bad(wrong)

    def _schema(self, request: Request, schema: str) -> Reply:
        self._claims(request)
        if schema not in SCHEMAS:
            _bad(f"Invalid schema provided :{schema}")
        attributes = [
            {"name": name} | ({"type": "list", "listvalue": ",".join(values)} if values else {"type": "string"})
            for name, values in SCHEMAS[schema].items()
        ]
        return Reply.json(200, {"schema_name": schema, "attributes": attributes})

    def _table(self, schema: str) -> dict[str, Item]:
        if schema not in self._tables:
            _bad(f"Invalid schema provided :{schema}")
        return self._tables[schema]


def _bad(error: str | list[str]) -> NoReturn:
    """A list of errors; those of the schema's validation are a list in the list."""
    raise _Answer(400, {"errors": [error]})


def _allow(claims: Mapping[str, Any], wanted: Item) -> None:
    """The policy check of a write. Only administrators have one that allows it; reads are not checked."""
    if not wanted:
        cause = "There are no attributes to update"
    elif ADMINISTRATORS not in claims.get("cognito:groups", ()):
        cause = f"You do not have permission to update attributes : {','.join(wanted)}"
    else:
        return
    user = {"userRef": claims["sub"], "email": claims.get("email", claims["cognito:username"])}
    raise _Answer(401, {"errors": [{"action": "deny", "cause": cause, "user": user}]})


def _wrong_attributes(schema: str, wanted: Item) -> Iterable[str]:
    for name, value in wanted.items():
        if name.startswith("_"):
            continue
        if name not in SCHEMAS[schema]:
            yield f"Attribute {name} is not defined in the schema."
            continue
        allowed = SCHEMAS[schema][name]
        if allowed and value and str(value).lower() not in {one.lower() for one in allowed}:
            yield (
                f"Attribute {name}'s value does not match any of the allowed values '{','.join(allowed)}' defined in "
                "the schema"
            )


def _document(request: Request) -> Any:
    try:
        return json.loads(request.body)
    except ValueError:
        return None


def _planned_refusal(rule: Rule) -> Reply:
    message = rule.message or rule.code or "Refused by the fault plan"
    headers = {"Retry-After": str(rule.retry_after)} if rule.http_status == 429 else {}  # noqa: PLR2004  HTTP's number
    return Reply.json(rule.http_status, {"message": message}, headers)


def _now() -> str:
    return datetime.now(UTC).isoformat()
