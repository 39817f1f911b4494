"""The user pool of the local Cloud Migration Factory: Cognito's, with the service account that automation uses."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import boto3

from localcloud.aws.seed import ACCESS_KEY, SECRET_KEY

SERVICE_ACCOUNT, READER = "serviceaccount@example.com", "reader@example.com"
PASSWORD = "Correct-horse-1"  # noqa: S105  known to everybody on this machine


@dataclass(frozen=True)
class UserPool:
    """Where tokens come from. `endpoint` is the local AWS."""

    endpoint: str
    region: str
    pool_id: str
    client_id: str

    def sign_in(self, username: str, password: str) -> Mapping[str, Any]:
        """Cognito's answer to USER_PASSWORD_AUTH. Raises botocore's `ClientError`."""
        answer: Mapping[str, Any] = self._cognito.initiate_auth(
            ClientId=self.client_id,
            AuthFlow="USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": username, "PASSWORD": password},
        )
        return answer

    @cached_property
    def _cognito(self) -> Any:
        return _session(self.region).client("cognito-idp", endpoint_url=self.endpoint)

    @property
    def issuer(self) -> str:
        """What the tokens say of their origin."""
        return f"https://cognito-idp.{self.region}.amazonaws.com/{self.pool_id}"

    @property
    def secret_name(self) -> str:
        """The secret that holds the service account, as CMF's stack names it."""
        return f"MFServiceAccount-{self.pool_id}"


def make_user_pool(endpoint: str, region: str) -> UserPool:
    """Make the pool, its client without a secret, the service account in the group `admin`, and one who only reads."""
    session = _session(region)
    cognito: Any = session.client("cognito-idp", endpoint_url=endpoint)
    pool_id = cognito.create_user_pool(PoolName="migration-factory")["UserPool"]["Id"]
    client = cognito.create_user_pool_client(
        UserPoolId=pool_id, ClientName="migration-factory", ExplicitAuthFlows=["ALLOW_USER_PASSWORD_AUTH"]
    )
    for user, group in ((SERVICE_ACCOUNT, "admin"), (READER, "readonly")):
        cognito.create_group(UserPoolId=pool_id, GroupName=group)
        cognito.admin_create_user(UserPoolId=pool_id, Username=user, MessageAction="SUPPRESS")
        cognito.admin_set_user_password(UserPoolId=pool_id, Username=user, Password=PASSWORD, Permanent=True)
        cognito.admin_add_user_to_group(UserPoolId=pool_id, Username=user, GroupName=group)
    pool = UserPool(endpoint, region, pool_id, client["UserPoolClient"]["ClientId"])
    account = json.dumps({"username": SERVICE_ACCOUNT, "password": PASSWORD})
    secrets = session.client("secretsmanager", endpoint_url=endpoint)
    secrets.create_secret(Name=pool.secret_name, SecretString=account)
    return pool


def _session(region: str) -> boto3.Session:
    return boto3.Session(aws_access_key_id=ACCESS_KEY, aws_secret_access_key=SECRET_KEY, region_name=region)
