"""Health checks and hooks."""

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from migration.formats import (
    BodyPattern,
    Certificates,
    DnsName,
    Duration,
    HeaderName,
    HeaderValue,
    HealthUrl,
    Name,
    RequestHeaderName,
    Sentence,
    ServerName,
    branch,
)
from migration.request.base import Part
from migration.request.choices import CheckTime, HookFailure, HookTime, HookType, Side

ALWAYS = tuple(CheckTime)
MOST_HEADERS = 20


class _HealthCheck(Part):
    server: ServerName = Field(description="The server that is checked.")
    within: Duration = Field(
        timedelta(minutes=10), description="How long the check may take to succeed after a launch."
    )
    during: Annotated[tuple[CheckTime, ...], Field(min_length=1)] = Field(
        ALWAYS, description="The steps in which the check runs."
    )


class Tls(Part):
    """How an https check knows the server that it talks to."""

    server_name: DnsName | None = Field(
        None,
        description="The name that is asked for (SNI) and that the certificate must have. Null: the DNS name in the "
        "soak, where a record leads to the server, and the address otherwise.",
    )
    ca: Certificates | None = Field(None, description="The authorities that count. Null: those of the worker's system.")
    verify: bool = Field(True, description="False: any certificate will do; whoever answers is then not known.")


class HttpCheck(_HealthCheck):
    """A GET that must answer as expected; redirects are answers like any other, and not followed."""

    type: Literal["http"]
    url: HealthUrl = Field(description="The host is `{privateIp}`, which stands for the launched server's address.")
    expect_status: Annotated[int, Field(ge=100, le=599)] = Field(200, description="The HTTP status that is healthy.")
    headers: Annotated[dict[RequestHeaderName, HeaderValue], Field(max_length=MOST_HEADERS)] = Field(
        {}, description="Header fields that are sent as they stand here, for everybody to read: no secrets."
    )
    expect_headers: Annotated[dict[HeaderName, HeaderValue], Field(max_length=MOST_HEADERS)] = Field(
        {}, description="Header fields that the answer must have, with exactly these values."
    )
    expect_body: Sentence | None = Field(None, description="A text that the first 64 KiB of the body must contain.")
    expect_body_pattern: BodyPattern | None = Field(
        None, description="A regular expression that must match somewhere in the first 64 KiB of the body."
    )
    tls: Tls | None = Field(None, description="For https. Null: the defaults.")


class TcpCheck(_HealthCheck):
    """A TCP port that must accept a connection."""

    type: Literal["tcp"]
    port: Annotated[int, Field(ge=1, le=65535)] = Field(description="The port of the launched server.")


class SsmCheck(_HealthCheck):
    """A command that must end with exit code 0 on the launched server, which Systems Manager must manage.

    It is run again and again, so it must change nothing, and is ended after ten seconds.
    """

    type: Literal["ssm"]
    command: Sentence = Field(description="One line of shell (linux) or PowerShell (windows).")


def _kind(value: Any) -> str | None:
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return branch(kind) if kind in ("http", "tcp", "ssm") else None


HealthCheck = Annotated[
    Annotated[HttpCheck, Tag(branch("http"))]
    | Annotated[TcpCheck, Tag(branch("tcp"))]
    | Annotated[SsmCheck, Tag(branch("ssm"))],
    Discriminator(
        _kind,
        custom_error_type="mismatch",
        custom_error_message="expected {expected}",
        custom_error_context={"expected": "a health check of type http, tcp or ssm", "at": "type"},
    ),
]


class Hook(Part):
    """Something of the application's own that runs at a given moment."""

    at: HookTime = Field(description="When the hook runs.")
    on: Side = Field(description="The side on which it runs.")
    server: ServerName = Field(description="The server on which it runs.")
    type: HookType = Field(description="How it runs.")
    ref: Name = Field(description="The SSM document, or the URL of the webhook.")
    parameters: dict[Name, tuple[str, ...]] = Field({}, description="The parameters, each a list of strings.")
    within: Duration = Field(timedelta(minutes=10), description="How long it may take.")
    on_failure: HookFailure = Field(HookFailure.FAIL, description="Whether its failure fails the step.")
