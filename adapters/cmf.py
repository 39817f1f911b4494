"""AWS Cloud Migration Factory 4.5.1 as the record of a migration programme: its user API, reached with an ID token.

Source: the solution's own source, aws-solutions/cloud-migration-factory-on-aws: `mfcommon` for login and addresses,
`lambda_item` for the answers. A PUT there is read, merge, put without a condition: who writes reads back.
"""

import json
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import httpx
import jwt

from adapters.aws import AwsSessions, aws_call
from adapters.exchange import in_words, retry_after, system_trust
from migration.errors import Conflict, MigrationError, NotFound, Unavailable
from migration.ports import FactoryApplication, FactoryServer, FactoryWave, SecretStore
from migration.settings import FactoryConnection

CALL_WITHIN = timedelta(seconds=20)
LOGIN_WITHIN = timedelta(seconds=15)
"""A call, a login and the call again stay together below `policies.LONGEST_CALL`."""

_STAGE = "prod"
_RENEWED_BEFORE = 120.0
"""Seconds before its end from which on a token is not used: more than any call that is begun with it takes."""

_USUAL_LIFE = 3600.0
_BUSY = {408, 425, 429}
_MISSING = "does not exist"
_NO_SECOND_FACTOR = "Turn multi-factor authentication off for the service account: CMF does not support it there."


class CloudMigrationFactory:
    """One CMF, with one ID token, which is kept in memory alone. Safe to share between threads."""

    def __init__(
        self,
        connection: FactoryConnection,
        secrets: SecretStore,
        sessions: AwsSessions,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare a client; nothing is called yet."""
        self._connection = connection
        self._secrets = secrets
        self._sessions = sessions
        self._clock = clock
        self._user_api = f"{endpoint(connection.user_api, connection.vpc_endpoint_id)}/user"
        self._host = urlsplit(self._user_api).netloc
        self._client = httpx.Client(
            headers={"Accept": "application/json", "User-Agent": "migrator"},
            verify=_trust(connection),
            timeout=CALL_WITHIN.total_seconds(),
            follow_redirects=False,
            trust_env=False,
        )
        self._login = threading.Lock()
        self._token: str | None = None
        self._ends = 0.0

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    # --- items ----------------------------------------------------------------------------------------------------

    def wave(self, wave_id: str) -> FactoryWave:
        """The wave. Raises `NotFound`."""
        item = self._call("GET", f"wave/{quote(wave_id, safe='')}")
        return FactoryWave(wave_id=wave_id, name=_text(item, "wave_name"), status=_text(item, "wave_status"))

    def applications(self) -> tuple[FactoryApplication, ...]:
        """Every application of every wave: CMF has no filter and no pages."""
        return tuple(
            FactoryApplication(
                app_id=_text(item, "app_id"),
                name=_text(item, "app_name"),
                wave_id=_text(item, "wave_id") or None,
                account_ids=tuple(_texts(item.get("aws_accountid"))),
                region=_text(item, "aws_region") or None,
            )
            for item in self._call("GET", "app")
        )

    def servers(self, app_id: str | None = None) -> tuple[FactoryServer, ...]:
        """The servers of an application, or all."""
        path = "server" if app_id is None else f"server/appid/{quote(app_id, safe='')}"
        return tuple(map(_server, self._call("GET", path)))

    def update_server(self, server_id: str, attributes: Mapping[str, str]) -> None:
        """Set these attributes and read them back."""
        self._update(f"server/{quote(server_id, safe='')}", attributes)

    def set_wave_status(self, wave_id: str, status: str) -> None:
        """Set the wave's status and read it back."""
        self._update(f"wave/{quote(wave_id, safe='')}", {"wave_status": status})

    def wave_statuses(self) -> tuple[str, ...]:
        """The values that CMF's administrator allows for a wave's status; none where the settings name no AdminAPI."""
        if self._connection.admin_api is None:
            return ()
        api = endpoint(self._connection.admin_api, self._connection.vpc_endpoint_id)
        schema = self._call("GET", "schema/wave", api=f"{api}/admin")
        attributes: dict[str, Any] = {one.get("name"): one for one in schema.get("attributes", ())}
        listed = str(attributes.get("wave_status", {}).get("listvalue", ""))
        return tuple(value.strip() for value in listed.split(",") if value.strip())

    def _update(self, path: str, attributes: Mapping[str, str]) -> None:
        self._call("PUT", path, dict(attributes))
        item = self._call("GET", path)
        if lost := sorted(name for name, value in attributes.items() if _text(item, name) != value):
            raise Unavailable(f"CMF at {self._host}: another writer of {path} has overwritten {', '.join(lost)}")

    # --- a call ---------------------------------------------------------------------------------------------------

    def _call(self, method: str, path: str, body: Mapping[str, str] | None = None, *, api: str | None = None) -> Any:
        """Make a call; a token that is not taken is renewed once."""
        url, token = f"{api or self._user_api}/{path}", self._id_token()
        response = self._send(method, url, token, body)
        if _not_logged_in(response):
            response = self._send(method, url, self._id_token(instead_of=token), body)
        call = f"{method} {urlsplit(url).path}"
        if not response.is_success:
            raise self._refusal(response, call)
        try:
            return response.json()
        except ValueError as error:
            raise Unavailable(f"CMF at {self._host} answered {call} with something else") from error

    def _send(self, method: str, url: str, token: str, body: Mapping[str, str] | None) -> httpx.Response:
        # The authorizer wants the bare ID token, without "Bearer".
        headers = {"Authorization": token}
        try:
            return self._client.request(method, url, headers=headers, json=body)
        except httpx.HTTPError as error:
            raise Unavailable(f"CMF at {self._host}: {in_words(error)}") from error

    def _refusal(self, response: httpx.Response, call: str) -> MigrationError:
        said, status = _said(response), response.status_code
        words = f"CMF at {self._host} answered {call} with {status}: {said}"
        if status in _BUSY or response.is_server_error:
            return Unavailable(words, retry_after=retry_after(response.headers))
        if status == httpx.codes.BAD_REQUEST and _MISSING in said:
            return NotFound(words)
        if _not_logged_in(response):
            return Conflict(words, action=f"Check that the account in {self._connection.account} is of this user pool.")
        if status == httpx.codes.UNAUTHORIZED:
            action = "Give the account's Cognito group a role of CMF whose policy allows to update these attributes."
            return Conflict(words, action=action)
        if status == httpx.codes.FORBIDDEN:
            action = "Check the address, the endpoint policy of a private deployment (vpc_endpoint_id), and the WAF."
            return Conflict(words, action=action)
        return Conflict(words, action="Correct the item in CMF, or the schema of its attributes, as the answer says.")

    # --- login ----------------------------------------------------------------------------------------------------

    def _id_token(self, *, instead_of: str | None = None) -> str:
        """The token that is kept while it lasts, else a new one; threads that come together log in once."""
        with self._login:
            if self._token is None or self._clock() >= self._ends or self._token == instead_of:
                self._token = None
                token = self._log_in()
                self._ends = self._clock() + _life(token) - _RENEWED_BEFORE
                self._token = token
            return self._token

    def _log_in(self) -> str:
        username, password = self._account()
        if self._connection.login_api is not None:
            return self._through_login_api(self._connection.login_api, username, password)
        return self._through_cognito(username, password)

    def _account(self) -> tuple[str, str]:
        reference = self._connection.account
        try:
            account = json.loads(self._secrets.resolve(reference))
            return account["username"], account["password"]
        except (ValueError, LookupError, TypeError):
            # Not chained: such an error shows the text, which holds the password.
            raise Conflict(
                f"the secret {reference} is no JSON object with username and password",
                action='Store {"username": ..., "password": ...} there, as CMF\'s stack does.',
            ) from None

    def _through_login_api(self, address: str, username: str, password: str) -> str:
        url = f"{endpoint(address, self._connection.vpc_endpoint_id)}/login"
        try:
            response = self._client.post(
                url, json={"username": username, "password": password}, timeout=LOGIN_WITHIN.total_seconds()
            )
        except httpx.HTTPError as error:
            raise Unavailable(f"CMF's login at {urlsplit(url).netloc}: {in_words(error)}") from error
        words = f"CMF's login answered with {response.status_code}"
        if response.status_code == httpx.codes.BAD_REQUEST:
            raise Conflict(f"{words}: incorrect user name or password", action=f"Correct {self._connection.account}.")
        if not response.is_success:
            # A Cognito error other than a wrong password has no answer of its own there: the gateway says 502.
            if response.status_code in _BUSY or response.is_server_error:
                raise Unavailable(words, retry_after=retry_after(response.headers))
            raise Conflict(words, action="Check login_api, the endpoint policy of a private deployment, and the WAF.")
        return _token_of(response, words)

    def _through_cognito(self, username: str, password: str) -> str:
        pool = self._connection.user_pool_id
        region = self._connection.region or pool.partition("_")[0]
        client = self._sessions.client("cognito-idp", region=region, once=True)
        with aws_call("InitiateAuth"):
            answer = client.initiate_auth(
                ClientId=self._connection.user_pool_client_id,
                AuthFlow="USER_PASSWORD_AUTH",
                AuthParameters={"USERNAME": username, "PASSWORD": password},
            )
        if "AuthenticationResult" not in answer:
            raise Conflict(f"Cognito asks for {answer.get('ChallengeName')} at the login", action=_NO_SECOND_FACTOR)
        return str(answer["AuthenticationResult"]["IdToken"])


def endpoint(api: str, vpc_endpoint_id: str | None) -> str:
    """The address of an API with its stage; a private one has the endpoint's id in its host name."""
    parts = urlsplit(api.rstrip("/"))
    host = parts.netloc
    if vpc_endpoint_id is not None:
        api_id, dot, rest = host.partition(".")
        host = f"{api_id}-{vpc_endpoint_id}{dot}{rest}"
    return urlunsplit((parts.scheme, host, f"{parts.path}/{_STAGE}", "", ""))


def _trust(connection: FactoryConnection) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(connection.ca_file)) if connection.ca_file else system_trust()


def _token_of(response: httpx.Response, words: str) -> str:
    """The ID token, which is the whole answer, or what Cognito asks for instead."""
    try:
        answer = response.json()
    except ValueError:
        answer = None
    if isinstance(answer, dict) and "ChallengeName" in answer:
        raise Conflict(f"Cognito asks for {answer['ChallengeName']} at the login", action=_NO_SECOND_FACTOR)
    if not isinstance(answer, str):
        raise Unavailable(f"{words} and no token")
    return answer


def _life(token: str) -> float:
    """How long a token lasts from now, in seconds, by its own two times: the clocks here and there may differ."""
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
        return float(claims["exp"]) - float(claims["iat"])
    except (jwt.PyJWTError, LookupError, TypeError, ValueError):
        return _USUAL_LIFE


def _not_logged_in(response: httpx.Response) -> bool:
    """Whether API Gateway did not take the token; a policy's refusal has the same status and another body."""
    return response.status_code == httpx.codes.UNAUTHORIZED and '"errors"' not in response.text


def _said(response: httpx.Response) -> str:
    """CMF's errors, which may be nested lists of texts or objects with a cause; else the message, or the phrase."""
    try:
        answer = response.json()
    except ValueError:
        return response.text[:200].strip() or response.reason_phrase
    if isinstance(answer, dict):
        found = list(_flat(answer.get("errors", answer.get("message", answer.get("Message")))))
        return "; ".join(found) or response.reason_phrase
    return "; ".join(_flat(answer)) or response.reason_phrase


def _flat(errors: Any) -> list[str]:
    if isinstance(errors, list):
        return [words for error in errors for words in _flat(error)]
    if isinstance(errors, dict):
        return [str(errors.get("cause") or json.dumps(errors))]
    return [str(errors)] if errors else []


def _text(item: Mapping[str, Any], name: str) -> str:
    """An attribute, which is missing when it was set to nothing."""
    value = item.get(name)
    return "" if value is None else str(value)


def _texts(value: Any) -> list[str]:
    """An attribute that is one text or a list of them."""
    return [str(one) for one in value] if isinstance(value, list) else [str(value)] if value else []


def _server(item: Mapping[str, Any]) -> FactoryServer:
    return FactoryServer(
        server_id=_text(item, "server_id"),
        app_id=_text(item, "app_id"),
        name=_text(item, "server_name"),
        fqdn=_text(item, "server_fqdn"),
        strategy=_text(item, "r_type"),
        migration_status=_text(item, "migration_status"),
        replication_status=_text(item, "replication_status"),
        target_instance_id=_text(item, "target_instance_id"),
    )
